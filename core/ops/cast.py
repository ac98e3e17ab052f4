"""Changes of dtype, of device, and copies."""

from __future__ import annotations

from typing import Any

from core import backend
from core.autograd.dispatch import primitive
from core.autograd.quick import leading
from core.autograd.value import share, wrap
from core.backend import xp
from core.layout import contiguous_format, dense, follows, order_of, preserve_format

__all__ = "clone".split()


@leading
@primitive(label="ToCopyBackward0")
def cast(x, dtype):
    """`x` in another array dtype, as a copy."""
    return dense(x, dtype)


cast.defvjp(x=lambda g: g, dtype=None)  # the sweep casts back


@primitive(label="ToCopyBackward0")
def transfer(x, device, origin):
    """`x`, which lies on device `origin`, copied to `device`."""
    return backend.to_device(x, device)


transfer.defvjp(x=lambda g, device, origin: transfer(g, origin, device))


@leading
@primitive
def clone(x, memory_format=preserve_format):
    """A copy of `x`, its dims in the same order in memory, or in that of a format."""
    if memory_format not in (None, preserve_format):
        return laid_out(x, memory_format)
    return x.copy() if x.flags.c_contiguous else dense(x, x.dtype)


clone.defvjp(x=lambda g: g, memory_format=None)


def laid_out(x: Any, wanted: Any) -> Any:
    """A copy of the array `x`, its dims in memory in the order of a format.

    Raises: RuntimeError for other numbers of dims than the format orders.
    """
    order = order_of(wanted, x.ndim)
    copied = xp(x).array(x.transpose(order), order="C")
    return copied.transpose([order.index(i) for i in range(x.ndim)])


@leading
@primitive(label="CloneBackward0")
def compact(x):
    """A row-major copy of `x`."""
    return xp(x).array(x, order="C")


compact.defvjp(x=lambda g: g)


def contiguous(x: Any, memory_format: Any = None) -> Any:
    """`x` itself if it lies in memory row by row, or in the order of a format; else a copy so.

    Raises: RuntimeError for other numbers of dims than the format orders.
    """
    if memory_format in (None, contiguous_format):
        return x if x.array.flags.c_contiguous else compact(x)
    return x if follows(x.array, memory_format) else clone(x, memory_format)


def detach(x: Any) -> Any:
    """A value of the same memory as `x` that the graph does not know."""
    out = wrap(x.array)
    share(out, x)
    return out
