"""Distances and angles between vectors."""

from __future__ import annotations

from typing import Any

from core.autograd.adapt import adaptable
from core.autograd.demand import of_tensors
from core.autograd.value import called
from core.dtype import result_type
from core.ops.arrange import broadcast_shapes
from core.ops.choice import clamp_min
from core.ops.elementwise import abs, minus, mul, sgn
from core.ops.gather import index_select
from core.ops.reduce import sum
from core.ops.sequences import triu_indices
from core.ops.shape import broadcast_to, unsqueeze
from core.ops.vector_norm import vector_norm

__all__ = "cdist cosine_similarity pairwise_distance pdist".split()


@of_tensors("x1", "x2")
@adaptable
def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str | None = None) -> Any:
    """The p-norm distance between each row of x1 and each row of x2.

    Shape: (*B, N, D), (*B, M, D) -> (*B, N, M).
    Raises: RuntimeError where dtypes or sizes do not fit.
    """
    for name, x in (("X1", x1), ("X2", x2)):
        if not x.dtype.is_floating_point:
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: {x.dtype}")
        if len(x.shape) < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {x.ndim}D")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(
            f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}"
        )
    if x1.dtype is not x2.dtype:
        raise RuntimeError(f"cdist expects one dtype, but found {x1.dtype} and {x2.dtype}")
    if p < 0:
        raise RuntimeError(f"cdist only supports non-negative p values, but got {p}")
    apart = minus(unsqueeze(x1, -2), unsqueeze(x2, -3))
    if not x1.shape[-1]:
        return sum(apart, -1)
    return called(_lengths(apart, p), "CdistBackward0")


def _lengths(apart: Any, p: float) -> Any:
    """The p-norms of rows; the slope of how many differ is zero here, of the norm there is none."""
    return vector_norm(apart, p, -1) if p else sum(abs(sgn(apart)), -1)


@of_tensors("input")
@adaptable
def pdist(input: Any, p: float = 2.0) -> Any:
    """The p-norm distance between each row and each later one, row by row.

    Shape: (N, D) -> (N (N - 1) / 2,).
    Raises: RuntimeError for what is no matrix of floats, or a negative p.
    """
    if len(input.shape) != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {len(input.shape)}D")
    if not input.dtype.is_floating_point:
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    rows, later = triu_indices(input.shape[0], input.shape[0], 1, device=input.device)
    apart = minus(index_select(input, 0, rows), index_select(input, 0, later))
    found = _lengths(apart, p) if input.shape[1] else sum(apart, -1)
    return called(found, "PdistBackward0")


@of_tensors("x1", "x2", first=True)
def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """The p-norm of x1 - x2 + eps along the last dim."""
    return called(vector_norm(minus(x1, x2) + eps, p, -1, keepdim), "NormBackward1")


@of_tensors("x1", "x2")
@adaptable
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """The cosine of the angle between x1 and x2 along a dim; lengths are at least `eps`."""
    shape = broadcast_shapes(x1.shape, x2.shape)
    want = result_type([x1.array, x2.array])
    if not want.is_floating_point:
        raise RuntimeError(
            f"expected common dtype to be floating point, yet common dtype is {want}"
        )
    pair = [broadcast_to(x.to(want), shape) for x in (x1, x2)]
    return sum(mul(*[x / _length(x, dim, eps) for x in pair]), dim)


def _length(x: Any, dim: int, eps: float) -> Any:
    """The 2-norm, at least `eps`; its gradient is the norm's, as in PyTorch."""
    length = vector_norm(x, 2, dim, True)
    return length + (clamp_min(length, eps) - length).detach()
