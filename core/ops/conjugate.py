"""What programs for complex numbers ask of tensors, which are all real here."""

from __future__ import annotations

import math
from typing import Any

from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.inplace import write_out
from core.backend import xp
from core.ops.choice import no_slope
from core.ops.promotion import promote_float

__all__ = "angle conj conj_physical imag is_conj is_neg resolve_conj resolve_neg".split()


@primitive(casts=promote_float)
def angle(x):
    """Elementwise angle to the positive numbers: zero, or pi for negative ones; NaN of NaN."""
    module = xp(x)
    return module.where(
        module.isnan(x), x, module.where(x < 0, x.dtype.type(math.pi), x.dtype.type(0))
    )


angle.defvjp(x=no_slope)


@of_tensors("input", first=True)
def conj(input: Any) -> Any:
    """The tensor itself, as all numbers are real."""
    return input


@of_tensors("input", first=True)
def conj_physical(input: Any, *, out: Any = None) -> Any:
    """The tensor itself, as all numbers are real, or `out` with its elements."""
    return input if out is None else write_out(input, out)


@of_tensors("input", first=True)
def resolve_conj(input: Any) -> Any:
    """The tensor itself, as all numbers are real."""
    return input


@of_tensors("input", first=True)
def resolve_neg(input: Any) -> Any:
    """The tensor itself: no minus sign waits to be carried out."""
    return input


def imag(input: Any) -> Any:
    """Nothing: a real tensor has no imaginary parts.

    Raises: RuntimeError.
    """
    raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")


def is_conj(input: Any) -> bool:
    """False: all numbers are real."""
    return False


def is_neg(input: Any) -> bool:
    """False: no minus sign waits to be carried out."""
    return False
