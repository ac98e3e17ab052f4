"""The laws of DistributedDataParallel, as functions that every rank runs: simulated or real.

Each compares what the ranks compute together with what one process computes on the whole batch.
"""

import numpy as np

import core
import ddp
from core import nn, optim
from ddp.current_group import current_group

BATCH = 24


def mlp():
    """A small network in float64, the same on every rank."""
    core.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)).double()


class Branches(nn.Module):
    """Two heads, of which a call uses one; a third is never used."""

    def __init__(self):
        super().__init__()
        core.manual_seed(4)
        self.body = nn.Linear(5, 6).double()
        self.heads = nn.ModuleList([nn.Linear(6, 3).double() for _ in range(2)])
        self.never = nn.Linear(2, 2).double()

    def forward(self, x, which):
        return self.heads[which](self.body(x).tanh())

    def other(self, x):
        """A way in that is not forward."""
        return self.heads[0](self.body(x))


def batch(seed=0):
    """The global batch of one step."""
    numbers = np.random.default_rng(seed)
    x, y = numbers.normal(size=(BATCH, 5)), numbers.normal(size=(BATCH, 3))
    return core.from_numpy(x), core.from_numpy(y)


def mine(x):
    """This rank's part of the global batch."""
    group = current_group()
    return x[group.rank :: group.size]


def gradients(module):
    """Every parameter's gradient by name, None where there is none."""
    return {n: None if p.grad is None else p.grad.numpy() for n, p in module.named_parameters()}


def same(found, expected, tolerance=1e-12):
    """Whether both hold the same gradients."""
    assert found.keys() == expected.keys()
    for name, g in expected.items():
        if g is None:
            assert found[name] is None, f"{name} has a gradient that nobody gave it"
        else:
            np.testing.assert_allclose(found[name], g, rtol=tolerance, atol=tolerance, err_msg=name)


def mse(out, y):
    """The mean squared error."""
    return ((out - y) ** 2).mean()


# ---- the laws ---------------------------------------------------------------------------------


def ranks_times_batch_equals_one_rank_with_the_whole_batch():
    """Five steps of SGD with momentum give the parameters of one process."""
    alone, model = mlp(), ddp.DistributedDataParallel(mlp())
    optimizers = [optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (alone, model)]
    for step in range(5):
        x, y = batch(step)
        for m, opt, part in zip((alone, model), optimizers, (lambda v: v, mine), strict=True):
            opt.zero_grad()
            mse(m(part(x)), part(y)).backward()
            opt.step()
    for p, q in zip(alone.parameters(), model.parameters(), strict=True):
        np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=1e-12, atol=1e-12)


def parameters_are_equal_on_all_ranks():
    """Ranks that start from different numbers train one model."""
    core.manual_seed(100 + current_group().rank)
    model = ddp.DistributedDataParallel(nn.Linear(5, 3).double())
    opt = optim.Adam(model.parameters(), lr=0.01)
    for step in range(3):
        x, y = batch(step)
        opt.zero_grad()
        mse(model(mine(x)), mine(y)).backward()
        opt.step()
    every = [None] * current_group().size
    mine_now = [p.detach().numpy().tobytes() for p in model.parameters()]
    current_group().all_gather_object(every, mine_now)
    assert all(other == mine_now for other in every)


def unused_parameters_keep_no_gradient():
    """What nobody used stays None; what some ranks used counts as zero on the others."""
    group = current_group()
    model = Branches()
    wrapped = ddp.DistributedDataParallel(model)
    x, y = batch()
    mse(wrapped(mine(x), group.rank % 2), mine(y)).backward()
    alone = Branches()
    for rank in range(group.size):
        part = slice(rank, None, group.size)
        (mse(alone(x[part], rank % 2), y[part]) / group.size).backward()
    same(gradients(model), gradients(alone))


def two_forwards_and_one_backward():
    """The sum of two losses."""
    model, alone = mlp(), mlp()
    wrapped = ddp.DistributedDataParallel(model)
    (x, y), (u, v) = batch(0), batch(1)
    (mse(wrapped(mine(x)), mine(y)) + mse(wrapped(mine(u)), mine(v))).backward()
    (mse(alone(x), y) + mse(alone(u), v)).backward()
    same(gradients(model), gradients(alone))


def one_forward_and_two_backwards():
    """Each backward adds its mean over ranks."""
    model, alone = mlp(), mlp()
    x, y = batch()
    loss = mse(ddp.DistributedDataParallel(model)(mine(x)), mine(y))
    loss.backward(retain_graph=True)
    loss.backward()
    loss = mse(alone(x), y)
    loss.backward(retain_graph=True)
    loss.backward()
    same(gradients(model), gradients(alone))


def a_module_used_twice():
    """Its gradient is the sum of both uses."""
    core.manual_seed(5)
    model, alone = nn.Linear(5, 5).double(), nn.Linear(5, 5).double()
    alone.load_state_dict(model.state_dict())
    wrapped = ddp.DistributedDataParallel(model)
    x, _ = batch()
    (wrapped(wrapped(mine(x)).tanh()) ** 2).mean().backward()
    (alone(alone(x).tanh()) ** 2).mean().backward()
    same(gradients(model), gradients(alone))


def accumulation_without_sync_equals_one_step():
    """no_sync around forward, backward or both; the last backward reduces everything."""
    for style in ("both", "forward", "backward"):
        model, alone = mlp(), mlp()
        wrapped = ddp.DistributedDataParallel(model)
        for step in range(3):
            x, y = batch(step)
            last = step == 2
            if style == "both" and not last:
                with wrapped.no_sync():
                    mse(wrapped(mine(x)), mine(y)).backward()
            elif style == "forward" and not last:
                with wrapped.no_sync():
                    loss = mse(wrapped(mine(x)), mine(y))
                loss.backward()
            else:
                loss = mse(wrapped(mine(x)), mine(y))
                if style == "backward" and not last:
                    with wrapped.no_sync():
                        loss.backward()
                else:
                    loss.backward()
            mse(alone(x), y).backward()
        same(gradients(model), gradients(alone))


def a_method_of_the_module_is_a_way_in():
    """Gradients are reduced whatever was called."""
    model, alone = Branches(), Branches()
    wrapped = ddp.DistributedDataParallel(model)
    x, y = batch()
    mse(wrapped.module.other(mine(x)), mine(y)).backward()
    mse(alone.other(x), y).backward()
    same(gradients(model), gradients(alone))


def frozen_and_unfrozen_between_steps():
    """A parameter that does not require grad for a while keeps none."""
    model, alone = mlp(), mlp()
    wrapped = ddp.DistributedDataParallel(model)
    x, y = batch()
    for on in (True, False, True):
        for m in (model, alone):
            m[0].weight.requires_grad_(on)
            m.zero_grad()
        mse(wrapped(mine(x)), mine(y)).backward()
        mse(alone(x), y).backward()
        same(gradients(model), gradients(alone))


def unreduced_gradients_are_refused_by_the_optimizer():
    """A step on gradients that stayed local raises; after a synced backward it does not."""
    model = ddp.DistributedDataParallel(mlp())
    opt = optim.SGD(model.parameters(), lr=0.1)
    x, y = batch()
    with model.no_sync():
        mse(model(mine(x)), mine(y)).backward()
    try:
        opt.step()
    except RuntimeError as error:
        assert "reduce" in str(error)
    else:
        raise AssertionError("the step was taken")
    mse(model(mine(x)), mine(y)).backward()
    opt.step()


def state_dict_has_the_bare_keys():
    """Both ways."""
    model = mlp()
    wrapped = ddp.DistributedDataParallel(model)
    assert list(wrapped.state_dict()) == list(mlp().state_dict())
    wrapped.load_state_dict(mlp().state_dict())
    assert wrapped.module is model
    assert ddp.DistributedDataParallel(nn.Linear(5, 2)).in_features == 5


def modules_that_differ_are_named():
    """Every rank raises and names the parameter."""
    group = current_group()
    if group.size == 1:
        return
    width = 4 if group.rank == group.size - 1 else 3
    try:
        ddp.DistributedDataParallel(nn.Linear(2, width))
    except ValueError as error:
        assert "weight" in str(error) and f"rank {group.size - 1}" in str(error)
    else:
        raise AssertionError("modules of different shapes were accepted")


def every_difference_between_modules_is_named():
    """Dtype, flag, name, order, a parameter more, a buffer: by name and rank, on every rank."""
    group = current_group()
    last = group.size - 1
    if not last:
        return

    def changed(how):
        module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
        if group.rank == last:
            how(module)
        return module

    for how, words in (
        (lambda m: m[2].double(), "2.weight"),
        (lambda m: m[2].bias.requires_grad_(False), "2.bias"),
        (lambda m: m.add_module("more", nn.Linear(1, 1)), "more.weight"),
        (lambda m: m[1].register_buffer("seen", core.zeros(1)), "1.seen"),
        (lambda m: m[2].register_parameter("bias", None), "2.bias"),
        (lambda m: m[0]._parameters.update(weight=m[0]._parameters.pop("weight")), "0."),
    ):
        try:
            ddp.DistributedDataParallel(changed(how))
        except ValueError as error:
            assert words in str(error) and f"rank {last}" in str(error), str(error)
        else:
            raise AssertionError(f"modules that differ in {words} were accepted")


def pytorchs_arguments_are_accepted():
    """And need not be given."""
    model, alone = mlp(), mlp()
    wrapped = ddp.DistributedDataParallel(
        model,
        device_ids=None,
        output_device=None,
        dim=0,
        broadcast_buffers=True,
        process_group=current_group(),
        bucket_cap_mb=25,
        find_unused_parameters=True,
        check_reduction=False,
        gradient_as_bucket_view=True,
        static_graph=True,
    )
    x, y = batch()
    mse(wrapped(mine(x)), mine(y)).backward()
    mse(alone(x), y).backward()
    same(gradients(model), gradients(alone))


def weighted_backward_divides_by_the_global_weight():
    """Ranks with different numbers of samples equal one process with all, accumulation included."""
    group = current_group()
    counts = [5, 3, 8, 1, 2, 4, 7, 6][: group.size]
    starts = np.cumsum([0, *counts])
    model, alone = mlp(), mlp()
    wrapped = ddp.DistributedDataParallel(model)
    total = 2 * sum(counts)
    for step in (0, 1):
        numbers = np.random.default_rng(step)
        x = core.from_numpy(numbers.normal(size=(sum(counts), 5)))
        part = slice(starts[group.rank], starts[group.rank + 1])
        ((alone(x) ** 2).sum() / total).backward()
        if step:
            ddp.backward((wrapped(x[part]) ** 2).sum(), weight=counts[group.rank])
        else:
            with wrapped.no_sync():
                ddp.backward((wrapped(x[part]) ** 2).sum(), weight=counts[group.rank])
    same(gradients(model), gradients(alone))


def gradients_dropped_or_set_to_zero_are_as_if_new():
    """Weights go with them, whatever was gathered: after a reduction, and after no_sync."""
    model, alone = mlp(), mlp()
    wrapped = ddp.DistributedDataParallel(model)
    opt = optim.SGD(model.parameters(), lr=0.0)
    x, y = batch()
    mse(alone(x), y).backward()
    for owner in (wrapped, opt):
        for to_none in (True, False):
            for weight in (None, 99):
                loss = mse(wrapped(mine(x)), mine(y))
                with wrapped.no_sync():
                    loss.backward() if weight is None else ddp.backward(loss, weight)
                owner.zero_grad(to_none)
                opt.step()
                for _ in range(2):
                    owner.zero_grad(to_none)
                    total = ((wrapped(mine(x)) - mine(y)) ** 2).sum() / 3
                    ddp.backward(total, weight=len(mine(x)))
                same(gradients(model), gradients(alone))
                owner.zero_grad(to_none)


def a_first_weight_after_steps_without():
    """It is added to no gradient that was reduced, and finds none that is gone or zero."""
    x, y = batch()
    alone = mlp()
    mse(alone(x), y).backward()
    for drop in (None, True, False):
        model = mlp()
        wrapped = ddp.DistributedDataParallel(model)
        mse(wrapped(mine(x)), mine(y)).backward()
        total = ((wrapped(mine(x)) - mine(y)) ** 2).sum() / 3
        if drop is not None:
            wrapped.zero_grad(drop)
        try:
            ddp.backward(total, weight=len(mine(x)))
        except RuntimeError as error:
            assert drop is None and "was reduced before" in str(error)
        else:
            assert drop is not None
            same(gradients(model), gradients(alone))


def a_rank_without_samples_weighs_nothing():
    """Weight zero on one rank leaves the others' weighted mean."""
    group = current_group()
    model, alone = mlp(), mlp()
    wrapped = ddp.DistributedDataParallel(model)
    x, _ = batch()
    n = 0 if group.rank == group.size - 1 else 4
    ddp.backward((wrapped(x[:n]) ** 2).sum(), weight=n)
    if group.size > 1:
        (((alone(x[:4]) ** 2).sum()) / 4).backward()
        same(gradients(model), gradients(alone))


LAWS = [
    weighted_backward_divides_by_the_global_weight,
    gradients_dropped_or_set_to_zero_are_as_if_new,
    a_first_weight_after_steps_without,
    a_rank_without_samples_weighs_nothing,
    ranks_times_batch_equals_one_rank_with_the_whole_batch,
    parameters_are_equal_on_all_ranks,
    unused_parameters_keep_no_gradient,
    two_forwards_and_one_backward,
    one_forward_and_two_backwards,
    a_module_used_twice,
    accumulation_without_sync_equals_one_step,
    a_method_of_the_module_is_a_way_in,
    frozen_and_unfrozen_between_steps,
    unreduced_gradients_are_refused_by_the_optimizer,
    state_dict_has_the_bare_keys,
    modules_that_differ_are_named,
    every_difference_between_modules_is_named,
    pytorchs_arguments_are_accepted,
]
