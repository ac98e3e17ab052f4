"""The Tensor class: sizes, numbers, other libraries, copies and containers, as PyTorch has them."""

import copy
import pickle

import numpy
import pytest

torch = pytest.importorskip("torch", reason="the oracle: pip install unison-ddp[parity]")

import core  # noqa: E402 - after the skip
from tests.parity.programs import outcome, plain, same  # noqa: E402 - it skips too

Size = type(core.ones(1).shape)


def grid(m):
    return m.arange(24.0).reshape(2, 3, 4)


# ---- each expression gives the same in both libraries, or raises the same kind ----

EXPRESSIONS = """
m.Tensor(2, 3).shape
m.Tensor([1, 2.5])
m.Tensor([[1, 2]])
m.Tensor()
m.Tensor((2, 3))
m.Tensor(range(3))
m.Tensor(m.Size([2])).shape
m.Tensor(m.tensor([1, 2]))
m.Tensor(numpy.ones(3))
m.Tensor(3.5)
m.Tensor(None)
m.Tensor("ab")
m.Tensor(-1)
m.Tensor(2, [3])
m.Tensor(requires_grad=True)
m.Tensor(0).shape
x.shape
x.size()
x.size(0)
x.size(-1)
x.size(3)
x.dim()
x.ndim
x.ndimension()
x.numel()
x.nelement()
m.numel(x)
x.element_size()
x.itemsize
x.nbytes
x.stride()
x.stride(1)
x.stride(5)
x.permute(2, 0, 1).stride()
x[:, 1:, ::2].stride()
x[:, 1:, ::2].storage_offset()
x[1].storage_offset()
x[0].t().is_contiguous()
x.is_contiguous()
x[0].data_ptr() - x.data_ptr()
x[1, 2].data_ptr() - x.data_ptr()
x.untyped_storage().data_ptr() == x[1].untyped_storage().data_ptr()
x.untyped_storage().nbytes()
x[1].untyped_storage().size()
len(x.untyped_storage())
m.is_storage(x.untyped_storage()), m.is_storage(x)
x.is_floating_point()
x.long().is_floating_point()
m.is_floating_point(x)
x.is_complex()
m.is_complex(x)
x.is_signed()
x.byte().is_signed()
x.get_device()
x.is_cuda
x.is_cpu
x.device.type
x.layout == m.strided
x.is_sparse
x.requires_grad
m.is_tensor(x)
m.is_tensor(3)
isinstance(x, m.Tensor)
len(x)
len(m.tensor(3))
[row.tolist() for row in x]
list(m.tensor(3))
list(iter(m.arange(3)))
[v.item() for v in reversed(m.arange(3))]
3 in m.arange(4)
7 in m.arange(4)
m.tensor(2) in m.arange(4)
"a" in m.arange(4)
bool(m.tensor(0.5))
bool(m.tensor([0]))
bool(m.tensor([[True]]))
bool(m.ones(2))
bool(m.ones(0))
not m.tensor(0)
int(m.tensor(3.7))
float(m.tensor([2]))
complex(m.tensor(2.0))
int(m.ones(2))
float(m.ones(2))
float(m.ones(0))
[10, 20, 30][m.tensor(1)]
[10, 20, 30][m.tensor(1.0)]
[10, 20, 30][m.ones(2, dtype=m.int64)]
list(range(5))[m.tensor(1):m.tensor(3)]
m.tensor(2.5).item()
m.tensor([[7]]).item()
type(m.tensor(True).item()).__name__
type(m.tensor(1, dtype=m.uint8).item()).__name__
type(m.tensor(1.5, dtype=m.bfloat16).item()).__name__
m.ones(2).item()
m.ones(0).item()
x.tolist()
m.tensor(3).tolist()
m.ones(0, 3).tolist()
m.ones(3, 0).tolist()
m.tensor([1.5, 2], dtype=m.bfloat16).tolist()
m.tensor([True]).tolist()
round(m.tensor(2.7))
hash(x) == hash(x)
len({x: 1, x.clone(): 2})
x is x.data
m.equal(x, copy.copy(x))
numpy.asarray(x).tolist()
numpy.array(x, dtype="int32").tolist()
numpy.asarray(m.tensor([1, 2])).dtype.name
numpy.asarray(m.tensor([True])).dtype.name
numpy.sin(m.tensor([0.0, 1.0])).dtype
isinstance(numpy.sin(m.tensor([0.0, 1.0])), m.Tensor)
numpy.add(m.tensor([1.0]), 1)
numpy.greater(m.tensor([1.0, 2.0]), 1)
m.ones(2) + numpy.ones(2)
numpy.float64(2) * m.ones(2)
m.ones(2) * numpy.float32(2)
x.numpy().shape
x.numpy().strides
m.ones(1, requires_grad=True).numpy()
m.ones(1, requires_grad=True).numpy(force=True).tolist()
numpy.asarray(m.ones(1, requires_grad=True))
m.from_numpy(numpy.arange(3)).dtype
m.from_numpy([1, 2])
m.from_numpy(numpy.array(["a"]))
hasattr(x, "__cuda_array_interface__")
x.__dlpack_device__()[1]
m.from_dlpack(x).tolist()
m.from_dlpack(x).data_ptr() == x.data_ptr()
m.from_dlpack(numpy.arange(3)).tolist()
numpy.from_dlpack(x).tolist()
numpy.from_dlpack(m.tensor([True])).tolist()
m.from_dlpack(m.ones(1, requires_grad=True))
copy.deepcopy(m.ones(2, requires_grad=True)).requires_grad
copy.deepcopy(m.ones(2, requires_grad=True) * 2)
copy.copy(m.ones(2, requires_grad=True)).requires_grad
pickle.loads(pickle.dumps(x))
pickle.loads(pickle.dumps(x[:, 1])).tolist()
pickle.loads(pickle.dumps(m.tensor([1.5], dtype=m.bfloat16)))
pickle.loads(pickle.dumps(m.ones(2, requires_grad=True))).requires_grad
m.get_default_dtype()
m.device("cpu") == m.device("cpu"), m.device("cuda:1").index, str(m.device("cuda", 2))
repr(m.device("cuda:0")), repr(m.device("cpu")), repr(m.device("cuda"))
m.device("cuda:1") == m.device("cuda", 1), m.device("cuda") == m.device("cuda:0")
len({m.device("cpu"), m.device("cpu")})
x.device == m.device("cpu"), x.device == "cpu"
x.output_nr
x.grad
x.grad_fn
x.is_leaf
""".strip().splitlines()


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expression(text):
    names = {"numpy": numpy, "copy": copy, "pickle": pickle}
    # The expressions stand above, in this file.
    code = compile(text, "<expression>", "eval")
    same(lambda m: eval(code, {**names, "m": m, "x": grid(m)}))


SIZES = """
s * 2
2 * s
s + (1,)
(1,) + s
s[0:1]
s[0]
s == (2, 3)
s == [2, 3]
str(s)
S()
S((1,))
S([1.5])
S("ab")
S([True])
S(n for n in [1, 2])
s.count(2)
s.index(3)
s + [1]
s.numel()
S([]).numel()
pickle.loads(pickle.dumps(s))
copy.deepcopy(s)
hash(s) == hash((2, 3))
len(s), s[-1], list(s), (*s, 4)
isinstance(s, tuple)
""".strip().splitlines()


@pytest.mark.parametrize("text", SIZES)
def test_size(text):
    code = compile(text, "<expression>", "eval")
    names = {"copy": copy, "pickle": pickle}

    def told(m):
        found = eval(code, {**names, "S": m.Size, "s": m.Size([2, 3])})
        return repr(found).replace("torch.", "core.") if isinstance(found, m.Size) else found

    ours, theirs = outcome(told, core), outcome(told, torch)
    ours, theirs = (str(v).replace("torch.", "core.") for v in (ours, theirs))
    assert ours == theirs


# ---- memory ----


def test_numpy_shares_memory_both_ways():
    a = numpy.zeros(3)
    x = core.from_numpy(a)
    a[0] = 1
    x[1] = 2
    x.numpy()[2] = 3
    assert x.tolist() == a.tolist() == [1, 2, 3]


def test_dlpack_shares_memory_with_pytorch_both_ways():
    theirs = torch.zeros(3)
    ours = core.from_dlpack(theirs)
    ours[0] = 1
    again = torch.from_dlpack(ours)
    again[1] = 2
    assert theirs.tolist() == ours.tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "int64", "uint8", "bool"]
)
def test_dlpack_keeps_dtype_shape_and_strides(dtype):
    theirs = torch.ones(3, 4, dtype=getattr(torch, dtype)).t()[1:]
    ours = core.from_dlpack(theirs)
    assert plain(ours) == plain(theirs) and ours.stride() == theirs.stride()
    assert torch.from_dlpack(ours).data_ptr() == theirs.data_ptr()


def test_deepcopy_keeps_what_is_shared_and_cuts_what_is_not():
    for m in (core, torch):
        x = m.arange(6.0).reshape(2, 3)
        copied = copy.deepcopy({"x": x, "row": x[1], "again": x, "t": x.t()})
        assert copied["x"] is copied["again"]
        copied["x"].zero_()
        assert copied["row"].tolist() == [0, 0, 0] and copied["t"].stride() == (1, 3)
        assert x.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_deepcopy_takes_the_gradient_and_attributes_along():
    for m in (core, torch):
        x = m.ones(2, requires_grad=True)
        (x * 3).sum().backward()
        x.tag = ["note"]
        y = copy.deepcopy(x)
        assert y.grad.tolist() == [3, 3] and y.grad is not x.grad
        assert y.tag == ["note"] and y.tag is not x.tag


def test_a_pickle_keeps_attributes_and_refuses_results():
    x = core.ones(2)
    x.tag = "note"
    assert pickle.loads(pickle.dumps(x)).tag == "note"
    with pytest.raises(RuntimeError, match="detach"):
        pickle.dumps(core.ones(2, requires_grad=True) * 2)


def test_a_pickle_of_a_view_holds_the_view_only():
    big = core.zeros(100_000)
    assert len(pickle.dumps(big[:3])) < 1000


# ---- subclasses and attributes ----


def test_attributes_stick():
    for m in (core, torch):
        x = m.ones(2)
        x.label = 3
        assert x.label == 3 and not hasattr(x * 1, "label")
        with pytest.raises(AttributeError):
            _ = x.missing


def test_a_subclass_of_our_own():
    class Image(core.Tensor):
        def brightest(self):
            return self.max().item()

    image = Image([1.0, 5.0])
    assert isinstance(image, core.Tensor) and image.brightest() == 5
    assert type(copy.deepcopy(image)) is Image and type(pickle.loads(pickle.dumps(core.ones(1))))
    shared = core.ones(2).as_subclass(Image)
    assert type(shared) is Image and shared.tolist() == [1, 1]


def test_tensors_as_keys_compare_by_identity():
    x, y = core.ones(2), core.ones(2)
    table = {x: "x", y: "y"}
    assert table[x] == "x" and table[y] == "y" and len({x, y, x}) == 2


def test_the_default_dtype_reaches_every_creation():
    for m in (core, torch):
        m.set_default_dtype(m.float64)
    try:
        for text in (
            "m.tensor(1.5)",
            "m.Tensor(2)",
            "m.ones(1) / 2",
            "m.arange(3) / 2",
            "m.zeros(1)",
        ):
            got = [eval(text, {"m": m}).dtype for m in (core, torch)]
            assert plain(got[0]) == plain(got[1]) == "float64"
    finally:
        for m in (core, torch):
            m.set_default_dtype(m.float32)


def test_classes_of_results_have_pytorchs_names():
    names = core.return_types.__all__
    assert [n for n in names if not hasattr(torch.return_types, n)] == []
    for name in names:
        ours, theirs = (getattr(m.return_types, name) for m in (core, torch))
        assert all(hasattr(theirs, field) for field in ours._fields)
    assert isinstance(core.ones(2, 2).max(0), core.return_types.max)
    assert isinstance(core.linalg.qr(core.ones(2, 2)), core.return_types.linalg_qr)
