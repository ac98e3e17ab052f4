"""Rounding, and the neighbours of a floating-point number."""

from __future__ import annotations

from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.autograd.op import Variant
from core.autograd.quick import leading, unary
from core.autograd.value import called
from core.backend import xp
from core.dtype import FLOAT, of
from core.ops import results
from core.ops.choice import no_slope
from core.ops.elementwise import sign
from core.ops.exponential import ldexp
from core.ops.promotion import accumulates_in, promote, promote_float, widened

__all__ = "floor ceil trunc fix round frac frexp copysign nextafter".split()


def _rounded(x: Any, name: str) -> Any:
    """The NumPy function of that name; whole numbers are round already.

    Raises: NotImplementedError for bools.
    """
    if x.dtype.kind == "b":
        raise NotImplementedError(f"{name} is not implemented for core.bool")
    return getattr(xp(x), name)(x) if of(x.dtype).category == FLOAT else x.copy()


@unary
@primitive
def floor(x):
    """Elementwise largest whole number not above x."""
    return _rounded(x, "floor")


@unary
@primitive
def ceil(x):
    """Elementwise smallest whole number not below x."""
    return _rounded(x, "ceil")


@unary
@primitive
def trunc(x):
    """Elementwise x without its fraction."""
    return _rounded(x, "trunc")


@leading
@primitive
@widened
def round_to(x, decimals):
    """Elementwise nearest number with so many decimals; halves go to the even one."""
    if not decimals:
        return _rounded(x, "rint")
    if of(x.dtype).category != FLOAT:
        raise NotImplementedError(f"round with decimals is not implemented for {of(x.dtype)!r}")
    scale = x.dtype.type(10.0 ** abs(decimals))
    return xp(x).rint(x * scale) / scale if decimals > 0 else xp(x).rint(x / scale) * scale


round_to.op.label = "RoundBackward0"


def round(input: Any, *, decimals: int | None = None, out: Any = None) -> Any:
    """Elementwise nearest number with so many decimals; halves go to the even one."""
    if out is not None:
        return round_to(input, decimals or 0, out=out)
    found = round_to(input, decimals or 0)
    return found if decimals is None else called(found, "RoundBackward1")


for _call in (floor, ceil, trunc):
    _call.defvjp(x=no_slope)
round_to.defvjp(x=no_slope, decimals=None)
fix = trunc


@unary
@primitive
def frac(x):
    """Elementwise fraction of x, with its sign."""
    if of(x.dtype).category != FLOAT:
        raise NotImplementedError(f"frac is not implemented for {of(x.dtype)!r}")
    return x - xp(x).trunc(x)


frac.defvjp(x=lambda g: g)


@primitive(casts=promote_float, label=Variant("CopysignBackward0", "CopysignBackward1"))
def copysign(a, b):
    """Elementwise size of a with the sign of b."""
    return xp(a).copysign(a, b)


copysign.defvjp(
    a=lambda g, a, out: g * (sign(a) * sign(out)),
    b=no_slope,
)


@primitive(casts=promote, tensors=2)
def nextafter(a, b):
    """Elementwise floating-point number next to a in the direction of b."""
    if of(a.dtype).category != FLOAT:
        raise NotImplementedError(f"nextafter is not implemented for {of(a.dtype)!r}")
    return xp(a).nextafter(a, b)


nextafter.defvjp(a=lambda g, a, b: g * (a != b), b=no_slope)


@primitive(result=results.frexp)
def frexp(input):
    """Each element as a mantissa from [0.5, 1) and the power of two that it is multiplied by.

    Raises: NotImplementedError for integers and bools.
    """
    if of(input.dtype).category != FLOAT:
        raise NotImplementedError(
            f"torch.frexp() only supports floating-point dtypes, not {of(input.dtype)!r}"
        )
    module = xp(input)
    x = input.astype(accumulates_in(input.dtype), copy=False)
    usual = module.isfinite(x) & (x != 0)
    size = module.where(usual, module.abs(x), x.dtype.type(1))
    power = module.floor(module.log2(size)) + 1
    half = module.floor(power / 2)  # 2 ** power may overflow where its halves do not
    mantissa = x * module.exp2(-half) * module.exp2(half - power)
    large, small = module.abs(mantissa) >= 1, module.abs(mantissa) < 0.5
    mantissa = module.where(large, mantissa / 2, module.where(small, mantissa * 2, mantissa))
    power = module.where(usual, power + large - small, 0)
    mantissa = module.where(usual, mantissa, x)
    return mantissa.astype(input.dtype, copy=False), power.astype(numpy.int32)


frexp.defvjp(input=lambda g, out: ldexp(g[0], -out[1]))
