"""The error function, the gamma function and Bessel functions, with their relatives."""

from __future__ import annotations

import decimal
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.autograd.quick import unary
from core.backend import xp
from core.layout import dense
from core.ops.choice import choose
from core.ops.elementwise import sign
from core.ops.exponential import exp
from core.ops.fitted import fit, polynomial
from core.ops.promotion import float_first, promote_float, widened
from core.ops.quotients import ERFINV, ERFINV_SHORT, quotient, quotient_at

__all__ = "erf erfc erfinv i0".split()

ROOT_PI = math.sqrt(math.pi)


def in_float64(forward: Callable[..., Any]) -> Callable[..., Any]:
    """`forward` computed in float64, its result rounded once."""

    @functools.wraps(forward)
    def wide(x: Any, *rest: Any) -> Any:
        return forward(_wide(x), *rest).astype(x.dtype, copy=False)

    return wide


def _wide(x: Any) -> Any:
    return x if x.dtype == numpy.float64 else dense(x, numpy.float64)


def rounded(formula: Callable[[Any, bool], Any], x: Any) -> Any:
    """`formula` of `x` in float64, rounded once; it is told whether few digits will be left."""
    return formula(_wide(x), x.dtype.itemsize < 8).astype(x.dtype, copy=False)


# ---- the error function -----------------------------------------------------------------------

CENTRE = 3.0  # t = (x - 3) / (x + 3) maps [0, inf) to [-1, 1), on which erfc is smooth once scaled


@functools.cache
def _near(digits: int) -> list[float]:
    """erf(x) / x on [0, 1], as a polynomial in x**2."""
    return fit(lambda s: math.erf(math.sqrt(s)) / math.sqrt(s), 0, 1, 6 if digits < 10 else 12)


@functools.cache
def _far(digits: int) -> list[float]:
    """(1 + 2x) * exp(x**2) * erfc(x) on [0, inf), as a polynomial in t."""

    def scaled(t: float) -> float:
        x = CENTRE * (1 + t) / (1 - t)
        return (1 + 2 * x) * _scaled_tail(x)

    return fit(scaled, -1, 1, 12 if digits < 10 else 24)


def _scaled_tail(x: float) -> float:
    """exp(x**2) * erfc(x); for large x from its asymptotic series."""
    if x < 25:
        return math.erfc(x) * float((decimal.Decimal(x) ** 2).exp())
    total, term = 0.0, 1.0
    for n in range(1, 12):
        total += term
        term *= -(2 * n - 1) / (2 * x * x)
    return total / (x * ROOT_PI)


def _scaled(a: Any) -> Any:
    """exp(a**2) * erfc(a) of numbers that are not negative."""
    return polynomial(_far(_digits(a)), (a - CENTRE) / (a + CENTRE)) / (1 + 2 * a)


def _tail(module: Any, a: Any) -> Any:
    """Erfc of numbers that are not negative."""
    a = module.minimum(a, 30)  # where it is zero in every dtype, and infinity makes no NaN
    scaled = _scaled(a)
    # x**2 rounded would cost up to 1e-13: its high part is exact, the rest is small.
    high = module.rint(a * 16) / 16
    return scaled * module.exp(-high * high) * module.exp((high - a) * (high + a))


def _digits(x: Any) -> int:
    return 7 if x.dtype.itemsize == 4 else 16


def _small(a: Any) -> Any:
    square = a * a
    return a * polynomial(_near(_digits(a)), 2 * square - 1)


@unary
@primitive(casts=promote_float)
@widened
def erf(x):
    """Elementwise error function, 2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x."""
    module, a = xp(x), xp(x).abs(x)
    inside = module.minimum(a, 1)
    return module.copysign(module.where(a < 1, _small(inside), 1 - _tail(module, a)), x)


@unary
@primitive(casts=promote_float)
@widened
def erfc(x):
    """Elementwise 1 - erf(x), exact for large x."""
    module, a = xp(x), xp(x).abs(x)
    inside = module.where(a < 0.5, x, 0)
    tail = _tail(module, a)
    return module.where(a < 0.5, 1 - _small(inside), module.where(x < 0, 2 - tail, tail))


erf.defvjp(x=lambda g, x: g * (exp(-x * x) * (2 / ROOT_PI)))
erfc.defvjp(x=lambda g, x: g * (exp(-x * x) * (-2 / ROOT_PI)))


@unary
@primitive(casts=promote_float, name="special_erfcx")
@in_float64
def erfcx(x):
    """Elementwise exp(x**2) * erfc(x), which does not vanish for large x."""
    module = xp(x)
    above = _scaled(module.minimum(module.abs(x), 1e300))  # infinity would make a NaN
    return module.where(x < 0, 2 * module.exp(x * x) - above, above)


erfcx.defvjp(x=lambda g, x, out: g * (2 * x * out - 2 / ROOT_PI))


@unary
@primitive(casts=promote_float)
def erfinv(x):
    """Elementwise inverse of the error function; infinite at -1 and 1, NaN beyond."""
    return rounded(_erfinv, x)


def _erfinv(x: Any, short: bool) -> Any:
    module = xp(x)
    w = -module.log((1 - x) * (1 + x))
    y = quotient(ERFINV_SHORT if short else ERFINV, w) * x
    return module.where(module.abs(x) == 1, x * math.inf, y)


def erfinv_of_number(x: float, short: bool) -> float:
    """The same of one number between -1 and 1."""
    return x * quotient_at(ERFINV_SHORT if short else ERFINV, -math.log((1 - x) * (1 + x)))


erfinv.defvjp(x=lambda g, x: g * (exp(erfinv(x) ** 2) * (ROOT_PI / 2)))

# ---- Bessel functions -------------------------------------------------------------------------

EDGE = 8.0  # below it a polynomial in x, above it one in 1 / x


def _bessel(order: int, x: float) -> float:
    """exp(-x) * I(order, x), from the power series or, for large x, the asymptotic one."""
    if x <= 40:
        terms = [(x / 2) ** order / math.factorial(order)]
        while terms[-1] > 1e-20 * terms[0] or len(terms) < x:
            k = len(terms)
            terms.append(terms[-1] * (x * x / 4) / (k * (k + order)))
        return math.fsum(terms) * math.exp(-x)
    total, term = 0.0, 1.0
    for k in range(1, 20):
        total += term
        term *= -(4 * order * order - (2 * k - 1) ** 2) / (k * 8 * x)
    return total / math.sqrt(2 * math.pi * x)


@functools.cache
def _bessel_near(order: int) -> list[float]:
    return fit(lambda x: _bessel(order, x) / x**order, 0, EDGE, 30)


@functools.cache
def _bessel_far(order: int) -> list[float]:
    return fit(lambda s: _bessel(order, 1 / s) / math.sqrt(s), 0, 1 / EDGE, 24)


def _bessel_scaled(order: int, x: Any) -> Any:
    """exp(-|x|) * I(order, x)."""
    module, a = xp(x), xp(x).abs(x)
    small = module.minimum(a, EDGE)
    near = polynomial(_bessel_near(order), small * (2 / EDGE) - 1) * small**order
    large = module.maximum(a, EDGE)
    far = polynomial(_bessel_far(order), 2 * EDGE / large - 1) / module.sqrt(large)
    both = module.where(a < EDGE, near, far)
    return both if order % 2 == 0 else both * module.sign(x)


@unary
@primitive(casts=promote_float)
@in_float64
def i0(x):
    """Elementwise modified Bessel function of the first kind, of order 0."""
    return _bessel_scaled(0, x) * xp(x).exp(xp(x).abs(x))


@unary
@primitive(casts=promote_float, name="special_i1")
@in_float64
def i1(x):
    """Elementwise modified Bessel function of the first kind, of order 1."""
    return _bessel_scaled(1, x) * xp(x).exp(xp(x).abs(x))


@unary
@primitive(casts=promote_float)
@in_float64
def i1_over(x):
    """Elementwise i1(x) / x, a half at zero."""
    module = xp(x)
    return module.where(x == 0, 0.5, i1.op.forward(x) / module.where(x == 0, 1, x))


@unary
@primitive(casts=promote_float, name="special_i0e", label="SpecialI0EBackward0")
@in_float64
def i0e(x):
    """Elementwise exp(-|x|) * i0(x)."""
    return _bessel_scaled(0, x)


@unary
@primitive(casts=promote_float, name="special_i1e", label="SpecialI1EBackward0")
@in_float64
def i1e(x):
    """Elementwise exp(-|x|) * i1(x)."""
    return _bessel_scaled(1, x)


def _i1e_over(x: Any, out: Any) -> Any:
    """i1e(x) / x, a half at zero."""
    return choose(x == 0, 0.5, out / choose(x == 0, 1, x))


i0.defvjp(x=lambda g, x: g * i1(x))
i0e.defvjp(x=lambda g, x, out: g * (i1e(x) - sign(x) * out))
i1e.defvjp(x=lambda g, x, out: g * (i0e(x) - _i1e_over(x, out) - sign(x) * out))
i1.defvjp(x=lambda g, x: g * (i0(x) - i1_over(x)))
# x**2 (f / x)' = x f' - f, and f' = i0 - f / x.
i1_over.defvjp(x=lambda g, x: g * slope_over(x))


@primitive(casts=float_first)
@in_float64
def slope_over(x):
    """The derivative of i1(x) / x: I(2, x) / x, as I(2) = I(0) - 2 I(1) / x; zero at zero."""
    module = xp(x)
    safe = module.where(module.abs(x) < 1e-3, 1, x)
    second = i0.op.forward(safe) - 2 * i1_over.op.forward(safe)
    return module.where(module.abs(x) < 1e-3, x / 8, second / safe)
