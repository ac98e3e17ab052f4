"""The laws of SyncBatchNorm, as functions that every rank runs.

Each compares the ranks' unequal batches with one batch norm of all samples in one process.
"""

import numpy as np

import core
import ddp
from core import nn
from ddp.current_group import current_group

COUNTS = [5, 1, 3, 0, 2, 4, 1, 6]
NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def part_of(x):
    """This rank's samples."""
    group = current_group()
    starts = np.cumsum([0, *COUNTS])
    return x[int(starts[group.rank]) : int(starts[group.rank + 1])]


def whole(shape, seed=0):
    """All ranks' samples."""
    count = sum(COUNTS[: current_group().size])
    return np.random.default_rng(seed).normal(3, 2, (count, *shape))


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def it_equals_batch_norm_of_the_concatenated_batch():
    """Values, gradients of the input, the weight and the bias, and the running statistics."""
    for shape in [(3,), (3, 4), (3, 2, 4), (3, 2, 1, 2)]:
        alone = NORMS[len(shape) + 1](3).double()
        mine = ddp.SyncBatchNorm(3).double()
        for step in range(2):
            x = whole(shape, step)
            a = core.from_numpy(x).requires_grad_()
            b = part_of(core.from_numpy(x)).clone().requires_grad_()
            for norm, t in ((alone, a), (mine, b)):
                norm.zero_grad()
                (norm(t) ** 3).sum().backward()
            out = mine(b)  # the second call must leave the same statistics on both
            close(out.detach().numpy(), part_of(alone(a)).detach().numpy())
            close(b.grad.numpy(), part_of(a.grad).numpy())
            for p, q in zip(alone.parameters(), mine.parameters(), strict=True):
                total = q.grad.clone()
                ddp.all_reduce(total)
                close(total.numpy(), p.grad.numpy())
        for p, q in zip(alone.buffers(), mine.buffers(), strict=True):
            close(q.numpy(), p.numpy())


def one_sample_per_rank_is_enough():
    """Where all ranks together have two or more; a single one is refused."""
    group = current_group()
    x = core.from_numpy(np.random.default_rng(1).normal(size=(group.size, 3)))
    norm = ddp.SyncBatchNorm(3).double()
    if group.size > 1:
        out = norm(x[group.rank : group.rank + 1])
        close(
            out.detach().numpy(), nn.BatchNorm1d(3).double()(x)[group.rank :][:1].detach().numpy()
        )
    try:
        norm(x[: 1 if group.rank == 0 else 0])
    except ValueError as error:
        assert "more than 1 value per channel" in str(error)
    else:
        raise AssertionError("a single value was normalised")


def eval_has_no_collective():
    """A rank may evaluate alone."""
    norm = ddp.SyncBatchNorm(3).double().eval()
    if current_group().rank == 0:
        x = core.ones(2, 3, dtype=core.float64)
        close(norm(x).detach().numpy(), nn.BatchNorm1d(3).double().eval()(x).detach().numpy())


def options_are_batch_norms():
    """No weights, no statistics, a cumulative mean, half precision."""
    x = core.from_numpy(whole((3,)))
    for options in (
        {"affine": False},
        {"bias": False},
        {"track_running_stats": False},
        {"momentum": None},
    ):
        alone = nn.BatchNorm1d(3, **options).double()
        mine = ddp.convert_sync_batchnorm(nn.BatchNorm1d(3, **options)).double()
        assert repr(mine) == repr(ddp.SyncBatchNorm(3, **options)), mine
        for _ in range(2):
            close(mine(part_of(x)).detach().numpy(), part_of(alone(x)).detach().numpy())
        for p, q in zip(alone.buffers(), mine.buffers(), strict=True):
            close(q.numpy(), p.numpy())
    half = ddp.SyncBatchNorm(3)(part_of(x).half())
    assert half.dtype is core.float16


def conversion_leaves_the_rest_as_it_is():
    """A norm in two places stays one, parameters and mode too; one without sizes is refused."""
    norm, layer = nn.BatchNorm1d(3).eval(), nn.Linear(3, 3)
    norm.weight.requires_grad_(False)
    module = nn.Sequential(norm, layer, nn.Sequential(norm))
    converted = ddp.convert_sync_batchnorm(module)
    first, second = converted[0], converted[2][0]
    assert converted is module and first is second and converted[1] is layer
    assert type(first) is ddp.SyncBatchNorm and not first.training
    assert first.weight is norm.weight and first.running_mean is norm.running_mean
    for call, text in (
        (lambda: ddp.convert_sync_batchnorm(nn.LazyBatchNorm1d()), "no sizes"),
        (lambda: first.train()(core.ones(4, 5)), "5 elements not 3"),
    ):
        try:
            call()
        except RuntimeError as error:
            assert text in str(error)
        else:
            raise AssertionError("accepted")
    assert not first.num_batches_tracked


def a_wrapped_network_equals_one_process():
    """Conv, SyncBatchNorm and Linear under DDP with the global mean, converted from batch norm."""

    def network():
        core.manual_seed(7)
        return nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(),
            nn.Linear(18, 4), nn.BatchNorm1d(4),
        ).double()  # fmt: skip

    alone = network()
    model = ddp.DistributedDataParallel(ddp.convert_sync_batchnorm(network()))
    assert list(model.state_dict()) == list(alone.state_dict())
    x = core.from_numpy(whole((1, 3, 3)))
    mine = part_of(x)
    ((alone(x) - 1) ** 2).sum(1).mean().backward()
    ddp.backward(((model(mine) - 1) ** 2).sum(), weight=len(mine))
    for p, q in zip(alone.parameters(), model.parameters(), strict=True):
        np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), rtol=1e-10, atol=1e-12)
    for p, q in zip(alone.buffers(), model.buffers(), strict=True):
        close(q.numpy(), p.numpy())


def gradients_of_gradients_are_those_of_one_process():
    """A penalty on the slope with regard to the input, through norms over all ranks."""

    def network():
        core.manual_seed(7)
        first, second = nn.Linear(3, 4), nn.Linear(4, 1)
        return nn.Sequential(
            nn.BatchNorm1d(3), first, nn.BatchNorm1d(4), nn.Tanh(), second
        ).double()

    def penalties(model, x):
        x = x.clone().requires_grad_()
        (slope,) = core.autograd.grad(model(x).pow(2).sum(), x, create_graph=True)
        return x, (slope.norm(dim=1) - 1).pow(2)

    alone = network()
    model = ddp.DistributedDataParallel(ddp.convert_sync_batchnorm(network()))
    x, loss = penalties(alone, core.from_numpy(whole((3,))))
    loss.mean().backward()
    mine, own = penalties(model, part_of(x.detach()))
    ddp.backward(own.sum(), weight=len(own))
    for p, q in zip(alone.parameters(), model.parameters(), strict=True):
        np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), rtol=1e-9, atol=1e-11)
    expected = part_of(x.grad) * len(x)
    np.testing.assert_allclose(mine.grad.numpy(), expected.numpy(), rtol=1e-9, atol=1e-11)


def buffers_are_synchronised_on_request():
    """The mean of floating buffers, or rank 0's; counts are rank 0's."""
    group = current_group()
    for how in ("mean", "rank0"):
        norm = nn.BatchNorm1d(2).double()
        norm.running_mean.fill_(float(group.rank))
        norm.num_batches_tracked.fill_(10 + group.rank)
        ddp.sync_buffers(norm, how)
        expected = (group.size - 1) / 2 if how == "mean" else 0
        close(norm.running_mean.numpy(), [expected] * 2)
        assert norm.num_batches_tracked.item() == 10


LAWS = [
    it_equals_batch_norm_of_the_concatenated_batch,
    one_sample_per_rank_is_enough,
    eval_has_no_collective,
    options_are_batch_norms,
    conversion_leaves_the_rest_as_it_is,
    gradients_of_gradients_are_those_of_one_process,
    a_wrapped_network_equals_one_process,
    buffers_are_synchronised_on_request,
]
