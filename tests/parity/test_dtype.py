"""Dtypes: their properties, PyTorch's promotion table, limits and conversions."""

import copy
import pickle

import numpy
import pytest

torch = pytest.importorskip("torch", reason="the oracle: pip install unison-ddp[parity]")

import core  # noqa: E402 - after the skip

FLOATS = ["float16", "bfloat16", "float32", "float64"]
INTEGERS = ["uint8", "int8", "int16", "int32", "int64"]
ALL = [*FLOATS, *INTEGERS, "bool"]
ALIASES = ["half", "float", "double", "short", "int", "long"]
SCALARS = [True, 3, 2.5]


def name(dtype):
    return repr(dtype).split(".")[1]


@pytest.mark.parametrize("dtype", [*ALL, *ALIASES])
def test_properties(dtype):
    ours, theirs = getattr(core, dtype), getattr(torch, dtype)
    assert repr(ours) == repr(theirs).replace("torch.", "core.") == str(ours)
    for attribute in ("is_floating_point", "is_signed", "itemsize", "is_complex"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    assert name(ours.to_real()) == name(theirs.to_real())


@pytest.mark.parametrize("dtype", ALL)
def test_one_object_per_dtype(dtype):
    d = getattr(core, dtype)
    assert pickle.loads(pickle.dumps(d)) is d and copy.deepcopy(d) is d and copy.copy(d) is d
    assert {d: 1}[d] == 1


@pytest.mark.parametrize("a", ALL)
@pytest.mark.parametrize("b", ALL)
def test_two_dtypes(a, b):
    x, y = getattr(core, a), getattr(core, b)
    p, q = getattr(torch, a), getattr(torch, b)
    assert name(core.promote_types(x, y)) == name(torch.promote_types(p, q))
    assert core.can_cast(x, y) == torch.can_cast(p, q)


def operands(m, dtype):
    d = getattr(m, dtype)
    return [m.ones(2, dtype=d), m.ones((), dtype=d)]


@pytest.mark.parametrize("a", ALL)
@pytest.mark.parametrize("b", ALL)
def test_two_tensors(a, b):
    for x, p in zip(operands(core, a), operands(torch, a)):
        for y, q in zip(operands(core, b), operands(torch, b)):
            want = name(torch.result_type(p, q))
            assert name(core.result_type(x, y)) == want
            assert name((x * y).dtype) == want == name((p * q).dtype)


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("default", ["float32", "float64"])
def test_a_tensor_and_a_number(dtype, scalar, default):
    try:
        for m in (core, torch):
            m.set_default_dtype(getattr(m, default))
        for x, p in zip(operands(core, dtype), operands(torch, dtype)):
            want = name(torch.result_type(p, scalar))
            assert name(core.result_type(x, scalar)) == want
            assert name((x * scalar).dtype) == want == name((scalar * x).dtype)
            assert name((x / scalar).dtype) == name((p / scalar).dtype)
    finally:
        for m in (core, torch):
            m.set_default_dtype(m.float32)


@pytest.mark.parametrize("dtype", FLOATS)
def test_limits_of_floats(dtype):
    ours, theirs = core.finfo(getattr(core, dtype)), torch.finfo(getattr(torch, dtype))
    assert repr(ours) == repr(theirs)
    for limit in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution", "dtype"):
        assert getattr(ours, limit) == getattr(theirs, limit)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_limits_of_integers(dtype):
    ours, theirs = core.iinfo(getattr(core, dtype)), torch.iinfo(getattr(torch, dtype))
    assert repr(ours) == repr(theirs)
    for limit in ("bits", "max", "min", "dtype"):
        assert getattr(ours, limit) == getattr(theirs, limit)


WRONG = [
    lambda m: m.finfo(m.int32), lambda m: m.iinfo(m.float32), lambda m: m.iinfo(m.bool),
    lambda m: m.iinfo(), lambda m: m.finfo("x"), lambda m: m.set_default_dtype(m.int32),
    lambda m: m.set_default_dtype("x"), lambda m: m.can_cast(1, 2), lambda m: m.ones(2, dtype="x"),
    lambda m: m.promote_types(m.float32, 1), lambda m: m.ones(2).to([]),
    lambda m: m.ones(2).to("nowhere"), lambda m: m.ones(2).type("x"), lambda m: m.tensor("x"),
    lambda m: m.tensor([1, "x"]), lambda m: m.tensor([[1], [1, 2]]), lambda m: m.tensor(None),
    lambda m: m.LongTensor(m.ones(2)), lambda m: m.result_type(m.ones(1), "x"),
    lambda m: m.device("x"), lambda m: m.device("cuda", -1), lambda m: m.device("cpu:x"),
]  # fmt: skip


@pytest.mark.parametrize("i", range(len(WRONG)))
def test_wrong_input_raises_the_same_kind(i):
    with pytest.raises(Exception) as theirs:
        WRONG[i](torch)
    with pytest.raises(theirs.type):
        WRONG[i](core)


@pytest.mark.parametrize("source", ALL)
@pytest.mark.parametrize("target", ALL)
def test_conversion(source, target):
    values = [0, 1, 2, 100] if source == "uint8" else [0, 1, -1, 100]
    values = values if source in INTEGERS else [0.0, -0.0, 1.5, -2.5, 1e-3, 100.7]
    if source not in INTEGERS and target == "uint8":
        values = [0.0, 1.5, 100.7]
    ours = core.tensor(values, dtype=getattr(core, source)).to(getattr(core, target))
    theirs = torch.tensor(values, dtype=getattr(torch, source)).to(getattr(torch, target))
    assert name(ours.dtype) == target and ours.tolist() == theirs.tolist()


METHODS = ["float", "double", "half", "bfloat16", "long", "int", "short", "char", "byte", "bool"]


@pytest.mark.parametrize("method", METHODS)
def test_short_forms(method):
    ours, theirs = core.tensor([0.0, 1.5]), torch.tensor([0.0, 1.5])
    assert name(getattr(ours, method)().dtype) == name(getattr(theirs, method)().dtype)
    assert getattr(ours, method)().tolist() == getattr(theirs, method)().tolist()
    assert getattr(ours, method)().type() == getattr(theirs, method)().type().replace(
        "torch", "core"
    )


TO = {
    "a dtype": lambda m, x: x.to(m.float64),
    "the same dtype": lambda m, x: x.to(m.float32) is x,
    "the same dtype, copied": lambda m, x: x.to(m.float32, copy=True) is x,
    "a device": lambda m, x: x.to("cpu") is x,
    "a device object": lambda m, x: x.to(m.device("cpu")) is x,
    "a device and a dtype": lambda m, x: x.to("cpu", m.int32),
    "flags": lambda m, x: x.to(m.float32, True, True) is x,
    "another tensor": lambda m, x: x.to(m.ones(1, dtype=m.int8)),
    "by name": lambda m, x: x.to(device="cpu", dtype=m.int64),
    "a Python type": lambda m, x: x.to(float),
    "int": lambda m, x: x.to(int),
    "type of a type": lambda m, x: x.type(m.LongTensor),
    "type of a name": lambda m, x: x.type(x.double().type()),
    "type of a dtype": lambda m, x: x.type(m.int8),
    "type_as": lambda m, x: x.type_as(m.ones(1, dtype=m.float64)),
    "cpu": lambda m, x: x.cpu() is x,
    "non-blocking": lambda m, x: x.to("cpu", non_blocking=True) is x,
    "instance": lambda m, x: (isinstance(x, m.FloatTensor), isinstance(x.long(), m.FloatTensor)),
    "FloatTensor of sizes": lambda m, x: (m.FloatTensor(2, 3).shape, m.LongTensor(4).dtype),
    "FloatTensor of data": lambda m, x: m.FloatTensor([1, 2]),
    "LongTensor of data": lambda m, x: m.LongTensor([[1, 2], [3, 4]]),
    "ByteTensor": lambda m, x: m.ByteTensor([1, 0]),
    "BoolTensor": lambda m, x: m.BoolTensor([True, False]),
}


@pytest.mark.parametrize("form", TO)
def test_forms_of_to(form):
    from tests.parity.programs import plain

    assert plain(TO[form](core, core.tensor([1.5, -2.5]))) == plain(
        TO[form](torch, torch.tensor([1.5, -2.5]))
    )


def test_conversion_is_differentiable():
    for m in (core, torch):
        x = m.ones(2, requires_grad=True)
        (x.double() * 3).half().sum().backward()
        assert x.grad.tolist() == [3, 3] and name(x.grad.dtype) == "float32"


def test_numpy_dtypes_are_understood():
    assert core.zeros(2, dtype=numpy.float64).dtype is core.float64
    with pytest.raises(TypeError):
        core.from_numpy(numpy.zeros(2, numpy.complex64))


@pytest.mark.parametrize("name", ["complex64", "cfloat", "fft", "stft", "view_as_complex"])
def test_what_needs_complex_numbers_says_so(name):
    assert hasattr(torch, name)
    with pytest.raises(AttributeError, match=f"'{name}': it needs complex tensors, which are left"):
        getattr(core, name)
