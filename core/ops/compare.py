"""Comparisons, of elements and of whole tensors: their results are bools and have no gradient."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy

from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.place import where_it_lies
from core.autograd.quick import binary, unary
from core.backend import xp
from core.dtype import FLOAT, of
from core.ops.promotion import promote, same_device, uniform

__all__ = (
    "eq ne lt le gt ge not_equal less less_equal greater greater_equal"
    " isnan isinf isfinite isposinf isneginf isreal isclose allclose equal isin"
).split()


@binary
@primitive(casts=promote, whole="bBhil?")
def eq(a, b):
    """Elementwise a == b."""
    return a == b


@binary
@primitive(casts=promote, whole="bBhil?")
def ne(a, b):
    """Elementwise a != b."""
    return a != b


@binary
@primitive(casts=promote, whole="bBhil?")
def lt(a, b):
    """Elementwise a < b."""
    return a < b


@binary
@primitive(casts=promote, whole="bBhil?")
def le(a, b):
    """Elementwise a <= b."""
    return a <= b


@binary
@primitive(casts=promote, whole="bBhil?")
def gt(a, b):
    """Elementwise a > b."""
    return a > b


@binary
@primitive(casts=promote, whole="bBhil?")
def ge(a, b):
    """Elementwise a >= b."""
    return a >= b


not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge

# ---- what kind of number ----------------------------------------------------------------------


@unary
@primitive
def isnan(x):
    """Elementwise whether x is NaN."""
    return x != x


@unary
@primitive
def isinf(x):
    """Elementwise whether x is infinite."""
    return xp(x).abs(x) == math.inf


@unary
@primitive
def isfinite(x):
    """Elementwise whether x is neither infinite nor NaN."""
    return xp(x).abs(x) < math.inf


@primitive
def isposinf(x):
    """Elementwise whether x is plus infinity."""
    return x == math.inf


@primitive
def isneginf(x):
    """Elementwise whether x is minus infinity."""
    return x == -math.inf


@primitive
def isreal(x):
    """Elementwise whether x is a real number, which all are: there are no complex types."""
    return x == x if of(x.dtype).category != FLOAT else (x == x) | (x != x)


# ---- nearly, and all at once ------------------------------------------------------------------


@primitive(casts=uniform, tensors=2)
def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Elementwise whether |input - other| <= atol + rtol * |other|.

    Raises: RuntimeError where the dtypes differ, or a tolerance is negative.
    """
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not value >= 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value}")
    close = input == other
    if equal_nan:
        close = close | ((input != input) & (other != other))
    if of(input.dtype).category != FLOAT:
        input, other = input.astype("float64"), other.astype("float64")
    difference = xp(input).abs(input - other)
    near = difference <= atol + xp(other).abs(rtol * other)
    return close | (near & (difference < math.inf))


@of_tensors("input", "other")
@where_it_lies
def allclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are close, as `isclose` says."""
    return bool(isclose(input, other, rtol, atol, equal_nan).array.all())


@primitive(casts=same_device, tensors=2)
def same_elements(a, b):
    """Whether all elements are equal; the shapes are."""
    return (a == b).all()


@of_tensors("input", "other")
def equal(input: Any, other: Any) -> bool:
    """Whether both have the same shape and the same elements.

    Raises: TypeError for a number.
    """
    if not hasattr(other, "array"):
        kind = type(other).__name__
        raise TypeError(f"equal(): argument 'other' (position 2) must be Tensor, not {kind}")
    a, b = input.array, other.array
    if a.shape != b.shape:
        return False
    if type(a) is type(b) is numpy.ndarray:
        return bool(numpy.count_nonzero(a == b) == a.size)
    return bool(same_elements(input, other).array)


@primitive(casts=promote)
def among(x, values, invert):
    """Elementwise whether x is one of `values`; the other way round where `invert`."""
    return xp(x).isin(x, values, invert=invert)


@of_tensors(numbers="elements test_elements", first=True)
def isin(
    elements: Any,
    test_elements: Any,
    *,
    assume_unique: bool = False,
    invert: bool = False,
    out: Any = None,
) -> Any:
    """Elementwise whether an element is one of the test elements.

    Raises: RuntimeError for bools.
    """
    for x in (elements, test_elements):
        if isinstance(x, bool) or (hasattr(x, "array") and x.array.dtype == bool):
            raise RuntimeError("Unsupported input type encountered for isin(): Bool")
    if not hasattr(elements, "array"):
        elements = type(test_elements)(elements).to(test_elements.dtype)
    if not hasattr(test_elements, "array"):
        return (ne if invert else eq)(elements, test_elements, out=out)
    return among(elements, test_elements, invert, out=out)


for _call in (eq, ne, lt, le, gt, ge):
    _call.defvjp(a=None, b=None)
    _call.op.direct = getattr(operator, _call.op.name)
for _call in (isnan, isinf, isfinite, isposinf, isneginf, isreal):
    _call.defvjp(x=None)
isclose.defvjp(input=None, other=None, rtol=None, atol=None, equal_nan=None)
same_elements.defvjp(a=None, b=None)
among.defvjp(x=None, values=None, invert=None)
