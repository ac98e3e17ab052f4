"""Weights that stay orthogonal matrices, whatever an optimizer does."""

from __future__ import annotations

from typing import Any

from core.autograd.mode import no_grad
from core.autograd.value import Value, wrap
from core.backend import device_of, on, xp
from core.nn.module import Module
from core.nn.parametrize import register_parametrization
from core.ops.creation import zeros
from core.ops.elementwise import sign
from core.ops.join import cat
from core.ops.linalg import matmul
from core.ops.matrices import matrix_exp, qr
from core.ops.sampling import randn
from core.ops.sequences import eye
from core.ops.solve import solve

MAPS = ("matrix_exp", "cayley", "householder")


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """The module with a weight whose rows or columns, the fewer of them, are orthonormal.

    Source: Lezcano-Casado (2019) for `use_trivialization`.
    Raises: ValueError where the weight is no matrix, or the map unknown.
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Value):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    rows, columns = _matrix(weight)
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if rows == columns else "householder"
    if orthogonal_map not in MAPS:
        raise ValueError(
            'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got:'
            f" {orthogonal_map}"
        )
    made = _Orthogonal(weight, orthogonal_map, use_trivialization)
    return register_parametrization(module, name, made, unsafe=True)


def _matrix(weight: Any) -> tuple[int, int]:
    if weight.ndim < 2:
        raise ValueError(
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions."
        )
    return weight.shape[-2:]


class _Orthogonal(Module):
    """An orthogonal matrix made of any matrix; `base` is what the one to begin with stands for."""

    def __init__(self, weight: Any, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        self.shape = weight.shape
        self.map = orthogonal_map
        self.use_trivialization = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Any) -> Any:
        """The orthogonal matrix."""
        wide = x.shape[-2] < x.shape[-1]
        x = x.mT if wide else x
        out = _by_reflections(x) if self.map == "householder" else _by_rotation(x, self.map)
        if self.use_trivialization:
            out = matmul(self.base, out)
        return out.mT if wide else out

    @no_grad()
    def right_inverse(self, q: Any) -> Any:
        """What the orthogonal matrix nearest in kind to `q` is made from.

        Raises: ValueError for another shape; NotImplementedError where that is not known.
        """
        if q.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of"
                f" shape {q.shape}."
            )
        wide = q.shape[-2] < q.shape[-1]
        tall = q.mT if wide else q
        if self.use_trivialization:
            self.base = _completed(tall)
            return -_unit(q)
        if self.map != "householder":
            raise NotImplementedError(
                "It is not possible to assign to the matrix exponential or the Cayley"
                " parametrizations when use_trivialization=False."
            )
        found = _reflectors(tall)
        return found.mT if wide else found


# ---- from any matrix to an orthogonal one -----------------------------------------------------


def _by_rotation(x: Any, kind: str) -> Any:
    """The first columns of a rotation, of the skew-symmetric matrix that `x` has the halves of."""
    n, k = x.shape[-2:]
    x = x.tril()
    if n != k:
        x = cat([x, zeros(*x.shape[:-1], n - k, dtype=x.dtype, device=x.device)], -1)
    skew = x - x.mT
    if kind == "matrix_exp":
        out = matrix_exp(skew)
    else:
        one, half = eye(n, dtype=x.dtype, device=x.device), 0.5 * skew
        out = solve(one - half, one + half)
    return out if n == k else out[..., :k]


def _by_reflections(x: Any) -> Any:
    """The first columns of a product of reflections, with the signs of the diagonal of `x`.

    Source: Joffrain et al. (2006): I - V T V', with 1/T the upper half of V'V.
    """
    k = x.shape[-1]
    signs = x.diagonal(dim1=-2, dim2=-1).detach().int().to(x.dtype)
    one = _unit(x)
    v = x.tril(-1) + one
    gram = matmul(v.mT, v)
    inverse = gram.triu(1) + 0.5 * gram * one[..., :k, :]
    out = one - matmul(v, solve(inverse, v[..., :k, :].mT))
    return out * signs.unsqueeze(-2)


def _unit(x: Any) -> Any:
    """Ones on the diagonal, in the shape of `x`."""
    made = eye(*x.shape[-2:], dtype=x.dtype, device=x.device)
    return made.expand(x.shape).clone()


# ---- and back ---------------------------------------------------------------------------------


def _completed(x: Any) -> Any:
    """A square orthogonal matrix whose first columns are those of `x`, made orthonormal."""
    n, k = x.shape[-2:]
    if n == k and _is_orthogonal(x):
        return x.clone()
    if n != k:
        more = randn(*x.shape[:-2], n, n - k, dtype=x.dtype, device=x.device)
        x = cat([x, more], -1)
    q, r = qr(x)
    return q * sign(r.diagonal(dim1=-2, dim2=-1)).unsqueeze(-2)


def _is_orthogonal(x: Any) -> bool:
    n = x.shape[-1]
    apart = matmul(x.mT, x) - eye(n, dtype=x.dtype, device=x.device)
    return float(apart.abs().max()) <= 10 * n * xp(x.array).finfo(x.array.dtype).eps


def _reflectors(x: Any) -> Any:
    """LAPACK's reflectors of a QR factorisation, with the signs of R as the diagonal."""
    array = x.array
    module = xp(array)
    with on(device_of(array)):
        found, tau = module.linalg.qr(array, mode="raw")
        found = module.ascontiguousarray(module.swapaxes(found, -1, -2))
        k = array.shape[-1]
        i = module.arange(k)
        # A reflection that LAPACK left out is one here too, so its sign turns.
        signs = module.sign(found[..., i, i]) * module.where(tau == 0, -1, 1)
        found[..., i, i] = signs
    return wrap(found.astype(array.dtype))
