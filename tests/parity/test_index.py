"""Indexing, gather and scatter agree with PyTorch, reading, writing and in gradients."""

import hypothesis.strategies as st
import numpy
import pytest

import core
from tests.parity.recipes import ALL, WIDE, Array, Call, array, call, one, one_of, torch
from tests.parity.table import (
    Row,
    hold,
    outcome,
    same_gradients,
    same_inplace,
    same_method,
    same_out,
    same_outcome,
)

# ---- x[key], read and written -----------------------------------------------------------------


def mask(*shape, seed=0):
    return lambda m: m.from_numpy(numpy.random.default_rng(seed).random(shape) < 0.5)


def index(values):
    return lambda m: m.tensor(values)


pytestmark = [
    pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning"),
    pytest.mark.filterwarnings("ignore:indexing with dtype:UserWarning"),
]
KEYS = {
    "int": 1,
    "negative": -2,
    "slice": slice(0, 2),
    "step": (slice(None), slice(None, None, 2)),
    "ints": (1, 2),
    "all ints": (1, 2, 3),
    "ellipsis": (..., 1),
    "ellipsis middle": (0, ..., slice(1, 3)),
    "none": (None, 1, slice(None), None),
    "none last": (..., None),
    "empty slice": slice(2, 1),
    "empty tuple": (),
    "list": [0, 1, 1],
    "nested list": [[0, 1], [1, 0]],
    "index": index([2, 0, -1]),
    "index of a middle dim": (slice(None), index([3, 0])),
    "index of the last dim": (..., index([[3, 0], [1, 1]])),
    "two": (index([0, 1]), index([2, 3])),
    "two that broadcast": (index([[0], [1]]), index([2, 3, 0])),
    "two apart": (index([0, 1]), slice(None), index([2, 3])),
    "int and index": (1, slice(None), index([2, 3])),
    "index and int": (slice(None), index([2, 3]), 0),
    "slice and index": (slice(1, 3), index([2, 3])),
    "none and index": (None, index([2, 0])),
    "index and none": (index([2, 0]), None, slice(None), index([1, 1])),
    "mask": mask(3, 4, 5),
    "mask of rows": mask(3),
    "mask of two dims": mask(3, 4),
    "mask of the last dims": (slice(None), mask(4, 5)),
    "mask of a middle dim": (..., mask(4), slice(None)),
    "mask and index": (mask(3, seed=3), slice(None), index([0])),
    "mask and int": (1, mask(4)),
    "list of bools": [True, False, True],
    "zero-dim tensor": index(1),
    "two zero-dim tensors": (index(1), index(-1)),
    "zero-dim bool": index(True),
    "python bool": True,
    "python false": False,
    "numpy int": numpy.int64(1),
    "numpy array": numpy.array([2, 1]),
    "range": range(2),
    "bytes as mask": lambda m: m.tensor([1, 0, 1], dtype=m.uint8),
    "empty list": [],
    "int32": lambda m: m.tensor([1, 2], dtype=m.int32),
}
WRONG = {
    "out of range": 3,
    "below range": -4,
    "too many": (0, 0, 0, 0),
    "float": 1.5,
    "string": "a",
    "float tensor": lambda m: m.tensor([1.0]),
    "index out of range": index([3]),
    "mask of another shape": mask(4),
    "shapes do not broadcast": (index([0, 1]), index([0, 1, 2])),
    "negative step": slice(None, None, -1),
    "second out of range": (0, 7),
}


def key_for(key, module):
    if isinstance(key, tuple):
        return tuple(key_for(part, module) for part in key)
    return key(module) if callable(key) else key


def both(grad=False):
    values = numpy.random.default_rng(1).standard_normal((3, 4, 5))
    x, y = torch.from_numpy(values.copy()), core.from_numpy(values.copy())
    return (x.requires_grad_(), y.requires_grad_()) if grad else (x, y)


@pytest.mark.parametrize("name", KEYS)
def test_reading(name):
    theirs, ours = both()
    x, y = theirs[key_for(KEYS[name], torch)], ours[key_for(KEYS[name], core)]
    numpy.testing.assert_array_equal(y.numpy(), x.numpy())
    assert tuple(y.shape) == tuple(x.shape)
    shared = theirs.data_ptr() <= x.data_ptr() < theirs.data_ptr() + theirs.nbytes
    assert (ours.data_ptr() <= y.data_ptr() < ours.data_ptr() + ours.nbytes) == shared


@pytest.mark.parametrize("name", KEYS)
def test_reading_has_pytorchs_gradients(name):
    grads = []
    for x, module in zip(both(grad=True), (torch, core), strict=True):
        y = x[key_for(KEYS[name], module)]
        (first,) = module.autograd.grad((y**3).sum(), [x], create_graph=True)
        (second,) = module.autograd.grad((first**2).sum(), [x])
        grads.append((first.detach().numpy(), second.numpy()))
    numpy.testing.assert_allclose(grads[1][0], grads[0][0], 1e-12)
    numpy.testing.assert_allclose(grads[1][1], grads[0][1], 1e-12)


TWICE = ("list", "two that broadcast", "index of the last dim", "index and none")


def repeats(name):
    """Whether a key names an element twice, so that what is written last is not defined.

    PyTorch refuses to write a number to bytes as a mask, and writes nothing at False.
    """
    return name in TWICE or name in ("bytes as mask", "python false")


@pytest.mark.parametrize("name", [name for name in KEYS if not repeats(name)])
@pytest.mark.parametrize("kind", ["number", "tensor", "broadcast", "wide"])
def test_writing(name, kind):
    results = []
    for x, module in zip(both(), (torch, core), strict=True):
        key = key_for(KEYS[name], module)
        shape = tuple(x[key].shape)
        size = {"tensor": shape, "broadcast": shape[-1:], "wide": (1, 1, *shape)}.get(kind)
        value = 7.5
        if size is not None:
            value = module.from_numpy(numpy.random.default_rng(2).standard_normal(size))
        x[key] = value
        results.append(x.numpy())
    numpy.testing.assert_array_equal(results[1], results[0])


@pytest.mark.parametrize("name", [name for name in KEYS if not repeats(name)])
def test_writing_has_pytorchs_gradients(name):
    grads = []
    for leaf, module in zip(both(grad=True), (torch, core), strict=True):
        x = leaf * 2
        key = key_for(KEYS[name], module)
        value = module.full(tuple(x[key].shape), 3.0, dtype=module.float64).requires_grad_()
        x[key] = value * value
        (x**2).sum().backward()
        grads.append((leaf.grad.numpy(), value.grad.numpy()))
    numpy.testing.assert_allclose(grads[1][0], grads[0][0], 1e-12)
    numpy.testing.assert_allclose(grads[1][1], grads[0][1], 1e-12)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_keys_raise_what_pytorch_raises(name):
    theirs, ours = both()
    expected = outcome(lambda: theirs[key_for(WRONG[name], torch)], (), {})
    actual = outcome(lambda: ours[key_for(WRONG[name], core)], (), {})
    assert isinstance(expected, Exception)
    assert isinstance(actual, type(expected)), (expected, actual)


VALUES = {
    "shape": (slice(0, 2), (3, 3)),
    "index shape": (index([0, 1]), (3, 4, 5)),
    "mask shape": (mask(3, 4, 5), (2,)),
}


@pytest.mark.parametrize("name", VALUES)
def test_wrong_values_raise_what_pytorch_raises(name):
    key, size = VALUES[name]
    for x, module in zip(both(), (torch, core), strict=True):
        with pytest.raises(RuntimeError):
            x[key_for(key, module)] = module.zeros(size, dtype=module.float64)


def test_a_written_index_of_another_dtype_is_refused_as_by_pytorch():
    for x, module in zip(both(), (torch, core), strict=True):
        with pytest.raises(RuntimeError, match="Index put requires"):
            x[module.tensor([0, 1])] = module.ones(2, 4, 5, dtype=module.float32)
        x[0] = module.ones(4, 5, dtype=module.float32)


def test_a_leaf_that_requires_grad_cannot_be_written():
    for x in both(grad=True):
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
            x[0] = 1.0


def test_repeated_places_are_summed_in_order():
    """Gradients of repeated rows are the sums in the order of the index, bit for bit."""
    rng = numpy.random.default_rng(0)
    table = core.from_numpy(rng.standard_normal((7, 3)).astype("float32")).requires_grad_()
    places = rng.integers(0, 7, 1000)
    g = rng.standard_normal((1000, 3)).astype("float32")
    expected = numpy.zeros((7, 3), "float32")
    for i, place in enumerate(places):
        expected[place] += g[i]
    for read in (lambda i: table[i], lambda i: table.index_select(0, i)):
        (actual,) = core.autograd.grad(read(core.from_numpy(places)), [table], core.from_numpy(g))
        if core.get_default_device().type == "cpu":
            numpy.testing.assert_array_equal(actual.numpy(), expected)
        else:  # a GPU adds in another order, which is fixed as well
            (again,) = core.autograd.grad(
                read(core.from_numpy(places)), [table], core.from_numpy(g)
            )
            numpy.testing.assert_array_equal(again.numpy(), actual.numpy())
            numpy.testing.assert_allclose(actual.numpy(), expected, rtol=1e-4, atol=1e-4)


# ---- gather and scatter -----------------------------------------------------------------------


@st.composite
def indices(draw, low, high, shape):
    """A tensor of int64; now and then one of its elements is out of range."""
    wrong = draw(st.integers(0, 11)) == 0
    return Array(shape, "int64", seed=draw(st.integers(0, 99)), low=low, high=high + wrong)


SHAPES = ((3, 4), (4,), (2, 3, 2))


@st.composite
def gathering(draw, *more, source=False, dtypes=ALL, unique=False, extra=0):
    shape = draw(one_of(*SHAPES))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    axis = dim % len(shape)
    small = tuple(draw(st.integers(0, n)) for n in shape)
    if unique:
        small = tuple(min(n, 1) if i == axis else n for i, n in enumerate(small))
    x = draw(array(dtypes, (shape,)))
    args = [x, dim, draw(indices(0, shape[axis] - 1, small))]
    if source:
        # PyTorch's gradient needs a source of the size of the index.
        grown = tuple(n + draw(st.integers(0, extra)) for n in small)
        args.append(draw(array((x.dtype,), (grown,), values=("plain",))))
    return Call((*args, *[draw(m) if isinstance(m, st.SearchStrategy) else m for m in more]))


@st.composite
def rows(draw, source=False, dtypes=ALL, unique=False, value=False):
    shape = draw(one_of(*SHAPES))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    axis = dim % len(shape)
    count = 1 if unique else draw(st.integers(0, 4))
    x = draw(array(dtypes, (shape,)))
    args = [x, dim, draw(indices(0, shape[axis] - 1, (count,)))]
    if source:
        part = (*shape[:axis], count, *shape[axis + 1 :])
        args.append(draw(array((x.dtype,), (part,), values=("plain",))))
    if value:
        args.append(draw(one_of(1, 2.5)))
    return Call(tuple(args))


@st.composite
def masked(draw, *more, source=False):
    shape, other = draw(one_of(((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 1), (1, 3)), ((), ())))
    x = draw(array(ALL, (shape,)))
    args = [x, draw(array(("bool",), (other,)))]
    if source:
        args.append(draw(array((x.dtype,), ((12,), (3, 4), (1,)), values=("plain",))))
    return Call((*args, *[draw(m) for m in more]))


@st.composite
def put(draw, accumulate):
    x = draw(array(ALL, ((3, 4), (5,))))
    count = draw(st.integers(0, 4)) if accumulate else 1
    places = draw(indices(-5, 4, (count,)))
    source = draw(array((x.dtype,), ((count,),), values=("plain",)))
    return Call((x, places, source, accumulate))


def reductions(include):
    return gathering(
        one_of("sum", "prod", "mean", "amax", "amin", "none"), source=True, dtypes=WIDE
    ).map(lambda c: Call(c.args, {"include_self": include}))


NONZERO = ("plain",)
ROWS = [
    Row("gather", gathering(), out=True, examples=40),
    Row("scatter", gathering(source=True, unique=True), inplace=True, out=True, examples=40),
    Row("scatter", gathering(one_of(1, 2.5)), inplace=True),
    Row("scatter", gathering(source=True, unique=True, extra=1), grad=0),
    Row("scatter_add", gathering(source=True, extra=1), grad=0),
    Row("scatter_add", gathering(source=True), inplace=True, out=True, examples=40),
    Row("scatter_reduce", reductions(True), inplace=True, grad=1, grad_values=NONZERO),
    Row("scatter_reduce", reductions(False), inplace=True, grad=1, grad_values=NONZERO),
    Row("index_select", rows(), out=True),
    Row("index_add", rows(source=True), one_of({}, {"alpha": 2}), inplace=True, out=True),
    Row("index_copy", rows(source=True, unique=True), inplace=True, out=True),
    Row("index_fill", rows(value=True), inplace=True),
    Row("masked_select", masked(), out=True),
    Row("masked_fill", masked(one_of(1, 2.5, True)), inplace=True),
    Row("masked_scatter", masked(source=True), inplace=True),
    Row("take", call(array(shapes=((3, 4), (5,), ())), indices(-5, 4, (2, 3))), out=True),
    Row(
        "take_along_dim",
        gathering().map(lambda c: Call((c.args[0], c.args[2], c.args[1]))),
        out=True,
    ),
    Row("nonzero", one(), out=True, grad=0),
    Row("nonzero", one(), one_of({"as_tuple": True}), grad=0),
    Row("argwhere", one(), grad=0),
    Row("Tensor.put", put(True), method=False, of=lambda m: lambda x, *a: x.clone().put_(*a)),
    Row("Tensor.put", put(False), method=False, of=lambda m: lambda x, *a: x.clone().put_(*a)),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_values(row):
    hold(row, same_outcome)


@pytest.mark.parametrize("row", [row for row in ROWS if row.method], ids=str)
def test_method(row):
    hold(row, same_method)


@pytest.mark.parametrize("row", [row for row in ROWS if row.inplace], ids=str)
def test_in_place(row):
    hold(row, same_inplace)


@pytest.mark.parametrize("row", [row for row in ROWS if row.out], ids=str)
def test_out(row):
    hold(row, same_out)


@pytest.mark.parametrize("row", [row for row in ROWS if row.grad], ids=str)
def test_gradients(row):
    hold(row, same_gradients)
