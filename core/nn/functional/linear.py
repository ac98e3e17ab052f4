"""Products with weights."""

from __future__ import annotations

from typing import Any

from core.ops.linalg import linear as affine
from core.ops.pad import pad

__all__ = "linear pad".split()


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """Input @ weight.T + bias over the last dim.

    Shape: (..., in), (out, in), (out,) -> (..., out).
    Raises: RuntimeError where the sizes differ.
    """
    if input.shape[-1:] != weight.shape[-1:]:
        rows = input.numel() // input.shape[-1] if input.shape[-1] else 0
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{input.shape[-1]} and"
            f" {weight.shape[-1]}x{weight.shape[0]})"
        )
    return affine(input, weight, bias)
