"""Scatter with a reduction: sums, products, means, largest and smallest elements per place."""

from __future__ import annotations

from typing import Any

import numpy

from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.inplace import write_out
from core.autograd.place import where_it_lies
from core.autograd.value import called, wrap
from core.backend import xp
from core.ops.choice import choose
from core.ops.dims import axis_of
from core.ops.gather import add_along, check_along, gather_array
from core.ops.positions import along, combine_at, counted
from core.ops.promotion import accumulates_in, same_device
from core.ops.scatter import check_source, corner, padded_to, put_along
from core.ops.shape import broadcast_array, reshape_array

__all__ = "scatter_reduce index_reduce".split()

UFUNCS = {"sum": "add", "mean": "add", "prod": "multiply", "amax": "maximum", "amin": "minimum"}


@primitive(casts=same_device, name="scatter_reduce")
def reduce_along(x, index, src, axis, reduce, include_self):
    """`x` with the elements of `src` combined into indices along one axis."""
    places = along(index, axis, x.shape).reshape(-1)
    out = x.astype(accumulates_in(x.dtype) if x.dtype.kind in "fV" else x.dtype).reshape(-1)
    if not include_self:
        out[places] = identity(reduce, out.dtype)
    values = corner(src, index.shape).reshape(-1).astype(out.dtype, copy=False)
    combine_at(UFUNCS[reduce], out, places, values)
    if reduce == "mean":
        count = counts(index, axis, x.shape, include_self).reshape(-1).astype(out.dtype)
        out = out / count if out.dtype.kind == "f" else out // count
    return out.reshape(x.shape).astype(x.dtype, copy=False)


def identity(reduce: str, dtype: Any) -> Any:
    """What leaves the other operand of a reduction as it is."""
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    if dtype.kind == "f":
        return -numpy.inf if reduce == "amax" else numpy.inf
    if dtype.kind == "b":
        return reduce == "amin"
    limits = numpy.iinfo(dtype)
    return limits.min if reduce == "amax" else limits.max


@where_it_lies
def counts(index: Any, axis: int, shape: Any, include_self: bool) -> Any:
    """How many elements are combined at each place, at least one."""
    module = xp(index)
    places = along(index, axis, shape).reshape(-1)
    size = 1
    for n in shape:
        size *= n
    count = counted(places, size).reshape(shape)
    return count + 1 if include_self else module.maximum(count, 1)


def _array(x: Any) -> Any:
    return x.array if hasattr(x, "array") else x


def _untouched(g: Any, index: Any, axis: int, include_self: bool) -> Any:
    """`g`, with zeros where `x` was replaced."""
    return g if include_self else put_along(g, index, 0, axis)


@where_it_lies
def _like(g: Any, array: Any) -> Any:
    """A constant array, or number of NumPy's, in the dtype of `g`."""
    return xp(_array(g)).asarray(array, _array(g).dtype)


@where_it_lies
def _ties(x: Any, index: Any, src: Any, axis: int, include_self: bool, out: Any) -> Any:
    """Which of `x` and of `src` equal the result, and among how many of them it is shared."""
    x, index, src, out = map(_array, (x, index, src, out))
    mine = (x == out) if include_self else put_along(x == out, index, False, axis)
    theirs = corner(src, index.shape) == gather_array(out, index, axis)
    wide = numpy.dtype("float32") if out.dtype.kind == "V" else out.dtype
    total = mine.astype(wide) + add_along(theirs.astype(wide), index, axis, out.shape)
    return mine, theirs, total


def _to_x(g, x, index, src, axis, reduce, include_self, out):
    if reduce == "sum":
        return _untouched(g, index, axis, include_self)
    if reduce == "mean":
        count = counts(_array(index), axis, out.shape, include_self)
        return _untouched(g / _like(g, count), index, axis, include_self)
    if reduce == "prod":
        others = reduce_along(x * 0 + 1, index, src, axis, "prod", True)
        return _untouched(g * others, index, axis, include_self)
    mine, _, total = _ties(x, index, src, axis, include_self, out)
    return g * _like(g, mine / xp(total).maximum(total, 1))


def _product_of_others(x: Any, index: Any, part: Any, axis: int, include_self: bool) -> Any:
    """For each element of `part`: the product of what else is combined at its place."""
    if hasattr(x, "array"):  # it will be differentiated
        return _product_written_out(x, index, part, axis, include_self)
    filled = choose(part == 0, 1, part)
    whole = reduce_along(choose(x == 0, 1, x), index, filled, axis, "prod", include_self)
    mine, at = _array(part) == 0, _array(index)
    none = add_along(mine.astype(numpy.int64), at, axis, _array(x).shape)
    if include_self:
        none = none + (_array(x) == 0)
    others = gather_array(none, at, axis) - mine  # how many zeros there are among the others
    product = gather_array(whole, index, axis) / filled
    return choose(others == 0, product, 0)


@where_it_lies
def _product_written_out(x: Any, index: Any, part: Any, axis: int, include_self: bool) -> Any:
    """`_product_of_others` in products alone, whose derivatives hold for zeros, too."""
    places = along(_array(index), axis, x.array.shape).reshape(-1)
    order = places.argsort()
    places = places[order]
    sorted_ = gather_array(reshape_array(part, (-1,)), order, 0)
    found = _on_one_side(sorted_, places, 1) * _on_one_side(sorted_, places, -1)
    found = reshape_array(gather_array(found, order.argsort(), 0), part.array.shape)
    return found * gather_array(x, _array(index), axis) if include_self else found


def _on_one_side(x: Any, places: Any, side: int) -> Any:
    """For each element the product of those before it (`side` 1), or behind, at the same place.

    Of as many as there are at most, by doubling.
    """
    module, n = xp(places), len(places)
    here = module.arange(n)

    def beside(x: Any, distance: int) -> Any:
        there = here - side * distance
        known = module.clip(there, 0, n - 1)
        same = (known == there) & (places[known] == places)
        return choose(wrap(same), gather_array(x, known, 0), 1)

    found, distance = beside(x, 1), 1
    while distance < n and bool((places[distance:] == places[:-distance]).any()):
        found = found * beside(found, distance)
        distance *= 2
    return found


def _to_src(g, x, index, src, axis, reduce, include_self, out, src_shape):
    if reduce in ("sum", "mean"):
        if reduce == "mean":
            g = g / _like(g, counts(_array(index), axis, out.shape, include_self))
        return padded_to(gather_array(g, index, axis), src_shape)
    if reduce == "prod":
        part = src[tuple(slice(n) for n in index.shape)]
        others = _product_of_others(x, index, part, axis, include_self)
        return padded_to(gather_array(g, index, axis) * others, src_shape)
    _, theirs, total = _ties(x, index, src, axis, include_self, out)
    share = g / _like(g, xp(total).maximum(total, 1))
    return padded_to(gather_array(share, index, axis) * _like(g, theirs), src_shape)


reduce_along.defvjp(
    x=lambda g, x, index, src, axis, reduce, include_self, out: _to_x(
        g, x, index, src, axis, reduce, include_self, out
    ),
    index=None,
    src=lambda g, x, index, src, axis, reduce, include_self, out, src_shape: _to_src(
        g, x, index, src, axis, reduce, include_self, out, src_shape
    ),
    axis=None,
    reduce=None,
    include_self=None,
)


@of_tensors("input", "index", "src")
def scatter_reduce(
    input: Any,
    dim: int,
    index: Any,
    src: Any,
    reduce: str,
    *,
    include_self: bool = True,
    out: Any = None,
) -> Any:
    """`input` with the elements of `src` combined into `index` along a dim.

    `reduce` is sum, prod, mean, amax or amin.
    Raises: RuntimeError where shapes, dtypes, indices or the reduction do not fit.
    """
    if reduce not in UFUNCS:
        raise RuntimeError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    axis = axis_of(dim, input.array.ndim)
    check_along("scatter", input, axis, index)
    check_source("scatter", input, index, src)
    result = reduce_along(input, index, src, axis, reduce, include_self)
    return result if out is None else write_out(result, out)


@of_tensors("input", "index", "source")
def index_reduce(
    input: Any,
    dim: int,
    index: Any,
    source: Any,
    reduce: str,
    *,
    include_self: bool = True,
    out: Any = None,
) -> Any:
    """`input` with the parts of `source` combined into indices along a dim.

    Raises: RuntimeError where shapes, dtypes, indices or the reduction do not fit.
    """
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            "index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got"
            f" {reduce}."
        )
    axis = axis_of(dim, input.array.ndim)
    line = [1] * source.array.ndim
    line[axis : axis + 1] = [index.array.size] * bool(line)
    wide = broadcast_array(reshape_array(index, tuple(line)), tuple(source.array.shape))
    found = scatter_reduce(input, axis, wide, source, reduce, include_self=include_self, out=out)
    return called(found, "IndexReduceBackward0")
