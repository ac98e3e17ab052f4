"""LU factorisations, and solvers that tell of what is singular instead of raising."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.inplace import write_out
from core.autograd.place import where_it_lies
from core.autograd.value import Value, called, wrap
from core.backend import xp
from core.ops.decompose import (
    LinAlgError,
    by_columns,
    check_matrix,
    check_square,
    inverse,
    mT,
    solution,
    widened_by,
)
from core.ops.linalg import matmul
from core.ops.linalg import matrix_product as mm
from core.ops.matrices import cholesky, inv
from core.ops.parts import diagonal_array
from core.ops.results import result
from core.ops.shape import permute, reshape_array
from core.ops.solve import solve
from core.ops.triangle import lower, upper

__all__ = "lu_solve lu_unpack".split()

LuFactorResult = result("linalg_lu_factor", "LU", "pivots")
LuFactorExResult = result("linalg_lu_factor_ex", "LU", "pivots", "info")
LuResult = result("linalg_lu", "P", "L", "U")
LuUnpackResult = result("lu_unpack", "P", "L", "U")
InvExResult = result("linalg_inv_ex", "inverse", "info")
CholeskyExResult = result("linalg_cholesky_ex", "L", "info")
SolveExResult = result("linalg_solve_ex", "result", "info")

# ---- LU ---------------------------------------------------------------------------------------


@primitive(name="linalg_lu_factor_ex", result=LuFactorResult)
def pivoted(x):
    """L below and U above the diagonal in one matrix, and the rows that were swapped, from one on.

    Column by column, as there is nothing for it in NumPy.
    """
    module, (m, n) = xp(x), x.shape[-2:]
    lu, k = x.copy().reshape(-1, m, n), min(m, n)
    every, pivots = module.arange(len(lu)), module.empty((len(lu), k), numpy.int32)
    for j in range(k):
        best = module.abs(lu[:, j:, j]).argmax(1) + j
        pivots[:, j] = best + 1
        found = lu[every, best]
        lu[every, best] = lu[:, j]
        lu[:, j] = found
        pivot = lu[:, j, j, None]
        lu[:, j + 1 :, j] /= module.where(pivot == 0, 1, pivot)
        lu[:, j + 1 :, j + 1 :] -= lu[:, j + 1 :, j, None] * lu[:, j, None, j + 1 :]
    return by_columns(lu.reshape(x.shape)), pivots.reshape(*x.shape[:-2], k)


pivoted.defvjp(x=lambda gs, out: _lu_gradient(gs[0], *out))


def _lu_gradient(g: Any, lu: Any, pivots: Any) -> Any:
    """Source: the derivative of A = P L U, solved for the triangles of L and U."""
    m, n = lu.shape[-2:]
    k = min(m, n)
    low, up = _halves(lu)
    g_low, g_up = lower(g[..., :, :k], -1), upper(g[..., :k, :], 0)
    low_in, up_in = inverse(low[..., :k, :]), inverse(up[..., :, :k])
    below = mm(mT(low[..., :k, :]), g_low[..., :k, :])
    above = mm(g_up[..., :, :k], mT(up[..., :, :k]))
    if m > k:
        above = above - mm(mT(low[..., k:, :]), g_low[..., k:, :])
    if n > k:
        below = below - mm(g_up[..., :, k:], mT(up[..., :, k:]))
    out = mm(mm(mT(low_in), lower(below, -1) + upper(above, 0)), mT(up_in))
    if m > k:
        out = mT(_beside(mT(out), mT(mm(g_low[..., k:, :], mT(up_in)))))
    if n > k:
        out = _beside(out, mm(mT(low_in), g_up[..., :, k:]))
    return mm(_permutation(pivots, m, g), out)


def _beside(left: Any, right: Any) -> Any:
    return widened_by(left, 0, right.shape[-1]) + widened_by(right, left.shape[-1], 0)


def _halves(lu: Any) -> tuple[Any, Any]:
    """L, with ones on its diagonal, and U."""
    k = min(lu.shape[-2:])
    array = getattr(lu, "array", lu)
    ones = xp(array).eye(lu.shape[-2], k, dtype=array.dtype)
    return lower(lu[..., :, :k], -1) + (wrap(ones) if array is not lu else ones), upper(
        lu[..., :k, :], 0
    )


@where_it_lies
def _permutation(pivots: Any, m: int, like: Any) -> Any:
    """The matrices P of A = P @ L @ U in the dtype of `like`."""
    swaps = getattr(pivots, "array", pivots)
    module, k = xp(swaps), swaps.shape[-1]
    flat = swaps.reshape(math.prod(swaps.shape[:-1]), k).astype(numpy.int64) - 1
    order = module.broadcast_to(module.arange(m), (len(flat), m)).copy()
    every = module.arange(len(flat))
    for j in range(k):
        found = order[every, flat[:, j]]
        order[every, flat[:, j]] = order[:, j]
        order[:, j] = found
    array = getattr(like, "array", like)
    rows = module.eye(m, dtype=array.dtype)[order].reshape(*swaps.shape[:-1], m, m)
    out = module.ascontiguousarray(mT(rows))
    return wrap(out) if isinstance(like, Value) else out


def _pivoting(name: str, A: Any, pivot: bool) -> None:
    check_matrix(name, A)
    if not pivot:
        raise RuntimeError(f"{name}: LU without pivoting is not implemented on the CPU")


def lu_factor(A: Any, *, pivot: bool = True, out: Any = None) -> Any:
    """L and U in one matrix, and the rows that were swapped.

    Raises: RuntimeError unless matrices of a floating type, or where a matrix is singular.
    """
    found = lu_factor_ex(A, pivot=pivot, check_errors=True)
    found = LuFactorResult(*found[:2])
    return found if out is None else write_out(found, out)


def lu_factor_ex(A: Any, *, pivot: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """L and U in one matrix, the rows that were swapped, and the first zero on U's diagonal.

    Raises: RuntimeError unless matrices of a floating type; with `check_errors` for such a zero.
    """
    _pivoting("linalg.lu_factor", A, pivot)
    factors, pivots = pivoted(A)
    info = _first_zero(factors)
    if check_errors and bool(info.array.any()):
        raise LinAlgError(
            f"torch.linalg.lu_factor: U[{info.max().item()},{info.max().item()}] is zero and using"
            " it on lu_solve would result in a division by zero."
        )
    found = LuFactorExResult(factors, pivots, info)
    return found if out is None else write_out(found, out)


@where_it_lies
def _first_zero(factors: Any) -> Any:
    """The place, from one on, of the first zero on the diagonal; zero for none."""
    module = xp(factors.array)
    ndim = factors.array.ndim
    zero = diagonal_array(factors.array, 0, ndim - 2, ndim - 1) == 0
    if not zero.shape[-1]:
        return wrap(module.zeros(zero.shape[:-1], numpy.int32))
    first = module.where(zero.any(-1), zero.argmax(-1) + 1, 0)
    return wrap(module.asarray(first, numpy.int32))


def lu(A: Any, *, pivot: bool = True, out: Any = None) -> Any:
    """The factors P, L, U with A = P @ L @ U: a permutation, lower and upper triangular.

    Raises: RuntimeError unless matrices of a floating type.
    """
    _pivoting("linalg.lu", A, pivot)
    factors, pivots = pivoted(A)
    low, up = _halves(factors)
    places = _permutation(pivots, A.array.shape[-2], A.detach())
    found = LuResult(places, called(low, "LinalgLuBackward0"), called(up, "LinalgLuBackward0"))
    return found if out is None else write_out(found, out)


@of_tensors("LU_data", "LU_pivots")
def lu_unpack(
    LU_data: Any,
    LU_pivots: Any,
    unpack_data: bool = True,
    unpack_pivots: bool = True,
    *,
    out: Any = None,
) -> Any:
    """The factors P, L, U of what `lu_factor` found; empty what is not asked for."""
    nothing = wrap(xp(LU_data.array).empty(0, LU_data.array.dtype))
    places = low = up = nothing
    if unpack_pivots:
        places = _permutation(LU_pivots, LU_data.array.shape[-2], LU_data.detach())
    if unpack_data:
        low, up = (called(x, "LuUnpackBackward0") for x in _halves(LU_data))
    found = LuUnpackResult(places, low, up)
    return found if out is None else write_out(found, out)


@of_tensors("LU", "pivots", "B")
def solve_factored(
    LU: Any, pivots: Any, B: Any, *, left: bool = True, adjoint: bool = False, out: Any = None
) -> Any:
    """The X with A @ X = B, or with `adjoint` A.T @ X = B, where `lu_factor` of A is given.

    Without `left` these are X @ A = B and X @ A.T = B.
    """
    if not left:
        found = mT(solve_factored(LU, pivots, mT(B), adjoint=not adjoint))
        called(found, "LinalgLuSolveBackward0")
        return found if out is None else write_out(found, out)
    low, up = _halves(LU)
    places = _permutation(pivots, LU.array.shape[-2], LU.detach())
    if adjoint:
        found = solution(mT(low), solution(mT(up), B))
        found = mT(matmul(mT(found), mT(places)))  # column by column in memory
    else:
        found = solution(up, solution(low, matmul(mT(places), B)))
    found = called(found, "LinalgLuSolveBackward0")
    return found if out is None else write_out(found, out)


@of_tensors("b", "LU_data", "LU_pivots")
def lu_solve(b: Any, LU_data: Any, LU_pivots: Any, *, out: Any = None) -> Any:
    """The X with A @ X = b, where `lu_factor` of A is given."""
    return solve_factored(LU_data, LU_pivots, b, out=out)


# ---- with a number that tells of failure ------------------------------------------------------


def _tried(run: Any, x: Any, info: Any, check_errors: bool) -> tuple[Any, Any]:
    """What `run` returns, NaN if it raises, and what `info` then says of the matrices `x`."""
    try:
        found = run()
        return found, wrap(xp(x.array).zeros(x.array.shape[:-2], numpy.int32))
    except LinAlgError:
        if check_errors:
            raise
        return x * math.nan, info()


def inv_ex(A: Any, *, check_errors: bool = False, out: Any = None) -> Any:
    """The inverses, and per matrix zero or, where there is none, the first pivot that is zero.

    Raises: with `check_errors` LinAlgError where there is none.
    """
    check_square("linalg.inv", A)
    info = lambda: _first_zero(pivoted(A.detach())[0])  # noqa: E731 - asked for on failure only
    found = InvExResult(*_tried(lambda: inv(A), A, info, check_errors))
    return found if out is None else write_out(found, out)


def cholesky_ex(
    input: Any, *, upper: bool = False, check_errors: bool = False, out: Any = None
) -> Any:
    """The Cholesky factors, and per matrix zero, or the size of the first minor that is not
    positive definite.

    Raises: with `check_errors` LinAlgError where there is one.
    """
    check_square("linalg.cholesky", input)
    run = lambda: cholesky(input, upper)  # noqa: E731 - tried once
    found = CholeskyExResult(*_tried(run, input, lambda: _first_minor(input), check_errors))
    return found if out is None else write_out(found, out)


@where_it_lies
def _first_minor(input: Any) -> Any:
    module, x = xp(input.array), input.array
    info = module.zeros(x.shape[:-2], numpy.int32)
    for k in range(x.shape[-1], 0, -1):
        low = module.linalg.eigvalsh(x[..., :k, :k])[..., 0] <= 0
        info = module.where(low, numpy.int32(k), info)
    return wrap(module.asarray(info))


@of_tensors("A", "B")
def solve_ex(
    A: Any, B: Any, *, left: bool = True, check_errors: bool = False, out: Any = None
) -> Any:
    """The X with A @ X = B, and per matrix zero or, where it is singular, its first zero pivot.

    Raises: with `check_errors` LinAlgError for a singular matrix.
    """
    info = lambda: _first_zero(pivoted(A.detach())[0])  # noqa: E731 - asked for on failure only
    found, told = _tried(lambda: solve(A, B, left=left), A, info, check_errors)
    found = SolveExResult(found, told)
    return found if out is None else write_out(found, out)


# ---- of tensors as matrices -------------------------------------------------------------------


@of_tensors("x", "y", first=True)
def vecdot(x: Any, y: Any, *, dim: int = -1, out: Any = None) -> Any:
    """The sums of the products of the elements along a dim."""
    product = x * y
    found = product.sum(dim, dtype=product.dtype)
    return found if out is None else write_out(found, out)


def tensorinv(A: Any, ind: int = 2, *, out: Any = None) -> Any:
    """The inverse of `A` as a matrix from its dims behind the first `ind` to those.

    Raises: RuntimeError unless it is square so.
    """
    shape = tuple(A.array.shape)
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    rows, columns = math.prod(shape[:ind]), math.prod(shape[ind:])
    if rows != columns:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) =="
            f" prod(self.shape[:ind]), but got {columns} != {rows}"
        )
    found = reshape_array(inv(reshape_array(A, (rows, columns))), (*shape[ind:], *shape[:ind]))
    called(found, "ReshapeAliasBackward0")
    return found if out is None else write_out(found, out)


@of_tensors("A", "B")
def tensorsolve(A: Any, B: Any, dims: Any = None, *, out: Any = None) -> Any:
    """The X whose products with `A`, summed over the dims of X, are `B`.

    Raises: RuntimeError where `A` is not square as a matrix.
    """
    if dims is not None:
        moved = [d % A.array.ndim for d in dims]
        A = permute(A, [i for i in range(A.array.ndim) if i not in moved] + moved)
    rest = tuple(A.array.shape[B.array.ndim :])
    rows, columns = math.prod(B.array.shape), math.prod(rest)
    if rows != columns:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) =="
            f" prod(self.shape[:other.ndim]), but got {columns} != {rows}"
        )
    flat = solve(reshape_array(A, (rows, columns)), reshape_array(B, (rows,)))
    found = reshape_array(flat, rest)
    return found if out is None else write_out(found, out)
