"""Views and movements: the same elements in another arrangement."""

from __future__ import annotations

import builtins
import math
from typing import Any

from core.autograd.dispatch import primitive
from core.autograd.value import Value
from core.backend import xp
from core.ops.dims import axis_of, flat
from core.ops.promotion import promote

__all__ = "reshape flatten squeeze unsqueeze permute transpose t broadcast_to cat stack".split()

# ---- reshaping --------------------------------------------------------------------------------


@primitive(view=True, label="ViewBackward0")
def reshape_array(x, shape):
    """`x` in another shape: a view where the memory allows it, else a copy."""
    return x.reshape(shape)


reshape_array.defvjp(x=lambda g, x_shape: reshape_array(g, x_shape), shape=None)


def reshape(x: Any, *shape: Any) -> Any:
    """`x` in another shape; one size may be -1. A view where the memory allows it, else a copy.

    Raises: RuntimeError where the number of elements differs.
    """
    return reshape_array(x, resolved(tuple(x.shape), flat(shape)))


def resolved(have: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` with its -1 replaced by what is left of the elements of `have`.

    Raises: RuntimeError where the number of elements differs.
    """
    count = math.prod(have)
    known = math.prod(n for n in shape if n != -1)
    if builtins.any(n < -1 for n in shape):
        bad = next(n for n in shape if n < -1)
        raise RuntimeError(f"invalid shape dimension {bad}")
    if shape.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    if -1 in shape:
        if not known:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)} because the"
                " unspecified dimension size -1 can be any value and is ambiguous"
            )
        shape = tuple(count // known if n == -1 else n for n in shape)
    if math.prod(shape) != count:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {count}")
    return shape


def view(x: Any, *shape: Any) -> Any:
    """A view of `x` in another shape.

    Raises: RuntimeError where the memory does not allow a view.
    """
    out = reshape(x, *shape)
    if x.array.size and out.version is not x.version:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one"
            " dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return out


def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """`x` with the dims from `start_dim` to `end_dim` made one."""
    shape = tuple(x.shape)
    if not shape:
        return reshape_array(x, (1,))
    start, end = axis_of(start_dim, len(shape)), axis_of(end_dim, len(shape))
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    return reshape_array(x, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


@primitive(view=True)
def squeeze_axes(x, axes):
    """`x` without the axes of size one among `axes`."""
    return x.reshape(tuple(n for i, n in enumerate(x.shape) if i not in axes or n != 1))


squeeze_axes.op.label = "SqueezeBackward0"
squeeze_axes.defvjp(x=lambda g, x_shape: reshape_array(g, x_shape), axes=None)


def squeeze(x: Any, dim: Any = None) -> Any:
    """`x` without its dims of size one, or without those in `dim` that are."""
    ndim = len(x.shape)
    dims = range(ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    return squeeze_axes(x, tuple(axis_of(d, ndim) for d in dims))


def unsqueeze(x: Any, dim: int) -> Any:
    """`x` with a new dim of size one at `dim`."""
    axis = axis_of(dim, len(x.shape) + 1)
    shape = tuple(x.shape)
    return unsqueeze_axis(x, (*shape[:axis], 1, *shape[axis:]))


@primitive(view=True, label="UnsqueezeBackward0")
def unsqueeze_axis(x, shape):
    """`x` in `shape`, which has one more axis of size one."""
    return x.reshape(shape)


unsqueeze_axis.defvjp(x=lambda g, x_shape: reshape_array(g, x_shape), shape=None)


# ---- orders of axes ---------------------------------------------------------------------------


@primitive(view=True, label="PermuteBackward0")
def permute_axes(x, axes):
    """`x` with its axes in the given order."""
    return x.transpose(axes)


permute_axes.defvjp(x=lambda g, axes: permute_axes(g, _inverse(axes)), axes=None)


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axes.index(i) for i in range(len(axes)))


def permute(x: Any, *dims: Any) -> Any:
    """A view of `x` with its dims in the given order."""
    order = flat(dims)
    ndim = len(x.shape)
    if len(order) != ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the"
            f" length of the desired ordering of dimensions i.e. input.dim() = {ndim} is not equal"
            f" to len(dims) = {len(order)}"
        )
    axes = tuple(axis_of(d, ndim) for d in order)
    if len(dict.fromkeys(axes)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return permute_axes(x, axes)


@primitive(view=True)
def transpose(x, dim0, dim1):
    """A view of `x` with two dims swapped."""
    axes = list(range(x.ndim))
    a, b = axis_of(dim0, x.ndim), axis_of(dim1, x.ndim)
    if axes:
        axes[a], axes[b] = axes[b], axes[a]
    return x.transpose(axes)


transpose.defvjp(x=lambda g, dim0, dim1: transpose(g, dim0, dim1), dim0=None, dim1=None)


def t(x: Any) -> Any:
    """The transpose of a matrix; a vector or scalar as it is."""
    if len(x.shape) > 2:
        raise RuntimeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {len(x.shape)}D"
        )
    return transpose(x, 0, 1) if len(x.shape) == 2 else reshape_array(x, tuple(x.shape))


# ---- repetition -------------------------------------------------------------------------------


@primitive(view=True, label="ExpandBackward0")
def broadcast_array(x, shape):
    """A view of `x` stretched to `shape`."""
    return xp(x).broadcast_to(x, shape)


broadcast_array.defvjp(x=lambda g: g, shape=None)  # the sweep sums the stretched axes


def broadcast_to(x: Any, *shape: Any) -> Any:
    """A view of `x` stretched to `shape`, where -1 keeps a size.

    Raises: RuntimeError where a size other than one would be stretched.
    """
    want, have = flat(shape), tuple(x.shape)
    lead = len(want) - len(have)
    if lead < 0:
        raise RuntimeError(
            f"expand({list(have)}, size={list(want)}): the number of sizes provided ({len(want)})"
            f" must be greater or equal to the number of dimensions in the tensor ({len(have)})"
        )
    full = []
    for i, n in enumerate(want):
        old = have[i - lead] if i >= lead else None
        if n == -1 and old is None:
            raise RuntimeError(
                f"The expanded size of the tensor (-1) isn't allowed in a leading, non-existing"
                f" dimension {i}"
            )
        if old is not None and n not in (-1, old) and old != 1:
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({old}) at"
                f" non-singleton dimension {i}.  Target sizes: {list(want)}.  Tensor sizes:"
                f" {list(have)}"
            )
        full.append(old if n == -1 else n)
    return broadcast_array(x, tuple(full))


expand = broadcast_to


# ---- joining ----------------------------------------------------------------------------------


@primitive(casts=promote, label="CatBackward0")
def concatenate(axis, *xs):
    """The arrays joined along an axis."""
    return xp(xs[0]).concatenate(xs, axis)


concatenate.defvjp(
    axis=None,
    xs=lambda g, i, axis, xs_shapes: slice_axis(
        g, axis, builtins.sum(s[axis] for s in xs_shapes[:i]), xs_shapes[i][axis]
    ),
)


def slice_axis(x: Any, axis: int, start: int, length: int) -> Any:
    """The part of `x` of a length from `start` along one axis."""
    return x[(slice(None),) * axis + (slice(start, start + length),)]


def cat(tensors: Any, dim: int = 0, *, out: Any = None) -> Any:
    """The tensors joined along a dim they all have.

    Raises: RuntimeError where their other sizes differ.
    """
    xs = list(tensors)
    if not xs:
        raise RuntimeError("torch.cat(): expected a non-empty list of Tensors")
    full = [x for x in xs if tuple(x.shape) != (0,)] or xs[:1]
    ndim = len(full[0].shape)
    if not ndim:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    axis = axis_of(dim, ndim)
    first = tuple(full[0].shape)
    for n, x in enumerate(full):
        check_cat(first, tuple(x.shape), axis, n)
    return concatenate(axis, *full) if out is None else concatenate(axis, *full, out=out)


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


def stack(tensors: Any, dim: int = 0, *, out: Any = None) -> Any:
    """The tensors, all of one shape, joined along a new dim.

    Raises: RuntimeError where a shape differs.
    """
    xs = list(tensors)
    if not xs:
        raise RuntimeError("stack expects a non-empty TensorList")
    for n, x in enumerate(xs):
        if tuple(x.shape) != tuple(xs[0].shape):
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(xs[0].shape)} at"
                f" entry 0 and {list(x.shape)} at entry {n}"
            )
    return cat([unsqueeze(x, dim) for x in xs], dim, out=out)


def is_value(x: Any) -> bool:
    """Whether `x` is a tensor."""
    return isinstance(x, Value)
