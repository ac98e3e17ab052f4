"""The laws of uneven inputs, as functions that every rank runs.

Each compares ranks with different numbers of batches with one process that sees all samples.
"""

import numpy as np

import core
import ddp
from core import nn, optim
from ddp.current_group import current_group

# Sizes of the batches of each rank; rank 3 has none at all, and the last batches are smaller.
BATCHES = [[3, 3, 2], [3], [3, 3, 3, 2], [], [2, 2], [1, 1, 1, 1], [3, 3], [2]]


def batches_of(rank, width=5, seed=0):
    """The samples that a rank has in each of its steps."""
    numbers = np.random.default_rng([seed, rank])
    return [core.from_numpy(numbers.normal(size=(n, width))) for n in BATCHES[rank]]


def network(norm):
    core.manual_seed(3)
    layers = [nn.Linear(5, 6), nn.Dropout(0.0), nn.Linear(6, 3)]
    if norm:
        layers.insert(1, nn.BatchNorm1d(6))
    return nn.Sequential(*layers).double()


def steps_of_one_process(model, opt):
    """One process: in each step the samples of all ranks that have any."""
    size = current_group().size
    every = [batches_of(rank) for rank in range(size)]
    for step in range(max(len(b) for b in every)):
        x = core.cat([b[step] for b in every if step < len(b)])
        opt.zero_grad()
        ((model(x) - 1) ** 2).sum(1).mean().backward()
        opt.step()


def close(model, expected, tolerance=1e-10):
    for (name, p), q in zip(
        [*model.named_parameters(), *model.named_buffers()],
        [*expected.parameters(), *expected.buffers()],
        strict=True,
    ):
        np.testing.assert_allclose(
            p.detach().numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance, err_msg=name
        )


def ranks_that_ran_out_keep_the_others_company():
    """Parameters after training equal those of one process, with and without SyncBatchNorm."""
    for norm in (False, True):
        alone = network(norm)
        steps_of_one_process(alone, optim.Adam(alone.parameters(), lr=0.1, eps=1e-3))
        model = ddp.DistributedDataParallel(ddp.convert_sync_batchnorm(network(norm)))
        opt = optim.Adam(model.parameters(), lr=0.1, eps=1e-3)  # a bias before a norm: noise
        with ddp.Join([model, opt]):
            for x in batches_of(current_group().rank):
                opt.zero_grad()
                ((model(x) - 1) ** 2).sum(1).mean().backward()
                opt.step()
        close(model, alone)
        ddp.check_sync(model)
        assert opt.state_dict()["state"][0]["step"] == max(len(b) for b in every_rank())


def every_rank():
    return BATCHES[: current_group().size]


def the_loop_form_does_the_same():
    """`uneven(batches, "join", model)` and weighted backward."""
    alone = network(False)
    steps_of_one_process(alone, optim.SGD(alone.parameters(), lr=0.1))
    model = ddp.DistributedDataParallel(network(False))
    opt = optim.SGD(model.parameters(), lr=0.1)
    for x in ddp.uneven(batches_of(current_group().rank), "join", model):
        opt.zero_grad()
        ddp.backward(((model(x) - 1) ** 2).sum(), weight=len(x))
        opt.step()
    close(model, alone)


def accumulation_and_two_forwards_are_followed():
    """no_sync, two forwards before a backward, and two models in turn."""
    first, second = (ddp.DistributedDataParallel(network(False)) for _ in range(2))
    counted = 0
    with ddp.Join([first, second]):
        for x in batches_of(current_group().rank):
            with first.no_sync():
                first(x).sum().backward()
            (first(x) + first(x)).mean().backward()
            first.zero_grad()
            second(first(x)[:, :1].expand(-1, 5)).mean().backward()
            first.zero_grad()
            second.zero_grad()
            counted += 1
    assert counted == len(BATCHES[current_group().rank])
    ddp.check_sync(first)


def stopping_ends_the_epoch_for_all():
    """Every rank gets as many batches as the one with the fewest."""
    found = list(ddp.uneven(batches_of(current_group().rank), "stop"))
    assert len(found) == min(len(b) for b in every_rank())
    assert list(ddp.uneven([1, 2])) == [1, 2]


def models_of_two_groups_are_refused():
    """And what is neither a model nor has a state."""
    group = current_group()
    other = ddp.new_group()
    models = [ddp.DistributedDataParallel(network(False), process_group=g) for g in (group, other)]
    try:
        ddp.Join(models)
    except ValueError as error:
        assert "one process group" in str(error)
    else:
        raise AssertionError("accepted")


def early_termination_can_be_an_error_on_all_ranks():
    """Also on the rank that has run out."""
    if len({len(b) for b in every_rank()}) == 1:
        return
    model = ddp.DistributedDataParallel(network(False))
    try:
        with model.join(throw_on_early_termination=True):
            for x in batches_of(current_group().rank):
                model(x).mean().backward()
                model.zero_grad()
    except RuntimeError as error:
        assert "exhausted" in str(error)
    else:
        raise AssertionError("no rank raised")


LAWS = [
    ranks_that_ran_out_keep_the_others_company,
    the_loop_form_does_the_same,
    accumulation_and_two_forwards_are_followed,
    stopping_ends_the_epoch_for_all,
    models_of_two_groups_are_refused,
    early_termination_can_be_an_error_on_all_ranks,
]
