"""Norms of vectors, and the distance between two."""

from __future__ import annotations

import math
from typing import Any

from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.inplace import write_out
from core.autograd.value import called
from core.backend import packed, xp
from core.dtype import FLOAT, of, to_numpy
from core.ops.cast import cast
from core.ops.choice import choose, no_slope
from core.ops.decompose import singular_values
from core.ops.dims import axes_of, axis_of, distinct, kept, size_of
from core.ops.elementwise import abs, minus, sign
from core.ops.promotion import accumulates_in
from core.ops.reduce import spread, sum
from core.ops.shape import permute_axes, reshape_array

__all__ = "norm dist renorm".split()


@primitive(name="linalg_vector_norm")
def vector_norm(x, p, dim=None, keepdim=False):
    """The p-norm over `dim` (an int, several, or all): sum(|x|**p) ** (1/p), or its limit.

    Raises: RuntimeError for integers, and for an extreme of nothing.
    """
    if of(x.dtype).category != FLOAT:
        raise RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got"
            f" {of(x.dtype).name}"
        )
    axes = axes_of(dim, x.ndim)
    wide = xp(x).abs(x.astype(accumulates_in(x.dtype), copy=False))
    return packed(_norm(wide, p, axes, keepdim)).astype(x.dtype)


def _norm(size: Any, p: float, axes: Any, keepdim: bool) -> Any:
    how = {"axis": axes, "keepdims": keepdim}
    if p in (math.inf, -math.inf):
        if not size_of(size.shape, axes):
            raise RuntimeError(f"linalg.vector_norm cannot compute the {p} norm of no elements")
        return size.max(**how) if p > 0 else size.min(**how)
    if p == 0:
        return (size != 0).sum(**how)
    if p == 1:
        return size.sum(**how)
    if p == 2:
        return xp(size).sqrt((size * size).sum(**how))
    return (size**p).sum(**how) ** (1 / p)


vector_norm.defvjp(
    x=lambda g, x, out, p, dim, keepdim: (
        None  # a count has no slope
        if p == 0
        else _slope(spread(g, x.shape, dim, keepdim), x, spread(out, x.shape, dim, keepdim), p, dim)
    ),
    p=None,
    dim=None,
    keepdim=None,
)


def _slope(g: Any, x: Any, out: Any, p: float, dim: Any) -> Any:
    """The gradient of a norm: zero where the norm is, shared evenly among several extremes."""
    if p == 0:
        return no_slope(g)
    if p == 1:
        return g * sign(x)
    if p == 2:
        return g * choose(out == 0, 0, x / out)
    if p in (math.inf, -math.inf):
        hit = abs(x) == out
        return g * sign(x) * hit / sum(hit, dim, True)
    if p < 1:
        power = sign(x) * choose(x == 0, 0, abs(x) ** (p - 1))
        return g * power * choose(out == 0, 0, out ** (1 - p))
    if p < 2:
        power = sign(x) * abs(x) ** (p - 1)
    else:
        power = x * abs(x) ** (p - 2)
    return g * choose(out == 0, 0, power / choose(out == 0, 1, out) ** (p - 1))


def norm(
    input: Any,
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    out: Any = None,
    dtype: Any = None,
) -> Any:
    """The p-norm of the elements over `dim`; "fro" is the 2-norm, "nuc" the nuclear of matrices.

    Raises: RuntimeError for integers, or another name of a norm.
    """
    x = input if dtype is None else cast(input, to_numpy(dtype))
    if p == "nuc":
        return _nuclear(x, (0, 1) if dim is None else dim, keepdim, out)
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"linalg.matrix_norm: Order {p} not supported.")
    result = vector_norm(x, 2 if p is None or p == "fro" else float(p), dim, keepdim)
    return result if out is None else write_out(result, out)


def _nuclear(x: Any, dims: Any, keepdim: bool, out: Any) -> Any:
    """The sums of the singular values of the matrices that lie along two dims."""
    if isinstance(dims, int) or len(dims) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {dims}")
    axes = distinct(dims, x.array.ndim)
    rest = tuple(i for i in range(x.array.ndim) if i not in axes)
    found = sum(singular_values(permute_axes(x, (*rest, *axes)), False)[1], -1)
    found = reshape_array(found, kept(x.array.shape, axes)) if keepdim else found
    return found if out is None else write_out(found, out)


@of_tensors("input", "other", first=True)
def dist(input: Any, other: Any, p: float = 2, *, out: Any = None) -> Any:
    """The p-norm of input - other."""
    result = called(norm(minus(input, other), p), "DistBackward0")
    return result if out is None else write_out(result, out)


@of_tensors("input")
def renorm(input: Any, p: float, dim: int, maxnorm: float, *, out: Any = None) -> Any:
    """The parts of `input` along a dim, shrunk where their p-norm is larger than `maxnorm`.

    Raises: RuntimeError for one dim, or a norm or limit that is negative.
    """
    ndim = input.array.ndim
    if ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {ndim} dimensions")
    axis = axis_of(dim, ndim)
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    size = vector_norm(input, float(p), tuple(i for i in range(ndim) if i != axis), True)
    # PyTorch's addend: what is shrunk ends just below the limit.
    factor = choose(size > maxnorm, maxnorm / (size + 1e-7), 1)
    result = called(input * factor, "RenormBackward0")
    return result if out is None else write_out(result, out)
