"""Weights as a length times a direction, and weights divided by their largest singular value."""

from __future__ import annotations

from typing import Any

import core.nn.functional as F
from core.autograd.mode import no_grad
from core.nn.init import normal_
from core.nn.module import Module
from core.nn.parameter import Parameter
from core.nn.parametrize import register_parametrization
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


class _SpectralNorm(Module):
    def __init__(
        self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but got"
                f" n_power_iterations={n_power_iterations}"
            )
        self.dim = dim % weight.ndim
        self.eps = eps
        if weight.ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = self._matrix(weight).detach()
            for name, count in zip(("_u", "_v"), matrix.shape, strict=True):
                x = normal_(empty(count, dtype=weight.dtype, device=weight.device))
                self.register_buffer(name, F.normalize(x, dim=0, eps=eps))
            self._iterate(matrix, 15)

    def _matrix(self, weight: Any) -> Any:
        """The weight as a matrix whose rows go along `dim`."""
        order = (self.dim, *(i for i in range(weight.ndim) if i != self.dim))
        x = permute(weight, *order) if self.dim else weight
        return reshape_array(x, (x.shape[0], -1))

    def _iterate(self, matrix: Any, count: int) -> None:
        """Bring u and v nearer to the largest singular vectors."""
        with no_grad():
            for _ in range(count):
                u = F.normalize(matmul(matrix, self._v), dim=0, eps=self.eps)
                v = F.normalize(matmul(u, matrix), dim=0, eps=self.eps)
                self._u.array[...] = u.array
                self._v.array[...] = v.array

    def forward(self, weight: Any) -> Any:
        """The weight divided by its largest singular value."""
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / matmul(u, matmul(matrix, v))

    def right_inverse(self, value: Any) -> Any:
        """The weight itself: what is divided is not told."""
        return value


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
    if dim is None:
        transposed = type(module).__name__.startswith("ConvTranspose")
        dim = 1 if transposed else 0
    weight = getattr(module, name)
    made = _SpectralNorm(weight, n_power_iterations, dim, eps)
    register_parametrization(module, name, made)
    return module


# ---- by a hook before each forward: PyTorch's older form --------------------------------------


def weight_norm_by_hook(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """The module with parameters `<name>_g` and `<name>_v`, of which its weight is made."""
    weight = getattr(module, name)
    del module._parameters[name]
    with no_grad():
        length = length_along(weight, dim)
    module.register_parameter(name + "_g", Parameter(length.detach()))
    module.register_parameter(name + "_v", Parameter(weight.detach()))
    hook = _ByHook(name, dim)
    hook(module, ())
    hook.handle = module.register_forward_pre_hook(hook)
    return module


class _ByHook:
    """Computes a weight from its length and direction before each forward."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = dim
        self.handle: Any = None

    def value(self, module: Module) -> Any:
        """The weight."""
        g, v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return v * (g / length_along(v, self.dim))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.value(module))


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """The module with a plain weight again.

    Raises: ValueError where it has no such norm.
    """
    hooks = module._own_hooks().pre
    for hook, _ in list(hooks.values()):
        if isinstance(hook, _ByHook) and hook.name == name:
            with no_grad():
                weight = hook.value(module)
            hook.handle.remove()
            delattr(module, name)
            for end in ("_g", "_v"):
                del module._parameters[name + end]
            module.register_parameter(name, Parameter(weight.detach()))
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")
