"""Triangles and diagonals of matrices."""

from __future__ import annotations

from typing import Any

from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.inplace import write_out
from core.autograd.quick import leading
from core.autograd.value import called
from core.backend import packed, xp
from core.dtype import BOOL, of
from core.ops.assign import fill_
from core.ops.cast import clone
from core.ops.dims import axis_of
from core.ops.parts import diagonal, diagonal_array, narrow
from core.ops.promotion import refuse
from core.ops.shape import reshape_array

__all__ = "tril triu diag diag_embed diagflat diagonal_scatter trace".split()


@leading
@primitive(name="tril")
def lower(x, diagonal):
    """The elements of `x` on and below a diagonal; zeros above."""
    return _where(x, xp(x).tri(*x.shape[-2:], diagonal, dtype=bool))


lower.defvjp(x=lambda g, diagonal: lower(g, diagonal), diagonal=None)


@leading
@primitive(name="triu")
def upper(x, diagonal):
    """The elements of `x` on and above a diagonal; zeros below."""
    return _where(x, ~xp(x).tri(*x.shape[-2:], diagonal - 1, dtype=bool))


upper.defvjp(x=lambda g, diagonal: upper(g, diagonal), diagonal=None)


def _where(x: Any, kept: Any) -> Any:
    return packed(xp(x).where(kept, x, x.dtype.type(0)))


def tril(input: Any, diagonal: int = 0, *, out: Any = None) -> Any:
    """The lower triangles of the matrices in `input`, zeros elsewhere.

    Raises: RuntimeError for fewer than two dims.
    """
    _check_matrix("tril", input)
    result = lower(input, diagonal)
    return result if out is None else write_out(result, out)


def triu(input: Any, diagonal: int = 0, *, out: Any = None) -> Any:
    """The upper triangles of the matrices in `input`, zeros elsewhere.

    Raises: RuntimeError for fewer than two dims.
    """
    _check_matrix("triu", input)
    result = upper(input, diagonal)
    return result if out is None else write_out(result, out)


def _check_matrix(name: str, x: Any) -> None:
    if x.array.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")


# ---- diagonals --------------------------------------------------------------------------------


@primitive(name="diag_embed")
def embedded(x, offset, axis1, axis2):
    """Zeros with the last axis of `x` on a diagonal of two new axes."""
    n = x.shape[-1] + abs(offset)
    rest = iter(x.shape[:-1])
    shape = tuple(n if i in (axis1, axis2) else next(rest) for i in range(x.ndim + 1))
    out = xp(x).zeros(shape, x.dtype)
    diagonal_array(out, offset, axis1, axis2)[...] = x
    return out


embedded.defvjp(
    x=lambda g, offset, axis1, axis2: diagonal_array(g, offset, axis1, axis2),
    offset=None,
    axis1=None,
    axis2=None,
)


def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Zeros with the last dim of `input` on a diagonal of two new dims.

    Raises: RuntimeError where the two dims are one.
    """
    ndim = input.array.ndim + 1
    a, b = axis_of(dim1, ndim), axis_of(dim2, ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return embedded(input, offset, a, b)


def diag(input: Any, diagonal: int = 0, *, out: Any = None) -> Any:
    """The matrix with a vector on a diagonal, or a copy of a diagonal of a matrix.

    Raises: RuntimeError for other numbers of dims.
    """
    ndim = input.array.ndim
    if ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {ndim}D")
    if ndim == 1:
        result = embedded(input, diagonal, 0, 1)
    else:
        result = called(clone(_diagonal(input, diagonal)), "DiagonalBackward0_copy")
    return result if out is None else write_out(result, out)


_diagonal = diagonal


def diagflat(input: Any, offset: int = 0) -> Any:
    """The matrix with all elements of `input` on a diagonal."""
    return embedded(reshape_array(input, (input.array.size,)), offset, 0, 1)


@primitive(name="diagonal_scatter")
def with_diagonal(x, src, offset, axis1, axis2):
    """`x` with `src` on a diagonal."""
    out = x.copy()
    diagonal_array(out, offset, axis1, axis2)[...] = src
    return out


with_diagonal.defvjp(
    x=lambda g, offset, axis1, axis2: with_diagonal(g, 0, offset, axis1, axis2),
    src=lambda g, offset, axis1, axis2: diagonal_array(g, offset, axis1, axis2),
    offset=None,
    axis1=None,
    axis2=None,
)


@of_tensors("input", "src")
def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """`input` with `src` on a diagonal.

    Raises: RuntimeError where the shapes do not fit.
    """
    ndim = input.array.ndim
    a, b = axis_of(dim1, ndim), axis_of(dim2, ndim)
    want = _diagonal(input, offset, a, b).array.shape
    if src.array.shape != want:
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. src size ="
            f" {list(src.array.shape)}, slice size = {list(want)}"
        )
    return with_diagonal(input, src, offset, a, b)


@primitive(name="trace")
def traced(x):
    """The sum of the main diagonal."""
    want = x.dtype if x.dtype.kind in "fV" else xp(x).dtype("int64")
    return diagonal_array(x, 0, 0, 1).sum(dtype=want)


traced.defvjp(x=lambda g, x_shape: _spread(g, x_shape))


def _spread(g: Any, shape: tuple[int, int]) -> Any:
    ones = xp(getattr(g, "array", g)).eye(*shape, dtype=getattr(g, "array", g).dtype)
    return g * ones


def trace(input: Any) -> Any:
    """The sum of the main diagonal of a matrix.

    Raises: RuntimeError unless there are two dims.
    """
    if input.array.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.array.ndim}")
    refuse(BOOL, "trace", of(input.array.dtype))
    return traced(input)


def fill_diagonal_(x: Any, fill_value: Any, wrap: bool = False) -> Any:
    """`x` with one value along its main diagonal; `wrap` goes on below, in a tall matrix.

    Raises: RuntimeError for fewer than two dims, or other than two of different lengths.
    """
    shape = x.array.shape
    if len(shape) < 2:
        raise RuntimeError("dimensions must larger than 1")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    step = shape[1] + 1 if wrap and len(shape) == 2 else max(shape[0], 1)
    for start in range(0, shape[0], step):
        along = narrow(x, 0, start, min(step, shape[0] - start))
        while along.array.ndim > 1:
            along = diagonal(along)
        fill_(along, fill_value)
    return x
