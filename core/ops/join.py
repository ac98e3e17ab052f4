"""Tensors joined into one: along a dim they have, or along a new one."""

from __future__ import annotations

import builtins
from typing import Any

from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.inplace import type_name, write_out
from core.backend import packed, xp
from core.dtype import can_cast, of
from core.layout import channels_last, channels_last_3d, follows
from core.ops.arrange import atleast_1d, atleast_2d, atleast_3d
from core.ops.cast import cast
from core.ops.dims import axis_of
from core.ops.parts import item_at, slice_axis
from core.ops.promotion import cast_all, common_dtype, settled
from core.ops.shape import reshape_array

__all__ = """
cat concat concatenate stack hstack vstack row_stack dstack column_stack block_diag
""".split()


def _promoted(arrays: list[Any], tensors: int) -> list[Any]:
    """The arrays behind the axis in their common dtype."""
    axis, *xs = arrays
    if settled(xs) is not None:
        return arrays
    return [axis, *cast_all(xs, tensors >> 1, common_dtype(xs, tensors >> 1))]


@primitive(casts=_promoted, name="cat")
def joined_arrays(axis, *xs):
    """The arrays joined along an axis."""
    out = xp(xs[0]).concatenate(xs, axis)
    wanted = {4: channels_last, 5: channels_last_3d}.get(out.ndim)
    if out.flags.c_contiguous or (wanted and builtins.all(follows(x, wanted) for x in xs)):
        return out
    return packed(out)


joined_arrays.defvjp(
    axis=None,
    xs=lambda g, i, axis, xs_shapes: slice_axis(
        g, axis, builtins.sum(s[axis] for s in xs_shapes[:i]), xs_shapes[i][axis]
    ),
)


def cat(tensors: Any, dim: int = 0, *, out: Any = None) -> Any:
    """The tensors joined along a dim they all have; empty vectors are left out.

    Raises: RuntimeError where their other sizes differ.
    """
    if hasattr(tensors, "array"):
        raise TypeError(
            "cat(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor"
        )
    xs = list(tensors)
    if not xs:
        raise ValueError("cat(): expected a non-empty list of Tensors")
    _check_tensors("cat", xs)
    shapes = [x.array.shape for x in xs]
    if () in shapes:
        n = shapes.index(())
        raise RuntimeError(f"zero-dimensional tensor (at position {n}) cannot be concatenated")
    first = shapes[0]
    if first == (0,):
        first = next((shape for shape in shapes if shape != (0,)), first)
    # Empty vectors are left out, and where nothing is left any dim will do.
    axis = axis_of(dim, len(first)) if first != (0,) else 0
    if shapes.count(first) != len(shapes):
        xs = _fitting(xs, first, axis)
    if out is None:
        return joined_arrays(axis, *xs)
    return write_out(joined_arrays(axis, *_cast_for(out, xs)), out, apart=xs)


def _cast_for(out: Any, xs: list[Any]) -> list[Any]:
    """The tensors in the dtype of `out`, where their common one can be cast to it."""
    common = common_dtype([x.array for x in xs], (1 << len(xs)) - 1)
    if not can_cast(common, of(out.array.dtype)):
        kind = type_name(of(out.array.dtype))
        raise TypeError(f"cat(): input types can't be cast to the desired output type {kind}")
    return [cast(x, out.array.dtype) for x in xs]


def _check_tensors(name: str, xs: list[Any]) -> None:
    for n, x in enumerate(xs):
        if not hasattr(x, "array"):
            raise TypeError(
                f"{name}(): expected Tensor as element {n} in argument 0, but got"
                f" {type(x).__name__}"
            )


def _fitting(xs: list[Any], first: tuple[int, ...], axis: int) -> list[Any]:
    """The tensors without empty vectors, whose sizes were found to agree with `first`."""
    out = []
    for n, x in enumerate(xs):
        if x.array.shape != (0,) or first == (0,):
            check_cat(first, x.array.shape, axis, n)
            out.append(x)
        else:  # an empty vector still takes part in promotion
            out.append(reshape_array(x, (*first[:axis], 0, *first[axis + 1 :])))
    return out


def check_cat(first: tuple[int, ...], other: tuple[int, ...], axis: int, n: int) -> None:
    """Raise RuntimeError unless the shapes agree in all but one axis."""
    if len(first) != len(other):
        raise RuntimeError(
            f"Tensors must have same number of dimensions: got {len(first)} and {len(other)}"
        )
    for i, (a, b) in enumerate(zip(first, other, strict=True)):
        if i != axis and a != b:
            raise RuntimeError(
                f"Sizes of tensors must match except in dimension {axis}. Expected size {a} but"
                f" got size {b} for tensor number {n} in the list."
            )


def concat(tensors: Any, dim: int = 0, *, out: Any = None) -> Any:
    """The tensors joined along a dim they all have: `cat`."""
    return cat(tensors, dim, out=out)


def concatenate(tensors: Any, dim: int = 0, *, out: Any = None) -> Any:
    """The tensors joined along a dim they all have: `cat`."""
    return cat(tensors, dim, out=out)


@primitive(casts=_promoted, name="stack")
def stacked_arrays(axis, *xs):
    """The arrays, all of one shape, joined along a new axis."""
    if axis or not xs[0].ndim:
        return packed(xp(xs[0]).stack(xs, axis))
    return packed(xp(xs[0]).concatenate(xs)).reshape(len(xs), *xs[0].shape)  # in half the time


stacked_arrays.defvjp(
    axis=None,
    xs=lambda g, i, axis: item_at(g, (slice(None),) * axis + (i, ...)),
)


def stack(tensors: Any, dim: int = 0, *, out: Any = None) -> Any:
    """The tensors, all of one shape, joined along a new dim.

    Raises: RuntimeError where a shape differs.
    """
    xs = list(tensors)
    if not xs:
        raise RuntimeError("stack expects a non-empty TensorList")
    _check_tensors("stack", xs)
    first = xs[0].array.shape
    for n, x in enumerate(xs):
        if x.array.shape != first:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first)} at"
                f" entry 0 and {list(x.array.shape)} at entry {n}"
            )
    axis = axis_of(dim, len(first) + 1)
    if out is None:
        return stacked_arrays(axis, *xs)
    return write_out(stacked_arrays(axis, *_cast_for(out, xs)), out)


def _some(name: str, tensors: Any) -> list[Any]:
    if not tensors:
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return list(tensors)


def hstack(tensors: Any, *, out: Any = None) -> Any:
    """The tensors joined along dim 1, vectors along dim 0."""
    xs = atleast_1d(_some("hstack", tensors))
    return cat(xs, 0 if xs[0].array.ndim == 1 else 1, out=out)


def vstack(tensors: Any, *, out: Any = None) -> Any:
    """The tensors joined along dim 0, vectors as rows."""
    return cat(atleast_2d(_some("vstack", tensors)), 0, out=out)


def row_stack(tensors: Any, *, out: Any = None) -> Any:
    """The tensors joined along dim 0, vectors as rows: `vstack`."""
    return vstack(tensors, out=out)


def dstack(tensors: Any, *, out: Any = None) -> Any:
    """The tensors joined along dim 2."""
    xs = list(tensors)
    if not xs:
        raise RuntimeError("dstack expects a non-empty TensorList")
    return cat(atleast_3d(xs), 2, out=out)


def column_stack(tensors: Any, *, out: Any = None) -> Any:
    """The tensors joined along dim 1, vectors as columns."""
    columns = [reshape_array(x, (x.array.size, 1)) if x.array.ndim < 2 else x for x in tensors]
    return cat(columns, 1, out=out)


@of_tensors("xs")
@primitive(casts=lambda arrays, tensors: cast_all(arrays, tensors, common_dtype(arrays, tensors)))
def block_diag(*xs):
    """The matrices, or vectors as rows, along the diagonal of a matrix of zeros."""
    blocks = [x.reshape((1,) * (2 - x.ndim) + x.shape) for x in xs]
    rows = builtins.sum(b.shape[0] for b in blocks)
    out = xp(xs[0]).zeros((rows, builtins.sum(b.shape[1] for b in blocks)), xs[0].dtype)
    r = c = 0
    for b in blocks:
        out[r : r + b.shape[0], c : c + b.shape[1]] = b
        r, c = r + b.shape[0], c + b.shape[1]
    return out


block_diag.defvjp(xs=lambda g, i, xs_shapes: _block_of(g, i, xs_shapes))


def _block_of(g: Any, i: int, shapes: Any) -> Any:
    full = [(1,) * (2 - len(shape)) + tuple(shape) for shape in shapes]
    r = builtins.sum(shape[0] for shape in full[:i])
    c = builtins.sum(shape[1] for shape in full[:i])
    rows, columns = full[i]
    part = slice_axis(slice_axis(g, 0, r, rows), 1, c, columns)
    return reshape_array(part, tuple(shapes[i]))
