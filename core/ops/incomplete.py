"""Shares of distributions: the normal distribution function, incomplete gamma functions, zeta."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.autograd.op import underived
from core.autograd.quick import unary
from core.autograd.value import called
from core.backend import xp
from core.ops.elementwise import mul
from core.ops.exponential import exp, log
from core.ops.gamma import hurwitz, lgamma
from core.ops.promotion import promote_float
from core.ops.special import erfc, erfcx, erfinv, in_float64

__all__ = "igamma igammac".split()

ROOT_HALF = math.sqrt(0.5)

# ---- the normal distribution ------------------------------------------------------------------


def ndtr(input: Any, *, out: Any = None) -> Any:
    """Elementwise probability that a standard normal number is smaller."""
    return called(mul(erfc(input * -ROOT_HALF), 0.5, out=out), "MulBackward1")


@unary
@primitive(casts=promote_float, name="special_log_ndtr")
@in_float64
def log_ndtr(x):
    """Elementwise logarithm of ndtr, which does not underflow."""
    module = xp(x)
    low = module.minimum(x, -1)
    below = module.log(erfcx(low * -ROOT_HALF) / 2) - low * low / 2
    return module.where(x < -1, below, module.log1p(-erfc(module.maximum(x, -1) * ROOT_HALF) / 2))


@primitive
def _hazard(x):
    """The slope of log_ndtr, whose own is made of it: that of 1 / erfcx would be inf / inf."""
    return math.sqrt(2 / math.pi) / erfcx(x * -ROOT_HALF)


_hazard.defvjp(x=lambda g, x, out: -g * (out * (x + out)))
log_ndtr.defvjp(x=lambda g, x: g * _hazard(x))


@unary
@primitive(casts=promote_float, name="special_ndtri")
@in_float64
def ndtri(p):
    """Elementwise inverse of ndtr; infinite at 0 and 1, NaN beyond."""
    module = xp(p)
    low = module.minimum(p, 1 - p)
    inside = module.clip(low, 1e-320, 0.5)
    far = -module.sqrt(-2 * module.log(inside))
    x = module.where(
        inside < 1e-8, far, erfinv(module.maximum(2 * inside - 1, -1 + 1e-9)) / ROOT_HALF
    )
    for _ in range(5):  # Newton's steps for the logarithm, which is concave
        slope = math.sqrt(2 / math.pi) / erfcx(x * -ROOT_HALF)
        x = x - (log_ndtr(x) - module.log(inside)) / slope
    x = module.where(p > 0.5, -x, x)
    x = module.where(low == 0, module.where(p == 0, -math.inf, math.inf), x)
    return module.where((p < 0) | (p > 1) | (p != p), math.nan, x)


ndtri.defvjp(p=lambda g, out: g * (math.sqrt(2 * math.pi) * exp(out * out / 2)))

# ---- incomplete gamma functions ---------------------------------------------------------------

MOST_TERMS = 10_000


def _lower_series(module: Any, a: Any, x: Any) -> Any:
    """The sum of x**n / ((a + 1) ... (a + n)), for x below a + 1."""
    total, term, n = module.ones(x.shape, x.dtype), module.ones(x.shape, x.dtype), 0
    while n < MOST_TERMS and bool((term > total * 1e-17).any()):
        n += 1
        term = term * (x / (a + n))
        total = total + term
    return total


def _upper_fraction(module: Any, a: Any, x: Any) -> Any:
    """The continued fraction of the upper function, for x above a + 1, by Lentz's method."""
    b = x + 1 - a
    c, d = module.full(x.shape, 1e300, x.dtype), 1 / b
    out, n, going = d, 0, x == x
    while n < MOST_TERMS and bool(going.any()):
        n += 1
        b = b + 2
        step = -n * (n - a)
        d = 1 / (step * d + b)
        c = b + step / c
        out = module.where(going, out * (c * d), out)
        going = going & (module.abs(c * d - 1) > 1e-15)
    return out


@in_float64
def _shares(x: Any, a: Any, upper: bool) -> Any:
    """The lower or upper incomplete gamma function of a and x, divided by the whole."""
    module = xp(x)
    shape = module.broadcast_shapes(x.shape, a.shape)
    x, a = (module.broadcast_to(y, shape) for y in (x, a.astype(numpy.float64)))
    usual = (x > 0) & (a > 0) & module.isfinite(x) & module.isfinite(a)
    below = x < a + 1
    near_x, near_a = module.where(usual & below, x, 1.0), module.where(usual & below, a, 1.0)
    far_x, far_a = module.where(usual & ~below, x, 3.0), module.where(usual & ~below, a, 1.0)
    scale_a, scale_x = module.where(below, near_a, far_a), module.where(below, near_x, far_x)
    scale = module.exp(scale_a * module.log(scale_x) - scale_x - lgamma(scale_a))
    low = scale / near_a * _lower_series(module, near_a, near_x)
    high = scale * _upper_fraction(module, far_a, far_x)
    lower = module.where(below, low, 1 - high)
    found = module.where(below, 1 - low, high) if upper else lower
    all_ = (x > 0) & ((a == 0) | module.isinf(x)) & module.isfinite(a)
    none = ((x == 0) & (a > 0)) | (module.isinf(a) & module.isfinite(x) & (x >= 0) & (a > 0))
    edge = module.where(all_, 1.0, module.where(none, 0.0, math.nan))
    return module.where(usual, found, 1 - edge if upper else edge)


@primitive(casts=promote_float, tensors=2)
def igamma(a, x):
    """Elementwise share of the gamma function of `a` that lies below `x`."""
    return _shares(x, a, False).astype(x.dtype, copy=False)


@primitive(casts=promote_float, tensors=2)
def igammac(a, x):
    """Elementwise share of the gamma function of `a` that lies above `x`."""
    return _shares(x, a, True).astype(x.dtype, copy=False)


def _density(a: Any, x: Any) -> Any:
    return exp((a - 1) * log(x) - x - lgamma(a))


igamma.defvjp(a=underived("igamma"), x=lambda g, a, x: g * _density(a, x))
igammac.defvjp(a=underived("igammac"), x=lambda g, a, x: -g * _density(a, x))

# ---- Hurwitz's zeta function ------------------------------------------------------------------


@primitive(casts=promote_float, tensors=None, name="special_zeta")
def zeta(s, q):
    """Elementwise sum of (q + k) ** -s over all k from zero on; infinite at its poles."""
    module = xp(q if hasattr(q, "dtype") else s)
    want = q.dtype if hasattr(q, "dtype") else s.dtype
    s, q = (module.asarray(x).astype(numpy.float64) for x in (s, q))
    shape = module.broadcast_shapes(s.shape, q.shape)
    s, q = module.broadcast_to(s, shape), module.broadcast_to(q, shape)
    found = hurwitz(module, module.where(s > 1, s, 2.0), q)
    found = module.where((q <= 0) & (q == module.floor(q)), math.inf, found)
    found = module.where((q < 0) & (q != module.floor(q)) & (s != module.floor(s)), math.nan, found)
    found = module.where(s == 1, math.inf, module.where(s > 1, found, math.nan))
    return found.astype(want)


zeta.defvjp(s=underived("zeta"), q=lambda g, s, q: g * -s * zeta(s + 1, q))
