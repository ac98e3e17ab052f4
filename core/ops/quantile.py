"""Quantiles, and counts of values: histograms."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.autograd.adapt import adaptable
from core.autograd.dispatch import primitive
from core.autograd.inplace import write_out
from core.autograd.place import where_it_lies
from core.autograd.value import Value, called, wrap
from core.backend import device_of, xp
from core.dtype import BOOL, FLOAT, of
from core.ops import results
from core.ops.cast import clone
from core.ops.choice import choose, clamp
from core.ops.compare import isnan
from core.ops.dims import axis_of, size_of
from core.ops.elementwise import lerp
from core.ops.gather import gather_array
from core.ops.positions import add_at, counted
from core.ops.promotion import accumulates_in
from core.ops.reduce import any as any_of
from core.ops.reduce import sum
from core.ops.rounding import ceil, floor, round
from core.ops.sequences import linspace
from core.ops.shape import permute_axes, reshape_array
from core.ops.sort import sort_along

__all__ = "quantile nanquantile histc bincount histogram histogramdd".split()

INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


@adaptable
def quantile(
    input: Any,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Any = None,
) -> Any:
    """The q-quantiles along a dim, or of all; of several q along a new first dim. NaN where one is.

    Raises: RuntimeError where the dtype, `q` or the interpolation does not fit.
    """
    result = _quantile(input, q, dim, keepdim, interpolation, False)
    return result if out is None else write_out(result, out)


@adaptable
def nanquantile(
    input: Any,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Any = None,
) -> Any:
    """The q-quantiles, as `quantile`, of what is not NaN."""
    result = _quantile(input, q, dim, keepdim, interpolation, True)
    return result if out is None else write_out(result, out)


def _quantile(x: Any, q: Any, dim: Any, keepdim: bool, how: str, skip_nan: bool) -> Any:
    q = _checked(x, q, how)
    if not size_of(x.shape, None):
        raise RuntimeError("quantile() input tensor must be non-empty")
    ndim = len(x.shape)
    axis = None if dim is None else axis_of(dim, ndim)
    rows, lead = _rows(x, axis)
    ordered = sort_along(rows, -1, False)[0]
    found = _at(ordered, _ranks(rows, q, skip_nan), how)  # (*lead, number of q)
    several = len(q.shape)
    kept = list(lead)
    if keepdim:
        kept = [1] * ndim if axis is None or not ndim else [*lead[:axis], 1, *lead[axis:]]
    order = (found.ndim - 1, *range(found.ndim - 1))
    found = reshape_array(permute_axes(found, order), (*([q.numel()] * several), *kept))
    return called(found, "SqueezeBackward4")


@where_it_lies
def _checked(x: Any, q: Any, how: str) -> Any:
    if x.dtype.name not in ("float32", "float64"):
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    if how not in INTERPOLATIONS:
        raise RuntimeError(
            "quantile() interpolation must be one of linear, lower, higher, midpoint or nearest,"
            f" but got {how}"
        )
    if not hasattr(q, "array"):
        if not 0 <= q <= 1:
            raise RuntimeError(f"quantile() q must be in the range [0, 1] but got {q}")
        return wrap(xp(x.array).asarray(q, x.array.dtype))
    if len(q.shape) > 1:
        raise RuntimeError("quantile() q must be a scalar or 1D tensor")
    if q.dtype is not x.dtype:
        raise RuntimeError("quantile() q tensor must be same dtype as the input tensor")
    if not bool(((q >= 0) & (q <= 1)).all()):
        raise RuntimeError("quantile() q values must be in the range [0, 1]")
    return q


def _rows(x: Any, axis: int | None) -> tuple[Any, tuple[int, ...]]:
    """`x` with the elements of each quantile in the last dim, and the sizes of the others."""
    shape = tuple(x.shape)
    if axis is None or not shape:
        return reshape_array(x, (-1,)), ()
    others = [i for i in range(len(shape)) if i != axis]
    return permute_axes(x, (*others, axis)), tuple(shape[i] for i in others)


def _ranks(rows: Any, q: Any, skip_nan: bool) -> Any:
    """The place of each quantile in the sorted rows, as a fraction; the last where NaN decides."""
    q = reshape_array(q, (-1,))
    last = rows.shape[-1] - 1
    if skip_nan:
        count = sum(~isnan(rows), -1, True)
        return clamp(q * (count - 1).to(q.dtype), 0)
    return choose(any_of(isnan(rows), -1, True), float(last), q * last)


def _at(ordered: Any, ranks: Any, how: str) -> Any:
    axis = len(ordered.shape) - 1
    if how == "nearest":
        return gather_array(ordered, round(ranks).long(), axis)
    low = gather_array(ordered, floor(ranks).long(), axis)
    if how == "lower":
        return low
    high = gather_array(ordered, ceil(ranks).long(), axis)
    if how == "higher":
        return high
    return lerp(low, high, ranks - floor(ranks) if how == "linear" else 0.5)


# ---- counts -----------------------------------------------------------------------------------


@primitive
def histc(x, bins=100, min=0, max=0):
    """The number of elements in each of `bins` equal intervals from `min` to `max`.

    The range is that of the elements where `min` equals `max`; what lies outside is not counted.
    Raises: RuntimeError for no bins, or a range that is empty or not finite.
    """
    if of(x.dtype).category != FLOAT:
        raise NotImplementedError(f"histc is not implemented for {of(x.dtype)!r}")
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    low, high = _range(x, float(min), float(max))
    module, x = xp(x), x.reshape(-1)
    inside = x[(x >= low) & (x <= high)]
    place = ((inside - low) * (bins / (high - low))).astype(numpy.int64)
    return counted(module.minimum(place, bins - 1), bins).astype(x.dtype)


def _range(x: Any, low: float, high: float) -> tuple[float, float]:
    if low == high and x.size:
        low, high = float(x.min()), float(x.max())
    if low == high:
        low, high = low - 1, high + 1
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"torch.histc: range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError("torch.histc: max must be larger than min")
    return low, high


@primitive
def bincount(x, weights=None, minlength=0):
    """How often each whole number from zero on occurs, or the sum of the weights where it does.

    Raises: RuntimeError unless `x` is one row of whole numbers that are not negative.
    """
    if of(x.dtype).category in (BOOL, FLOAT):
        raise NotImplementedError(f"bincount is not implemented for {of(x.dtype)!r}")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if x.ndim != 1 or (x.size and x.min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and weights.shape != x.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    if weights is None:
        return xp(x).bincount(x, minlength=minlength).astype(numpy.int64)
    size = max(int(x.max()) + 1 if x.size else 0, minlength)
    out = xp(x).zeros(size, numpy.float64)
    add_at(out, x, weights)
    return out.astype(weights.dtype if weights.dtype == numpy.float32 else numpy.float64)


histc.defvjp(x=None, bins=None, min=None, max=None)
bincount.defvjp(x=None, weights=None, minlength=None)


def histogram(
    input: Any,
    bins: Any,
    *,
    range: Any = None,
    weight: Any = None,
    density: bool = False,
    out: Any = None,
) -> Any:
    """How many elements, or what weight, lie in each interval, and the edges of the intervals.

    Raises: RuntimeError for a weight of another shape, or edges of another dtype.
    """
    if not isinstance(bins, (int, Value)):
        raise TypeError(
            f"histogram(): argument 'bins' must be int or Tensor, not {type(bins).__name__}"
        )
    found = histogramdd(
        reshape_array(input, (-1, 1)),
        [bins],
        range=range,
        weight=None if weight is None else reshape_array(weight, (-1,)),
        density=density,
    )
    edges = found.bin_edges[0]
    result = results.histogram(found.hist, edges if isinstance(bins, int) else clone(edges))
    return result if out is None else write_out(result, out)


@where_it_lies
def histogramdd(
    input: Any, bins: Any, *, range: Any = None, weight: Any = None, density: bool = False
) -> Any:
    """How many rows, or what weight, lie in each box of a grid, and the edges along each dim.

    Raises: NotImplementedError for integers; RuntimeError where a shape or dtype does not fit.
    """
    x = input.array.reshape(-1, input.array.shape[-1])
    module, count = xp(x), x.shape[1]
    if of(x.dtype).category != FLOAT:
        raise NotImplementedError(f'"histogramdd" not implemented for {of(x.dtype).name!r}')
    bins = [bins] * count if isinstance(bins, int) else list(bins)
    if len(bins) != count:
        raise RuntimeError(
            f"histogramdd: expected bins for each of {count} columns of input, got {len(bins)}"
        )
    ranges = [None] * count if range is None else numpy.asarray(range).reshape(count, 2).tolist()
    edges = [_edges(x[:, i], n, r) for i, (n, r) in enumerate(zip(bins, ranges, strict=True))]
    place: Any = 0
    inside = module.ones(len(x), bool)
    for column, edge in zip(x.T, edges):
        last = len(edge) - 1
        at = module.searchsorted(edge, column, side="right") - 1
        at = module.where(column == edge[-1], last - 1, at)  # the last interval is closed
        inside &= (at >= 0) & (at < last)
        place = place * last + at
    shape = [len(edge) - 1 for edge in edges]
    each = module.ones(len(x), x.dtype) if weight is None else weight.array.reshape(-1)
    hist = module.zeros(math.prod(shape), accumulates_in(x.dtype))
    add_at(hist, place[inside], each[inside])
    hist = hist.reshape(shape)
    if density:
        hist = hist / hist.sum()
        for i, edge in enumerate(edges):
            hist = hist / (edge[1:] - edge[:-1]).reshape((-1,) + (1,) * (count - 1 - i))
    return results.histogramdd(wrap(module.asarray(hist, x.dtype)), tuple(map(wrap, edges)))


def _edges(column: Any, bins: Any, span: Any) -> Any:
    """The edges of intervals: those given, or so many equal ones over the span of the elements."""
    if not isinstance(bins, int):
        return bins.array
    ends = (column.min().item(), column.max().item()) if column.size and not span else (0.0, 1.0)
    low, high = span or ends
    low, high = column.dtype.type(low), column.dtype.type(high)
    if low == high:
        half = column.dtype.type(0.5)
        low, high = low - half, high + half
    where = device_of(column)
    return linspace(float(low), float(high), bins + 1, dtype=of(column.dtype), device=where).array
