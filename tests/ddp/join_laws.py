"""The laws of uneven inputs, as functions that every rank runs.

Each compares ranks with different numbers of batches with one process that sees all samples.
"""

import dataclasses

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
        with ddp.Join([model, opt], divide_by_initial_world_size=None):
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


@dataclasses.dataclass(frozen=True)
class Output:
    """What some models return."""

    values: core.Tensor


class Mapping(nn.Linear):
    def forward(self, x):
        return Output(super().forward(x))


def gradients_are_divided_as_asked():
    """By all ranks, by those that still have batches, or by their samples."""
    size, every = current_group().size, every_rank()
    mine = batches_of(current_group().rank)
    for by in (True, False, None):
        model = ddp.DistributedDataParallel(Mapping(5, 1, bias=False).double())
        with model.join(divide_by_initial_world_size=by):
            for step, x in enumerate(mine):
                model.zero_grad()
                model(x).values.mean().backward()
                parts = [batches_of(r)[step] for r in range(size) if step < len(every[r])]
                weights = [len(part) if by is None else 1 for part in parts]
                total = sum(weight * part.mean(0) for weight, part in zip(weights, parts))
                expected = total / (size if by else sum(weights))
                found = model.module.weight.grad[0].numpy()
                np.testing.assert_allclose(found, expected.numpy(), rtol=1e-12)


class Counter(ddp.Joinable):
    """Counts the steps of all ranks together, as each of them knows."""

    def __init__(self):
        self.count, self.last = 0.0, []

    def step(self):
        ddp.Join.notify_join_context(self)
        self.add(1.0)

    def add(self, mine):
        one = np.array([mine])
        ddp.all_reduce(one)
        self.count += one[0]

    def join_hook(self, **kwargs):
        counter = self

        class Hook(ddp.JoinHook):
            def main_hook(self):
                counter.add(kwargs["idle"])

            def post_hook(self, is_last_joiner):
                counter.last.append(is_last_joiner)

        return Hook()


def others_may_join():
    """Anything with collectives of its own, alone or beside models, more often than they."""
    rank, every = current_group().rank, every_rank()
    for models in ([], [ddp.DistributedDataParallel(network(False)) for _ in range(2)]):
        once, twice = Counter(), Counter()
        with ddp.Join([once, *models, twice], idle=0.0):
            for x in batches_of(rank):
                once.step()
                twice.step()
                for model in models:
                    model(x).mean().backward()
                twice.step()
        assert once.count == sum(len(b) for b in every) and twice.count == 2 * once.count
        assert once.last == [len(every[rank]) == max(len(b) for b in every)]
        for model in models:
            model.zero_grad()
            ddp.check_sync(model)
    outside = Counter()
    outside.step()
    assert outside.count == current_group().size


def buffers_that_are_not_broadcast_stay_each_ranks_own():
    """Join gives ranks that ran out no other ones."""
    group = current_group()
    module = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3, momentum=0.0)).double()
    model = ddp.DistributedDataParallel(module, forward_sync_buffers=False)
    module[1].running_mean = core.full((3,), float(group.rank), dtype=core.float64)
    with model.join():
        for x in batches_of(group.rank):
            model(x.repeat(2, 1)).sum().backward()
    assert (module[1].running_mean == group.rank).all()


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
    model, steps = ddp.DistributedDataParallel(network(False)), 0
    try:
        with model.join(throw_on_early_termination=True):
            for x in batches_of(current_group().rank):
                model(x).mean().backward()
                model.zero_grad()
                steps += 1
    except RuntimeError as error:
        few = min(len(b) for b in every_rank())
        out = len(every_rank()[current_group().rank]) == few
        text = "exhausted all inputs" if out else "at least one rank that exhausted inputs"
        assert text in str(error) and steps == few
    else:
        raise AssertionError("no rank raised")


LAWS = [
    ranks_that_ran_out_keep_the_others_company,
    the_loop_form_does_the_same,
    accumulation_and_two_forwards_are_followed,
    gradients_are_divided_as_asked,
    others_may_join,
    buffers_that_are_not_broadcast_stay_each_ranks_own,
    stopping_ends_the_epoch_for_all,
    models_of_two_groups_are_refused,
    early_termination_can_be_an_error_on_all_ranks,
]
