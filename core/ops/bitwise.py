"""Bits of whole numbers, and logic on truth values: neither has gradients."""

from __future__ import annotations

from typing import Any

from core.autograd.dispatch import primitive
from core.autograd.quick import binary, integral, unary
from core.backend import xp
from core.dtype import BOOL, of
from core.ops.promotion import promote, promote_integral, without

__all__ = (
    "bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift"
    " logical_and logical_or logical_xor logical_not"
).split()


@integral
@primitive(casts=promote_integral, whole="bBhil?", tensors=None)
def bitwise_and(a, b):
    """Elementwise a & b."""
    return a & b


@integral
@primitive(casts=promote_integral, whole="bBhil?", tensors=None)
def bitwise_or(a, b):
    """Elementwise a | b."""
    return a | b


@integral
@primitive(casts=promote_integral, whole="bBhil?", tensors=None)
def bitwise_xor(a, b):
    """Elementwise a ^ b."""
    return a ^ b


@unary
@primitive(whole="bBhil?")
def bitwise_not(x):
    """Elementwise ~x: the other truth value, or all bits the other way.

    Raises: NotImplementedError for floating types.
    """
    if x.dtype.kind in "fV":
        raise NotImplementedError(f"expected integers or bools, got {of(x.dtype)!r}")
    return ~x


@primitive(casts=without(BOOL, "lshift", promote_integral), tensors=None)
def bitwise_left_shift(a, b):
    """Elementwise a << b; zero where b is negative or as large as the number of bits."""
    return xp(a if hasattr(a, "dtype") else b).left_shift(a, b)


@primitive(casts=without(BOOL, "rshift", promote_integral), tensors=None)
def bitwise_right_shift(a, b):
    """Elementwise a >> b, with the sign kept."""
    return xp(a if hasattr(a, "dtype") else b).right_shift(a, b)


@binary
@primitive(casts=promote, whole="bBhil?", tensors=2)
def logical_and(a, b):
    """Elementwise whether both are nonzero."""
    return xp(a).logical_and(a, b)


@binary
@primitive(casts=promote, whole="bBhil?", tensors=2)
def logical_or(a, b):
    """Elementwise whether either is nonzero."""
    return xp(a).logical_or(a, b)


@binary
@primitive(casts=promote, whole="bBhil?", tensors=2)
def logical_xor(a, b):
    """Elementwise whether exactly one is nonzero."""
    return xp(a).logical_xor(a, b)


@unary
@primitive(whole="bBhil?")
def logical_not(x):
    """Elementwise whether x is zero."""
    return x == 0


for _call in (bitwise_and, bitwise_or, bitwise_xor, bitwise_left_shift, bitwise_right_shift):
    _call.defvjp(a=None, b=None)
for _call in (logical_and, logical_or, logical_xor):
    _call.defvjp(a=None, b=None)
for _call in (bitwise_not, logical_not):
    _call.defvjp(x=None)


def inverted(x: Any) -> Any:
    """The operator ~x.

    Raises: TypeError for floating types.
    """
    if x.array.dtype.kind in "fV":
        raise TypeError(
            "~ (operator.invert) is only implemented on integer and Boolean-type tensors"
        )
    return bitwise_not(x)
