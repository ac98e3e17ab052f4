"""PyTorch's names of tensor types: FloatTensor and its kin, `type()`, questions on dtypes."""

from __future__ import annotations

import builtins
from typing import Any

from core import dtype as dtypes
from core.autograd.inplace import type_name
from core.autograd.value import Value
from core.backend import device_of
from core.dtype import dtype, get_default_dtype, of, set_default_dtype
from core.exchange import UntypedStorage, blank
from core.tensor import Tensor, legacy

_NAMES = "Float Double Half BFloat16 Long Int Short Char Byte Bool".split()
__all__ = [f"{name}Tensor" for name in _NAMES] + [
    "is_complex", "is_floating_point", "is_signed", "is_storage", "is_tensor", "numel",
    "result_type", "set_default_tensor_type", "typename",
]  # fmt: skip


class _TypeOf(type):
    """The class of FloatTensor and its kin: an instance is any such tensor on such a device."""

    dtype: dtype
    place: str

    def __instancecheck__(cls, x: Any) -> builtins.bool:
        return (
            isinstance(x, Value)
            and of(x.array.dtype) is cls.dtype
            and device_of(x.array).type == cls.place
        )

    def __call__(cls, *size: Any, device: Any = None) -> Any:
        if len(size) == 1 and isinstance(size[0], Value) and not isinstance(size[0], cls):
            raise TypeError(
                f"expected a tensor of {cls.dtype} (got one of {of(size[0].array.dtype)})"
            )
        return blank(Tensor, legacy(size, device or cls.place, cls.dtype))

    def __repr__(cls) -> str:
        return f"<class '{cls.__module__}.{cls.__name__}'>"


def _named(d: dtype, place: str, module: str) -> Any:
    name = f"{type_name(d)}Tensor"
    doc = f"Makes tensors of {d!r}, by sizes or from data; those are its instances."
    own = {"dtype": d, "place": place, "__doc__": doc, "__module__": module}
    return _TypeOf(name, (), own)


BY_TYPE_NAME = {f"{type_name(d)}Tensor": _named(d, "cpu", "core") for d in dtypes.ALL}
ON_CUDA = {f"{type_name(d)}Tensor": _named(d, "cuda", "core.cuda") for d in dtypes.ALL}
globals().update(BY_TYPE_NAME)


def type_of(x: Any, dtype: Any = None, non_blocking: bool = False, **ignored: Any) -> Any:
    """The name of a tensor's type, such as core.FloatTensor; or the tensor in another type.

    A type's name may say torch where it says core.

    Raises: ValueError for a name of no type.
    """
    place = device_of(x.array).type
    if dtype is None:
        where = "" if place == "cpu" else "cuda."
        return f"core.{where}{type_name(of(x.array.dtype))}Tensor"
    kind = _of_name(dtype) if isinstance(dtype, str) else dtype
    if not isinstance(kind, _TypeOf):
        return x.to(kind)
    return x.to(kind.dtype) if kind.place == place else x.to(kind.place, kind.dtype)


def _of_name(text: str) -> Any:
    root, _, name = text.partition(".")
    kinds = ON_CUDA if name.startswith("cuda.") else BY_TYPE_NAME
    found = kinds.get(name.removeprefix("cuda."))
    if found is None or root not in ("core", "torch"):
        raise ValueError(f"invalid type: '{text}'")
    return found


def type_as(x: Any, other: Any) -> Any:
    """`x` with the dtype and on the device of `other`."""
    return x.to(other)


def typename(obj: Any) -> str:
    """The name of a tensor's type, of a class or function, or of the class of something else.

    Example:
        >>> import core
        >>> typename(core.ones(2)), typename(3), typename(typename)
        ('core.FloatTensor', 'int', 'core.types.typename')
    """
    if isinstance(obj, Value):
        return str(type_of(obj))
    named = obj if hasattr(obj, "__qualname__") else type(obj)
    module = named.__module__ or ""
    return named.__qualname__ if module in ("", "builtins") else f"{module}.{named.__qualname__}"


def is_tensor(obj: Any) -> builtins.bool:
    """Whether `obj` is a tensor."""
    return isinstance(obj, Tensor)


def is_storage(obj: Any) -> builtins.bool:
    """Whether `obj` is the memory of tensors."""
    return isinstance(obj, UntypedStorage)


def is_floating_point(input: Any) -> builtins.bool:
    """Whether the elements are floating-point numbers."""
    return input.is_floating_point()


def is_complex(input: Any) -> builtins.bool:
    """Whether the elements are complex numbers: never."""
    return False


def is_signed(input: Any) -> builtins.bool:
    """Whether the elements can be negative."""
    return input.is_signed()


def numel(input: Any) -> builtins.int:
    """The number of elements."""
    return input.numel()


def result_type(tensor1: Any, tensor2: Any) -> dtype:
    """The dtype that arithmetic between two tensors or numbers has.

    Example:
        >>> import core
        >>> result_type(core.ones(2, dtype=core.int8), 1.5)
        core.float32
    """
    pair = (tensor1, tensor2)
    arrays = [x.array for x in pair if isinstance(x, Value)]
    return dtypes.result_type(arrays, [x for x in pair if not isinstance(x, Value)])


def set_default_tensor_type(t: Any) -> None:
    """Make the dtype of a tensor type, or of its name, the default floating type.

    Raises: TypeError for one that is not of floating-point numbers.
    """
    found = BY_TYPE_NAME.get(t.split(".")[-1]) if isinstance(t, str) else t
    if not isinstance(found, _TypeOf):
        raise TypeError(f"invalid type object: {t!r}, the default is {get_default_dtype()}")
    set_default_dtype(found.dtype)
