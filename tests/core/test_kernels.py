"""Every acceleration gives what its op's definition gives: value, gradient and second gradient."""

import numpy
import pytest

import core
import core.nn  # which registers what layers use
from core.autograd.inplace import in_place
from core.autograd.mode import mode
from core.kernels import choice, layers, movement, reductions, ufuncs
from core.ops import attention, conv_pool, norm, pool
from core.ops import choice as choice_ops
from tests.core.kernel_cases import TABLE
from tests.core.kernel_windows import PAIR, TIES, frame, normal

DIRECT = (*ufuncs.DIRECT, *reductions.DIRECT, *choice.DIRECT, *movement.DIRECT, *layers.DIRECT)
FUSED = layers.FUSED

TOLERANCE = {"float32": 2e-5, "float64": 1e-11}


def _calls():
    """(op, arguments) of every acceleration; elementwise ones take what their arity says."""
    for op in [op for op, _ in DIRECT + FUSED]:
        name = op.op.name
        args = {"elements": tuple(numpy.abs(normal(4, 5)) + 0.5 for _ in range(op.op.arity))}
        for case, call in TABLE.get(op, args).items():
            yield pytest.param(op, call, id=f"{name}-{case}")


CALLS = list(_calls())


def cast(x, dtype):
    if not is_float(x):
        return x
    array = numpy.empty_like(x, dtype)  # keeps the order of the axes in memory
    array[...] = x
    return array


def is_float(x):
    return isinstance(x, numpy.ndarray) and x.dtype.kind == "f"


class Definitions:
    """A context in which every op runs its definition."""

    def __enter__(self):
        self.direct = [(op.op, op.op.direct) for op, _ in DIRECT]
        for op, _ in self.direct:
            op.direct = op.forward
        mode.accelerated = False

    def __exit__(self, *_):
        mode.accelerated = True
        for op, direct in self.direct:
            op.direct = direct


def results(op, args):
    """The value, its gradients, and theirs, of a call with arrays."""
    wanted = [i for i, x in enumerate(args) if is_float(x) and differentiable(op, i)]
    xs = [core.from_numpy(x) if is_float(x) else x for x in args]
    if op is norm.normalise:  # takes its statistics as arrays
        xs[1:3] = args[1:3]
    for i in wanted:
        xs[i].requires_grad_()
    leaves = [xs[i] for i in wanted]
    out = op(*xs)
    if not isinstance(out, core.Tensor) or not out.requires_grad:
        return [out]
    weight = core.from_numpy(numpy.random.default_rng(1).standard_normal(tuple(out.shape)))
    total = (out * weight.to(out.dtype)).sum()
    first = core.autograd.grad(total, leaves, retain_graph=True)
    recorded = core.autograd.grad(total, leaves, create_graph=True)
    curved = [(g * g).sum() for g in recorded if g.requires_grad]
    second = core.autograd.grad(sum(curved), leaves, allow_unused=True) if curved else []
    return [out, *first, *recorded, *second]


def differentiable(op, i):
    if op in (attention.attention, conv_pool.conv_relu_pool):
        return i < 3
    if op is norm.normalise:
        return i in (0, 3, 4)
    return i in op.op.rules and not op.op.constant >> i & 1


def flat(values):
    for value in values:
        if isinstance(value, tuple):
            yield from flat(value)
        elif value is not None:
            yield value.detach().numpy() if isinstance(value, core.Tensor) else numpy.asarray(value)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("op", "args"), CALLS)
def test_an_acceleration_gives_what_its_definition_gives(op, args, dtype):
    args = [cast(x, dtype) for x in args]
    before = [x.copy() if isinstance(x, numpy.ndarray) else x for x in args]
    fast = list(flat(results(op, args)))
    with Definitions():
        plain = list(flat(results(op, args)))
    assert len(fast) == len(plain)
    for a, b in zip(fast, plain, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.flags.c_contiguous >= b.flags.c_contiguous
        size = max(1.0, numpy.abs(numpy.nan_to_num(b, posinf=0, neginf=0)).max(initial=0))
        numpy.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE[dtype] * size)
    for x, y in zip(args, before, strict=True):
        numpy.testing.assert_array_equal(x, y)  # nobody wrote into an argument


@pytest.mark.parametrize("bounds", [(), (0.0, None), (None, 1.0), (-1.0, 2.0), (2.0, -1.0)])
def test_zeros_and_infinities_are_bounded_alike_in_long_arrays_and_short_ones(bounds):
    op = choice_ops.clamp if bounds else choice_ops.relu
    x = numpy.tile(numpy.array([numpy.inf, -numpy.inf, numpy.nan, 0.0, -0.0, 3.0, -3.0], "f"), 500)
    want = op.op.forward(x, *bounds)
    for few in (x, x[:70]):
        found = op.op.direct(few, *bounds)
        numpy.testing.assert_array_equal(found, want[: len(few)])
        assert (numpy.signbit(found) == numpy.signbit(want[: len(few)]))[few == few].all()


ODD = numpy.array([numpy.inf, -numpy.inf, numpy.nan, 0.0, -0.0, 1e-40, -1e-40, 3.0, -3.0, 90.0])
LAID = {
    "in pieces": lambda x: numpy.resize(x, 70_001),
    "in one": lambda x: x.reshape(2, 5),
    "in another order": lambda x: numpy.resize(x, (3, 4, 5)).transpose(2, 0, 1),
    "with gaps": lambda x: numpy.resize(x, (70, 30))[:, ::3],
    "one number": lambda x: numpy.array(x[-1]),
    "nothing": lambda x: x[:0],
}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("laid", LAID)
@pytest.mark.parametrize(
    "op", [op for op, _ in (*choice.WRITERS, *layers.WRITERS)], ids=lambda op: op.op.name
)
def test_what_is_written_over_has_the_bits_of_what_is_made_beside(op, laid, dtype):
    x = core.from_numpy(LAID[laid](ODD.astype(dtype)))
    args = {2: (0.3,), 3: (-1.0, 2.0), 4: (1.0, 1.1, 0.5)}.get(op.op.arity, ())
    with core.no_grad():
        want = op(x, *args).numpy().tobytes()
        assert in_place(op)(x, *args) is x
    assert x.numpy().tobytes() == want


@pytest.mark.parametrize(("op", "args"), CALLS)
def test_two_calls_give_the_same_bits(op, args):
    args = [cast(x, "float32") for x in args]
    for a, b in zip(flat(results(op, args)), flat(results(op, args)), strict=True):
        assert a.tobytes() == b.tobytes()


def test_infinite_gradients_reach_only_the_largest_of_a_tile():
    x = core.from_numpy(TIES.copy()).requires_grad_()
    (pool.max_windows(x, (2, 2), (2, 2), frame(0, 0), PAIR) * numpy.inf).sum().backward()
    g = x.grad.numpy()
    assert numpy.isposinf(g).sum() == 3 * 2 * 3 * 3
    assert (g[~numpy.isinf(g)] == 0).all()
