"""Solutions of systems of linear equations, and pseudo-inverses."""

from __future__ import annotations

from typing import Any

from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.inplace import write_out
from core.autograd.place import where_it_lies
from core.autograd.value import called, wrap
from core.backend import xp
from core.dtype import of
from core.ops.arrange import broadcast_shapes
from core.ops.cast import contiguous
from core.ops.decompose import (
    check_matrix,
    check_square,
    mT,
    pseudo_inverse,
    singular_values,
    solution,
)
from core.ops.linalg import matmul
from core.ops.matrices import eps, eye_like, matrix_rank, svdvals
from core.ops.results import result
from core.ops.shape import reshape_array, unsqueeze
from core.ops.triangle import lower
from core.ops.triangle import upper as upper_part

__all__ = ["pinverse"]


@of_tensors("A", "B")
def solve(A: Any, B: Any, *, left: bool = True, out: Any = None) -> Any:
    """The X with A @ X = B (X @ A = B without `left`); B may be a vector per matrix.

    Raises: LinAlgError for a singular matrix; RuntimeError where shapes or dtypes do not fit.
    """
    check_square("linalg.solve", A)
    _check_same_dtype("linalg.solve", A, B)
    a, b = A.array.shape, B.array.shape
    vector = len(b) == 1 or (len(b) == len(a) - 1 and b == a[:-1])
    right = unsqueeze(B, -1) if vector else B
    _check_rows("linalg.solve", a, right.array.shape, left)
    if left:
        found = solution(A, right)
    elif vector:
        raise RuntimeError(
            "linalg.solve: Vector broadcasting of the left hand side needs left=True"
        )
    else:
        found = mT(solution(mT(A), mT(right)))
    if vector:
        found = reshape_array(found, found.array.shape[:-1])
        # PyTorch lays several vectors out as the columns of a matrix.
        found = mT(contiguous(mT(found))) if found.array.ndim > 1 else found
        found = called(found, "LinalgSolveExBackward0")
    return found if out is None else write_out(found, out)


def _check_same_dtype(name: str, a: Any, b: Any) -> None:
    if a.array.dtype != b.array.dtype:
        raise RuntimeError(
            f"{name}: Expected A and B to have the same dtype, but found A of type"
            f" {of(a.array.dtype).name} and B of type {of(b.array.dtype).name} instead"
        )


def _check_rows(name: str, a: tuple[int, ...], b: tuple[int, ...], left: bool) -> None:
    if len(b) < 2:
        raise RuntimeError(f"{name}: The input tensor B must have at least 2 dimensions.")
    n = b[-2] if left else b[-1]
    if a[-1] != n:
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation"
            f" {'AX = B' if left else 'XA = B'} ({a[-2]}x{a[-1]} and {b[-2]}x{b[-1]})"
        )
    broadcast_shapes(a[:-2], b[:-2])


@of_tensors("A", "B")
def solve_triangular(
    A: Any,
    B: Any,
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
    out: Any = None,
) -> Any:
    """The X with T @ X = B, where T is a triangle of A; X @ T = B without `left`.

    Raises: LinAlgError for a singular triangle; RuntimeError where shapes or dtypes do not fit.
    """
    check_square("linalg.solve_triangular", A)
    _check_same_dtype("linalg.solve_triangular", A, B)
    _check_rows("linalg.solve_triangular", A.array.shape, B.array.shape, left)
    triangle = _triangle(A, upper, int(unitriangular))
    if unitriangular:
        triangle = triangle + eye_like(A)
    found = solution(triangle, B) if left else mT(solution(mT(triangle), mT(B), True))
    called(found, "LinalgSolveTriangularBackward0")
    return found if out is None else write_out(found, out)


def _triangle(x: Any, above: bool, offset: int) -> Any:
    return upper_part(x, offset) if above else lower(x, -offset)


LstsqResult = result("linalg_lstsq", "solution", "residuals", "rank", "singular_values")


@of_tensors("A", "B")
@where_it_lies
def lstsq(
    A: Any, B: Any, rcond: float | None = None, *, driver: str | None = None, out: Any = None
) -> Any:
    """The X of least |A @ X - B|, the squared residuals, the ranks and the singular values.

    What the driver does not compute is empty.
    Raises: RuntimeError where shapes or dtypes do not fit.
    """
    check_matrix("torch.linalg.lstsq", A)
    _check_same_dtype("torch.linalg.lstsq", A, B)
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(
            "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)"
        )
    if A.array.ndim - B.array.ndim not in (0, 1):
        raise RuntimeError(
            "torch.linalg.lstsq: input.dim() must be greater or equal to other.dim() and"
            " (input.dim() - other.dim()) <= 1"
        )
    vector = B.array.ndim == A.array.ndim - 1
    right = unsqueeze(B, -1) if vector else B
    m, n = A.array.shape[-2:]
    if right.array.shape[-2] != m:
        raise RuntimeError("torch.linalg.lstsq: input.size(-2) should match other.size(-2)")
    rtol = rcond if rcond is not None else eps(A) * max(m, n)
    found = mT(matmul(mT(right), mT(pseudo_inverse(A, rtol))))  # column by column in memory
    rank = matrix_rank(A.detach(), rtol=rtol)
    residuals = empty = reshape_array(found, (found.array.size,))[:0]
    if m > n and driver != "gelsy" and bool((rank.array == n).all()):
        difference = matmul(A, found) - right
        residuals = (difference * difference).sum(-2)
    if vector:
        found = reshape_array(found, found.array.shape[:-1])
    if driver == "gels":
        rank = wrap(xp(A.array).empty(0, "int64"))
    values = svdvals(A.detach()) if driver in ("gelsd", "gelss") else empty.detach()
    parts = (called(x, "LinalgLstsqBackward0") for x in (found, residuals))
    found = LstsqResult(*parts, rank, values)
    return found if out is None else write_out(found, out)


@primitive
def symmetric(x):
    """The symmetric matrices of which the lower halves are read."""
    return lower(x, 0) + mT(lower(x, -1))


symmetric.defvjp(x=lambda g: (g + mT(g)) * 0.5)


def pinv(
    A: Any,
    rcond: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
    out: Any = None,
) -> Any:
    """The Moore-Penrose inverses; singular values below rtol times the largest count as zero.

    Raises: RuntimeError unless matrices of a floating type.
    """
    check_matrix("linalg.pinv", A)
    A = symmetric(A) if hermitian else A
    chosen = rcond if rcond is not None else rtol
    if chosen is None:
        chosen = 0.0 if atol else eps(A) * max(A.array.shape[-2:])
    if atol:
        largest = float(singular_values(A.detach(), False)[1].array.max())
        chosen = max(float(chosen), float(atol) / (largest or 1.0))
    found = pseudo_inverse(A, float(chosen))
    return found if out is None else write_out(found, out)


def pinverse(input: Any, rcond: float = 1e-15) -> Any:
    """The Moore-Penrose inverses."""
    return pinv(input, rcond)
