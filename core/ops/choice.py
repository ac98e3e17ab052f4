"""Choices between elements: where, the larger, the smaller, and bounds."""

from __future__ import annotations

import functools
from typing import Any

import numpy
from numpy import ndarray

from core.autograd.demand import refusal
from core.autograd.dispatch import primitive
from core.autograd.place import where_it_lies
from core.autograd.quick import binary, unary
from core.autograd.several import alike, with_mask
from core.autograd.value import Value, called, wrap
from core.backend import packed, xp
from core.dtype import BOOL, FLOAT, finfo, of
from core.notice import notice
from core.ops.promotion import (
    is_array,
    promote,
    promote_choices,
    uniform,
    without,
    zero_for,
)

__all__ = (
    "where maximum minimum fmax fmin clamp clamp_min clamp_max clip relu nan_to_num heaviside"
).split()

FEW = 1 << 10  # elements, below which they are quicker written to by a mask than chosen by bits

# ---- where ------------------------------------------------------------------------------------


@with_mask(0)
@primitive(casts=promote_choices, label="WhereBackward0", numbers=3)
def choose(condition, input, other):
    """Elementwise `input` where the condition holds, else `other`."""
    return xp(condition).where(condition, input, other)


choose.defvjp(
    condition=None,
    input=lambda g, condition: choose(condition, g, 0),
    other=lambda g, condition: choose(condition, 0, g),
)


@where_it_lies
def where(condition: Any, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """Elementwise `input` where the condition holds, else `other`; alone, where it is nonzero.

    Raises: RuntimeError unless the condition is of bools.
    """
    if input is None and other is None:
        found = xp(condition.array).nonzero(xp(condition.array).atleast_1d(condition.array))
        return tuple(wrap(packed(part)) for part in found[: condition.array.ndim or 1])
    if input is None or other is None:
        raise refusal("where", "other", 2, None)
    if isinstance(condition, Value) and condition.array.dtype.kind != "b":
        if condition.array.dtype != numpy.uint8:
            raise RuntimeError(
                "where expected condition to be a boolean tensor, but got a tensor with dtype"
                f" {of(condition.array.dtype).name}"
            )
        notice("where received a uint8 condition tensor: please use a dtype bool instead.")
        condition = wrap(xp(condition.array).asarray(condition.array != 0))
    if out is not None:
        return choose(condition, input, other, out=out)
    return choose(condition, input, other)


def where_method(x: Any, condition: Any, other: Any) -> Any:
    """Elementwise `x` where the condition holds, else `other`."""
    return where(condition, x, other)


# ---- the larger and the smaller ---------------------------------------------------------------


@binary
@primitive(casts=promote, tensors=2)
def maximum(a, b):
    """Elementwise larger of a and b; NaN where either is."""
    return xp(a).maximum(a, b)


maximum.defvjp(
    a=lambda g, a, b: shared(g, a == b, a < b),
    b=lambda g, a, b: shared(g, a == b, b < a),
)


@binary
@primitive(casts=promote, tensors=2)
def minimum(a, b):
    """Elementwise smaller of a and b; NaN where either is."""
    return xp(a).minimum(a, b)


minimum.defvjp(
    a=lambda g, a, b: shared(g, a == b, a > b),
    b=lambda g, a, b: shared(g, a == b, b > a),
)


def shared(g: Any, tied: Any, loses: Any) -> Any:
    """`g` for the winner, half of it for either where both are equal."""
    return choose(loses, 0, choose(tied, g / 2, g))


@binary
@primitive(casts=promote, tensors=2)
def fmax(a, b):
    """Elementwise larger of a and b; the number where one of them is NaN."""
    return xp(a).fmax(a, b)


fmax.defvjp(
    a=lambda g, a, b: choose((a >= b) | (b != b), g, 0),
    b=lambda g, a, b: choose((a >= b) | (b != b), 0, g),
)


@binary
@primitive(casts=promote, tensors=2)
def fmin(a, b):
    """Elementwise smaller of a and b; the number where one of them is NaN."""
    return xp(a).fmin(a, b)


fmin.defvjp(
    a=lambda g, a, b: choose((a <= b) | (b != b), g, 0),
    b=lambda g, a, b: choose((a <= b) | (b != b), 0, g),
)


# ---- bounds -----------------------------------------------------------------------------------


def _promote_bounds(arrays: list[Any], tensors: int) -> list[Any]:
    """Like `promote`; bools are refused unless one tensor is the only bound.

    Raises: TypeError for a bound that is no number or tensor.
    """
    for i, bound in enumerate(arrays[1:]):
        if not (bound is None or isinstance(bound, (int, float)) or hasattr(bound, "dtype")):
            raise refusal("clamp", ("min", "max")[i], i + 1, bound)
    return promote(arrays, tensors) if tensors in (3, 5) else _no_bools(arrays, tensors)


_no_bools = without(BOOL, "clamp", promote)


@alike
@primitive(casts=_promote_bounds)
def clamp(x, min=None, max=None):
    """Elementwise `x`, raised to `min` and then lowered to `max`; either may be left out.

    Raises: RuntimeError without both, TypeError for a number beside a tensor.
    """
    if min is not None and max is not None and is_array(min) is not is_array(max):
        raise TypeError("clamp() takes two numbers or two tensors, but got one of each")
    if min is None and max is None:
        raise RuntimeError("clamp: At least one of 'min' or 'max' must not be None")
    module = xp(x)
    if min is not None:
        x = module.maximum(min, x)  # of equal ones, as of -0 and 0, the second is taken
    return x if max is None else module.minimum(max, x)


clamp.defvjp(
    x=lambda g, x, min, max: choose(_within(x, min, max), g, 0),
    min=lambda g, x, min, max: choose(_below(x, min, max), g, 0),
    max=lambda g, x, min, max: choose(_above(x, min, max), g, 0),
)


def _within(x: Any, low: Any, high: Any) -> Any:
    if low is None:
        return x <= high
    return x >= low if high is None else (x >= low) & (x <= high)


def _below(x: Any, low: Any, high: Any) -> Any:
    return x < low if high is None else (x < low) & (low < high)


def _above(x: Any, low: Any, high: Any) -> Any:
    return x > high if low is None else (x > high) | (low > high)


def clamp_min(input: Any, min: Any, *, out: Any = None) -> Any:
    """Elementwise larger of `input` and `min`."""
    if min is None:
        raise refusal("clamp_min", "min", 1, min)
    return (
        called(clamp(input, min), f"ClampMinBackward{int(isinstance(min, Value))}")
        if out is None
        else clamp(input, min, out=out)
    )


def clamp_max(input: Any, max: Any, *, out: Any = None) -> Any:
    """Elementwise smaller of `input` and `max`."""
    if max is None:
        raise refusal("clamp_max", "max", 1, max)
    if out is not None:
        return clamp(input, None, max, out=out)
    return called(clamp(input, None, max), f"ClampMaxBackward{int(isinstance(max, Value))}")


clip = clamp


@functools.partial(unary, waits=lambda x: x.with_relu())
@primitive
def relu(x):
    """Elementwise max(x, 0)."""
    if x.dtype.kind == "b":
        raise RuntimeError("Boolean inputs not supported for relu")
    return xp(x).maximum(x.dtype.type(0), x)


@primitive(label="ThresholdBackwardBackward0")
def gate(g, out):
    """`g` where `out` is above 0 or no number, else 0: times 0 an infinite `g` is not 0."""
    return xp(g).where(out <= zero_for(out), zero_for(g), g)


gate.defvjp(g=lambda h, out: gate(h, out), out=None)


def _gated(g: Any, out: Any) -> Any:
    """As `gate`; past the dispatcher for few numbers, of which it would take half the time."""
    if type(g) is ndarray and g.size < FEW:
        zero = _ZEROS.get(out.dtype, 0)
        g = g.copy("K")
        numpy.putmask(g, out <= zero, zero)
        return g
    return gate(g, out)


relu.defvjp(x=_gated)


@primitive
def nan_to_num(x, nan=0.0, posinf=None, neginf=None):
    """`x` with NaN and infinities replaced by numbers, by 0 and the extreme ones unless given."""
    for i, number in enumerate((nan, posinf, neginf), 2):
        if not isinstance(number, (int, float, numpy.number, type(None))):
            raise TypeError(
                f"nan_to_num(): argument {i} must be a number or None, not {type(number).__name__}"
            )
    if of(x.dtype).category != FLOAT:
        return x.copy()
    limits: Any = finfo(of(x.dtype))
    high = float(limits.max) if posinf is None else posinf
    low = float(limits.min) if neginf is None else neginf
    module, kind = xp(x), x.dtype.type
    out = module.where(x != x, kind(nan or 0.0), x)
    out = module.where(x == numpy.inf, kind(high), out)
    return module.where(x == -numpy.inf, kind(low), out)


nan_to_num.defvjp(x=lambda g, x: choose(x - x == 0, g, 0), nan=None, posinf=None, neginf=None)


@primitive(casts=uniform, tensors=2)
def heaviside(x, values):
    """Elementwise 0 for negative x, 1 for positive x, and `values` at zero.

    Raises: RuntimeError unless both are of one dtype.
    """
    return xp(x).where(x == 0, values, (x > 0).astype(x.dtype))


heaviside.defvjp(x=None, values=None)


@primitive
def no_slope(g):
    """Zeros for `g`, the slope of what has steps only: 0 times an infinite `g` is no number."""
    return xp(g).zeros_like(g)


no_slope.defvjp(g=lambda h: no_slope(h))

for _call, _ufunc in (
    (maximum, numpy.maximum), (minimum, numpy.minimum), (fmax, numpy.fmax), (fmin, numpy.fmin),
):  # fmt: skip
    _call.op.direct = _ufunc

# A number beside an array costs NumPy 0.5 us more than an array of no dims.
_ZEROS = {d: numpy.zeros((), d) for d in map(numpy.dtype, ("float32", "float64"))}
