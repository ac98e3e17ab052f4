"""Trigonometric and hyperbolic functions, and angles."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.autograd.quick import binary, unary
from core.backend import xp
from core.dtype import INTEGER
from core.ops.choice import where
from core.ops.exponential import sqrt
from core.ops.promotion import one_for, promote_float, widened, without

__all__ = (
    "sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh sinc hypot deg2rad rad2deg"
    " arcsin arccos arctan arctan2 arcsinh arccosh arctanh"
).split()


@unary
@primitive(casts=promote_float)
def sin(x):
    """Elementwise sine."""
    return xp(x).sin(x)


@unary
@primitive(casts=promote_float)
def cos(x):
    """Elementwise cosine."""
    return xp(x).cos(x)


@unary
@primitive(casts=promote_float)
def tan(x):
    """Elementwise tangent."""
    return xp(x).tan(x)


sin.defvjp(x=lambda g, x: g * cos(x))
cos.defvjp(x=lambda g, x: g * -sin(x))
tan.defvjp(x=lambda g, out: g * (1 + out * out))


@unary
@primitive(casts=promote_float)
def asin(x):
    """Elementwise arc sine."""
    return xp(x).arcsin(x)


@unary
@primitive(casts=promote_float)
def acos(x):
    """Elementwise arc cosine."""
    return xp(x).arccos(x)


@unary
@primitive(casts=promote_float)
def atan(x):
    """Elementwise arc tangent."""
    return xp(x).arctan(x)


asin.defvjp(x=lambda g, x: g / sqrt(1 - x * x))
acos.defvjp(x=lambda g, x: -g / sqrt(1 - x * x))
atan.defvjp(x=lambda g, x: g / (x * x + 1))


@binary
@primitive(casts=promote_float, tensors=2)
def atan2(a, b):
    """The angle of the point (b, a), elementwise."""
    return xp(a).arctan2(a, b)


atan2.defvjp(
    a=lambda g, a, b: g * _over(b, a * a + b * b),
    b=lambda g, a, b: g * _over(-a, a * a + b * b),
)


def _over(a: Any, square: Any) -> Any:
    """A / square, zero at the origin."""
    return where(square == 0, 0, a / where(square == 0, 1, square))


@unary
@primitive(casts=promote_float)
def sinh(x):
    """Elementwise hyperbolic sine."""
    return xp(x).sinh(x)


@unary
@primitive(casts=promote_float)
def cosh(x):
    """Elementwise hyperbolic cosine."""
    return xp(x).cosh(x)


@unary
@primitive(casts=promote_float)
def tanh(x):
    """Elementwise hyperbolic tangent."""
    return xp(x).tanh(x)


sinh.defvjp(x=lambda g, x: g * cosh(x))
cosh.defvjp(x=lambda g, x: g * sinh(x))
tanh.defvjp(x=lambda g, out: g * (one_for(out) - out * out))


@unary
@primitive(casts=promote_float)
def asinh(x):
    """Elementwise inverse hyperbolic sine."""
    return xp(x).arcsinh(x)


@unary
@primitive(casts=promote_float)
def acosh(x):
    """Elementwise inverse hyperbolic cosine."""
    return xp(x).arccosh(x)


@unary
@primitive(casts=promote_float)
def atanh(x):
    """Elementwise inverse hyperbolic tangent."""
    return xp(x).arctanh(x)


asinh.defvjp(x=lambda g, x: g / sqrt(x * x + 1))
acosh.defvjp(x=lambda g, x: g / sqrt(x * x - 1))
atanh.defvjp(x=lambda g, x: g / (1 - x * x))


@unary
@primitive(casts=promote_float)
@widened
def sinc(x):
    """Elementwise sin(pi x) / (pi x), one at zero."""
    return xp(x).sinc(x)


sinc.defvjp(x=lambda g, x: g * sinc_slope(x))


@unary
@primitive(casts=promote_float)
@widened
def sinc_slope(x):
    """The derivative of sinc, zero at zero."""
    return _derivative(xp(x), x)


# Twice differentiated, from f = sin(u)/u with u = pi x: x f'' = -2 f' - pi**2 x f.
sinc_slope.defvjp(x=lambda g, x, out: g * _second(x, out))


def _derivative(module: Any, x: Any) -> Any:
    u = math.pi * module.where(x == 0, 1, x)
    return module.where(x == 0, 0, (module.cos(u) - module.sin(u) / u) * math.pi / u)


def _second(x: Any, slope: Any) -> Any:
    safe = where(x == 0, 1, x)
    return where(x == 0, -(math.pi**2) / 3, -2 * slope / safe - math.pi**2 * sinc(x))


@binary
@primitive(casts=without(INTEGER, "hypot", promote_float), tensors=2)
def hypot(a, b):
    """Elementwise sqrt(a**2 + b**2), without overflow."""
    return xp(a).hypot(a, b)


hypot.defvjp(a=lambda g, a, out: g * (a / out), b=lambda g, b, out: g * (b / out))


@unary
@primitive(casts=promote_float, label="Deg2RadBackward0")
@widened
def deg2rad(x):
    """Elementwise radians of degrees."""
    return x * (math.pi / 180)


@unary
@primitive(casts=promote_float, label="Rad2DegBackward0")
@widened
def rad2deg(x):
    """Elementwise degrees of radians."""
    return x * (180 / math.pi)


deg2rad.defvjp(x=lambda g: g * (math.pi / 180))
rad2deg.defvjp(x=lambda g: g * (180 / math.pi))

arcsin, arccos, arctan, arctan2 = asin, acos, atan, atan2
arcsinh, arccosh, arctanh = asinh, acosh, atanh

for _call, _ufunc in (
    (sin, numpy.sin), (cos, numpy.cos), (tan, numpy.tan), (asin, numpy.arcsin),
    (acos, numpy.arccos), (atan, numpy.arctan), (sinh, numpy.sinh), (cosh, numpy.cosh),
    (tanh, numpy.tanh), (asinh, numpy.arcsinh), (acosh, numpy.arccosh), (atanh, numpy.arctanh),
    (atan2, numpy.arctan2), (hypot, numpy.hypot),
):  # fmt: skip
    _call.op.direct = _ufunc
