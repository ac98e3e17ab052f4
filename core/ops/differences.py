"""Differences between neighbours along a dim, and sums of trapezoids."""

from __future__ import annotations

from typing import Any

from core.autograd.demand import of_tensors
from core.autograd.inplace import write_out
from core.autograd.value import Value, called
from core.ops.compare import ne
from core.ops.dims import axis_of, distinct, pair_of
from core.ops.elementwise import minus
from core.ops.join import cat
from core.ops.parts import slice_axis
from core.ops.reduce import sum
from core.ops.scan import cumsum
from core.ops.shape import reshape_array

__all__ = "diff gradient trapezoid trapz cumulative_trapezoid".split()


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
    x = cat(parts, axis) if len(parts) > 1 and n else input
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


def gradient(input: Any, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> list[Any]:
    """The slopes along each dim by central differences, at the edges one-sided of `edge_order`.

    `spacing` is one number, or one number or vector of coordinates per dim.
    Raises: RuntimeError where a dim is too short, or the spacing does not fit.
    """
    ndim = input.array.ndim
    axes = distinct(range(ndim) if dim is None else pair_of(dim), ndim)
    spacing = 1 if spacing is None else spacing
    steps = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(axes)
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    if len(steps) != len(axes):
        raise RuntimeError(
            "torch.gradient expected spacing to be unspecified, a scalar, or a list of length"
            f" {len(axes)}, one per dim, but got a list of length {len(steps)}"
        )
    if any(input.array.shape[axis] <= edge_order for axis in axes):
        raise RuntimeError(
            "torch.gradient expected each dimension size to be at least edge_order+1"
        )
    return [_slopes(input, axis, h, edge_order) for axis, h in zip(axes, steps, strict=True)]


def _slopes(x: Any, axis: int, h: Any, order: int) -> Any:
    """The slopes along one axis, the places `h` apart, or at the places `h`."""
    n = x.array.shape[axis]
    steps = None if not isinstance(h, Value) else diff(h)

    def at(start: int) -> Any:
        return slice_axis(x, axis, start, n - 2)

    def width(start: int, count: int) -> Any:
        if steps is None:
            return h
        part = slice_axis(steps, 0, start, count)
        return reshape_array(part, (-1,) + (1,) * (x.array.ndim - 1 - axis))

    def edge(places: tuple[int, ...], near: Any, far: Any) -> Any:
        """From the edge inwards; `near` and `far` are the widths of the first two steps."""
        y = [slice_axis(x, axis, place, 1) for place in places]
        if order == 1:
            return (y[1] - y[0]) / near
        both = near + far
        return (y[1] - y[0]) * (both / (near * far)) - (y[2] - y[0]) * (near / (far * both))

    first = edge((0, 1, 2), width(0, 1), width(1, 1) if order == 2 else None)
    end = edge((n - 1, n - 2, n - 3), width(n - 2, 1), width(n - 3, 1) if order == 2 else None)
    a, b = width(0, n - 2), width(1, n - 2)
    inner = (at(2) - at(1)) * (a / (b * (a + b))) + (at(1) - at(0)) * (b / (a * (a + b)))
    return cat([first, inner, -end], axis)


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
    name = "MulBackward1" if x is None else "DivBackward1"
    return called(sum(_pieces(y, x, dx, axis), axis), name)


@of_tensors("y", "x")
def trapz(y: Any, x: Any = None, *, dx: Any = 1, dim: int = -1) -> Any:
    """The integral of `y` by trapezoids: `trapezoid`."""
    return trapezoid(y, x, dx=dx, dim=dim)


@of_tensors("y", "x")
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = 1, dim: int = -1) -> Any:
    """The running integral of `y` along a dim by trapezoids."""
    axis = axis_of(dim, y.array.ndim)
    found = cumsum(_pieces(y, x, dx, axis), axis)
    return found if x is None else called(found, "DivBackward1")
