"""Every primitive is its definition, its rule is its slope, and both hold for every input."""

import numpy
import pytest

from core.autograd.sweep import grad
from core.autograd.value import Value, wrap
from core.dtype import bfloat16, float16, float32, to_numpy
from tests.core.ops.op_table import FAMILIES
from tests.core.ops.reduction_table import ROWS

STEP = 1e-5  # central differences of float64: half the digits, about 1e-10 off
NAMES = [str(row) for row in ROWS]
SLOPED = [row for row in ROWS if row.slopes and row.orders]


def called(row, args):
    """The results of the op on tensors made of the arrays, as a list."""
    found = row.call(*[wrap(a) if isinstance(a, numpy.ndarray) else a for a in args])
    return list(found) if isinstance(found, tuple) else [found]


def defined(row, args):
    found = row.definition(*args)
    return list(found) if isinstance(found, tuple) else [found]


def weights(x):
    """Fixed weights, none alike, so that a gradient in the wrong place shows."""
    return (numpy.arange(x.size) * 0.37 % 1 + 0.5).reshape(x.shape)


def leaf(array):
    x = wrap(array.copy())
    x.needs_grad = True
    return x


def first_slopes(row, arrays, create_graph=False):
    """The gradients of the weighted first result, for the arguments that have one."""
    args = [leaf(a) if i in row.slopes else a for i, a in enumerate(arrays)]
    args = [wrap(a) if isinstance(a, numpy.ndarray) else a for a in args]
    out = row.call(*args)
    out = out[0] if isinstance(out, tuple) else out
    leaves = [args[i] for i in row.slopes]
    more = {"retain_graph": create_graph, "create_graph": create_graph}
    found = grad([out], leaves, [wrap(weights(out.array))], **more)
    zeros = [wrap(numpy.zeros_like(x.array)) for x in leaves]
    return leaves, [z if g is None else g for g, z in zip(found, zeros)]


def differences(function, arrays, positions):
    """The slopes of a number that depends on arrays, element by element."""
    out = []
    for i in positions:
        slope = numpy.zeros_like(arrays[i])
        for at in numpy.ndindex(slope.shape):
            ends = []
            for step in (STEP, -STEP):
                moved = list(arrays)
                moved[i] = arrays[i].copy()
                moved[i][at] += step
                ends.append(function(moved))
            slope[at] = (ends[0] - ends[1]) / (2 * STEP)
        out.append(slope)
    return out


def test_every_primitive_has_a_row():
    """The check of this module: an op of these families without a row is an op without a test."""
    have = {id(row.op) for row in ROWS}
    every = [
        (f"{family.__name__}.{name}", value.op)
        for family in FAMILIES
        for name, value in vars(family).items()
        if getattr(value, "__module__", "") == family.__name__ and hasattr(value, "op")
    ]
    assert [name for name, op in every if id(op) not in have] == []


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_an_op_is_its_definition(row):
    for actual, expected in zip(called(row, row.args), defined(row, row.args), strict=True):
        numpy.testing.assert_allclose(actual.array, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("row", SLOPED, ids=str)
def test_a_rule_is_the_slope(row):
    def weighted(arrays):
        out = called(row, arrays)[0].array
        return (out * weights(out)).sum()

    expected = differences(weighted, row.args, row.slopes)
    for actual, slope in zip(first_slopes(row, row.args)[1], expected, strict=True):
        numpy.testing.assert_allclose(actual.array, slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("row", [row for row in SLOPED if row.orders > 1], ids=str)
def test_the_rule_of_a_rule_is_its_slope(row):
    def weighted(arrays):
        found = first_slopes(row, arrays)[1]
        return sum((g.array * weights(g.array)).sum() for g in found)

    leaves, slopes = first_slopes(row, row.args, create_graph=True)
    outs = [g for g in slopes if g.needs_grad]
    found = grad(outs, leaves, [wrap(weights(g.array)) for g in outs]) if outs else []
    expected = differences(weighted, row.args, row.slopes)
    for i, slope in enumerate(expected):
        actual = found[i].array if found and found[i] is not None else numpy.zeros_like(slope)
        numpy.testing.assert_allclose(actual, slope, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_arrays_in_give_an_array(row):
    out = row.call.op.forward(*row.args)
    assert not any(isinstance(x, Value) for x in (out if isinstance(out, tuple) else [out]))


# Where halves is False, rounding the arguments carries them across a step of the function.
NARROW = [
    pytest.param(row, dtype, id=f"{row}-{dtype.name}")
    for row in ROWS
    for dtype in ((float32, float16, bfloat16) if row.halves else (float32,))
]


@pytest.mark.parametrize(("row", "dtype"), NARROW)
def test_a_narrow_type_is_computed_to_its_precision(row, dtype):
    """The result is the definition's for the rounded arguments, rounded about once."""
    kind = to_numpy(dtype)
    narrow = [
        a.astype(kind) if isinstance(a, numpy.ndarray) and a.dtype == float else a for a in row.args
    ]
    wide = [
        a.astype(float) if isinstance(a, numpy.ndarray) and a.dtype == kind else a for a in narrow
    ]
    eps = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype.name]
    actual, expected = called(row, narrow)[0].array, defined(row, wide)[0]
    floating = any(isinstance(a, numpy.ndarray) and a.dtype == kind for a in narrow)
    assert actual.dtype.kind in "bi" or not floating or actual.dtype == kind
    numpy.testing.assert_allclose(actual.astype(float), expected, rtol=4 * eps, atol=4 * eps)


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_the_layout_in_memory_does_not_matter(row):
    def strided(a):
        if not isinstance(a, numpy.ndarray) or not a.ndim:
            return a
        wide = numpy.repeat(numpy.asfortranarray(a), 2, axis=-1)
        return wide[..., ::2]

    for a, b in zip(called(row, row.args), called(row, [strided(a) for a in row.args])):
        numpy.testing.assert_array_equal(a.array, b.array)


@pytest.mark.parametrize("row", [row for row in ROWS if row.empty], ids=str)
def test_no_elements_in_are_no_error(row):
    """A dim of size zero in front of the others passes through, forward and backward."""
    args = [a[:0] if isinstance(a, numpy.ndarray) and a.ndim == 2 else a for a in row.args]
    out = called(row, args)[0]
    whole = called(row, row.args)[0]
    assert out.array.dtype == whole.array.dtype
    if whole.array.ndim == 2:
        assert out.array.shape == (0, whole.array.shape[1])
    if row.slopes and row.orders:
        leaves, slopes = first_slopes(row, args)
        assert [g.array.shape for g in slopes] == [x.array.shape for x in leaves]
