"""Products with weights."""

from __future__ import annotations

from typing import Any

from core.autograd.demand import of_tensors
from core.autograd.inplace import write_out
from core.autograd.value import called
from core.ops.linalg import linear as affine
from core.ops.pad import pad as pad
from core.ops.shape import reshape_array

__all__ = "bilinear linear pad".split()


@of_tensors("input", "weight", "bias")
def linear(input: Any, weight: Any, bias: Any = None, *, out: Any = None) -> Any:
    """Input @ weight.T + bias over the last dim.

    Shape: (..., in), (out, in), (out,) -> (..., out).
    Raises: TypeError for what is no tensor; RuntimeError where sizes or dtypes differ.
    """
    if input.array.shape[-1:] != weight.array.shape[-1:]:
        rows = input.numel() // input.shape[-1] if input.shape[-1] else 0
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{input.shape[-1]} and"
            f" {weight.shape[-1]}x{weight.shape[0]})"
        )
    result = affine(input, weight, bias)
    return result if out is None else write_out(result, out)


@of_tensors("input1", "input2", "weight", "bias")
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """input1 @ weight[k] @ input2 + bias[k] for each k.

    Shape: (..., I), (..., J), (O, I, J), (O,) -> (..., O).
    """
    lead = tuple(input1.shape[:-1])
    outs, left, right = weight.shape
    if tuple(input2.shape[:-1]) != lead:
        raise RuntimeError(
            f"bilinear(): input batch dimensions do not match: got {list(lead)} and"
            f" {list(input2.shape[:-1])}"
        )
    a, b = reshape_array(input1, (-1, left, 1)), reshape_array(input2, (-1, 1, right))
    pairs = reshape_array(a * b, (-1, left * right))
    out = affine(pairs, reshape_array(weight, (outs, left * right)), bias)
    out = reshape_array(out, (*lead, outs))
    return out if bias is None else called(out, "AddBackward0")
