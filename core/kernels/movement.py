"""Elements in other places on the CPU: slices joined, and masks of triangles kept."""

from __future__ import annotations

import functools
from typing import Any

import numpy

from core.kernels.piece import number
from core.ops import movement, parts, triangle

FEW = 1 << 14  # elements of a mask that is kept


@functools.lru_cache(maxsize=64)
def _mask(rows: int, columns: int, diagonal: int) -> Any:
    """True on and below a diagonal."""
    return numpy.tri(rows, columns, diagonal, dtype=bool)


def _lower(x, diagonal):
    if not _is_few(x, diagonal):
        return triangle.lower.op.forward(x, diagonal)
    return numpy.where(_mask(*x.shape[-2:], diagonal), x, number(0, x.dtype))


def _upper(x, diagonal):
    if not _is_few(x, diagonal):
        return triangle.upper.op.forward(x, diagonal)
    return numpy.where(_mask(*x.shape[-2:], diagonal - 1), number(0, x.dtype), x)


def _is_few(x: Any, diagonal: Any) -> bool:
    if x.dtype.char not in "fd" or type(diagonal) is not int or not x.flags.c_contiguous:
        return False
    return x.shape[-2] * x.shape[-1] <= FEW


def _diagonal(x, offset, axis1, axis2):
    if not x.size or not x.flags.writeable:
        return parts.diagonal_array.op.forward(x, offset, axis1, axis2)
    out = x.diagonal(offset, axis1, axis2)
    if not out.size:
        return parts.diagonal_array.op.forward(x, offset, axis1, axis2)
    out.flags.writeable = True  # as the memory is
    return out


def _roll(x, shifts, axes):
    if len(axes) != 1 or not x.size or not x.flags.c_contiguous:
        return movement.roll_axes.op.forward(x, shifts, axes)
    whole, n = (slice(None),) * axes[0], x.shape[axes[0]]
    cut = -shifts[0] % n
    halves = x[(*whole, slice(cut, None))], x[(*whole, slice(cut))]
    return numpy.concatenate(halves, axes[0])


def _flip(x, axes):
    if len(axes) != 1 or not x.flags.c_contiguous:
        return movement.flip_axes.op.forward(x, axes)
    return x[(*(slice(None),) * axes[0], slice(None, None, -1))].copy()


DIRECT = (
    (triangle.lower, _lower),
    (triangle.upper, _upper),
    (parts.diagonal_array, _diagonal),
    (movement.roll_axes, _roll),
    (movement.flip_axes, _flip),
)
