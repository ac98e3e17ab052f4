"""Arithmetic and functions that act on each element by itself."""

from __future__ import annotations

from typing import Any

from core.autograd.dispatch import binary, primitive, unary
from core.backend import xp
from core.ops.promotion import promote, promote_float

__all__ = "add sub mul div pow neg abs sign exp log sqrt tanh sigmoid relu maximum minimum".split()

# ---- arithmetic -------------------------------------------------------------------------------


@binary
@primitive(casts=promote, label="AddBackward0")
def plus(a, b):
    """Elementwise sum a + b."""
    return a + b


plus.defvjp(
    a=lambda g: g,
    b=lambda g: g,
)


@binary
@primitive(casts=promote, label="SubBackward0")
def minus(a, b):
    """Elementwise difference a - b."""
    return a - b


minus.defvjp(
    a=lambda g: g,
    b=lambda g: -g,
)


def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """Elementwise sum input + alpha * other."""
    return plus(input, other if alpha == 1 else mul(other, alpha), out=out)


def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """Elementwise difference input - alpha * other."""
    return minus(input, other if alpha == 1 else mul(other, alpha), out=out)


@binary
@primitive(casts=promote)
def mul(a, b):
    """Elementwise product a * b."""
    return a * b


mul.defvjp(
    a=lambda g, b: g * b,
    b=lambda g, a: g * a,
)


@binary
@primitive(casts=promote_float)
def div(a, b):
    """Elementwise quotient a / b."""
    return a / b


div.defvjp(
    a=lambda g, b: g / b,
    b=lambda g, b, out: -g * out / b,
)


@unary
@primitive
def neg(x):
    """Elementwise negative -x."""
    return -x


neg.defvjp(x=lambda g: -g)


@primitive(casts=promote)
def pow(a, b):
    """Elementwise power a ** b."""
    return a**b


pow.defvjp(
    a=lambda g, a, b: g * (b * a ** (b - 1)),
    b=lambda g, a, out: g * out * log(a),
)


@unary
@primitive
def abs(x):
    """Elementwise absolute value."""
    return xp(x).abs(x)


abs.defvjp(x=lambda g, x: g * sign(x))


@primitive
def sign(x):
    """Elementwise sign: -1, 0 or 1."""
    return xp(x).sign(x)


sign.defvjp(x=lambda g, x: 0 * x)


# ---- exponentials -----------------------------------------------------------------------------


@unary
@primitive(casts=promote_float)
def exp(x):
    """Elementwise exponential."""
    return xp(x).exp(x)


exp.defvjp(x=lambda g, out: g * out)


@unary
@primitive(casts=promote_float)
def log(x):
    """Elementwise natural logarithm."""
    return xp(x).log(x)


log.defvjp(x=lambda g, x: g / x)


@unary
@primitive(casts=promote_float)
def sqrt(x):
    """Elementwise square root."""
    return xp(x).sqrt(x)


sqrt.defvjp(x=lambda g, out: g / (2 * out))


@unary
@primitive(casts=promote_float)
def tanh(x):
    """Elementwise hyperbolic tangent."""
    return xp(x).tanh(x)


tanh.defvjp(x=lambda g, out: g * (1 - out * out))


@unary
@primitive(casts=promote_float)
def sigmoid(x):
    """Elementwise logistic function 1 / (1 + exp(-x))."""
    return 0.5 * (xp(x).tanh(0.5 * x) + 1)


sigmoid.defvjp(x=lambda g, out: g * (out * (1 - out)))


@unary
@primitive
def relu(x):
    """Elementwise max(x, 0)."""
    return xp(x).maximum(x, x.dtype.type(0))


relu.defvjp(x=lambda g, out: g * (out > 0))


# ---- choices ----------------------------------------------------------------------------------


@primitive(casts=promote)
def maximum(a, b):
    """Elementwise larger of a and b; NaN where either is."""
    return xp(a).maximum(a, b)


maximum.defvjp(
    a=lambda g, a, b: g * _share(a, b, a > b),
    b=lambda g, a, b: g * _share(a, b, b > a),
)


@primitive(casts=promote)
def minimum(a, b):
    """Elementwise smaller of a and b; NaN where either is."""
    return xp(a).minimum(a, b)


minimum.defvjp(
    a=lambda g, a, b: g * _share(a, b, a < b),
    b=lambda g, a, b: g * _share(a, b, b < a),
)


def _share(a: Any, b: Any, wins: Any) -> Any:
    """1 where an argument wins, 1/2 where both are equal."""
    return wins * 1.0 + (a == b) * 0.5
