"""The elements in other places, or repeated: copies."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.autograd.place import where_it_lies
from core.autograd.quick import leading
from core.autograd.value import called, wrap
from core.backend import packed, xp
from core.layout import dense
from core.ops.cast import compact
from core.ops.dims import axis_of, distinct, flat, pair_of
from core.ops.gather import index_select
from core.ops.parts import in_zeros
from core.ops.shape import broadcast_array, reshape_array, transpose

__all__ = "roll flip fliplr flipud rot90 tile repeat_interleave".split()


@leading
@primitive(name="roll")
def roll_axes(x, shifts, axes):
    """The elements of `x` moved along axes, around the end."""
    return packed(xp(x).roll(x, shifts, axes))


roll_axes.defvjp(
    x=lambda g, shifts, axes: roll_axes(g, tuple(-n for n in shifts), axes), shifts=None, axes=None
)


def roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    """The elements moved by `shifts` along `dims`, around the end; in the flat order without dims.

    Raises: RuntimeError where the shifts and dims differ in number.
    """
    moves, places = pair_of(shifts), pair_of(dims)
    if not moves:
        raise RuntimeError("`shifts` required")
    if not places and len(moves) == 1:
        flat_ = roll_axes(reshape_array(input, (input.array.size,)), moves, (0,))
        return called(reshape_array(flat_, input.array.shape), "RollBackward0")
    if len(moves) != len(places):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(moves)}, dims:{len(places)}"
        )
    if not input.array.size:
        return called(input.clone(), "RollBackward0")
    return roll_axes(input, moves, tuple(axis_of(d, input.array.ndim) for d in places))


@leading
@primitive(name="flip")
def flip_axes(x, axes):
    """The elements of `x` in the opposite order along axes."""
    return dense(xp(x).flip(x, axes), x.dtype)


flip_axes.defvjp(x=lambda g, axes: flip_axes(g, axes), axes=None)


def flip(input: Any, *dims: Any, **named: Any) -> Any:
    """The elements in the opposite order along `dims`."""
    axes = distinct(flat(dims or (named["dims"],)), input.array.ndim)
    return flip_axes(input, axes) if input.array.ndim else input.clone()


def fliplr(input: Any) -> Any:
    """The columns in the opposite order.

    Raises: RuntimeError for fewer than two dims.
    """
    if input.array.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip_axes(input, (1,))


def flipud(input: Any) -> Any:
    """The rows in the opposite order.

    Raises: RuntimeError for fewer than one dim.
    """
    if input.array.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip_axes(input, (0,))


def rot90(input: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    """The tensor turned by 90 degrees `k` times, from the first of two dims towards the second.

    Raises: RuntimeError unless there are two different dims.
    """
    ndim = input.array.ndim
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {ndim}")
    a, b = axis_of(dims[0], ndim), axis_of(dims[1], ndim)
    if a == b:
        raise RuntimeError(
            f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}"
        )
    turns = k % 4
    if turns == 0:
        return called(input.clone(), "Rot90Backward0")
    if turns == 2:
        return called(flip_axes(input, (a, b)), "Rot90Backward0")
    turned = flip_axes(input, (b,) if turns == 1 else (a,))
    return called(transpose(turned, a, b), "Rot90Backward0")


# ---- repetition -------------------------------------------------------------------------------


@leading
@primitive(name="repeat")
def repeat_axes(x, times):
    """`x` laid out so many times along each axis."""
    return xp(x).tile(x, times)


repeat_axes.defvjp(x=lambda g, x_shape, times: _folded(g, x_shape, times), times=None)


def _folded(g: Any, shape: tuple[int, ...], times: tuple[int, ...]) -> Any:
    """The sum over the repetitions that made `g` of an array of `shape`."""
    full = (1,) * (len(times) - len(shape)) + tuple(shape)
    if 0 in times:
        return in_zeros(reshape_array(g, (0,)), (slice(0, 0),), (math.prod(shape),)).reshape(shape)
    pairs = [m for pair in zip(times, full) for m in pair]
    return reshape_array(
        reshape_array(g, tuple(pairs)).sum(tuple(range(0, 2 * len(full), 2))), shape
    )


def repeat(input: Any, *repeats: Any) -> Any:
    """The tensor laid out so many times along each dim; more repeats than dims add leading dims.

    Raises: RuntimeError for fewer repeats than dims.
    """
    times = flat(repeats)
    if len(times) < input.array.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of"
            " tensor"
        )
    if any(n < 0 for n in times):
        raise RuntimeError(f"Trying to create tensor with negative dimension in repeats {times}")
    return repeat_axes(input, times)


def tile(input: Any, *dims: Any) -> Any:
    """The tensor laid out so many times along its last dims."""
    times = flat(dims)
    return repeat_axes(input, (1,) * (input.array.ndim - len(times)) + times)


def _repeated(counts: Any) -> Any:
    """Each index as often as its count says; CuPy's `repeat` takes no array of counts."""
    module = xp(counts)
    if module is numpy:
        return numpy.arange(counts.size).repeat(counts)
    ends = counts.cumsum()
    total = int(ends[-1]) if counts.size else 0
    return module.searchsorted(ends, module.arange(total), side="right")


@where_it_lies
def repeat_interleave(
    input: Any, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Any:
    """Each element along a dim (of the flat order without) repeated, all so often or each its own.

    Given one tensor of counts alone: each index as often as its count.
    Raises: RuntimeError where the counts do not fit or are negative.
    """
    if repeats is None:
        return wrap(_repeated(_counts(input.array)))
    x = input if dim is not None else reshape_array(input, (input.array.size,))
    axis = axis_of(dim or 0, x.array.ndim)
    if isinstance(repeats, int):
        if not x.array.ndim:
            raise IndexError("repeat_interleave: a 0-dim tensor has no dimension to repeat along")
        return _each_repeated(x, repeats, axis)
    counts = _counts(repeats.array)
    n = x.array.shape[axis]
    if counts.size == 1:
        return _each_repeated(x, int(counts.reshape(())), axis)
    if counts.ndim != 1 or counts.size != n:
        raise RuntimeError(
            "repeats must have the same size as input along dim, but got repeats.size(0) ="
            f" {counts.size} and input.size({axis}) = {n}"
        )
    return index_select(x, axis, wrap(_repeated(counts)))


def _counts(counts: Any) -> Any:
    if counts.dtype not in (numpy.int64, numpy.int32):
        raise NotImplementedError("repeats has to be Long or Int tensor")
    if counts.size and int(counts.min()) < 0:
        raise RuntimeError("repeats can not be negative")
    return counts


def _each_repeated(x: Any, times: int, axis: int) -> Any:
    if times < 0:
        raise RuntimeError("Repeats must be non-negative")
    shape = x.array.shape or (1,)
    x = reshape_array(x, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    wide = broadcast_array(x, (*shape[: axis + 1], times, *shape[axis + 1 :]))
    return reshape_array(compact(wide), (*shape[:axis], shape[axis] * times, *shape[axis + 1 :]))
