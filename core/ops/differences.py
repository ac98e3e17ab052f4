"""Differences between neighbours along a dim, and sums of trapezoids."""

from __future__ import annotations

from typing import Any

from core.autograd.demand import of_tensors
from core.autograd.inplace import write_out
from core.ops.compare import ne
from core.ops.dims import axis_of
from core.ops.elementwise import minus
from core.ops.join import cat
from core.ops.parts import slice_axis
from core.ops.reduce import sum
from core.ops.scan import cumsum
from core.ops.shape import reshape_array

__all__ = "diff trapezoid trapz cumulative_trapezoid".split()


def diff(
    input: Any,
    n: int = 1,
    dim: int = -1,
    prepend: Any = None,
    append: Any = None,
    *,
    out: Any = None,
) -> Any:
    """The differences between neighbours along a dim, taken `n` times; of bools, where they differ.

    Raises: RuntimeError for a number, or a negative `n`.
    """
    if not input.array.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    axis = axis_of(dim, input.array.ndim)
    parts = [x for x in (prepend, input, append) if x is not None]
    x = cat(parts, axis) if len(parts) > 1 else input
    for _ in range(min(n, x.array.shape[axis])):
        before, after = _neighbours(x, axis)
        x = ne(after, before) if x.array.dtype == bool else minus(after, before)
    x = x.clone() if x is input else x
    return x if out is None else write_out(x, out)


def _neighbours(x: Any, axis: int) -> tuple[Any, Any]:
    """All elements along an axis but the last, and all but the first."""
    count = max(x.array.shape[axis] - 1, 0)
    start = x.array.shape[axis] - count
    return slice_axis(x, axis, 0, count), slice_axis(x, axis, start, count)


def _pieces(y: Any, x: Any, dx: Any, axis: int) -> Any:
    before, after = _neighbours(y, axis)
    if x is None:
        return (before + after) * (dx / 2)
    if x.array.ndim == 1 and y.array.ndim > 1:
        x = reshape_array(x, (-1,) + (1,) * (y.array.ndim - 1 - axis))
        widths = diff(x, dim=0)
    else:
        widths = diff(x, dim=axis - y.array.ndim)
    return (before + after) * widths / 2


@of_tensors("y", "x")
def trapezoid(y: Any, x: Any = None, *, dx: Any = 1, dim: int = -1) -> Any:
    """The integral of `y` along a dim by trapezoids, at the places `x` or `dx` apart."""
    axis = axis_of(dim, y.array.ndim)
    return sum(_pieces(y, x, dx, axis), axis)


@of_tensors("y", "x")
def trapz(y: Any, x: Any = None, *, dx: Any = 1, dim: int = -1) -> Any:
    """The integral of `y` by trapezoids: `trapezoid`."""
    return trapezoid(y, x, dx=dx, dim=dim)


@of_tensors("y", "x")
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = 1, dim: int = -1) -> Any:
    """The running integral of `y` along a dim by trapezoids."""
    axis = axis_of(dim, y.array.ndim)
    return cumsum(_pieces(y, x, dx, axis), axis)
