"""Comparisons: their results are bools and have no gradient."""

from __future__ import annotations

from core.autograd.dispatch import binary, primitive
from core.ops.promotion import promote

__all__ = "eq ne lt le gt ge".split()


@binary
@primitive(casts=promote)
def eq(a, b):
    """Elementwise a == b."""
    return a == b


@binary
@primitive(casts=promote)
def ne(a, b):
    """Elementwise a != b."""
    return a != b


@binary
@primitive(casts=promote)
def lt(a, b):
    """Elementwise a < b."""
    return a < b


@binary
@primitive(casts=promote)
def le(a, b):
    """Elementwise a <= b."""
    return a <= b


@binary
@primitive(casts=promote)
def gt(a, b):
    """Elementwise a > b."""
    return a > b


@binary
@primitive(casts=promote)
def ge(a, b):
    """Elementwise a >= b."""
    return a >= b


for _op in (eq, ne, lt, le, gt, ge):
    _op.defvjp(a=None, b=None)
