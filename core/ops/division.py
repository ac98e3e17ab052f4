"""Division: quotients, rounded or not, and what is left over."""

from __future__ import annotations

import operator
from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.autograd.op import Variant
from core.autograd.quick import binary
from core.backend import xp
from core.dtype import BOOL
from core.ops.choice import no_slope
from core.ops.promotion import promote, promote_float, promote_integral, widened, without

__all__ = "div divide true_divide floor_divide remainder fmod gcd lcm".split()


@binary
@primitive(casts=promote_float, label="DivBackward0", tensors=0)
def quotient(a, b):
    """Elementwise quotient a / b."""
    return a / b


# Not by `out`, which PyTorch's programs may change in place before they go backward.
quotient.defvjp(
    a=lambda g, b: g / b,
    b=lambda g, a, b: -g * (a / b / b),
)
quotient.op.direct = operator.truediv


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Any:
    """Elementwise quotient; with `rounding_mode` "floor" or "trunc" rounded down or towards zero.

    Raises: RuntimeError for another mode, and where whole numbers are divided by zero.
    """
    if rounding_mode is None:
        return quotient(input, other, out=out)
    if rounding_mode not in ("floor", "trunc"):
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found"
            f" '{rounding_mode}'"
        )
    rounded = floor_quotient if rounding_mode == "floor" else trunc_quotient
    return rounded(input, other) if out is None else rounded(input, other, out=out)


div.bare = quotient  # type: ignore[attr-defined]
true_divide = divide = div


@binary
@primitive(
    casts=without(BOOL, "div_floor", promote), whole="bBhil", tensors=0, label="DivBackward2"
)
@widened
def floor_quotient(a, b):
    """Elementwise a / b, rounded down."""
    _refuse_zero(a, b)
    return a // b


@binary
@primitive(
    casts=without(BOOL, "div_trunc", promote), whole="bBhil", tensors=0, label="DivBackward2"
)
@widened
def trunc_quotient(a, b):
    """Elementwise a / b, rounded towards zero."""
    _refuse_zero(a, b)
    module = xp(a if hasattr(a, "dtype") else b)
    if _kind(a, b) == "f":
        return module.trunc(a / b)
    return (a - module.fmod(a, b)) // b


floor_quotient.defvjp(a=no_slope, b=no_slope)
trunc_quotient.defvjp(a=no_slope, b=no_slope)


def floor_divide(input: Any, other: Any, *, out: Any = None) -> Any:
    """Elementwise quotient, rounded down."""
    return div(input, other, rounding_mode="floor", out=out)


@binary
@primitive(
    casts=without(BOOL, "remainder", promote),
    whole="bBhil",
    tensors=None,
    label=Variant("RemainderBackward1", "RemainderBackward0"),
)
@widened
def remainder(a, b):
    """Elementwise a - floor(a / b) * b, which has the sign of b."""
    _refuse_zero(a, b)
    return a % b


remainder.defvjp(
    a=lambda g: g,
    b=lambda g, a, b: -g * floor_quotient(a, b),
)


@binary
@primitive(
    casts=without(BOOL, "fmod", promote),
    whole="bBhil",
    label=Variant("FmodBackward1", "FmodBackward0"),
)
@widened
def fmod(a, b):
    """Elementwise a - trunc(a / b) * b, which has the sign of a."""
    _refuse_zero(a, b)
    return xp(a).fmod(a, b)


fmod.defvjp(
    a=lambda g: g,
    b=lambda g, a, b: -g * trunc_quotient(a, b),
)


def _kind(a: Any, b: Any) -> str:
    return (a if hasattr(a, "dtype") else b).dtype.kind


def _refuse_zero(a: Any, b: Any) -> None:
    """Raise where whole numbers in the CPU's memory are divided by zero, as PyTorch."""
    if _kind(a, b) in "fV" or type(b) not in (int, bool, numpy.ndarray):
        return
    if numpy.count_nonzero(b) == b.size if type(b) is numpy.ndarray else b:
        return
    if getattr(a, "size", 1):
        raise RuntimeError("ZeroDivisionError")


@primitive(casts=without(BOOL, "gcd", promote_integral), tensors=2)
def gcd(a, b):
    """Elementwise greatest common divisor of whole numbers."""
    return xp(a).gcd(a, b)


@primitive(casts=without(BOOL, "lcm", promote_integral), tensors=2)
def lcm(a, b):
    """Elementwise least common multiple of whole numbers."""
    return xp(a).lcm(a, b)


for _call in (gcd, lcm):
    _call.defvjp(a=None, b=None)
