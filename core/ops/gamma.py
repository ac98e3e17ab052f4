"""The logarithm of the gamma function and its derivatives."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.autograd.inplace import write_out
from core.autograd.quick import unary
from core.autograd.several import alike
from core.autograd.value import called
from core.backend import xp
from core.ops.elementwise import plus
from core.ops.promotion import promote_float
from core.ops.quotients import (
    DIGAMMA,
    DIGAMMA_SHORT,
    LGAMMA,
    LGAMMA_SHORT,
    STIRLING,
    STIRLING_SHORT,
    TRIGAMMA,
    TRIGAMMA_SHORT,
    quotient,
    quotient_at,
)
from core.ops.special import in_float64, rounded

__all__ = "lgamma digamma polygamma mvlgamma".split()

# Bernoulli's numbers of even order, from the second on; exact fractions, rounded once.
BERNOULLI = (
    1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798,
    -174611 / 330,
)  # fmt: skip
EULER = 0.5772156649015329
ENOUGH = 10  # from here on the asymptotic series below are right to the last digit


@unary
@primitive(casts=promote_float)
def lgamma(x):
    """Elementwise logarithm of the absolute value of the gamma function."""
    return rounded(_lgamma, x)


def _lgamma(x: Any, short: bool) -> Any:
    module = xp(x)
    a = module.abs(x)
    z = a + 2
    above = quotient(STIRLING_SHORT if short else STIRLING, 1 / z)
    above += (z - 0.5) * module.log(z) - z + 0.5 * math.log(2 * math.pi)
    above -= module.log(a + 1)  # lgamma(a + 1)
    out = above - module.log(a)
    if _any(x < 0):
        fraction = x - module.rint(x)
        mirrored = module.log(math.pi / module.abs(module.sin(math.pi * fraction))) - above
        out = module.where(x < 0, mirrored, out)
    near = (x > 0.5) & (x < 2.5)  # all digits also close to the zeros 1 and 2
    inside = module.where(near, x, 1)
    middle = quotient(LGAMMA_SHORT if short else LGAMMA, inside) * ((inside - 1) * (inside - 2))
    out = module.where(near, middle + 0.0, out)  # at its zeros it is not -0
    return module.where(module.isinf(x), math.inf, out)


def _any(mask: Any) -> bool:
    """Whether one is True; where that would wait for a GPU, it is taken to be so."""
    return type(mask) not in (numpy.ndarray, numpy.bool_) or bool(mask.any())


def lgamma_of_number(x: float) -> float:
    """The same of one number: Python's own, which loses digits close to the zeros 1 and 2."""
    if not 0.9 < x < 2.1 or 1.1 < x < 1.9:
        return math.lgamma(x)
    return quotient_at(LGAMMA, x) * ((x - 1) * (x - 2)) + 0.0


@unary
@primitive(casts=promote_float)
def digamma(x):
    """Elementwise derivative of lgamma; NaN at the poles but zero."""
    return rounded(_digamma, x)


def _digamma(x: Any, short: bool) -> Any:
    module = xp(x)
    a = module.abs(x)
    above = quotient(DIGAMMA_SHORT if short else DIGAMMA, 1 / (a + 2))
    above += module.log(a + 1.5) - 1 / (a + 1)  # digamma(a + 1)
    out = above - 1 / x
    if not _any(x < 0):
        return out
    fraction = x - module.rint(x)
    mirrored = above - math.pi / module.tan(math.pi * fraction)
    return module.where(x >= 0, out, module.where(fraction == 0, math.nan, mirrored))


def digamma_of_number(x: float, short: bool) -> float:
    """The same of one number that is no pole."""
    a = abs(x)
    above = quotient_at(DIGAMMA_SHORT if short else DIGAMMA, 1 / (a + 2))
    above += math.log(a + 1.5) - 1 / (a + 1)
    return above - (1 / x if x > 0 else math.pi / math.tan(math.pi * (x - round(x))))


@alike
@primitive(casts=promote_float, name="polygamma")
def derivative_of_digamma(x, n):
    """Elementwise derivative of digamma of order `n`."""
    return rounded(_trigamma, x) if n == 1 else _polygamma(x, int(n))


def _trigamma(x: Any, short: bool) -> Any:
    module = xp(x)
    a = module.abs(x)
    u = 1 / (a + 2)
    above = quotient(TRIGAMMA_SHORT if short else TRIGAMMA, u) * u
    above += (a + 1) ** -2.0
    out = above + x**-2.0
    if not _any(x < 0):
        return out
    mirrored = (math.pi / module.sin(math.pi * (x - module.rint(x)))) ** 2 - above
    return module.where(x >= 0, out, mirrored)


def trigamma_of_number(x: float, short: bool) -> float:
    """The derivative of digamma at one number that is no pole."""
    a = abs(x)
    u = 1 / (a + 2)
    above = quotient_at(TRIGAMMA_SHORT if short else TRIGAMMA, u) * u + (a + 1) ** -2
    if x >= 0:
        return above + x**-2
    return (math.pi / math.sin(math.pi * (x - round(x)))) ** 2 - above


@in_float64
def _polygamma(x: Any, n: int) -> Any:
    sign = 1 if n % 2 else -1
    return sign * math.factorial(n) * hurwitz(xp(x), n + 1, x)


def hurwitz(module: Any, s: Any, q: Any) -> Any:
    """The sum of (q + k) ** -s over all k >= 0, by Euler's and Maclaurin's formula."""
    lowest = float(q.min()) if q.size else 0.0
    count = ENOUGH + (math.ceil(-lowest) if -10_000 < lowest < 0 else 0)
    total = 0.0
    for k in range(count):
        total = total + (q + k) ** -(1.0 * s)
    z = q + count
    total = total + z ** (1.0 - s) / (s - 1) + 0.5 * z ** -(1.0 * s)
    factor = 1.0 * s
    for j, b in enumerate(BERNOULLI, 1):
        total = total + b / math.factorial(2 * j) * factor * z ** -(s + 2.0 * j - 1)
        factor *= (s + 2 * j - 1) * (s + 2 * j)
    return total


lgamma.defvjp(x=lambda g, x: g * digamma(x))
digamma.defvjp(x=lambda g, x: g * derivative_of_digamma(x, 1))
derivative_of_digamma.defvjp(x=lambda g, x, n: g * derivative_of_digamma(x, n + 1), n=None)


def polygamma(n: int, input: Any, *, out: Any = None) -> Any:
    """The derivative of digamma of order `n`, elementwise.

    Raises: RuntimeError for a negative order.
    """
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    result = digamma(input) if n == 0 else derivative_of_digamma(input, n)
    return result if out is None else write_out(result, out)


def polygamma_method(input: Any, n: int) -> Any:
    """The derivative of digamma of order `n`, elementwise."""
    return polygamma(n, input)


def mvlgamma(input: Any, p: int, *, out: Any = None) -> Any:
    """The logarithm of the multivariate gamma function of dimension `p`, elementwise.

    Raises: RuntimeError for p < 1.
    """
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    if input.array.dtype == bool:
        raise RuntimeError("The input tensor may not be a boolean tensor.")
    result = lgamma(input)
    for i in range(1, p):
        result = plus(result, lgamma(input - i / 2))
    result = called(result + p * (p - 1) / 4 * math.log(math.pi), "MvlgammaBackward0")
    return result if out is None else write_out(result, out)
