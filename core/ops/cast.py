"""Changes of dtype, of device, and copies."""

from __future__ import annotations

from typing import Any

from core import backend
from core.autograd.dispatch import primitive
from core.autograd.value import share, wrap
from core.backend import xp

__all__ = "clone".split()


@primitive(label="ToCopyBackward0")
def cast(x, dtype):
    """`x` in another array dtype, as a copy."""
    return x.astype(dtype)


cast.defvjp(x=lambda g: g, dtype=None)  # the sweep casts back


@primitive(label="ToCopyBackward0")
def transfer(x, device, origin):
    """`x`, which lies on device `origin`, copied to `device`."""
    return backend.to_device(x, device)


transfer.defvjp(x=lambda g, device, origin: transfer(g, origin, device))


@primitive
def clone(x):
    """A copy of `x` with the same strides order."""
    return x.copy() if x.flags.c_contiguous else xp(x).array(x, order="K")


clone.defvjp(x=lambda g: g)


@primitive(label="CloneBackward0")
def compact(x):
    """A row-major copy of `x`."""
    return xp(x).array(x, order="C")


compact.defvjp(x=lambda g: g)


def contiguous(x: Any) -> Any:
    """`x` itself if it is row-major in memory, else a copy that is."""
    return x if x.array.flags.c_contiguous else compact(x)


def detach(x: Any) -> Any:
    """A value of the same memory as `x` that the graph does not know."""
    out = wrap(x.array)
    share(out, x)
    return out
