"""Weights as a length times a direction, and weights divided by their largest singular value."""

from __future__ import annotations

from typing import Any

import core.nn.functional as F
from core.autograd.mode import no_grad
from core.nn.init import normal_
from core.nn.module import Module
from core.nn.parametrize import register_parametrization, type_before_parametrizations
from core.ops.creation import empty
from core.ops.linalg import matmul
from core.ops.shape import permute, reshape_array
from core.ops.vector_norm import vector_norm


def length_along(x: Any, dim: int | None) -> Any:
    """The norm over all dims but one, kept as ones; over all for None."""
    ndim = len(x.shape)
    if dim is None or dim == -1:
        return vector_norm(x, 2.0, None, False)
    axes = tuple(i for i in range(ndim) if i != dim % ndim)
    return vector_norm(x, 2.0, axes, True)


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        """The direction of `weight_v` times the length `weight_g`."""
        return weight_v * (weight_g / length_along(weight_v, self.dim))

    def right_inverse(self, weight: Any) -> tuple[Any, Any]:
        """Length and direction."""
        return length_along(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """The module with a weight made of its length (original0) and its direction (original1).

    Source: Salimans & Kingma (2016).
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)
    return module


class Spectral:
    """How a weight is divided by its largest singular value, which u and v come nearer to.

    Raises: ValueError where they never would.
    """

    def __init__(self, count: int, dim: int, eps: float, v_first: bool = False) -> None:
        if count <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={count}"
            )
        self.count, self.dim, self.eps, self.v_first = count, dim, eps, v_first

    def matrix(self, weight: Any) -> Any:
        """The weight as a matrix whose rows go along `dim`."""
        order = (self.dim, *(i for i in range(weight.ndim) if i != self.dim))
        x = permute(weight, *order) if self.dim else weight
        return reshape_array(x, (x.shape[0], -1))

    def start(self, weight: Any, count: int) -> list[Any]:
        """U and v after so many steps from random ones."""
        like = {"dtype": weight.dtype, "device": weight.device}
        matrix = self.matrix(weight).detach()
        u, v = (F.normalize(normal_(empty(n, **like)), dim=0, eps=self.eps) for n in matrix.shape)
        self.iterate(matrix, u, v, count)
        return [u, v]

    def iterate(self, matrix: Any, u: Any, v: Any, count: int) -> None:
        """Bring u and v nearer to the largest singular vectors."""
        with no_grad():
            for _ in range(count):
                for of_u in (not self.v_first, self.v_first):
                    x, new = (u, matmul(matrix, v)) if of_u else (v, matmul(u, matrix))
                    x.copy_(F.normalize(new, dim=0, eps=self.eps))

    def divided(self, weight: Any, u: Any, v: Any, training: bool) -> Any:
        """The weight over its largest singular value; u and v are improved while training."""
        matrix = self.matrix(weight)
        if training:
            self.iterate(matrix.detach(), u, v, self.count)
        u, v = u.clone(), v.clone()  # a second forward may change them before the first's backward
        return weight / matmul(u, matmul(matrix, v))


class _SpectralNorm(Module):
    def __init__(self, weight: Any, how: Spectral) -> None:
        super().__init__()
        self.how = how
        if weight.ndim > 1:
            for name, x in zip(("_u", "_v"), how.start(weight, 15), strict=True):
                self.register_buffer(name, x)

    def forward(self, weight: Any) -> Any:
        """The weight divided by its largest singular value."""
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.how.eps)
        return self.how.divided(weight, self._u, self._v, self.training)

    def right_inverse(self, value: Any) -> Any:
        """The weight itself: what is divided is not told."""
        return value


def rows_of(module: Module, dim: int | None) -> int:
    """The dim of a weight that its outputs go along, unless another is asked for."""
    transposed = type_before_parametrizations(module).__name__.startswith("ConvTranspose")
    return int(transposed) if dim is None else dim


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """The module with a weight divided by its largest singular value.

    Source: Miyato, Kataoka, Koyama & Yoshida (2018).
    """
    weight = getattr(module, name)
    how = Spectral(n_power_iterations, rows_of(module, dim) % weight.ndim, eps)
    return register_parametrization(module, name, _SpectralNorm(weight, how))
