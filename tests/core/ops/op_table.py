"""One row per primitive: arguments to try it on, and what it is by definition, in float64."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy

from core.autograd.op import Op
from core.ops import (
    bitwise,
    choice,
    compare,
    division,
    elementwise,
    exponential,
    extreme,
    gamma,
    quantile,
    reduce,
    rounding,
    scan,
    sort,
    special,
    statistics,
    trigonometric,
    vector_norm,
)

FAMILIES = (
    bitwise, choice, compare, division, elementwise, exponential, extreme, gamma, quantile, reduce,
    rounding, scan, sort, special, statistics, trigonometric, vector_norm,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Row:
    """An op, arguments of it, its definition on float64 arrays, and how it meets other inputs.

    `slopes` are the positions of the arguments that have a gradient; `halves` says whether float16
    and bfloat16 go in; `empty` whether an input without elements does; `orders` how many
    derivatives there are.
    """

    call: Callable[..., Any]
    args: tuple[Any, ...]
    definition: Callable[..., Any]
    slopes: tuple[int, ...] = (0,)
    halves: bool = True
    empty: bool = True
    orders: int = 2

    @property
    def op(self) -> Op:
        return self.call.op  # type: ignore[attr-defined]

    def __str__(self) -> str:
        return f"{self.call.__module__.rsplit('.', 1)[-1]}.{self.call.__name__}"


def drawn(low: float, high: float, shape: tuple[int, ...] = (2, 3), seed: int = 0) -> Any:
    """Numbers between two bounds, none near another, so that no kink lies between two of them."""
    n = math.prod(shape)
    steps = (numpy.arange(n) + 0.37) / n
    return low + (high - low) * numpy.random.default_rng(seed).permutation(steps).reshape(shape)


def whole(low: int, high: int, shape: tuple[int, ...] = (2, 3), seed: int = 0) -> Any:
    """Whole numbers between two bounds, in int64."""
    return numpy.random.default_rng(seed).integers(low, high, shape)


def each(function: Callable[..., float]) -> Callable[..., Any]:
    """A function of Python floats, for each element."""
    return numpy.vectorize(function, otypes=[numpy.float64])


X = drawn(-2.0, 2.0)
Y = drawn(-1.9, 2.1, (3,), 1)
POSITIVE, SECOND = drawn(0.3, 3.0), drawn(0.4, 2.5, (3,), 2)
UNIT = drawn(-0.9, 0.9)
M, N = whole(-9, 9), whole(1, 7, (3,), 1)
TRUE, FALSE = X > 0, Y > 0
NAN = numpy.where(X > 1, numpy.nan, X)
ENDLESS = numpy.array([[math.inf, 1.5, -math.inf], [0.0, -0.0, math.nan]])
TIED = numpy.array([[1.0, 3.0, 3.0], [2.0, 1.0, 2.0]])
PRIME = numpy.array([[0.0, 1.5, -2.0], [0.0, 0.0, 3.0]])


def one(module: Any, name: str, definition: Any, x: Any = X, **more: Any) -> Row:
    return Row(getattr(module, name), (x,), definition, **more)


def two(module: Any, name: str, definition: Any, a: Any = X, b: Any = Y, **more: Any) -> Row:
    more = {"slopes": (0, 1)} | more
    return Row(getattr(module, name), (a, b), definition, **more)


def rounded_down(a: Any, b: Any) -> Any:
    return each(lambda p, q: math.floor(p / q))(a, b)


def towards_zero(a: Any, b: Any) -> Any:
    return each(lambda p, q: math.trunc(p / q))(a, b)


ARITHMETIC = [
    two(elementwise, "plus", lambda a, b: a + b),
    two(elementwise, "minus", lambda a, b: a - b),
    two(elementwise, "mul", lambda a, b: a * b),
    two(division, "quotient", lambda a, b: a / b, X, SECOND),
    two(division, "floor_quotient", rounded_down, X, SECOND),
    two(division, "trunc_quotient", towards_zero, X, SECOND),
    two(division, "remainder", lambda a, b: a - b * rounded_down(a, b), X, SECOND),
    two(division, "fmod", lambda a, b: a - b * towards_zero(a, b), X, SECOND),
    two(division, "gcd", each(math.gcd), M, N, slopes=()),
    two(division, "lcm", each(math.lcm), M, N, slopes=()),
    two(exponential, "scaled", lambda a, b: a * 2**b),
    two(elementwise, "pow", each(math.pow), POSITIVE, Y),
    Row(elementwise.pow, (X, 3), lambda a, b: a * a * a),
    Row(elementwise.pow, (2.0, X), each(lambda a, b: math.exp(b * math.log(a))), slopes=(1,)),
    one(elementwise, "square", lambda x: x * x),
    one(elementwise, "reciprocal", lambda x: 1 / x, POSITIVE),
    one(elementwise, "neg", lambda x: 0 - x),
    one(elementwise, "abs", each(abs)),
    one(elementwise, "sign", each(lambda x: (x > 0) - (x < 0))),
    one(elementwise, "sgn", each(lambda x: (x > 0) - (x < 0))),
    one(elementwise, "signbit", each(lambda x: math.copysign(1, x) < 0), slopes=()),
    Row(
        elementwise.lerp, (X, drawn(0, 1, seed=3), drawn(0.1, 0.9, seed=4)),
        lambda a, b, w: (1 - w) * a + w * b, (0, 1, 2),
    ),
    Row(
        elementwise.addcmul, (X, Y, drawn(0, 1, (2, 1)), 1.5),
        lambda x, a, b, v: x + v * a * b, (0, 1, 2),
    ),
    Row(
        elementwise.addcdiv, (X, Y, SECOND, 1.5),
        lambda x, a, b, v: x + v * a / b, (0, 1, 2),
    ),
]  # fmt: skip
EXPONENTIAL = [
    one(exponential, "exp", each(math.exp)),
    one(exponential, "exp2", lambda x: 2**x),
    one(exponential, "expm1", each(math.expm1)),
    one(exponential, "log", each(math.log), POSITIVE),
    one(exponential, "log2", each(math.log2), POSITIVE),
    one(exponential, "log10", each(math.log10), POSITIVE),
    one(exponential, "log1p", each(math.log1p), POSITIVE),
    one(exponential, "sqrt", each(math.sqrt), POSITIVE),
    one(exponential, "rsqrt", lambda x: x**-0.5, POSITIVE),
    two(exponential, "logaddexp", lambda a, b: numpy.log(numpy.exp(a) + numpy.exp(b))),
    two(exponential, "logaddexp2", lambda a, b: numpy.log2(2**a + 2**b)),
    two(exponential, "xlogy", lambda a, b: a * numpy.log(b), X, SECOND),
    one(exponential, "sigmoid", lambda x: 1 / (1 + numpy.exp(-x))),
    one(exponential, "logit", lambda x: numpy.log(x / (1 - x)), drawn(0.1, 0.9)),
    Row(
        exponential.logit, (drawn(0.05, 0.95), 0.2),
        lambda x, e: numpy.log(numpy.clip(x, e, 1 - e) / (1 - numpy.clip(x, e, 1 - e))),
    ),
]  # fmt: skip
TRIGONOMETRIC = [
    *[one(trigonometric, n, each(getattr(math, n))) for n in "sin cos sinh cosh tanh".split()],
    *[one(trigonometric, n, each(getattr(math, n))) for n in "atan asinh".split()],
    *[one(trigonometric, n, each(getattr(math, n)), UNIT) for n in "tan asin acos atanh".split()],
    one(trigonometric, "acosh", each(math.acosh), drawn(1.2, 4.0)),
    two(trigonometric, "atan2", each(math.atan2)),
    two(trigonometric, "hypot", each(math.hypot)),
    one(trigonometric, "deg2rad", each(math.radians)),
    one(trigonometric, "rad2deg", each(math.degrees)),
    one(trigonometric, "sinc", lambda x: numpy.sin(math.pi * x) / (math.pi * x)),
    one(
        trigonometric, "sinc_slope",
        lambda x: numpy.cos(math.pi * x) / x - numpy.sin(math.pi * x) / (math.pi * x * x),
    ),
]  # fmt: skip
ROUNDING = [
    *[one(rounding, n, each(getattr(math, n))) for n in "floor ceil trunc".split()],
    Row(rounding.round_to, (10 * X, 0), each(lambda x, d: round(x)), halves=False),
    Row(rounding.round_to, (10 * X, 1), each(round), halves=False),
    one(rounding, "frac", lambda x: x - each(math.trunc)(x)),
    two(rounding, "copysign", each(math.copysign)),
    two(rounding, "nextafter", each(math.nextafter), slopes=(), halves=False),
    one(rounding, "frexp", numpy.frexp, halves=False),
]
CHOICES = [
    Row(choice.choose, (TRUE, X, Y), lambda c, a, b: c * a + (1 - c) * b, (1, 2)),
    two(choice, "maximum", each(max)),
    two(choice, "minimum", each(min)),
    two(choice, "fmax", each(max)),
    two(choice, "fmin", each(min)),
    Row(choice.clamp, (X, -1.0, 0.5), each(lambda x, a, b: min(max(x, a), b))),
    Row(
        choice.clamp, (X, drawn(-1, 0, (3,)), drawn(0.2, 1, (3,))),
        each(lambda x, a, b: min(max(x, a), b)), (0, 1, 2),
    ),
    one(choice, "relu", each(lambda x: max(x, 0))),
    two(choice, "gate", each(lambda g, out: g if out > 0 else 0), slopes=(0,)),
    one(choice, "no_slope", each(lambda g: 0)),
    Row(choice.nan_to_num, (NAN, 7.0), lambda x, v: numpy.where(numpy.isnan(x), v, x), slopes=()),
    two(choice, "heaviside", each(lambda x, v: v if x == 0 else x > 0), PRIME, Y, slopes=()),
]  # fmt: skip
BITS = [
    two(bitwise, "bitwise_and", each(lambda a, b: int(a) & int(b)), M, N, slopes=()),
    two(bitwise, "bitwise_or", each(lambda a, b: int(a) | int(b)), M, N, slopes=()),
    two(bitwise, "bitwise_xor", each(lambda a, b: int(a) ^ int(b)), M, N, slopes=()),
    one(bitwise, "bitwise_not", each(lambda x: ~int(x)), M, slopes=()),
    two(bitwise, "bitwise_left_shift", each(lambda a, b: int(a) << int(b)), M, N, slopes=()),
    two(bitwise, "bitwise_right_shift", each(lambda a, b: int(a) >> int(b)), M, N, slopes=()),
    two(bitwise, "logical_and", each(lambda a, b: a != 0 and b != 0), TRUE, FALSE, slopes=()),
    two(bitwise, "logical_or", each(lambda a, b: a != 0 or b != 0), TRUE, FALSE, slopes=()),
    two(bitwise, "logical_xor", each(lambda a, b: (a != 0) != (b != 0)), PRIME, Y, slopes=()),
    one(bitwise, "logical_not", each(lambda x: x == 0), PRIME, slopes=()),
]
COMPARISONS = [
    two(compare, "eq", each(lambda a, b: a == b), M, N, slopes=()),
    two(compare, "ne", each(lambda a, b: a != b), M, N, slopes=()),
    two(compare, "lt", each(lambda a, b: a < b), slopes=()),
    two(compare, "le", each(lambda a, b: a <= b), slopes=()),
    two(compare, "gt", each(lambda a, b: a > b), slopes=()),
    two(compare, "ge", each(lambda a, b: a >= b), slopes=()),
    one(compare, "isnan", each(math.isnan), NAN, slopes=()),
    one(compare, "isinf", each(math.isinf), ENDLESS, slopes=()),
    one(compare, "isfinite", each(math.isfinite), NAN, slopes=()),
    one(compare, "isposinf", each(lambda x: math.isinf(x) and x > 0), ENDLESS, slopes=()),
    one(compare, "isneginf", each(lambda x: math.isinf(x) and x < 0), ENDLESS, slopes=()),
    one(compare, "isreal", each(lambda x: True), NAN, slopes=()),
    two(compare, "isclose", each(lambda a, b: math.isclose(a, b)), slopes=()),
    two(compare, "same_elements", lambda a, b: (a == b).all(), TIED, TIED, slopes=(), empty=False),
    Row(compare.among, (TIED, TIED[1], False), lambda x, v, i: x < 3, slopes=(), empty=False),
]  # fmt: skip
