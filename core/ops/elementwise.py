"""Arithmetic: sums, products, quotients, powers, and what is made of them."""

from __future__ import annotations

import operator
from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.autograd.inplace import type_name
from core.autograd.op import Variant
from core.autograd.quick import binary, unary
from core.autograd.several import alike
from core.autograd.value import called
from core.backend import packed, xp
from core.dtype import BOOL, FLOAT, INTEGER, of, result_type
from core.ops.cast import cast
from core.ops.choice import choose, no_slope
from core.ops.choice import maximum as maximum
from core.ops.choice import minimum as minimum
from core.ops.choice import relu as relu
from core.ops.division import div as div
from core.ops.exponential import exp as exp
from core.ops.exponential import log
from core.ops.exponential import sigmoid as sigmoid
from core.ops.exponential import sqrt as sqrt
from core.ops.promotion import (
    cast_all,
    common_dtype,
    promote,
    promote_float,
    promote_numeric,
    refuse,
    same_device,
    uniform,
    widened,
    without,
)
from core.ops.trigonometric import tanh as tanh

__all__ = (
    "add sub rsub mul pow neg abs sign sgn square reciprocal positive signbit float_power"
    " lerp addcmul addcdiv"
    " subtract multiply negative absolute"
).split()

# ---- sums -------------------------------------------------------------------------------------


@binary
@primitive(casts=promote, label="AddBackward0", whole="bBhil?", tensors=0)
def plus(a, b):
    """Elementwise sum a + b."""
    return a + b


plus.defvjp(
    a=lambda g: g,
    b=lambda g: g,
)


@binary
@primitive(
    casts=promote_numeric,
    label=Variant("SubBackward0", "RsubBackward1", 0),
    whole="bBhil",
    tensors=0,
)
def minus(a, b):
    """Elementwise difference a - b."""
    return a - b


minus.defvjp(
    a=lambda g: g,
    b=lambda g: -g,
)


def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """Elementwise sum input + alpha * other."""
    return plus(
        input, other if alpha == 1 and alpha is not True else _times(input, other, alpha), out=out
    )


def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """Elementwise difference input - alpha * other.

    Raises: RuntimeError where either is of bools.
    """
    if alpha != 1:
        _refuse_bools(input, other)
    return minus(
        input, other if alpha == 1 and alpha is not True else _times(input, other, alpha), out=out
    )


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """Elementwise difference other - alpha * input.

    Raises: RuntimeError where either is of bools.
    """
    _refuse_bools(input, other)
    out = sub(other, positive(input), alpha=alpha)
    return called(out, f"RsubBackward{int(not hasattr(other, 'array'))}")


def _refuse_bools(input: Any, other: Any) -> None:
    if any(hasattr(x, "array") and x.array.dtype.kind == "b" for x in (input, other)):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying"
            " to invert a mask, use the `~` or `logical_not()` operator instead."
        )


def _times(input: Any, other: Any, alpha: Any) -> Any:
    """Alpha * other, where alpha must not change the dtype of the sum.

    Raises: RuntimeError where it would.
    """
    arrays = [x.array for x in (input, other) if hasattr(x, "array")]
    if not arrays:
        return other * alpha
    if len(arrays) == 2 and type(alpha) is not bool:
        if arrays[0].dtype is arrays[1].dtype and arrays[0].dtype.kind == "f":
            return mul(other, alpha)
    numbers = [x for x in (input, other) if isinstance(x, (bool, int, float))]
    d = result_type(arrays, numbers)
    if isinstance(alpha, float) and d.category != FLOAT:
        raise RuntimeError(
            "For integral input tensors, argument alpha must not be a floating point number."
        )
    if isinstance(alpha, bool) and d.category != BOOL:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if d.category == BOOL:
        alpha = bool(alpha)
    if hasattr(other, "array") and other.array.dtype != d.numpy:
        other = cast(other, d.numpy)
    return mul(other, alpha)


# ---- products and quotients -------------------------------------------------------------------


@binary
@primitive(casts=promote, whole="bBhil?", tensors=0)
def mul(a, b):
    """Elementwise product a * b."""
    return a * b


mul.defvjp(
    a=lambda g, b: g * b,
    b=lambda g, a: g * a,
)


@unary
@primitive(casts=promote_float)
@widened
def reciprocal(x):
    """Elementwise 1 / x."""
    return 1 / x


reciprocal.defvjp(x=lambda g, out: -g * (out * out))


# ---- powers -----------------------------------------------------------------------------------


def _promote_power(arrays: list[Any], tensors: int) -> list[Any]:
    """Like `promote`; whole numbers to a negative Python number are refused."""
    d = common_dtype(arrays, tensors)
    refuse(BOOL, "pow", d)
    b = arrays[1]
    if d.category == INTEGER and not hasattr(b, "dtype") and b < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    return cast_all(arrays, tensors, d)


def _power_label(node: Any) -> str:
    return f"PowBackward{int(1 in node.plan.tensors)}"  # both rules save a, then b


@binary
@primitive(casts=_promote_power, label=_power_label, tensors=None)
def pow(a, b):
    """Elementwise power a ** b; whole numbers to a negative power are rounded towards zero.

    Raises: RuntimeError for whole numbers to a negative Python number.
    """
    if hasattr(b, "dtype") and not getattr(a, "ndim", 0):  # rows in memory, as PyTorch's
        return packed(_whole_power(a, b) if b.dtype.kind in "iu" else a**b)
    if a.dtype.kind in "iu" and hasattr(b, "dtype"):
        return _whole_power(a, b)
    return a**b


def _whole_power(a: Any, b: Any) -> Any:
    module = xp(b)
    inverse = (a == 1) + (a == -1) * (1 - 2 * (b & 1))
    return module.where(b < 0, inverse, a ** module.maximum(b, 0)).astype(b.dtype)


pow.defvjp(
    a=lambda g, a, b: g * _base_slope(a, b),
    b=lambda g, a, b, out: choose((a == 0) & (b >= 0), 0, g * (out * _log(a))),
)


def _base_slope(a: Any, b: Any) -> Any:
    """The derivative of a ** b by a, zero where b is."""
    if not hasattr(b, "dtype"):
        return b * a ** (b - 1) if b else 0
    return choose(b == 0, 0, b * a ** (b - 1))


def _log(x: Any) -> Any:
    return log(x) if hasattr(x, "dtype") else float(numpy.log(x))


def float_power(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """Elementwise power in float64."""
    wide = [x.double() if hasattr(x, "array") else x for x in (input, exponent)]
    return pow(*wide) if out is None else pow(*wide, out=out)


@unary
@primitive(label="PowBackward0")
def square(x):
    """Elementwise x * x."""
    return x * x if x.dtype.kind != "b" else x.astype(numpy.int64)


square.defvjp(x=lambda g, x: g * (2 * x))


# ---- signs ------------------------------------------------------------------------------------


@unary
@primitive(whole="bBhil")
def neg(x):
    """Elementwise negative -x.

    Raises: RuntimeError for bools.
    """
    if x.dtype.kind == "b":
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to"
            " invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return -x


neg.defvjp(x=lambda g: -g)


@unary
@primitive(casts=without(BOOL, "abs", same_device))
def abs(x):
    """Elementwise absolute value."""
    return xp(x).abs(x)


abs.defvjp(x=lambda g, x: g * sign(x))


@unary
@primitive
def sign(x):
    """Elementwise sign: -1, 0 or 1; zero for NaN."""
    if x.dtype.kind == "b":
        return x.copy()
    return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)


sign.defvjp(x=no_slope)
sgn = unary(primitive(sign.op.forward, name="sgn"))
sgn.defvjp(x=no_slope)


@unary
@primitive
def signbit(x):
    """Elementwise whether the sign is negative, also of a zero."""
    return xp(x).signbit(x) if of(x.dtype).category == FLOAT else x < 0


signbit.defvjp(x=None)


def positive(input: Any) -> Any:
    """`input` itself.

    Raises: RuntimeError for bools.
    """
    if input.dtype.category == BOOL:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


# ---- sums of products -------------------------------------------------------------------------


@alike
@primitive(casts=uniform, tensors=2, numbers=3, label=Variant("LerpBackward1", "LerpBackward0", 2))
@widened
def lerp(input, end, weight):
    """Elementwise input + weight * (end - input), exact at both ends.

    Raises: RuntimeError unless all tensors are of one dtype.
    """
    if of(input.dtype).category != FLOAT:
        raise NotImplementedError(f"lerp is not implemented for {of(input.dtype)!r}")
    step = end - input
    near, far = input + weight * step, end - step * (1 - weight)
    return xp(input).where(xp(input).abs(weight) < 0.5, near, far)


lerp.defvjp(
    input=lambda g, weight: g * (1 - weight),
    end=lambda g, weight: g * weight,
    weight=lambda g, input, end: g * (end - input),
)


def _promote_three(arrays: list[Any], tensors: int) -> list[Any]:
    """The three tensors in their common dtype, which the factor does not change."""
    d = common_dtype(arrays[:3], tensors & 7)
    refuse(BOOL, "addcmul", d)
    return cast_all(arrays, tensors, d)


@alike
@primitive(casts=_promote_three, tensors=3)
@widened
def addcmul(input, tensor1, tensor2, value=1):
    """Elementwise input + value * tensor1 * tensor2."""
    return input + value * tensor1 * tensor2


addcmul.defvjp(
    input=lambda g: g,
    tensor1=lambda g, tensor2, value: g * (tensor2 * value),
    tensor2=lambda g, tensor1, value: g * (tensor1 * value),
    value=None,
)


def _promote_quotient(arrays: list[Any], tensors: int) -> list[Any]:
    """Like `promote`; quotients of whole numbers are refused."""
    d = common_dtype(arrays[1:3], tensors >> 1 & 3)
    if d.category <= INTEGER:
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, but it was asked for with"
            f" tensors of type {type_name(d)}"
        )
    return promote(arrays, tensors)


@alike
@primitive(casts=_promote_quotient, tensors=3)
@widened
def addcdiv(input, tensor1, tensor2, value=1):
    """Elementwise input + value * tensor1 / tensor2.

    Raises: RuntimeError for whole numbers.
    """
    return input + value * (tensor1 / tensor2)


addcdiv.defvjp(
    input=lambda g: g,
    tensor1=lambda g, tensor2, value: g * (value / tensor2),
    tensor2=lambda g, tensor1, tensor2, value: -g * (value * tensor1 / (tensor2 * tensor2)),
    value=None,
)


add.bare, sub.bare = plus, minus  # type: ignore[attr-defined]
subtract, multiply, negative, absolute = sub, mul, neg, abs

for _call, _fast in (
    (plus, operator.add), (minus, operator.sub), (mul, operator.mul),
    (neg, operator.neg), (abs, numpy.abs), (reciprocal, numpy.reciprocal), (square, numpy.square),
):  # fmt: skip
    _call.op.direct = _fast
