"""Tensors print as PyTorch's, character for character, with `core.` for `torch.`."""

import hypothesis
import hypothesis.strategies as st
import ml_dtypes
import numpy
import pytest

torch = pytest.importorskip("torch", reason="the oracle: pip install unison-ddp[parity]")

import core  # noqa: E402 - after the skip

FLOATS = ["float32", "float64", "float16", "bfloat16"]
INTEGERS = ["uint8", "int8", "int16", "int32", "int64"]


def both(values, dtype):
    """The same tensor in both libraries."""
    if dtype == "bfloat16":
        theirs = torch.from_numpy(values.astype("float32")).to(torch.bfloat16)
        return core.from_numpy(values.astype(ml_dtypes.bfloat16)), theirs
    values = values.astype(dtype)
    return core.from_numpy(values), torch.from_numpy(values)


def said(x):
    return repr(x).replace("torch.", "core.")


@st.composite
def arrays(draw):
    shape = draw(st.lists(st.integers(0, 5), max_size=4))
    rng = numpy.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["normal", "whole", "wide", "odd", "zeros", "tiny"]))
    x = rng.standard_normal(shape)
    if kind == "whole":
        x = numpy.round(x * draw(st.sampled_from([1, 30, 3000, 1e7, 1e9])))
    elif kind == "wide":
        x = x * 10.0 ** rng.integers(-6, 9, shape)
    elif kind == "odd":
        odd = numpy.array([numpy.nan, numpy.inf, -numpy.inf, 0.0, -0.0, 1.0, -2.5])
        x = numpy.where(rng.random(shape) < 0.4, rng.choice(odd, shape), x)
    elif kind == "zeros":
        x = x * 0
    elif kind == "tiny":
        x = x * draw(st.sampled_from([1e-3, 1e-4, 1e-5, 1e-8]))
    return numpy.asarray(x)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@hypothesis.given(arrays(), st.sampled_from(FLOATS))
@hypothesis.settings(max_examples=400)
def test_floating_point_numbers(values, dtype):
    ours, theirs = both(values, dtype)
    assert repr(ours) == said(theirs)
    assert str(ours) == said(theirs)


@hypothesis.given(arrays(), st.sampled_from([*INTEGERS, "bool"]), st.integers(0, 2**32))
@hypothesis.settings(max_examples=150)
def test_integers_and_bools(like, dtype, seed):
    rng = numpy.random.default_rng(seed)
    high = 2 if dtype == "bool" else min(numpy.iinfo(dtype).max, 10 ** int(rng.integers(1, 10)))
    low = 0 if dtype in ("bool", "uint8") else -high
    ours, theirs = both(rng.integers(low, high, like.shape), dtype)
    assert repr(ours) == said(theirs)


@hypothesis.given(
    st.lists(st.integers(1, 14), min_size=1, max_size=4), st.sampled_from([*FLOATS, "int64"])
)
@hypothesis.settings(max_examples=60)
def test_more_than_a_thousand_elements_are_summarised(shape, dtype):
    while numpy.prod(shape) <= 1000:
        shape[0] *= 3
    ours, theirs = both(numpy.random.default_rng(1).standard_normal(shape) * 50, dtype)
    assert repr(ours) == said(theirs)


OPTIONS = [
    {"precision": 2}, {"precision": 0}, {"precision": 8, "linewidth": 40}, {"linewidth": 120},
    {"threshold": 5}, {"threshold": 5, "edgeitems": 1}, {"threshold": 3, "edgeitems": 0},
    {"sci_mode": True}, {"sci_mode": False}, {"profile": "short"}, {"profile": "full"},
    {"profile": "default", "precision": 6},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("scale", [1, 1e5, 1e-6])
@pytest.mark.parametrize("shape", [(), (7,), (4, 9), (2, 3, 8), (0,), (1200,)])
def test_options(options, scale, shape):
    rng = numpy.random.default_rng(0)
    try:
        core.set_printoptions(**options)
        torch.set_printoptions(**options)
        for values in (rng.standard_normal(shape) * scale, numpy.round(rng.standard_normal(shape))):
            ours, theirs = both(numpy.asarray(values), "float32")
            assert repr(ours) == said(theirs)
    finally:
        core.set_printoptions(profile="default")
        torch.set_printoptions(profile="default")


def test_a_context_puts_the_options_back():
    before = core.get_printoptions()
    with core.printoptions(precision=1):
        assert repr(core.tensor([1.25])) == "tensor([1.2])"
    assert core.get_printoptions() == before


NOTES = {
    "leaf": lambda m: m.ones(2, requires_grad=True),
    "long line": lambda m: (m.arange(13.0) * 1.5).requires_grad_(),
    "result": lambda m: m.ones(2, requires_grad=True) * 2,
    "result of another dtype": lambda m: m.ones(2, dtype=m.float64, requires_grad=True).exp(),
    "empty": lambda m: m.zeros(2, 0),
    "empty vector": lambda m: m.zeros(0),
    "empty of int64": lambda m: m.zeros(0, dtype=m.int64),
    "empty of int64 with a shape": lambda m: m.zeros(0, 3, dtype=m.int64),
    "number": lambda m: m.tensor(3),
    "number with grad": lambda m: m.ones(3, requires_grad=True).sum(),
    "long lines and notes": lambda m: m.ones(40, requires_grad=True) * 1.5,
    "many outputs": lambda m: m.ones(4, requires_grad=True).unbind(0)[1],
    "view": lambda m: m.ones(4, requires_grad=True).view(2, 2),
    "slice": lambda m: m.ones(4, requires_grad=True)[1:],
    "transposed": lambda m: m.ones(4, 2, requires_grad=True).t(),
    "write through a view": lambda m: written(m),
}


def written(m):
    x = m.ones(4, requires_grad=True) * 2
    x[1:].mul_(3)
    return x


@pytest.mark.parametrize("name", NOTES)
def test_what_is_said_besides_the_values(name):
    assert repr(NOTES[name](core)) == said(NOTES[name](torch))


def test_the_default_dtype_is_not_named():
    for m in (core, torch):
        m.set_default_dtype(m.float64)
    try:
        for dtype in ("float32", "float64"):
            ours, theirs = both(numpy.ones(2), dtype)
            assert repr(ours) == said(theirs)
    finally:
        for m in (core, torch):
            m.set_default_dtype(m.float32)


def test_a_subclass_prints_its_own_name():
    class Image(core.Tensor):
        pass

    assert repr(core.ones(2).as_subclass(Image)) == "Image([1., 1.])"


@pytest.mark.parametrize("spec", ["", ".2f", ">8.3f", "e", "d"])
def test_a_number_can_be_formatted(spec):
    value = 3 if spec == "d" else 3.14159
    assert f"{core.tensor(value):{spec}}" == f"{torch.tensor(value):{spec}}"


def test_a_tensor_with_dims_takes_no_format():
    with pytest.raises(TypeError):
        f"{core.ones(2):.2f}"
    with pytest.raises(TypeError):
        f"{torch.ones(2):.2f}"
