"""Weights computed by a hook before each forward: PyTorch's older weight and spectral norms."""

from __future__ import annotations

from typing import Any

from core.autograd.mode import no_grad
from core.nn.module import Module
from core.nn.parameter import Parameter
from core.nn.weight_norms import Spectral, length_along, rows_of


class _Hook:
    """Computes one weight of a module, from tensors of the module called after it."""

    kind: str

    def __init__(self, name: str) -> None:
        self.name = name

    def part(self, module: Module, end: str) -> Any:
        """One of those tensors."""
        return getattr(module, self.name + end)

    def value(self, module: Module, training: bool) -> Any:
        """The weight."""
        raise NotImplementedError

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.value(module, module.training))


def _found(module: Module, name: str, kind: type[_Hook]) -> list[int]:
    entries = module._own_hooks().pre.items()
    return [key for key, (hook, _) in entries if isinstance(hook, kind) and hook.name == name]


def _weight(module: Module, hook: _Hook) -> Parameter:
    """The parameter that the hook will compute.

    Raises: RuntimeError, ValueError where it cannot.
    """
    kind, name = hook.kind, hook.name
    if _found(module, name, type(hook)):
        raise RuntimeError(f"Cannot register two {kind} hooks on the same parameter {name}")
    weight = module._parameters[name]
    if weight is None:
        raise ValueError(f"`{kind}` cannot be applied as parameter `{name}` is None")
    if getattr(weight, "is_lazy", False):
        raise ValueError(
            f"The module passed to `{kind}` can't have uninitialized parameters. Make sure to run"
            " the dummy forward before applying it"
        )
    return weight


def _removed(module: Module, name: str, kind: type[_Hook], ends: str) -> Module:
    """The module with a plain weight again."""
    found = _found(module, name, kind)
    if not found:
        raise ValueError(f"{kind.kind} of '{name}' not found in {module}")
    hook: Any = module._own_hooks().pre.pop(found[0])[0]
    with no_grad():
        weight = hook.value(module, False)
    for end in ("", *ends.split()):
        delattr(module, name + end)
    module.register_parameter(name, Parameter(weight.detach()))
    return module


# ---- weight norm ------------------------------------------------------------------------------


class _WeightNorm(_Hook):
    kind = "weight_norm"

    def __init__(self, name: str, dim: int | None) -> None:
        super().__init__(name)
        self.dim = dim

    def value(self, module: Module, training: bool) -> Any:
        """The direction times the length."""
        g, v = self.part(module, "_g"), self.part(module, "_v")
        return v * (g / length_along(v, self.dim))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """The module with parameters `<name>_g` and `<name>_v`, of which its weight is made."""
    hook = _WeightNorm(name, dim)
    weight = _weight(module, hook)
    del module._parameters[name]
    with no_grad():
        length = length_along(weight, dim)
    module.register_parameter(name + "_g", Parameter(length.detach()))
    module.register_parameter(name + "_v", Parameter(weight.detach()))
    hook(module, ())
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """The module with a plain weight again.

    Raises: ValueError where it has no such norm.
    """
    return _removed(module, name, _WeightNorm, "_g _v")


# ---- spectral norm ----------------------------------------------------------------------------


class _SpectralNorm(_Hook):
    kind = "spectral_norm"

    def __init__(self, name: str, how: Spectral) -> None:
        super().__init__(name)
        self.how = how

    def value(self, module: Module, training: bool) -> Any:
        """The weight divided by its largest singular value."""
        weight, u, v = (self.part(module, end) for end in ("_orig", "_u", "_v"))
        return self.how.divided(weight, u, v, training)


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """The module with `<name>_orig`, `<name>_u` and `<name>_v`, of which its weight is made."""
    how = Spectral(n_power_iterations, rows_of(module, dim), eps, v_first=True)
    hook = _SpectralNorm(name, how)
    weight = _weight(module, hook)
    u, v = how.start(weight, 0)
    del module._parameters[name]
    module.register_parameter(name + "_orig", weight)
    setattr(module, name, weight.detach())
    module.register_buffer(name + "_u", u)
    module.register_buffer(name + "_v", v)
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """The module with a plain weight again.

    Raises: ValueError where it has no such norm.
    """
    return _removed(module, name, _SpectralNorm, "_orig _u _v")
