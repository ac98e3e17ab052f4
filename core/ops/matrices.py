"""Linear algebra by PyTorch's names: what is checked, and returned, around the factorisations."""

from __future__ import annotations

import math
from typing import Any

from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.inplace import write_out
from core.autograd.place import where_it_lies
from core.autograd.value import called, wrap
from core.backend import xp
from core.ops.cast import compact
from core.ops.choice import where
from core.ops.decompose import (
    SvdResult,
    check_matrix,
    check_square,
    cholesky_factor,
    determinant,
    log_determinant,
    mT,
    orthogonal_triangular,
    singular_values,
    solution,
    symmetric_eigen,
)
from core.ops.decompose import inverse as inverse_of
from core.ops.linalg import matmul
from core.ops.product import product_of
from core.ops.results import result
from core.ops.shape import reshape_array, unsqueeze
from core.ops.triangle import lower

__all__ = """
inverse det slogdet logdet cholesky cholesky_inverse cholesky_solve matrix_power svd qr
matrix_exp
""".split()


def inv(A: Any, *, out: Any = None) -> Any:
    """The inverse matrices.

    Raises: LinAlgError where there is none; RuntimeError unless square and floating.
    """
    check_square("linalg.inv", A)
    found = inverse_of(A)
    return found if out is None else write_out(found, out)


def inverse(input: Any, *, out: Any = None) -> Any:
    """The inverse matrices: `inv`."""
    return inv(input, out=out)


def det(A: Any, *, out: Any = None) -> Any:
    """The determinants.

    Raises: RuntimeError unless square and floating.
    """
    check_square("linalg.det", A)
    found = determinant(A)
    return found if out is None else write_out(found, out)


def slogdet(A: Any, *, out: Any = None) -> Any:
    """The signs of the determinants and the logarithms of their sizes.

    Raises: RuntimeError unless square and floating.
    """
    check_square("linalg.slogdet", A)
    found = log_determinant(A)
    return found if out is None else write_out(found, out)


def logdet(input: Any) -> Any:
    """The logarithms of the determinants; NaN where these are negative."""
    check_square("logdet", input)
    sign, size = log_determinant(input)
    return where(sign == -1, math.nan, size)


# ---- factorisations ---------------------------------------------------------------------------


def cholesky(input: Any, upper: bool = False, *, out: Any = None) -> Any:
    """The lower triangular L with L @ L.T = input, or with `upper` its transpose.

    Raises: LinAlgError unless positive definite; RuntimeError unless square and floating.
    """
    check_square("linalg.cholesky", input)
    found = cholesky_factor(input, bool(upper))
    return found if out is None else write_out(found, out)


@primitive
def _read_half(x):
    """The lower triangles; the gradient is that of the whole matrices, as PyTorch's."""
    return lower(x, 0)


_read_half.defvjp(x=lambda g: g)


def cholesky_inverse(L: Any, upper: bool = False, *, out: Any = None) -> Any:
    """The inverse of the matrix whose Cholesky factor is given."""
    half = inverse_of(_read_half(mT(L) if upper else L))
    whole = mT(matmul(mT(half), half))  # symmetric, and column by column in memory
    found = called(whole, "CholeskyInverseBackward0")
    return found if out is None else write_out(found, out)


@of_tensors("B", "L")
def cholesky_solve(B: Any, L: Any, upper: bool = False, *, out: Any = None) -> Any:
    """The X with A @ X = B, where the Cholesky factor of A is given."""
    factor = _read_half(mT(L) if upper else L)
    found = called(solution(mT(factor), solution(factor, B)), "CholeskySolveBackward0")
    return found if out is None else write_out(found, out)


def qr(A: Any, mode: Any = "reduced", *, out: Any = None) -> Any:
    """The factors Q, R; `mode` is reduced, complete or r.

    Raises: RuntimeError for another mode, or unless matrices of a floating type.
    """
    check_matrix("linalg.qr", A)
    mode = {True: "reduced", False: "complete"}.get(mode, mode)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r',"
            " or 'complete'"
        )
    found = orthogonal_triangular(A, mode)
    return found if out is None else write_out(found, out)


def svd_full(A: Any, full_matrices: bool = True, *, driver: Any = None, out: Any = None) -> Any:
    """The factors U, S, Vh with A = U @ diag(S) @ Vh.

    Raises: RuntimeError unless matrices of a floating type.
    """
    check_matrix("linalg.svd", A)
    found = singular_values(A, bool(full_matrices))
    return found if out is None else write_out(found, out)


OldSvdResult = result("svd", "U", "S", "V")


def svd(input: Any, some: bool = True, compute_uv: bool = True, *, out: Any = None) -> Any:
    """The factors U, S, V with input = U @ diag(S) @ V.T."""
    u, s, vh = SvdResult(*svd_full(input, not some))
    found = OldSvdResult(u, s, mT(vh)) if compute_uv else OldSvdResult(u * 0, s, mT(vh) * 0)
    return found if out is None else write_out(found, out)


def svdvals(A: Any, *, driver: Any = None, out: Any = None) -> Any:
    """The singular values, largest first."""
    check_matrix("linalg.svdvals", A)
    found = singular_values(A, False)[1]
    return found if out is None else write_out(found, out)


def eigh(A: Any, UPLO: str = "L", *, out: Any = None) -> Any:
    """The eigenvalues, ascending, and eigenvectors of symmetric matrices; one half is read.

    Raises: RuntimeError unless square and floating, or for a half other than L and U.
    """
    check_square("linalg.eigh", A)
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    found = symmetric_eigen(A, UPLO.upper())
    return found if out is None else write_out(found, out)


def eigvalsh(A: Any, UPLO: str = "L", *, out: Any = None) -> Any:
    """The eigenvalues, ascending, of symmetric matrices; one half is read."""
    found = eigh(A, UPLO)[0]
    return found if out is None else write_out(found, out)


# ---- powers and ranks -------------------------------------------------------------------------


def matrix_power(input: Any, n: int, *, out: Any = None) -> Any:
    """The product of `n` copies of the matrices; of their inverses for negative `n`.

    Raises: RuntimeError unless square.
    """
    if input.array.ndim < 2:
        raise RuntimeError(
            "linalg.matrix_power: The input tensor A must have at least 2 dimensions."
        )
    if input.array.shape[-1] != input.array.shape[-2]:
        check_square("linalg.matrix_power", input)
    if n == 0:
        found = called(input * 0 + eye_like(input), "torch::autograd::CopyBackwards")
    else:
        found = compact(input) if n == 1 else _power(input if n > 0 else inv(input), abs(n))
    return found if out is None else write_out(found, out)


def _power(x: Any, n: int) -> Any:
    out = None
    while n:
        if n & 1:
            out = x if out is None else matmul(out, x)
        n >>= 1
        if n:
            x = matmul(x, x)
    return out


@where_it_lies
def matrix_exp(A: Any) -> Any:
    """The matrix exponentials: a Taylor polynomial of the halved matrices, squared as often.

    Raises: RuntimeError unless square and floating.
    """
    check_square("linalg.matrix_exp", A)
    size = float(xp(A.array).abs(A.array).sum(-1).max()) if A.array.size else 0.0
    halvings = max(0, math.ceil(math.log2(size / 0.5))) if size > 0.5 else 0
    x = A * (0.5**halvings)
    out = term = x * 0 + eye_like(A)
    for k in range(1, 19):  # 0.5**19 / 19! is below the precision of float64
        term = matmul(term, x) * (1.0 / k)
        out = out + term
    for _ in range(halvings):
        out = matmul(out, out)
    return called(out, "LinalgMatrixExpBackward0")


@where_it_lies
def matrix_rank(
    A: Any,
    tol: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
    out: Any = None,
) -> Any:
    """How many singular values exceed the larger of atol and rtol times the largest of them."""
    check_matrix("linalg.matrix_rank", A)
    module, array = xp(A.array), A.array
    values = module.linalg.svd(array, False, False)
    absolute = _bound(module, tol if tol is not None else atol, 0.0)
    usual = module.where(absolute > 0, 0.0, eps(A) * max(array.shape[-2:]))
    relative = usual if rtol is None else _bound(module, rtol)
    if not values.shape[-1]:
        found = wrap(module.zeros(array.shape[:-2], "int64"))
    else:
        limit = module.maximum(absolute, relative * values.max(-1, keepdims=True))
        found = wrap(module.asarray((values > limit).sum(-1)))
    return found if out is None else write_out(found, out)


def _bound(module: Any, x: Any, default: float = 0.0) -> Any:
    """A bound, or one per matrix, as what stands beside the singular values."""
    return module.asarray(default if x is None else getattr(x, "array", x))[..., None]


def multi_dot(tensors: Any, *, out: Any = None) -> Any:
    """The product of matrices in the cheapest order; the first and last may be vectors.

    Raises: RuntimeError for fewer than two, or other numbers of dims.
    """
    xs = list(tensors)
    if len(xs) < 2:
        raise RuntimeError("multi_dot(): expected at least 2 tensors but got " + str(len(xs)))
    first, last = xs[0].array.ndim == 1, xs[-1].array.ndim == 1
    if first:
        xs[0] = unsqueeze(xs[0], 0)
    if last:
        xs[-1] = unsqueeze(xs[-1], -1)
    for i, x in enumerate(xs):
        if x.array.ndim != 2:
            raise RuntimeError(f"multi_dot(): tensor {i} must be 2D but got {x.array.ndim}D")
    found = product_of(xs)
    shape = found.array.shape
    if first or last:
        found = reshape_array(found, shape[int(first) : 2 - int(last)])
    found = called(found, "ViewBackward0")
    return found if out is None else write_out(found, out)


@where_it_lies
def eye_like(x: Any) -> Any:
    """The identity matrix in the size and dtype of the matrices of `x`."""
    return wrap(xp(x.array).eye(x.array.shape[-1], dtype=x.array.dtype))


def eps(x: Any) -> float:
    """The distance from one to the next number of the dtype of `x`."""
    return float(xp(x.array).finfo(x.array.dtype).eps)
