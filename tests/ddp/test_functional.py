"""Collectives that gradients flow through: the rule is the transpose of the forward map.

All ranks together compute one linear map y = A x. For random w the sum over ranks of <w, A x> must
have the gradient A^T w, and A is known from the definition of each collective.
"""

import numpy as np
import pytest

import core
from core.autograd.sweep import grad
from ddp import functional
from ddp.group import ReduceOp
from ddp.lifecycle import get_rank, get_world_size
from ddp.simulate import simulate

SIZE = 4

# name: (the op on x, the definition on the inputs of all ranks -> the outputs of all ranks)
OPS = {
    "all_reduce": (functional.all_reduce, lambda xs: [sum(xs)] * SIZE),
    "all_reduce avg": (
        lambda x: functional.all_reduce(x, ReduceOp.AVG),
        lambda xs: [sum(xs) / SIZE] * SIZE,
    ),
    "broadcast": (lambda x: functional.broadcast(x, 1), lambda xs: [xs[1]] * SIZE),
    "reduce": (
        lambda x: functional.reduce(x, 2),
        lambda xs: [sum(xs) if r == 2 else 0 * xs[r] for r in range(SIZE)],
    ),
    "all_gather": (functional.all_gather, lambda xs: [np.stack(xs)] * SIZE),
    "reduce_scatter": (
        functional.reduce_scatter,
        lambda xs: [sum(x[r] for x in xs) for r in range(SIZE)],
    ),
    "reduce_scatter avg": (
        lambda x: functional.reduce_scatter(x, ReduceOp.AVG),
        lambda xs: [sum(x[r] for x in xs) / SIZE for r in range(SIZE)],
    ),
    "all_to_all": (
        functional.all_to_all,
        lambda xs: [np.stack([x[r] for x in xs]) for r in range(SIZE)],
    ),
}


def whole_numbers(seed, shape):
    """Small whole numbers in float64: sums of them are exact, so equality is."""
    return np.random.default_rng(seed).integers(-9, 9, shape).astype(np.float64) * 4


def transposed(definition, weights, shape):
    """A^T w by the definition alone: the inner product with every unit vector."""
    grads = [np.zeros(shape) for _ in range(SIZE)]
    for rank in range(SIZE):
        for index in np.ndindex(*shape):
            units = [np.zeros(shape) for _ in range(SIZE)]
            units[rank][index] = 1
            outs = definition(units)
            grads[rank][index] = sum((w * y).sum() for w, y in zip(weights, outs))
    return grads


@pytest.mark.parametrize("name", OPS)
def test_value_gradient_and_second_gradient(name):
    op, definition = OPS[name]
    shape = (SIZE, 2)
    xs = [whole_numbers([1, r], shape) for r in range(SIZE)]
    outs = definition(xs)
    ws = [whole_numbers([2, r], outs[r].shape) for r in range(SIZE)]
    grads = transposed(definition, ws, shape)
    again = definition(grads)

    def body():
        rank = get_rank()
        x = core.tensor(xs[rank], requires_grad=True)
        w = core.tensor(ws[rank], requires_grad=True)
        y = op(x)
        np.testing.assert_array_equal(y.detach().numpy(), outs[rank])
        one = core.ones((), dtype=core.float64)
        (g,) = grad([(y * w).sum()], [x], [one], create_graph=True)
        np.testing.assert_array_equal(g.detach().numpy(), grads[rank])
        # Half the squared length of A^T w has the gradient A A^T w.
        (second,) = grad([(g * g).sum() / 2], [w], [one])
        np.testing.assert_array_equal(second.numpy(), again[rank])
        assert get_world_size() == SIZE

    simulate(body, SIZE)


def test_a_maximum_has_no_rule_and_says_so():
    with pytest.raises(TypeError, match="SUM or AVG"):
        simulate(lambda: functional.all_reduce(core.ones(2), ReduceOp.MAX), 2)
