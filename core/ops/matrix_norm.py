"""Norms and condition numbers of matrices."""

from __future__ import annotations

import math
from typing import Any

from core.autograd.inplace import write_out
from core.autograd.value import called
from core.dtype import to_numpy
from core.ops.cast import cast
from core.ops.decompose import check_floating, check_square
from core.ops.dims import distinct, pair_of
from core.ops.elementwise import abs
from core.ops.extreme import amax, amin
from core.ops.matrices import inv, svdvals
from core.ops.reduce import sum
from core.ops.shape import permute_axes, unsqueeze
from core.ops.vector_norm import vector_norm as norm_over

__all__: list[str] = []


def vector_norm(
    x: Any,
    ord: Any = 2,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
) -> Any:
    """The norm of all elements, or of those along `dim`, taken as vectors.

    Raises: RuntimeError for integers.
    """
    x = x if dtype is None else cast(x, to_numpy(dtype))
    found = norm_over(x, float(ord), dim, keepdim)
    return found if out is None else write_out(found, out)


def matrix_norm(
    A: Any,
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
) -> Any:
    """The norms of matrices: fro, nuc, or of order 1, -1, 2, -2, inf, -inf.

    Raises: RuntimeError for another order, or unless there are two dims.
    """
    if A.array.ndim < 2:
        raise RuntimeError(
            "linalg.matrix_norm: The input tensor A must have at least 2 dimensions."
        )
    check_floating("linalg.matrix_norm", A)
    A = A if dtype is None else cast(A, to_numpy(dtype))
    if len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {list(dim)}")
    axes = distinct(dim, A.array.ndim)
    found = _matrix_norm(A, ord, axes, keepdim)
    return found if out is None else write_out(found, out)


def _matrix_norm(x: Any, order: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
    if order == "fro":
        return norm_over(x, 2.0, axes, keepdim)
    if order == "nuc":
        return _kept(sum(_values(x, axes), -1), axes, keepdim)
    extreme = amax if not isinstance(order, str) and order > 0 else amin
    size = math.fabs(order) if not isinstance(order, str) else 0
    if size == 2:
        return _kept(extreme(_values(x, axes), -1), axes, keepdim)
    if size not in (1, math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {order} not supported.")
    row, column = axes if size == 1 else axes[::-1]
    return _kept(extreme(sum(abs(x), row), column - (column > row)), axes, keepdim)


def _values(x: Any, axes: tuple[int, ...]) -> Any:
    """The singular values of the matrices that lie along two axes."""
    rest = tuple(i for i in range(x.array.ndim) if i not in axes)
    return svdvals(permute_axes(x, (*rest, *axes)))


def _kept(x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
    for axis in sorted(axes) if keepdim else ():
        x = unsqueeze(x, axis)
    return x


def norm(
    A: Any,
    ord: Any = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    out: Any = None,
    dtype: Any = None,
) -> Any:
    """A norm of vectors or matrices, as `dim` and `ord` say; of all elements without both.

    Raises: RuntimeError where `dim` and `ord` do not fit.
    """
    A = A if dtype is None else cast(A, to_numpy(dtype))
    dims = None if dim is None else pair_of(dim)
    if ord is None or (dims is not None and len(dims) == 1 and not isinstance(ord, str)):
        found = norm_over(A, 2.0 if ord is None else float(ord), dims, keepdim)
    elif dims is None and A.array.ndim == 1 and not isinstance(ord, str):
        found = norm_over(A, float(ord), None, keepdim)
    else:
        if dims is None and A.array.ndim != 2:
            raise RuntimeError(
                "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got"
                f" {A.array.ndim}D."
            )
        found = matrix_norm(A, ord, (-2, -1) if dims is None else dims, keepdim)
    return found if out is None else write_out(found, out)


def cond(A: Any, p: Any = None, *, out: Any = None) -> Any:
    """The condition numbers: the norm of the matrices times that of their inverses."""
    if p is None or (not isinstance(p, str) and math.fabs(p) == 2):
        values = svdvals(A)
        largest, smallest = values[..., 0], values[..., -1]
        found = called(smallest / largest if p == -2 else largest / smallest, "SqueezeBackward1")
    else:
        check_square("linalg.cond", A)
        found = matrix_norm(A, p) * matrix_norm(inv(A), p)
    return found if out is None else write_out(found, out)
