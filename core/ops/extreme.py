"""The largest and the smallest elements, and where they are."""

from __future__ import annotations

from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.autograd.inplace import write_out
from core.autograd.quick import leading, unary
from core.autograd.value import Value, called
from core.backend import packed, xp
from core.dtype import of
from core.ops import results
from core.ops.choice import maximum, minimum
from core.ops.dims import axes_of, axis_of, kept, size_of
from core.ops.gather import gather_array
from core.ops.positions import along
from core.ops.reduce import spread, sum
from core.ops.shape import reshape_array

__all__ = "max min amax amin aminmax argmax argmin".split()

# ---- over several dims: the gradient is shared evenly -----------------------------------------


@leading
@primitive
def amax(x, dim=(), keepdim=False):
    """The largest element over `dim` (an int, several, or all); NaN where there is one.

    Raises: IndexError or RuntimeError where there is none.
    """
    return _most(x, "amax", "max", dim, keepdim)


@leading
@primitive
def amin(x, dim=(), keepdim=False):
    """The smallest element over `dim` (an int, several, or all); NaN where there is one.

    Raises: IndexError or RuntimeError where there is none.
    """
    return _most(x, "amin", "min", dim, keepdim)


@unary
@primitive(name="max", label="MaxBackward1")
def largest_of_all(x):
    """The largest element; NaN where there is one."""
    return _most(x, "max", "max", None, False)


@unary
@primitive(name="min", label="MinBackward1")
def smallest_of_all(x):
    """The smallest element; NaN where there is one."""
    return _most(x, "min", "min", None, False)


def _most(x: Any, name: str, kind: str, dim: Any, keepdim: bool) -> Any:
    dim = None if dim == () else dim
    axes = axes_of(dim, x.ndim)
    if x.size == 0:
        refuse_empty(name, x.shape, axes)
    return packed(x.max(axes, None, keepdim) if kind == "max" else x.min(axes, None, keepdim))


def refuse_empty(name: str, shape: tuple[int, ...], axes: tuple[int, ...] | None) -> None:
    """Raise where a reduction that needs an element would find none."""
    if axes is None:
        error = IndexError if name.startswith("arg") else RuntimeError
        raise error(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the"
            " reduction dim with the 'dim' argument."
        )
    for axis in axes:
        if not shape[axis]:
            raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")


def evenly(g: Any, x: Any, out: Any, dim: Any, keepdim: bool) -> Any:
    """`g` shared evenly among the elements of `x` that are equal to the reduced `out`."""
    dim = None if dim == () else dim
    hit = x == spread(out, x.shape, dim, keepdim)
    return spread(g, x.shape, dim, keepdim) * hit / sum(hit, dim, True)


for _call in (amax, amin):
    _call.defvjp(
        x=lambda g, x, out, dim, keepdim: evenly(g, x, out, dim, keepdim), dim=None, keepdim=None
    )
for _call in (largest_of_all, smallest_of_all):
    _call.defvjp(x=lambda g, x, out: evenly(g, x, out, None, False))

# ---- along one dim: the gradient goes where the element was found -----------------------------


@leading
@primitive(result=results.max, name="max", label="MaxBackward0")
def largest_along(x, dim, keepdim):
    """The largest elements along one dim, and their indices."""
    return _found(x, "max", dim, keepdim)


@leading
@primitive(result=results.min, name="min", label="MinBackward0")
def smallest_along(x, dim, keepdim):
    """The smallest elements along one dim, and their indices."""
    return _found(x, "min", dim, keepdim)


def _found(x: Any, name: str, dim: int, keepdim: bool) -> tuple[Any, Any]:
    axis = axis_of(dim, x.ndim)
    index = _where(x, "arg" + name, name, axis)
    if not x.ndim:
        return x.copy(), index
    # A second reduction costs less than gathering what the first one found.
    found = x.max(axis, None, keepdim) if name == "max" else x.min(axis, None, keepdim)
    return packed(found), xp(x).expand_dims(index, axis) if keepdim else index


def taken(x: Any, index: Any, axis: int, keepdim: bool) -> tuple[Any, Any]:
    """The elements at one index along an axis, and the index, with that axis or without it."""
    if not x.ndim:
        return x.copy(), index
    column = xp(x).expand_dims(index, axis)
    found = xp(x).take_along_axis(x, column, axis)
    if not keepdim:
        found, column = found.reshape(index.shape), index
    return packed(found), packed(column)


def placed(g: Any, index: Any, shape: tuple[int, ...], dim: int) -> Any:
    """Zeros of `shape` with `g` at one index along a dim."""
    if not len(shape):
        return reshape_array(g, ())
    axis = axis_of(dim, len(shape))
    column = kept(shape, (axis,))
    return set_along(reshape_array(g, column), reshape_array(index, column), axis, tuple(shape))


@primitive(label="ScatterBackward0")
def set_along(g, index, axis, shape):
    """Zeros of `shape` with `g` at indices along one axis, none of which repeats."""
    out = xp(g).zeros(shape, g.dtype)
    out.reshape(-1)[along(index, axis, shape)] = g
    return out


set_along.defvjp(
    g=lambda h, index, axis: gather_array(h, index, axis), index=None, axis=None, shape=None
)


for _call in (largest_along, smallest_along):
    _call.defvjp(
        x=lambda g, out, dim, x_shape: placed(g[0], out[1], x_shape, dim), dim=None, keepdim=None
    )


def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None, out: Any = None):
    """The largest element; with a dim, the largest along it and their indices; or of two tensors.

    Raises: RuntimeError or IndexError where there is none.
    """
    return _dispatched(input, dim, keepdim, other, out, (largest_of_all, largest_along, maximum))


def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None, out: Any = None):
    """The smallest element; with a dim, the smallest along it and their indices; or of two tensors.

    Raises: RuntimeError or IndexError where there is none.
    """
    return _dispatched(input, dim, keepdim, other, out, (smallest_of_all, smallest_along, minimum))


def _dispatched(x: Any, dim: Any, keepdim: bool, other: Any, out: Any, forms: Any) -> Any:
    of_all, along, of_two = forms
    if isinstance(dim, Value):
        dim, other = None, dim
    if other is not None:
        result = of_two(x, other)
    elif dim is None:
        result = of_all(x)
    elif isinstance(dim, int):
        result = along(x, dim, keepdim)
    else:
        raise TypeError(f"{of_all.op.name}(): dim must be an int, not {type(dim).__name__}")
    return result if out is None else write_out(result, out)


def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False, out: Any = None) -> Any:
    """The smallest and the largest elements, of all or along one dim."""
    dims = () if dim is None else dim
    ends = amin(input, dims, keepdim), amax(input, dims, keepdim)
    result = results.aminmax(*(called(x, "AminmaxBackward0") for x in ends))
    return result if out is None else write_out(result, out)


# ---- where ------------------------------------------------------------------------------------


@leading
@primitive
def argmax(x, dim=None, keepdim=False):
    """Where the largest element is, the first of several; in the flat order without `dim`."""
    return _index(x, "argmax", dim, keepdim)


@leading
@primitive
def argmin(x, dim=None, keepdim=False):
    """Where the smallest element is, the first of several; in the flat order without `dim`."""
    return _index(x, "argmin", dim, keepdim)


argmax.defvjp(x=None)
argmin.defvjp(x=None)


def _index(x: Any, name: str, dim: int | None, keepdim: bool) -> Any:
    if of(x.dtype).name == "bool":
        raise NotImplementedError(f"{name} is not implemented for core.bool")
    if dim is not None:
        axis = axis_of(dim, x.ndim)
        out = _where(x, name, name, axis)
        return xp(x).expand_dims(out, axis) if keepdim and x.ndim else out
    if x.size == 0:
        refuse_empty(name, x.shape, None)
    out = xp(x).asarray(getattr(_comparable(x), name)(), numpy.int64)
    return out.reshape((1,) * x.ndim) if keepdim else out


def _where(x: Any, function: str, name: str, axis: int) -> Any:
    if not x.ndim:
        return xp(x).zeros((), numpy.int64)
    if not x.shape[axis]:
        refuse_empty(name, x.shape, (axis,))
    if not size_of(x.shape, None):
        return xp(x).zeros(x.shape[:axis] + x.shape[axis + 1 :], numpy.int64)
    return xp(x).asarray(getattr(_comparable(x), function)(axis), numpy.int64)


def _comparable(x: Any) -> Any:
    """`x`, with bfloat16 widened: its own argmax passes over NaN."""
    return x.astype(numpy.float32) if x.dtype.kind == "V" else x
