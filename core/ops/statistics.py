"""Spread, order statistics and covariance."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.inplace import write_out
from core.autograd.quick import leading
from core.autograd.value import called
from core.backend import packed, xp
from core.dtype import BOOL, FLOAT, of
from core.notice import notice
from core.ops import results
from core.ops.choice import choose, clamp
from core.ops.dims import axes_of, axis_of, size_of
from core.ops.exponential import sqrt
from core.ops.extreme import evenly, placed, refuse_empty, taken
from core.ops.linalg import matmul
from core.ops.promotion import accumulates_in, floating, refuse
from core.ops.reduce import mean, spread, sum
from core.ops.scan import running
from core.ops.shape import reshape_array, squeeze
from core.ops.sort import order_of

__all__ = "var std var_mean std_mean median nanmedian mode cov corrcoef".split()

# ---- spread -----------------------------------------------------------------------------------


@leading
@primitive(name="var")
def variance(x, dim, correction, keepdim):
    """The mean squared distance from the mean over `dim`, with n - correction for the count."""
    return _spread(x, dim, correction, keepdim).astype(x.dtype)


@leading
@primitive(name="std")
def deviation(x, dim, correction, keepdim):
    """The square root of the variance over `dim`."""
    return xp(x).sqrt(_spread(x, dim, correction, keepdim)).astype(x.dtype)


NOT_FREE = (
    "Degrees of freedom is <= 0. Correction should be strictly less than the reduction factor"
    " (input numel divided by output numel)."
)


def _spread(x: Any, dim: Any, correction: float, keepdim: bool) -> Any:
    if of(x.dtype).category != FLOAT:
        raise RuntimeError("std and var only support floating point and complex dtypes")
    axes = axes_of(dim, x.ndim)
    wide = x.astype(accumulates_in(x.dtype), copy=False)
    count = size_of(x.shape, axes)
    centre = wide.sum(axis=axes, keepdims=True) / wide.dtype.type(count)
    apart = wide - centre
    total = (apart * apart).sum(axis=axes, keepdims=keepdim)
    if count <= correction:
        notice(NOT_FREE)
    return packed(total / wide.dtype.type(max(count - correction, 0)))


def _ratio(x: Any, dim: Any, correction: float) -> float:
    """2 / (n - correction), infinite where that is not positive."""
    count = size_of(x.shape, axes_of(dim, len(x.shape))) - correction
    return 2 / count if count > 0 else math.inf


def _apart(g: Any, x: Any, dim: Any, correction: float, keepdim: bool) -> Any:
    factor = _ratio(x, dim, correction)
    return spread(g * factor, x.shape, dim, keepdim) * (x - mean(x, dim, True))


variance.defvjp(x=_apart, dim=None, correction=None, keepdim=None)
deviation.defvjp(
    x=lambda g, x, out, dim, correction, keepdim: _apart(
        choose(out == 0, 0, g / (2 * out)), x, dim, correction, keepdim
    ),
    dim=None,
    correction=None,
    keepdim=None,
)


def _arguments(dim: Any, unbiased: Any, correction: Any) -> tuple[Any, float]:
    """`dim` and the correction, of calls like var(x, 1), var(x, False) and var(x, correction=0)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    return dim, correction


def var(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    out: Any = None,
) -> Any:
    """The variance over `dim`; `correction` (1 unless given) is taken from the count."""
    dim, correction = _arguments(dim, unbiased, correction)
    result = variance(input, dim, correction, keepdim)
    return result if out is None else write_out(result, out)


def std(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    out: Any = None,
) -> Any:
    """The standard deviation over `dim`; `correction` (1 unless given) is taken from the count."""
    dim, correction = _arguments(dim, unbiased, correction)
    result = deviation(input, dim, correction, keepdim)
    return result if out is None else write_out(result, out)


def var_mean(input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, **more: Any):
    """The variance and the mean over `dim`."""
    found = var(input, dim, unbiased, keepdim, **more)
    middle = mean(input, None if isinstance(dim, bool) else dim, keepdim)
    return called(found, "VarMeanBackward0"), called(middle, "VarMeanBackward0")


def std_mean(input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, **more: Any):
    """The standard deviation and the mean over `dim`."""
    found = std(input, dim, unbiased, keepdim, **more)
    middle = mean(input, None if isinstance(dim, bool) else dim, keepdim)
    return called(found, "StdMeanBackward0"), called(middle, "StdMeanBackward0")


# ---- order statistics -------------------------------------------------------------------------


def _middle(x: Any, axis: int, keepdim: bool, skip_nan: bool) -> tuple[Any, Any]:
    """The lower of the two middle elements and its index; NaN if there is one, unless skipped."""
    module, n = xp(x), x.shape[axis] if x.ndim else 1
    if not n:
        refuse_empty("median", x.shape, (axis,))
    refuse(BOOL, "median", of(x.dtype))
    if not x.ndim:
        return x.copy(), module.zeros((), numpy.int64)
    nans = (x != x).sum(axis=axis, keepdims=True)
    if skip_nan:
        rank = (module.maximum(n - nans, 1) - 1) // 2
    else:
        rank = module.where(nans > 0, n - nans, (n - 1) // 2)
    index = module.take_along_axis(order_of(x, axis), rank, axis)
    return taken(x, index.reshape(without(x.shape, axis)), axis, keepdim)


def without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """`shape` without an axis."""
    return tuple(n for i, n in enumerate(shape) if i != axis)


@leading
@primitive(result=results.median, name="median", label="MedianBackward1")
def median_along(x, dim, keepdim):
    """The lower middle elements along a dim, and their indices."""
    return _middle(x, axis_of(dim, x.ndim), keepdim, False)


@leading
@primitive(result=results.nanmedian, name="nanmedian", label="NanmedianBackward1")
def nanmedian_along(x, dim, keepdim):
    """The lower middle elements along a dim of those that are not NaN, and their indices."""
    return _middle(x, axis_of(dim, x.ndim), keepdim, True)


@leading
@primitive(name="median")
def median_of_all(x):
    """The lower middle element."""
    return _middle(x.reshape(-1), 0, False, False)[0] if x.size else _nan(x)


@leading
@primitive(name="nanmedian")
def nanmedian_of_all(x):
    """The lower middle element of those that are not NaN."""
    return _middle(x.reshape(-1), 0, False, True)[0] if x.size else _nan(x)


def _nan(x: Any) -> Any:
    if of(x.dtype).category == FLOAT:
        return xp(x).full((), math.nan, x.dtype)
    return xp(x).zeros((), x.dtype)


@primitive(result=results.mode, name="mode")
def mode_along(x, dim, keepdim):
    """The most frequent elements along a dim, the smallest of several, and their last indices."""
    axis, module = axis_of(dim, x.ndim), xp(x)
    if not x.ndim:
        return x.copy(), module.zeros((), numpy.int64)
    if not x.shape[axis]:
        refuse_empty("mode", x.shape, (axis,))
    order = module.moveaxis(order_of(x, axis), axis, -1)
    rows = module.take_along_axis(module.moveaxis(x, axis, -1), order, -1)
    index = module.take_along_axis(order, _longest_run(module, rows)[..., None], -1)[..., 0]
    return taken(x, index, axis, keepdim)


def _longest_run(module: Any, rows: Any) -> Any:
    """Where the first of the longest runs of equal elements ends, in each sorted row."""
    places = module.arange(rows.shape[-1])
    after = rows[..., 1:] == rows[..., :-1]
    starts = module.zeros(rows.shape, numpy.int64)
    starts[..., 1:] = module.where(after, 0, places[1:])
    return (places - running(starts, "maximum", starts.ndim - 1)).argmax(-1)


for _call in (median_along, nanmedian_along, mode_along):
    _call.defvjp(
        x=lambda g, out, dim, x_shape: placed(g[0], out[1], x_shape, dim), dim=None, keepdim=None
    )
for _call in (median_of_all, nanmedian_of_all):
    _call.defvjp(x=lambda g, x, out: evenly(g, x, out, None, False))


def median(input: Any, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """The lower middle element; with a dim, those along it and their indices."""
    result = median_of_all(input) if dim is None else median_along(input, dim, keepdim)
    return result if out is None else write_out(result, out)


def nanmedian(input: Any, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """The lower middle element of those that are not NaN; with a dim, those along it."""
    result = nanmedian_of_all(input) if dim is None else nanmedian_along(input, dim, keepdim)
    return result if out is None else write_out(result, out)


def mode(input: Any, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The most frequent elements along a dim, the smallest of several, and their indices."""
    result = mode_along(input, dim, keepdim)
    return result if out is None else write_out(result, out)


# ---- covariance -------------------------------------------------------------------------------


@of_tensors("input", "aweights", "fweights")
def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """The covariance of variables in rows, with observations in columns, weighted where asked.

    Raises: RuntimeError for more than two dims, or weights that do not fit.
    """
    if len(input.shape) > 2:
        raise RuntimeError(
            "cov(): expected input to have two or fewer dimensions but got an input with"
            f" {len(input.shape)} dimensions"
        )
    if input.array.dtype == bool:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = reshape_array(input, (1, -1)) if len(input.shape) < 2 else input
    weights = _weights(x.shape[1], fweights, aweights)
    total = x.shape[1] if weights is None else sum(weights)
    if weights is None:
        x = x.to(floating(x.dtype))
        centred = weighted = x - mean(x, 1, True)
    else:
        centred = x - reshape_array(sum(x * weights, 1) / total, (-1, 1))
        weighted = centred * weights
    count = _freedom(total, correction, weights, aweights)
    return squeeze(matmul(weighted, centred.mT) / count)


def _weights(n: int, fweights: Any, aweights: Any) -> Any:
    weights = None
    for name, w in (("fweights", fweights), ("aweights", aweights)):
        if w is None:
            continue
        if len(w.shape) > 1 or w.numel() != n:
            raise RuntimeError(
                f"cov(): expected {name} to have one dimension and {n} elements, one for each"
                f" observation, but its shape is {list(w.shape)}"
            )
        if w.dtype.is_floating_point == (name == "fweights"):
            raise RuntimeError(f"cov(): {name} of {w.dtype!r} are not allowed")
        if bool((w < 0).any()):
            raise RuntimeError(f"cov(): {name} cannot be negative")
        weights = w if weights is None else weights * w
    return weights


def _freedom(total: Any, correction: int, weights: Any, aweights: Any) -> Any:
    if weights is None:
        if total <= correction:
            notice(NOT_FREE)
        return max(total - correction, 0)
    if aweights is None:
        return clamp(total - correction, 0)
    return clamp(total - correction * sum(weights * aweights) / total, 0)


def corrcoef(input: Any) -> Any:
    """The correlation of variables in rows, with observations in columns."""
    found = cov(input)
    if not len(found.shape):
        return found / found
    scale = sqrt(found.diagonal())
    found = clamp(found / scale.unsqueeze(1) / scale.unsqueeze(0), -1, 1)
    return called(found, "ClampBackward1")
