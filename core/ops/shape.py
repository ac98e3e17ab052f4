"""Views of the whole tensor: the same elements in another shape, order or stretch."""

from __future__ import annotations

import builtins
import functools
import math
from typing import Any

from numpy import ndarray

from core import backend
from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.mode import mode
from core.autograd.place import where_it_lies
from core.autograd.quick import leading, view_of
from core.ops.cast import contiguous
from core.ops.dims import axis_of, distinct, flat

__all__ = "reshape ravel flatten squeeze unsqueeze permute transpose t broadcast_to".split()

# ---- reshaping --------------------------------------------------------------------------------


@leading
@primitive(view=True, label="ViewBackward0")
def reshape_array(x, shape):
    """`x` in another shape: a view where the memory allows it, else a copy."""
    return x.reshape(shape)


reshape_array.defvjp(x=lambda g, x_shape: g.reshape(x_shape), shape=None)


@leading
@primitive(view=True, label="ReshapeAliasBackward0")
def alias_in_shape(x, shape):
    """A view of `x`, which has gaps or another order in memory, in another shape."""
    return x.reshape(shape)


alias_in_shape.defvjp(x=lambda g, x_shape: g.reshape(x_shape), shape=None)


@leading
@primitive(label="UnsafeViewBackward0")
def copied_in_shape(x, shape):
    """A copy of `x` in another shape."""
    return x.reshape(shape)


copied_in_shape.defvjp(x=lambda g, x_shape: g.reshape(x_shape), shape=None)


def quick_in_rows(general: Any) -> Any:
    """A form of reshape, `general`, that is quick where the memory has no gaps: all are views."""
    op = reshape_array.op

    @functools.wraps(general)
    def quick(input: Any, *shape: Any, **named: Any) -> Any:
        x, recording = input.array, mode.fast
        if recording is not None and shape and type(x) is ndarray and x.flags.c_contiguous:
            try:
                out = x.reshape(*shape)
                sizes = out.shape
                fits = sizes == shape or sizes == shape[0] or -1 in shape
            except (ValueError, TypeError):
                fits = False  # what does not fit, `general` says in PyTorch's words
            if fits:  # NumPy infers any size below zero, not only -1
                return view_of(op, (input, sizes), x, out, recording)
        return general(input, *shape, **named)

    return quick


@quick_in_rows
def reshape(input: Any, *shape: Any, **named: Any) -> Any:
    """`input` in another shape; one size may be -1. A view where the memory allows it, else a copy.

    Raises: RuntimeError where the number of elements differs.
    """
    return in_shape(input, resolved(input.array.shape, flat(shape or (named["shape"],))))


def in_shape(x: Any, shape: tuple[int, ...]) -> Any:
    """The tensor `x` in a shape of as many elements: a view where possible, else a copy."""
    array = x.array
    if array.flags.c_contiguous:
        return reshape_array(x, shape)
    return alias_in_shape(x, shape) if _viewable(array, shape) else copied_in_shape(x, shape)


@where_it_lies
def _viewable(array: Any, shape: tuple[int, ...]) -> bool:
    out = array.reshape(shape)
    return array.size == 0 or backend.owner(out) is backend.owner(array)


def resolved(have: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` with its -1 replaced by what is left of the elements of `have`.

    Raises: RuntimeError where the number of elements differs.
    """
    count = math.prod(have)
    if -1 not in shape and math.prod(shape) == count and (not shape or min(shape) >= 0):
        return shape
    known = math.prod(n for n in shape if n != -1)
    if builtins.any(n < -1 for n in shape):
        bad = next(n for n in shape if n < -1)
        raise RuntimeError(f"invalid shape dimension {bad}")
    if shape.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    full = shape
    if -1 in shape:
        if not known and not count:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)} because the"
                " unspecified dimension size -1 can be any value and is ambiguous"
            )
        full = tuple((count // known if known else -1) if n == -1 else n for n in shape)
    if math.prod(full) != count:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {count}")
    return full


def view(input: Any, *shape: Any) -> Any:
    """A view of `input` in another shape, or of its memory as elements of another dtype.

    Raises: RuntimeError where the memory does not allow a view.
    """
    want = resolved(input.array.shape, flat(shape))
    array = input.array
    if not array.flags.c_contiguous and not _viewable(array, want):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one"
            " dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return reshape_array(input, want)


@of_tensors("other")
def view_as(input: Any, other: Any) -> Any:
    """A view of `input` in the shape of `other`."""
    return view(input, *other.array.shape)


@of_tensors("other")
def reshape_as(input: Any, other: Any) -> Any:
    """`input` in the shape of `other`."""
    return reshape(input, *other.array.shape)


def ravel(input: Any) -> Any:
    """`input` as one dim: a view where it lies in memory row by row, else a copy."""
    return reshape_array(contiguous(input), (input.array.size,))


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """`input` with the dims from `start_dim` to `end_dim` made one."""
    x, shape, recording = input.array, input.array.shape, mode.fast
    if start_dim == 0 and end_dim == -1 and len(shape) > 1 and type(x) is ndarray:
        if recording is not None and x.flags.c_contiguous:
            return view_of(reshape_array.op, (input, (x.size,)), x, x.reshape(-1), recording)
    start, end = axis_of(start_dim, len(shape)), axis_of(end_dim, len(shape))
    if not shape:
        return reshape_array(input, (1,))
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if start == end:
        return input
    return in_shape(input, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


# ---- dims of size one -------------------------------------------------------------------------


def _squeezing(number: int) -> Any:
    @leading
    @primitive(view=True, name="squeeze", label=f"SqueezeBackward{number}")
    def squeeze_axes(x, axes):
        """`x` without the axes of size one among `axes`."""
        return x.squeeze(tuple([i for i, n in enumerate(x.shape) if n == 1 and i in axes]))

    squeeze_axes.defvjp(x=lambda g, x_shape: g.reshape(x_shape), axes=None)
    return squeeze_axes


_squeeze_all, _squeeze_one, _squeeze_some = map(_squeezing, range(3))


def squeeze(input: Any, dim: Any = None) -> Any:
    """`input` without its dims of size one, or without those in `dim` that are."""
    ndim = input.array.ndim
    if dim is None:
        return _squeeze_all(input, tuple(range(ndim)))
    if isinstance(dim, int):
        return _squeeze_one(input, (axis_of(dim, ndim),))
    return _squeeze_some(input, distinct(dim, ndim))


@leading
@primitive(view=True, name="unsqueeze")
def expand_axis(x, axis):
    """`x` with a new axis of size one."""
    shape, strides = x.shape, x.strides
    step = strides[axis] * shape[axis] if axis < len(shape) else x.itemsize
    shape = (*shape[:axis], 1, *shape[axis:])
    strides = (*strides[:axis], step, *strides[axis:])
    return backend.strided(x, shape, strides, backend.offset_of(x))


expand_axis.defvjp(x=lambda g, x_shape: g.reshape(x_shape), axis=None)


def unsqueeze(input: Any, dim: int) -> Any:
    """`input` with a new dim of size one at `dim`."""
    return expand_axis(input, axis_of(dim, input.array.ndim + 1))


# ---- orders of axes ---------------------------------------------------------------------------


@leading
@primitive(view=True, name="permute")
def permute_axes(x, axes):
    """`x` with its axes in the given order."""
    return x.transpose(axes)


permute_axes.defvjp(x=lambda g, axes: permute_axes(g, _inverse(axes)), axes=None)


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axes.index(i) for i in range(len(axes)))


def in_order(input: Any, order: tuple[int, ...]) -> Any:
    """`permute_axes` in fewer steps; None where the order, or the array, is not so plain."""
    x, recording = input.array, mode.fast
    if recording is None or type(x) is not ndarray or not order or min(order) < 0:
        return None
    try:
        out = x.transpose(order)
    except (ValueError, TypeError):
        return None  # what is no order of the axes, the long way says
    return view_of(permute_axes.op, (input, order), x, out, recording)


def permute(input: Any, *dims: Any, **named: Any) -> Any:
    """A view of `input` with its dims in the given order."""
    order = flat(dims or (named["dims"],))
    ndim = input.array.ndim
    if len(order) == ndim and (out := in_order(input, order)) is not None:
        return out
    if sorted(order) == list(range(ndim)):
        return permute_axes(input, order)
    if len(order) != ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the"
            f" length of the desired ordering of dimensions i.e. input.dim() = {ndim} is not equal"
            f" to len(dims) = {len(order)}"
        )
    axes = tuple(axis_of(d, ndim) for d in order)
    if len(dict.fromkeys(axes)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return permute_axes(input, axes)


@leading
@primitive(view=True)
def transpose(x, dim0, dim1):
    """A view of `x` with two dims swapped."""
    a, b = axis_of(dim0, x.ndim), axis_of(dim1, x.ndim)
    return x.swapaxes(a, b) if x.ndim else x[()] if x.shape else x.view()


transpose.defvjp(x=lambda g, dim0, dim1: transpose(g, dim0, dim1), dim0=None, dim1=None)


@leading
@primitive(view=True, name="t", label="TBackward0")
def transposed(x):
    """The transpose of an array of at most two axes, as a view."""
    return x.T if x.ndim > 1 else x.view()


transposed.defvjp(x=lambda g: transposed(g))


def t(input: Any) -> Any:
    """The transpose of a matrix; a vector or scalar as it is.

    Raises: RuntimeError for more than two dims.
    """
    x, recording = input.array, mode.fast
    ndim = x.ndim
    if ndim == 2 and recording is not None and type(x) is ndarray:
        return view_of(transposed.op, (input,), x, x.T, recording)
    if ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {ndim}D")
    return transposed(input)


# ---- stretching -------------------------------------------------------------------------------


@leading
@primitive(view=True, label="ExpandBackward0")
def broadcast_array(x, shape):
    """A view of `x` stretched to `shape`."""
    have = x.shape
    if have == shape:
        return x.view()
    lead = len(shape) - len(have)
    strides = (0,) * lead + tuple(
        step if n == want else 0
        for n, want, step in zip(have, shape[lead:], x.strides, strict=True)
    )
    return backend.strided(x, shape, strides, backend.offset_of(x))


broadcast_array.defvjp(x=lambda g: g, shape=None)  # the sweep sums the stretched axes


def expand(input: Any, *sizes: Any, **named: Any) -> Any:
    """A view of `input` stretched to `sizes`, where -1 keeps a size.

    Raises: RuntimeError where a size other than one would be stretched.
    """
    want = flat(sizes or (named["size"],))
    return broadcast_array(input, stretched(input.array.shape, want))


def stretched(have: tuple[int, ...], want: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that `have` stretched to `want` gets; -1 keeps a size.

    Raises: RuntimeError where a size other than one would be stretched.
    """
    lead = len(want) - len(have)
    if lead < 0:
        raise RuntimeError(
            f"expand({list(have)}, size={list(want)}): the number of sizes provided ({len(want)})"
            f" must be greater or equal to the number of dimensions in the tensor ({len(have)})"
        )
    full = []
    for i, n in enumerate(want):
        old = have[i - lead] if i >= lead else None
        if n < 0 and (old is None or n < -1):
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) isn't allowed in a leading, non-existing"
                f" dimension {i}"
            )
        if old is not None and n not in (-1, old) and old != 1:
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({old}) at"
                f" non-singleton dimension {i}.  Target sizes: {list(want)}.  Tensor sizes:"
                f" {list(have)}"
            )
        full.append(old if n == -1 and old is not None else n)
    return tuple(full)


def broadcast_to(input: Any, *size: Any, **named: Any) -> Any:
    """A view of `input` stretched to `size`, where -1 keeps a size."""
    return expand(input, *size, **named)


@of_tensors("other")
def expand_as(input: Any, other: Any) -> Any:
    """A view of `input` stretched to the shape of `other`."""
    return expand(input, other.array.shape)
