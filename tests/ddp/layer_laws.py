"""The laws of layers shared out over ranks, as functions that every rank runs."""

import numpy as np

import core
import ddp
from core import nn
from ddp.current_group import current_group

WIDTH = 24  # divides into 1, 2, 3, 4 and 8 ranks


def whole():
    """A perceptron in one piece, and its input."""
    core.manual_seed(5)
    x = core.from_numpy(np.random.default_rng(0).normal(size=(6, WIDTH)))
    return nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH)), x


def parallel(group, inside):
    """The same perceptron, its hidden layer shared out over a group whose first rank seeds it."""
    core.manual_seed(5 + group.rank)
    return nn.Sequential(
        ddp.ColumnParallelLinear(WIDTH, 2 * WIDTH, gather_output=not inside, process_group=group),
        nn.GELU(),
        ddp.RowParallelLinear(2 * WIDTH, WIDTH, input_is_parallel=inside, process_group=group),
    )


def rows(x, group, dim):
    width = x.shape[dim] // group.size
    key = [slice(None)] * x.ndim
    key[dim] = slice(group.rank * width, (group.rank + 1) * width)
    return x[tuple(key)]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def a_perceptron_in_slices_equals_the_whole():
    """Outputs, gradients of the input and of each rank's slices, with and without gathering."""
    group = current_group()
    for inside in (True, False):
        alone, x = whole()
        model = parallel(group, inside).double()
        alone.double()
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        out, expected = model(b), alone(a)
        close(out.detach().numpy(), expected.detach().numpy())
        (out**2).sum().backward()
        (expected**2).sum().backward()
        close(b.grad.numpy(), a.grad.numpy())
        close(model[0].weight.grad.numpy(), rows(alone[0].weight.grad.numpy(), group, 0))
        close(model[0].bias.grad.numpy(), rows(alone[0].bias.grad.numpy(), group, 0))
        close(model[2].weight.grad.numpy(), rows(alone[2].weight.grad.numpy(), group, 1))
        close(model[2].bias.grad.numpy(), alone[2].bias.grad.numpy())


def gradients_of_gradients_equal_the_wholes():
    """A penalty on the slope with regard to the input, with and without gathering."""
    group = current_group()
    for inside in (True, False):
        alone, x = whole()
        model = parallel(group, inside).double()
        found = []
        for m in (alone.double(), model):
            given = x.clone().requires_grad_()
            (slope,) = core.autograd.grad((m(given) ** 2).sum(), given, create_graph=True)
            slope.pow(2).sum().backward()
            found.append([given.grad.numpy(), *(m[i].weight.grad.numpy() for i in (0, 2))])
        (g, first, second), mine = found
        expected = [g, rows(first, group, 0), rows(second, group, 1)]
        for a, b in zip(mine, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def it_trains_under_ddp_over_the_orthogonal_group():
    """Half of the ranks share a model, the two halves share the batch."""
    world = current_group()
    if world.size % 2 or WIDTH % (world.size // 2):
        return
    part = world.size // 2
    model_group = world.split(world.rank // part)
    data_group = world.split(world.rank % part)
    alone, x = whole()
    alone.double()
    model = ddp.DistributedDataParallel(
        parallel(model_group, True).double(), process_group=data_group
    )
    (model(x[data_group.rank :: 2]) ** 2).mean().backward()
    (alone(x) ** 2).mean().backward()
    close(model.module[0].weight.grad.numpy(), rows(alone[0].weight.grad.numpy(), model_group, 0))
    close(model.module[2].weight.grad.numpy(), rows(alone[2].weight.grad.numpy(), model_group, 1))
    close(model.module[2].bias.grad.numpy(), alone[2].bias.grad.numpy())


def sizes_that_do_not_divide_are_refused():
    """By name."""
    size = current_group().size
    if size == 1:
        return
    for make in (
        lambda: ddp.ColumnParallelLinear(4, 2 * size + 1),
        lambda: ddp.RowParallelLinear(2 * size + 1, 4),
    ):
        try:
            make()
        except ValueError as error:
            assert f"does not divide into {size} ranks" in str(error)
        else:
            raise AssertionError("accepted")


LAWS = [
    a_perceptron_in_slices_equals_the_whole,
    gradients_of_gradients_equal_the_wholes,
    it_trains_under_ddp_over_the_orthogonal_group,
    sizes_that_do_not_divide_are_refused,
]
