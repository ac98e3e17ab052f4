"""The method table: a method of Tensor is the op of the same name; `name_` is its in-place form."""

from __future__ import annotations

from typing import Any

from core import dtype as dtypes
from core.autograd.inplace import in_place
from core.autograd.value import Value
from core.backend import Device, device_of, resolve
from core.dtype import dtype
from core.ops import cast, compare, elementwise, index, linalg, reduce, shape
from core.tensor import Tensor


def to(
    x: Any,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Any:
    """`x` with another dtype or device, or those of another tensor; itself where nothing changes."""
    for arg in args:
        if isinstance(arg, Value):
            dtype, device = arg.dtype, arg.device  # type: ignore[attr-defined]
        elif isinstance(arg, (str, int, Device)) and not isinstance(arg, bool):
            device = arg
        elif isinstance(arg, bool):
            continue
        elif arg is not None:
            dtype = arg
    out = x
    if device is not None and (where := resolve(device)) != device_of(x.array):
        out = cast.transfer(out, where, device_of(x.array))
    want = dtypes.to_numpy(dtype)
    if want is not None and want != out.array.dtype:
        out = cast.cast(out, want)
    return cast.clone(x) if copy and out is x else out


def _to_dtype(d: dtype) -> Any:
    def method(x: Any, memory_format: Any = None) -> Any:
        return to(x, dtype=d)

    method.__doc__ = f"The tensor with elements of {d.name}."
    return method


def _reversed(op: Any) -> Any:
    def method(x: Any, other: Any) -> Any:
        return op(other, x)

    return method


def cpu(x: Any) -> Any:
    """The tensor in the CPU's memory."""
    return to(x, device="cpu")


def cuda(x: Any, device: Any = None, non_blocking: bool = False) -> Any:
    """The tensor on a GPU, the current one unless named."""
    return to(x, device="cuda" if device is None else device)


# Per family: the methods that are its functions of the same name, and those with a form `name_` that
# writes into the tensor itself.
FAMILIES: tuple[tuple[Any, str, str], ...] = (
    (
        elementwise,
        "add sub mul div pow neg abs sign exp log sqrt tanh sigmoid relu maximum minimum",
        "add sub mul div pow neg abs sign exp log sqrt tanh sigmoid relu",
    ),
    (compare, "eq ne lt le gt ge", "eq ne lt le gt ge"),
    (reduce, "sum mean argmax argmin", ""),
    (
        shape,
        "reshape view flatten squeeze unsqueeze permute transpose t expand broadcast_to",
        "",
    ),
    (linalg, "matmul", ""),
    (cast, "clone contiguous", ""),
)
OPERATORS: dict[str, Any] = {
    "__add__": elementwise.plus, "__radd__": elementwise.plus, "__sub__": elementwise.minus,
    "__rsub__": _reversed(elementwise.minus), "__mul__": elementwise.mul,
    "__rmul__": elementwise.mul, "__truediv__": elementwise.div,
    "__rtruediv__": _reversed(elementwise.div), "__pow__": elementwise.pow,
    "__rpow__": _reversed(elementwise.pow), "__neg__": elementwise.neg, "__abs__": elementwise.abs,
    "__matmul__": linalg.matmul, "__rmatmul__": _reversed(linalg.matmul),
    "__eq__": compare.eq, "__ne__": compare.ne, "__lt__": compare.lt, "__le__": compare.le,
    "__gt__": compare.gt, "__ge__": compare.ge,
    "__getitem__": index.getitem, "__setitem__": index.setitem,
}  # fmt: skip
IN_PLACE_OPERATORS: dict[str, Any] = {
    "__iadd__": elementwise.plus, "__isub__": elementwise.minus, "__imul__": elementwise.mul,
    "__itruediv__": elementwise.div, "__ipow__": elementwise.pow,
}  # fmt: skip
CASTS: dict[dtype, str] = {
    dtypes.float32: "float", dtypes.float64: "double", dtypes.float16: "half",
    dtypes.bfloat16: "bfloat16", dtypes.int64: "long", dtypes.int32: "int", dtypes.int16: "short",
    dtypes.int8: "char", dtypes.uint8: "byte", dtypes.bool: "bool",
}  # fmt: skip
OWN = {"to": to, "cpu": cpu, "cuda": cuda}


def install() -> None:
    """Give Tensor its methods and operators."""
    for module, names, written in FAMILIES:
        for name in names.split():
            setattr(Tensor, name, getattr(module, name))
        for name in written.split():
            setattr(Tensor, f"{name}_", in_place(getattr(module, name)))
    for name, function in (OPERATORS | OWN).items():
        setattr(Tensor, name, function)
    for name, function in IN_PLACE_OPERATORS.items():
        setattr(Tensor, name, in_place(function))
    for d, name in CASTS.items():
        setattr(Tensor, name, _to_dtype(d))
    Tensor.T = property(lambda x: shape.permute(x, *reversed(range(x.ndim))))
    Tensor.mT = property(lambda x: shape.transpose(x, -2, -1))


install()
