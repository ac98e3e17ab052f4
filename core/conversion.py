"""The same numbers in another dtype or on another device: `.to()` and its short forms."""

from __future__ import annotations

from typing import Any

from core import dtype as dtypes
from core.autograd.value import Value, called, wrap
from core.backend import Device, device_of, resolve
from core.dtype import dtype
from core.layout import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    follows,
    preserve_format,
)
from core.ops import cast
from core.pinned import copied_meanwhile, is_pinned, pinned
from core.types import type_as, type_of


def to(
    x: Any,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Any:
    """`x` with another dtype or device, or those of another tensor; itself where nothing changes.

    Raises: TypeError for arguments that are neither; RuntimeError for a device that is not there.
    """
    flags = [arg for arg in args if isinstance(arg, bool)]
    for arg in args:
        if isinstance(arg, Value):
            dtype, device = dtypes.of(arg.array.dtype), device_of(arg.array)
        elif isinstance(arg, (str, int, Device)) and not isinstance(arg, bool):
            device = arg
        elif type(arg) is dtypes.dtype or isinstance(arg, type):
            dtype = arg
        elif arg is not None and not isinstance(arg, bool):
            raise TypeError(
                "to() expects a dtype, a device or a tensor, but got an argument of type"
                f" {type(arg).__name__}"
            )
    out = x
    if device is not None and (where := resolve(device)) != device_of(x.array):
        aside = non_blocking or flags[:1] == [True]
        if aside and where.type == "cuda" and not x.requires_grad and is_pinned(x.array):
            out = wrap(copied_meanwhile(x.array, where))
        else:
            out = cast.transfer(out, where, device_of(x.array))
    if dtype is not None and (want := dtypes.to_numpy(dtype)) != out.array.dtype:
        out = cast.cast(out, want)
    if memory_format not in (None, preserve_format) and not (out is x and _fits(x, memory_format)):
        out = called(cast.clone(out, memory_format), "ToCopyBackward0")
    fresh = (copy or flags[1:] == [True]) and out is x
    return called(cast.clone(x), "ToCopyBackward0") if fresh else out


def _fits(x: Any, memory_format: Any) -> bool:
    """Whether a tensor stays as it is: those of any strides pass as row-major, but the formats."""
    formats = {4: channels_last, 5: channels_last_3d}.get(x.array.ndim)
    return memory_format is contiguous_format and not (formats and follows(x.array, formats))


def cpu(x: Any, memory_format: Any = None) -> Any:
    """The tensor in the CPU's memory."""
    return to(x, device="cpu", memory_format=memory_format)


def cuda(x: Any, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Any:
    """The tensor on a GPU, the current one unless named."""
    where = "cuda" if device is None else device
    return to(x, device=where, non_blocking=non_blocking, memory_format=memory_format)


def pin_memory(x: Any, device: Any = None) -> Any:
    """The tensor in pinned memory, from which `.to("cuda", non_blocking=True)` need not wait.

    Raises: RuntimeError for a tensor on a GPU, or where there is no GPU.
    """
    if device_of(x.array).type != "cpu":
        raise RuntimeError(f"cannot pin '{type_of(x)}' only dense CPU tensors can be pinned")
    return x if is_pinned(x.array) else wrap(pinned(x.array))


def is_in_pinned_memory(x: Any, device: Any = None) -> bool:
    """Whether the tensor lies in pinned memory."""
    return is_pinned(x.array)


def to_dtype(d: dtype) -> Any:
    """The method that gives a tensor with elements of `d`."""

    def method(x: Any, memory_format: Any = None) -> Any:
        return to(x, dtype=d, memory_format=memory_format)

    method.__doc__ = f"The tensor with elements of {d.name}."
    return method


CASTS: dict[dtype, str] = {
    dtypes.float32: "float", dtypes.float64: "double", dtypes.float16: "half",
    dtypes.bfloat16: "bfloat16", dtypes.int64: "long", dtypes.int32: "int", dtypes.int16: "short",
    dtypes.int8: "char", dtypes.uint8: "byte", dtypes.bool: "bool",
}  # fmt: skip
METHODS: dict[str, Any] = {"to": to, "cpu": cpu, "cuda": cuda, "type": type_of, "type_as": type_as}
METHODS |= {"pin_memory": pin_memory, "is_pinned": is_in_pinned_memory}
METHODS |= {name: to_dtype(d) for d, name in CASTS.items()}
