"""Inverses, determinants, solutions and factorisations of (batches of) matrices."""

from __future__ import annotations

from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.backend import checked_linalg, xp
from core.dtype import FLOAT, of
from core.ops.choice import choose
from core.ops.linalg import matrix_product as mm
from core.ops.parts import diagonal_array
from core.ops.promotion import same_device
from core.ops.results import result
from core.ops.shape import transpose
from core.ops.triangle import embedded, lower


class LinAlgError(RuntimeError):
    """A matrix has no inverse, or a factorisation does not exist or did not converge."""


def mT(x: Any) -> Any:  # noqa: N802 - PyTorch's name
    """The transposed matrices."""
    return transpose(x, -2, -1)


def check_floating(name: str, x: Any) -> None:
    """Raise NotImplementedError (a RuntimeError) unless `x` is a tensor of a floating type."""
    d = of(x.array.dtype)
    if d.category != FLOAT:
        raise NotImplementedError(
            f"{name}: Expected a floating point or complex tensor as input. Got {d.name}"
        )


def check_float(name: str, x: Any) -> None:
    """Raise NotImplementedError (a RuntimeError) unless `x` is of float32 or float64."""
    d = of(x.array.dtype)
    check_floating(name, x)
    if d.itemsize < 4:
        raise NotImplementedError(f"{name}: Low precision dtypes not supported. Got {d.name}")


def check_matrix(name: str, x: Any, letter: str = "A") -> None:
    """Raise RuntimeError unless `x` holds matrices of float32 or float64."""
    if x.array.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {letter} must have at least 2 dimensions.")
    check_float(name, x)


def check_square(name: str, x: Any) -> None:
    """Raise RuntimeError unless `x` holds square matrices of float32 or float64."""
    check_matrix(name, x)
    rows, columns = x.array.shape[-2:]
    if rows != columns:
        raise RuntimeError(
            f"{name}: A must be batches of square matrices, but they are {rows} by {columns}"
            " matrices"
        )


def _run(name: str, function: Any, *args: Any, said: str, **kwargs: Any) -> Any:
    """What NumPy's function returns, its complaint as ours."""
    try:
        with checked_linalg(args[0]):
            return function(*args, **kwargs)
    except numpy.linalg.LinAlgError as error:
        raise LinAlgError(f"{name}: {said} ({error})") from None


def by_columns(x: Any) -> Any:
    """The matrices, column by column in memory, as LAPACK (and PyTorch) leaves them."""
    return mT(xp(x).ascontiguousarray(mT(x)))


SINGULAR = "The inversion could not be completed because the input matrix is singular."

# ---- inverses and solutions -------------------------------------------------------------------


@primitive(name="linalg_inv_ex")
def inverse(x):
    """The inverse matrices."""
    return by_columns(_run("linalg.inv", xp(x).linalg.inv, x, said=SINGULAR))


inverse.defvjp(x=lambda g, out: -mm(mm(mT(out), g), mT(out)))


@primitive(casts=same_device, name="linalg_solve_ex")
def solution(a, b, by_rows=False):
    """The matrices x with a @ x = b, column by column in memory unless `by_rows`."""
    batch = xp(a).broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if b.shape[-1] == 0 or a.shape[-1] == 0:
        return xp(a).zeros((*batch, *b.shape[-2:]), a.dtype)
    b = xp(a).broadcast_to(b, (*batch, *b.shape[-2:]))
    said = "The solver failed because the input matrix is singular."
    found = _run("linalg.solve", xp(a).linalg.solve, a, b, said=said)
    return found if by_rows else by_columns(found)


solution.defvjp(
    a=lambda g, a, out: -mm(solution(mT(a), g), mT(out)),
    b=lambda g, a: solution(mT(a), g),
    by_rows=None,
)


@primitive(name="linalg_pinv")
def pseudo_inverse(x, rtol):
    """The Moore-Penrose inverses, singular values below rtol times the largest taken as zero."""
    return xp(x).linalg.pinv(x, rtol)


pseudo_inverse.defvjp(x=lambda g, x, out: _pinv_gradient(g, x, out), rtol=None)


def _pinv_gradient(g: Any, x: Any, out: Any) -> Any:
    p, pt, gt = out, mT(out), mT(g)
    left = mm(gt, mm(p, pt))
    right = mm(mm(pt, p), gt)
    direct = mm(mm(pt, g), pt)
    return left - mm(x, mm(p, left)) + right - mm(mm(right, p), x) - direct


# ---- determinants -----------------------------------------------------------------------------


@primitive(name="linalg_det")
def determinant(x):
    """The determinants."""
    return xp(x).asarray(xp(x).linalg.det(x))


determinant.defvjp(x=lambda g, x: g[..., None, None] * cofactors(x))


@primitive(name="linalg_det_backward")
def cofactors(x):
    """The matrices of cofactors, by singular values: they exist where the inverse does not."""
    linalg = xp(x).linalg
    u, s, vh = linalg.svd(x)
    n = s.shape[-1]
    others = xp(x).broadcast_to(s[..., None, :], (*s.shape, n)).copy()
    diagonal_array(others, 0, others.ndim - 2, others.ndim - 1)[...] = 1
    sign = linalg.det(u) * linalg.det(vh)
    scaled = u * (others.prod(-1) * sign[..., None])[..., None, :]
    return xp(x).matmul(scaled, vh)


cofactors.defvjp(x=lambda g, x: cofactors_along(g, x))


@primitive(name="linalg_det_backward")
def cofactors_along(g, x):
    """How the cofactors of `x` change along `g`: the second derivative of the determinant."""
    module, n = xp(x), x.shape[-1]
    u, s, vh = module.linalg.svd(x)
    pairs = module.broadcast_to(s[..., None, None, :], (*s.shape[:-1], n, n, n)).copy()
    apart = ~module.eye(n, dtype=bool)
    pairs = module.where(apart[:, None, :] & apart[None, :, :], pairs, 1).prod(-1) * apart
    turned = module.matmul(mT(u), module.matmul(g, mT(vh)))
    diagonal = (pairs * diagonal_array(turned, 0, g.ndim - 2, g.ndim - 1)[..., None, :]).sum(-1)
    change = embedded(diagonal, 0, g.ndim - 2, g.ndim - 1) - pairs * mT(turned)
    sign = module.linalg.det(u) * module.linalg.det(vh)
    return module.matmul(u, module.matmul(change, vh)) * sign[..., None, None]


cofactors_along.defvjp(
    g=lambda h, x: cofactors_along(h, x),
    x=lambda h, g, x: _third_derivative(g, h, x, mT(inverse(x)), cofactors(x)),
)


def _third_derivative(g: Any, h: Any, x: Any, q: Any, out: Any) -> Any:
    """The gradient of (h * cofactors_along(g, x)).sum(), where the inverse q.T exists."""
    first, second = ((y * z).sum((-2, -1))[..., None, None] for y, z in ((g, out), (h, q)))
    whole = second * cofactors_along(g, x) - first * mm(mm(q, mT(h)), q)
    crossed = mm(mm(q, mT(mm(mm(g, mT(out)), h))), q)
    return whole - cofactors_along(mm(mm(h, mT(q)), g), x) + crossed


SlogdetResult = result("slogdet", "sign", "logabsdet")


@primitive(name="linalg_slogdet", result=SlogdetResult)
def log_determinant(x):
    """The signs of the determinants and the logarithms of their sizes."""
    sign, logarithm = xp(x).linalg.slogdet(x)
    return xp(x).asarray(sign), xp(x).asarray(logarithm)


log_determinant.defvjp(x=lambda gs, x: gs[1][..., None, None] * _inverse_turned(x))


def _inverse_turned(x: Any) -> Any:
    """The transposed inverses; infinite where a matrix has none, which spoils no other one."""
    try:
        return mT(inverse(x))
    except LinAlgError:
        return cofactors(x) / determinant(x)[..., None, None]


# ---- Cholesky and QR --------------------------------------------------------------------------


@primitive(name="linalg_cholesky_ex")
def cholesky_factor(x, upper=False):
    """The lower triangular matrices L with L @ L.T = x, of which only the lower half is read.

    With `upper` the upper half is, and these are their transposes.
    """
    said = "The factorization could not be completed: the input is not positive-definite."
    found = _run("linalg.cholesky", xp(x).linalg.cholesky, mT(x) if upper else x, said=said)
    return mT(found) if upper else by_columns(found)


cholesky_factor.defvjp(
    x=lambda g, out, upper: (
        _cholesky_gradient(mT(g), mT(out)) if upper else _cholesky_gradient(g, out)
    ),
    upper=None,
)


def _half_lower(x: Any) -> Any:
    """The lower triangle with half of the diagonal."""
    return lower(x, 0) - 0.5 * _diagonal_of(x)


def _diagonal_of(x: Any) -> Any:
    """The diagonal matrices with the diagonals of `x`."""
    ndim = len(x.shape)
    return embedded(diagonal_array(x, 0, ndim - 2, ndim - 1), 0, ndim - 2, ndim - 1)


def _cholesky_gradient(g: Any, factor: Any) -> Any:
    middle = _half_lower(mm(mT(factor), g))
    inverted = inverse(factor)
    whole = mm(mm(mT(inverted), middle), inverted)
    return 0.5 * (whole + mT(whole))


QrResult = result("linalg_qr", "Q", "R")


@primitive(name="linalg_qr", result=QrResult)
def orthogonal_triangular(x, mode):
    """The orthogonal and the upper triangular factors of `x`."""
    if mode == "r":
        return xp(x).zeros(0, x.dtype), by_columns(xp(x).linalg.qr(x, "r"))
    return tuple(by_columns(factor) for factor in xp(x).linalg.qr(x, mode))


orthogonal_triangular.defvjp(
    x=lambda gs, x_shape, mode, out: _qr_gradient(gs, x_shape, mode, out), mode=None
)


def _qr_gradient(gs: Any, shape: Any, mode: str, out: Any) -> Any:
    (gq, gr), (q, r) = gs, out
    m, n = shape[-2:]
    if mode == "r":
        raise RuntimeError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please"
            " use linalg.qr(A, mode='reduced') if you are going to require gradients."
        )
    if mode == "complete" and m > n:
        raise RuntimeError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols"
        )
    if m >= n:
        return _tall_qr_gradient(gq, gr, q, r)
    u, v_gradient = r[..., :, :m], gr[..., :, m:]
    right = _tall_qr_gradient(gq + mm(_rest(q, r, m), mT(v_gradient)), gr[..., :, :m], q, u)
    return _beside(right, mm(q, v_gradient))


def _rest(q: Any, r: Any, m: int) -> Any:
    """The columns of the matrix behind the first m, from its factors."""
    return mm(q, r[..., :, m:])


def _beside(left: Any, right: Any) -> Any:
    """Two matrices side by side."""
    return widened_by(left, 0, right.shape[-1]) + widened_by(right, left.shape[-1], 0)


@primitive(label="CatBackward0")
def widened_by(x, before, after):
    """`x` with columns of zeros before and after."""
    n = x.shape[-1]
    out = xp(x).zeros((*x.shape[:-1], before + n + after), x.dtype)
    out[..., before : before + n] = x
    return out


widened_by.defvjp(
    x=lambda g, before, x_shape: g[..., before : before + x_shape[-1]], before=None, after=None
)


def _tall_qr_gradient(gq: Any, gr: Any, q: Any, r: Any) -> Any:
    middle = mm(r, mT(gr)) - mm(mT(gq), q)
    below = lower(middle, -1)
    symmetric = below + mT(below) + _diagonal_of(middle)
    return mm(gq + mm(q, symmetric), mT(inverse(r)))


# ---- singular values and eigenvalues ----------------------------------------------------------

SvdResult = result("linalg_svd", "U", "S", "Vh")


@primitive(name="linalg_svd", result=SvdResult)
def singular_values(x, full_matrices):
    """The factors U, S, Vh with x = U @ diag(S) @ Vh."""
    said = "The algorithm failed to converge because the input is ill-conditioned."
    u, s, vh = _run("linalg.svd", xp(x).linalg.svd, x, full_matrices, said=said)
    return by_columns(u), s, by_columns(vh)


singular_values.defvjp(
    x=lambda gs, out: _svd_gradient(gs, out),
    full_matrices=None,
)


def _svd_gradient(gs: Any, out: Any) -> Any:
    (gu, g_s, gvh), (u, s, vh) = gs, out
    k = s.shape[-1]
    m, n = u.shape[-2], vh.shape[-1]
    u, gu, vh, gvh = u[..., :k], gu[..., :k], vh[..., :k, :], gvh[..., :k, :]
    gaps = _gaps(s * s)
    row, column = s[..., None, :], s[..., :, None]
    left, right = (_quotient(_skew(x), gaps) for x in (mm(mT(u), gu), mm(vh, mT(gvh))))
    middle = left * row + column * right
    axes = len(middle.shape)
    middle = middle + embedded(g_s, 0, axes - 2, axes - 1)
    total = mm(mm(u, middle), vh)
    if m > k:
        outside = _quotient(gu, row)
        total = total + mm(outside - mm(u, mm(mT(u), outside)), vh)
    if n > k:
        outside = _quotient(gvh, column)
        total = total + mm(u, outside - mm(mm(outside, mT(vh)), vh))
    return total


def _skew(x: Any) -> Any:
    return x - mT(x)


def _quotient(a: Any, b: Any) -> Any:
    """Elementwise a / b, but zero for zero by zero: no gradient came to equal values' vectors."""
    return a / choose((a == 0) & (b == 0), 1, b)


def _gaps(values: Any) -> Any:
    """The differences value[j] - value[i], one on the diagonal."""
    n = values.shape[-1]
    array = getattr(values, "array", values)
    return values[..., None, :] - values[..., :, None] + xp(array).eye(n, dtype=array.dtype)


EighResult = result("linalg_eigh", "eigenvalues", "eigenvectors")


@primitive(name="linalg_eigh", result=EighResult)
def symmetric_eigen(x, UPLO):
    """The eigenvalues, ascending, and eigenvectors of symmetric matrices, of which half is read."""
    said = "The algorithm failed to converge because the input is ill-conditioned."
    values, vectors = _run("linalg.eigh", xp(x).linalg.eigh, x, UPLO, said=said)
    return values, by_columns(vectors)


symmetric_eigen.defvjp(x=lambda gs, out: _eigh_gradient(gs, out), UPLO=None)


def _eigh_gradient(gs: Any, out: Any) -> Any:
    (g_values, g_vectors), (values, vectors) = gs, out
    middle = mm(mT(vectors), g_vectors)
    middle = _quotient(middle - _diagonal_of(middle), _gaps(values))
    axes = len(middle.shape)
    middle = middle + embedded(g_values, 0, axes - 2, axes - 1)
    whole = mm(mm(vectors, middle), mT(vectors))
    return 0.5 * (whole + mT(whole))
