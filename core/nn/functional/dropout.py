"""Dropout and its relatives."""

from __future__ import annotations

from typing import Any

from core.ops.dropout import dropped

__all__ = "dropout".split()


def checked(p: float) -> float:
    """`p`, a probability.

    Raises: ValueError outside 0 to 1.
    """
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    return p


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Each element zero with probability `p`, else divided by 1 - p; the input unless `training`."""
    return _spread(input, checked(p), training, inplace, tuple(input.shape))


def _spread(input: Any, p: float, training: bool, inplace: bool, shape: Any) -> Any:
    if not training or p == 0.0:
        return input
    if not inplace:
        return dropped(input, p, shape)
    return input.mul_(dropped(input.new_ones(shape), p, shape))
