"""The length of a parameter, and of what it is moved by."""

from __future__ import annotations

from typing import Any

from core.backend import xp


def inner(x: Any, y: Any) -> Any:
    """The product of two vectors, or of two matrices."""
    return xp(x).matmul(x, y)


def norm(x: Any) -> Any:
    """The root of the sum of squares, a number of no dims on the device of `x`."""
    flat = x.reshape(-1)
    return xp(x).sqrt(inner(flat, flat))


def ratio(p: Any, direction: Any) -> Any:
    """The norm of `p` over that of `direction`; 1 where either is zero."""
    above, below = norm(p), norm(direction)
    module = xp(p)
    usable = (above > 0) & (below > 0)
    return module.where(usable, above / module.where(usable, below, 1), 1).astype(p.dtype)
