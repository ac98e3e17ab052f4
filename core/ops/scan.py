"""Running sums, products, extremes and logarithms of sums along a dim."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.autograd.quick import leading
from core.backend import packed, xp
from core.dtype import FLOAT, INTEGER, of, to_numpy
from core.ops import results
from core.ops.dims import axis_of, size_of
from core.ops.exponential import exp
from core.ops.gather import add_along
from core.ops.movement import flip_axes
from core.ops.promotion import accumulates_in, refuse
from core.ops.shape import reshape_array

__all__ = "cumsum cumprod cummax cummin logcumsumexp".split()


def running(x: Any, name: str, axis: int) -> Any:
    """The accumulation of a NumPy ufunc along an axis, also where the module has none."""
    module = xp(x)
    if not x.ndim:
        return x.copy()
    if module is numpy:
        return getattr(numpy, name).accumulate(x, axis)
    function, out, step = getattr(module, name), x.copy(), 1
    lead = (slice(None),) * axis
    while step < x.shape[axis]:  # doubling: log2(n) passes
        later, earlier = out[(*lead, slice(step, None))], out[(*lead, slice(None, -step))]
        out = module.concatenate([out[(*lead, slice(step))], function(later, earlier)], axis)
        step *= 2
    return out


# ---- sums -------------------------------------------------------------------------------------


def _dtype_of(x: Any, dtype: Any) -> Any:
    if dtype is not None:
        return to_numpy(dtype)
    return numpy.dtype("int64") if of(x.dtype).category != FLOAT else x.dtype


@leading
@primitive
def cumsum(x, dim, dtype=None):
    """The running sum along a dim.

    Dtype: integers and bools become int64; half types are accumulated in float32.
    """
    axis = axis_of(dim, x.ndim)
    if dtype is None and x.ndim and x.dtype.char in "fdl":
        return packed(x.cumsum(axis))
    want = _dtype_of(x, dtype)
    if not x.ndim:
        return x.astype(want)
    return packed(x.cumsum(axis, dtype=accumulates_in(want)).astype(want, copy=False))


cumsum.defvjp(x=lambda g, dim: backwards(cumsum(backwards(g, dim), dim), dim), dim=None, dtype=None)


def backwards(x: Any, dim: int) -> Any:
    """`x`, an array or a tensor, in reverse order along a dim."""
    ndim = len(x.shape)
    return flip_axes(x, (axis_of(dim, ndim),)) if ndim else x


# ---- products ---------------------------------------------------------------------------------


@leading
@primitive
def cumprod(x, dim, dtype=None):
    """The running product along a dim.

    Dtype: integers and bools become int64; half types are accumulated in float32.
    """
    want, axis = _dtype_of(x, dtype), axis_of(dim, x.ndim)
    if not x.ndim:
        return x.astype(want)
    return packed(x.cumprod(axis, dtype=accumulates_in(want)).astype(want, copy=False))


# The product of all x[i], i <= j, but x[k], is never a quotient: x may be zero.
cumprod.defvjp(
    x=lambda g, x, dim: products_before(x, dim) * recurrence(g, products_step(x, dim), dim),
    dim=None,
    dtype=None,
)


def products_before(x: Any, dim: int) -> Any:
    """The product of all elements before each, along a dim; one for the first."""
    return cumprod(shifted(x, dim, 1), dim)


def products_step(x: Any, dim: int) -> Any:
    """The element after each, along a dim; the factor of the recurrence."""
    return following(x, dim, 1)


def following(x: Any, dim: int, last: float) -> Any:
    """The element after each, along a dim; `last` after the last."""
    return backwards(shifted(backwards(x, dim), dim, last), dim)


@primitive
def shifted(x, dim, fill):
    """`x` moved by one place along a dim, with `fill` in the first."""
    if not x.ndim:
        return xp(x).full((), fill, x.dtype)
    axis, out = axis_of(dim, x.ndim), xp(x).empty_like(x)
    lead = (slice(None),) * axis
    out[(*lead, slice(0, 1))] = fill
    out[(*lead, slice(1, None))] = x[(*lead, slice(None, -1))]
    return out


shifted.defvjp(
    x=lambda g, dim: backwards(shifted(backwards(g, dim), dim, 0), dim), dim=None, fill=None
)


@primitive
def recurrence(g, a, dim):
    """The solution s of s[k] = g[k] + a[k] * s[k + 1] along a dim, beyond whose end s is zero."""
    if not g.ndim:
        return g.copy()
    axis = axis_of(dim, g.ndim)
    out, module = g.copy(), xp(g)
    rows, factors, step = module.moveaxis(out, axis, 0), module.moveaxis(a, axis, 0), 1
    while step < len(rows):  # doubling: log2(n) passes, each of which reaches twice as far
        rows[:-step] += factors[:-step] * rows[step:]
        factors = module.concatenate([factors[:-step] * factors[step:], factors[-step:]])
        step *= 2
    return out


recurrence.defvjp(
    g=lambda h, a, dim: _transposed(h, a, dim),
    a=lambda h, a, out, dim: (
        _transposed(h, a, dim) * backwards(shifted(backwards(out, dim), dim, 0), dim)
    ),
    dim=None,
)


def _transposed(h: Any, a: Any, dim: int) -> Any:
    """The same recurrence from the other end."""
    return backwards(recurrence(backwards(h, dim), backwards(shifted(a, dim, 0), dim), dim), dim)


def products_of_others(x: Any, axes: tuple[int, ...] | None) -> Any:
    """The product of all other elements along an axis (of all for None), in the shape of `x`."""
    shape = tuple(x.shape)
    if axes:
        return _others(x, axes[0])
    return reshape_array(_others(reshape_array(x, (size_of(shape, None),)), 0), shape)


def _others(x: Any, dim: int) -> Any:
    before = products_before(x, dim)
    return before * backwards(products_before(backwards(x, dim), dim), dim)


# ---- extremes ---------------------------------------------------------------------------------


@primitive(result=results.cummax)
def cummax(x, dim):
    """The largest element so far along a dim, and the index of the last that is."""
    return _extremes(x, dim, "maximum")


@primitive(result=results.cummin)
def cummin(x, dim):
    """The smallest element so far along a dim, and the index of the last that is."""
    return _extremes(x, dim, "minimum")


def _extremes(x: Any, dim: int, name: str) -> tuple[Any, Any]:
    axis, module = axis_of(dim, x.ndim), xp(x)
    values = running(x, name, axis)
    if not x.ndim:
        return values, module.zeros((), numpy.int64)
    shape = (-1,) + (1,) * (x.ndim - 1 - axis)
    places = module.arange(x.shape[axis], dtype=numpy.int64).reshape(shape)
    reached = module.where((x == values) | (x != x), places, 0)
    found = running(module.broadcast_to(reached, x.shape), "maximum", axis)
    return packed(values), packed(found)


for _call in (cummax, cummin):
    _call.defvjp(
        x=lambda g, out, dim, x_shape: (
            add_along(g[0], out[1], axis_of(dim, len(x_shape)), tuple(x_shape))
            if len(x_shape)
            else g[0]
        ),
        dim=None,
    )


# ---- logarithms of sums -----------------------------------------------------------------------


@primitive
def logcumsumexp(x, dim):
    """The logarithm of the running sum of exponentials along a dim, without overflow.

    Raises: NotImplementedError for integers and bools.
    """
    axis = axis_of(dim, x.ndim)
    refuse(INTEGER, "logcumsumexp", of(x.dtype))
    wide = x.astype(accumulates_in(x.dtype), copy=False)
    return packed(running(wide, "logaddexp", axis)).astype(x.dtype)


# g[j] * exp(x[i] - out[j]), summed over j >= i: as the sum of g * exp(-out) would overflow, the
# recurrence s[i] = g[i] + exp(out[i] - out[i + 1]) * s[i + 1] carries it. Nothing follows the
# last, hence a factor of zero there: one that overflows would be a NaN in the second derivative.
logcumsumexp.defvjp(
    x=lambda g, x, out, dim: (
        exp(x - out) * recurrence(g, exp(out - following(out, dim, math.inf)), dim)
    ),
    dim=None,
)
