"""Exponentials, logarithms, roots, and the sigmoid family."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.autograd.quick import binary, unary
from core.backend import xp
from core.dtype import INTEGER
from core.ops.choice import where
from core.ops.promotion import promote_float, widened, without

__all__ = (
    "exp exp2 expm1 log log2 log10 log1p sqrt rsqrt logaddexp logaddexp2 xlogy sigmoid logit ldexp"
).split()

LN2, LN10 = math.log(2), math.log(10)


@unary
@primitive(casts=promote_float)
def exp(x):
    """Elementwise exponential."""
    return xp(x).exp(x)


exp.defvjp(x=lambda g, out: g * out)


@unary
@primitive(casts=promote_float)
def exp2(x):
    """Elementwise 2 ** x."""
    return xp(x).exp2(x)


exp2.defvjp(x=lambda g, out: g * out * LN2)


@unary
@primitive(casts=promote_float)
def expm1(x):
    """Elementwise exp(x) - 1, exact near zero."""
    return xp(x).expm1(x)


expm1.defvjp(x=lambda g, out: g * (out + 1))


@unary
@primitive(casts=promote_float)
def log(x):
    """Elementwise natural logarithm."""
    return xp(x).log(x)


log.defvjp(x=lambda g, x: g / x)


@unary
@primitive(casts=promote_float)
def log2(x):
    """Elementwise logarithm to base 2."""
    return xp(x).log2(x)


log2.defvjp(x=lambda g, x: g / (x * LN2))


@unary
@primitive(casts=promote_float)
def log10(x):
    """Elementwise logarithm to base 10."""
    return xp(x).log10(x)


log10.defvjp(x=lambda g, x: g / (x * LN10))


@unary
@primitive(casts=promote_float, label="Log1PBackward0")
def log1p(x):
    """Elementwise log(1 + x), exact near zero."""
    return xp(x).log1p(x)


log1p.defvjp(x=lambda g, x: g / (x + 1))


@unary
@primitive(casts=promote_float)
def sqrt(x):
    """Elementwise square root."""
    return xp(x).sqrt(x)


sqrt.defvjp(x=lambda g, out: g / (2 * out))


@unary
@primitive(casts=promote_float)
@widened
def rsqrt(x):
    """Elementwise 1 / sqrt(x)."""
    return 1 / xp(x).sqrt(x)


rsqrt.defvjp(x=lambda g, out: g * (out**3 / -2))


@binary
@primitive(casts=without(INTEGER, "logaddexp", promote_float), tensors=2)
@widened
def logaddexp(a, b):
    """Elementwise log(exp(a) + exp(b)), without overflow."""
    return xp(a).logaddexp(a, b)


logaddexp.defvjp(
    a=lambda g, a, b: g / (1 + exp(b - a)),
    b=lambda g, a, b: g / (1 + exp(a - b)),
)


@binary
@primitive(casts=without(INTEGER, "logaddexp2", promote_float), tensors=2)
@widened
def logaddexp2(a, b):
    """Elementwise log2(2**a + 2**b), without overflow."""
    return xp(a).logaddexp2(a, b)


logaddexp2.defvjp(
    a=lambda g, a, b: g / (1 + exp2(b - a)),
    b=lambda g, a, b: g / (1 + exp2(a - b)),
)


@primitive(casts=promote_float, tensors=None)
@widened
def xlogy(a, b):
    """Elementwise a * log(b), zero where a is zero and b is not NaN."""
    module = xp(a if hasattr(a, "dtype") else b)
    b = b if hasattr(b, "dtype") else module.asarray(b, a.dtype)
    return module.where((a == 0) & (b == b), 0, a * module.log(b))


xlogy.defvjp(
    a=lambda g, a, b: where((a == 0) & (b <= 0), 0, g * log_of(b)),
    b=lambda g, a, b: g * a / b,
)


def log_of(x: Any) -> Any:
    """The logarithm of a tensor, an array or a number."""
    return log(x) if hasattr(x, "dtype") else math.log(x) if x > 0 else -math.inf


@unary
@primitive(casts=promote_float)
@widened
def sigmoid(x):
    """Elementwise logistic function 1 / (1 + exp(-x))."""
    return xp(x).reciprocal(1 + xp(x).exp(-x))


sigmoid.defvjp(x=lambda g, out: g * (out * (1 - out)))


@primitive(casts=promote_float)
@widened
def logit(x, eps=None):
    """Elementwise log(x / (1 - x)), with x clamped to [eps, 1 - eps] where eps is given."""
    x = x if eps is None else xp(x).clip(x, eps, 1 - eps)
    return xp(x).log(x / (1 - x))


logit.defvjp(x=lambda g, x, eps: where(_inside(x, eps), g / (x * (1 - x)), _outside(eps)), eps=None)


def _inside(x: Any, eps: float | None) -> Any:
    low = eps or 0.0
    return (x >= low) & (x <= 1 - low)


def _outside(eps: float | None) -> float:
    return math.nan if eps is None else 0.0


for _call, _ufunc in (
    (exp, numpy.exp), (exp2, numpy.exp2), (expm1, numpy.expm1), (log, numpy.log),
    (log2, numpy.log2), (log10, numpy.log10), (log1p, numpy.log1p), (sqrt, numpy.sqrt),
    (logaddexp, numpy.logaddexp), (logaddexp2, numpy.logaddexp2),

):  # fmt: skip
    _call.op.direct = _ufunc


@primitive(casts=promote_float, tensors=2, label="LdexpBackward0")
@widened
def scaled(a, b):
    """Elementwise a * 2**b."""
    return a * 2.0**b


scaled.defvjp(a=lambda g, b: g * 2.0**b, b=lambda g, out: g * out * 0.6931471805599453)


def ldexp(input: Any, other: Any, *, out: Any = None) -> Any:
    """Elementwise input * 2**other."""
    if hasattr(other, "array") and other.array.dtype.kind in "iu":
        half = other >> 1  # 2**other may overflow where the product does not
        return scaled(scaled(input, half), other - half, out=out)
    return scaled(input, other, out=out)
