"""Order: sorting, the largest few, and places in a sorted sequence."""

from __future__ import annotations

from typing import Any

import numpy

from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.inplace import write_out
from core.autograd.place import where_it_lies
from core.autograd.quick import leading
from core.autograd.value import Value, called, wrap
from core.backend import packed, xp
from core.dtype import BOOL, of
from core.ops import results
from core.ops.dims import axis_of
from core.ops.extreme import placed, refuse_empty, set_along, taken
from core.ops.promotion import is_half, refuse, same_device, without

__all__ = "sort argsort msort topk kthvalue searchsorted bucketize".split()


def order_of(x: Any, axis: int, descending: bool = False) -> Any:
    """The indices that sort along an axis; equal elements keep their order, NaN is the largest."""
    module = xp(x)
    if not x.ndim:
        return module.zeros((), numpy.int64)
    keys = x.astype(numpy.float32) if is_half(x) else x
    if not descending:
        return _stable(module, keys, axis)
    last = x.shape[axis] - 1
    return module.flip(last - _stable(module, module.flip(keys, axis), axis), axis).copy()


def _stable(module: Any, keys: Any, axis: int) -> Any:
    if module is numpy:
        return numpy.argsort(keys, axis=axis, kind="stable")
    return keys.argsort(axis)  # CuPy's sort is always stable


# ---- sorting ----------------------------------------------------------------------------------


@leading
@primitive(result=results.sort, name="sort")
def sort_along(x, dim, descending):
    """The elements in order along a dim, and where they were."""
    axis = axis_of(dim, x.ndim)
    index = order_of(x, axis, descending)
    return (xp(x).take_along_axis(x, index, axis) if x.ndim else x.copy()), index


@leading
@primitive(result=results.topk, name="topk")
def largest_few(x, k, dim, largest):
    """The `k` largest (or smallest) elements along a dim in order, and where they were.

    Raises: RuntimeError where there are not so many.
    """
    axis = axis_of(dim, x.ndim)
    if not 0 <= k <= (x.shape[axis] if x.ndim else 1):
        raise RuntimeError("selected index k out of range")
    if x.dtype == bool:
        raise RuntimeError("topk does not support bool dtypes")
    if not x.ndim:
        return x.copy(), xp(x).zeros((), numpy.int64)
    index = packed(order_of(x, axis, largest)[(slice(None),) * axis + (slice(k),)])
    return xp(x).take_along_axis(x, index, axis), index


for _call in (sort_along, largest_few):
    _call.defvjp(
        x=lambda g, out, dim, x_shape: (
            set_along(g[0], out[1], axis_of(dim, len(x_shape)), tuple(x_shape))
            if len(x_shape)
            else g[0]
        ),
        dim=None,
    )
sort_along.defvjp(descending=None)
largest_few.defvjp(k=None, largest=None)


@leading
@primitive(result=results.kthvalue, name="kthvalue")
def ranked(x, k, dim, keepdim):
    """The `k`-th smallest elements along a dim, counted from one, and where they are.

    Raises: RuntimeError where there are not so many.
    """
    axis = axis_of(dim, x.ndim)
    if x.ndim and not x.shape[axis]:
        refuse_empty("kthvalue", x.shape, (axis,))
    if not 1 <= k <= (x.shape[axis] if x.ndim else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}")
    refuse(BOOL, "kthvalue", of(x.dtype))
    index = order_of(x, axis)
    return taken(x, index[(slice(None),) * axis + (k - 1,)] if x.ndim else index, axis, keepdim)


ranked.defvjp(
    x=lambda g, out, dim, x_shape: placed(g[0], out[1], x_shape, dim),
    k=None,
    dim=None,
    keepdim=None,
)


def sort(
    input: Any,
    dim: int = -1,
    descending: bool = False,
    stable: bool | None = None,
    *,
    out: Any = None,
) -> Any:
    """The elements in order along a dim, and where they were; NaN counts as the largest."""
    result = sort_along(input, dim, descending)
    if stable is not None:
        called(result[0], "SortBackward1")
    return result if out is None else write_out(result, out)


def argsort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Any:
    """Where the elements that are in order along a dim were."""
    return sort_along(input, dim, descending)[1]


def msort(input: Any, *, out: Any = None) -> Any:
    """The elements in order along the first dim."""
    result = sort_along(input, 0, False)[0]
    return result if out is None else write_out(result, out)


def topk(
    input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *, out: Any = None
) -> Any:
    """The `k` largest elements along a dim (the smallest without `largest`) and where they were."""
    result = largest_few(input, k, dim, largest)
    return result if out is None else write_out(result, out)


def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The `k`-th smallest elements along a dim, counted from one, and where they are."""
    result = ranked(input, k, dim, keepdim)
    return result if out is None else write_out(result, out, apart=(input,))


# ---- places in a sorted sequence --------------------------------------------------------------


@primitive(casts=without(BOOL, "searchsorted", same_device), name="searchsorted")
def places(sequence, values, right, narrow):
    """Where `values` would stand in sorted rows: before equal elements, or after if `right`."""
    module, side = xp(sequence), "right" if right else "left"
    values = module.asarray(values)
    if sequence.ndim == 1:
        found = module.searchsorted(sequence, values, side=side)
    else:
        found = _row_places(module, sequence, values, right)
    return module.asarray(found).astype(numpy.int32 if narrow else numpy.int64)


places.defvjp(sequence=None, values=None, right=None, narrow=None)


def _row_places(module: Any, sequence: Any, values: Any, right: bool) -> Any:
    """In each row, how many of the sequence stand before each value in the merged order."""
    m = values.shape[-1]
    parts = (sequence, values) if right else (values, sequence)
    first = 0 if not right else sequence.shape[-1]
    order = order_of(module.concatenate(parts, -1), -1)
    ours = (order >= first) & (order < first + m)
    before = module.cumsum(~ours, -1)
    where = order_of(order, -1)[..., first : first + m]
    return module.take_along_axis(before, where, -1)


@of_tensors("sorted_sequence", "sorter", numbers="values", first=True)
@where_it_lies
def searchsorted(
    sorted_sequence: Any,
    values: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
    out: Any = None,
) -> Any:
    """Where `values` would stand in a sorted sequence, or row by row in several.

    Raises: RuntimeError where the leading sizes differ, or `side` contradicts `right`.
    """
    if side not in (None, "left", "right"):
        raise RuntimeError(f"side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError("side and right can't be set to opposites, got side of left while right")
    lead = tuple(sorted_sequence.shape)[:-1]
    have = tuple(values.array.shape) if isinstance(values, Value) else ()
    if lead and have[:-1] != lead:
        raise RuntimeError(
            "boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries"
            f" tensor and input value tensor must match, but got {list(sorted_sequence.shape)} and"
            f" {list(have)}"
        )
    if sorter is not None:
        array = sorted_sequence.array
        sorted_sequence = wrap(xp(array).take_along_axis(array, sorter.array, -1))
    result = places(sorted_sequence, values, right or side == "right", out_int32)
    return result if out is None else write_out(result, out)


@of_tensors("boundaries", numbers="input", first=True)
def bucketize(
    input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False, out: Any = None
) -> Any:
    """Which of the intervals between sorted boundaries each element falls into.

    Raises: RuntimeError unless the boundaries are one row.
    """
    if len(boundaries.shape) != 1:
        raise RuntimeError(
            f"boundaries tensor must be 1 dimension, but got dim({len(boundaries.shape)})"
        )
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)
