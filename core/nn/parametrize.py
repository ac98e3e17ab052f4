"""A parameter computed from others each time it is read."""

from __future__ import annotations

from typing import Any

from core.autograd.mode import no_grad
from core.autograd.value import Value
from core.nn.containers import ModuleDict, ModuleList
from core.nn.module import Module
from core.nn.parameter import Parameter


class ParametrizationList(ModuleList):
    """The functions that make one parameter, and what they make it from: `original`."""

    def __init__(self, modules: Any, original: Any) -> None:
        super().__init__(modules)
        with no_grad():
            new = original
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    new = module.right_inverse(new)
        self.is_tensor = isinstance(new, Value)
        trained = isinstance(original, Parameter)
        parts = {"original": new} if self.is_tensor else {
            f"original{i}": x for i, x in enumerate(new)
        }  # fmt: skip
        self.names = list(parts)
        for name, x in parts.items():
            if trained:
                setattr(self, name, Parameter(x.detach(), original.requires_grad))
            else:
                self.register_buffer(name, x)

    def forward(self) -> Any:
        """The parameter."""
        parts = [getattr(self, name) for name in self.names]
        first, *rest = list(self)
        x = first(*parts)
        for module in rest:
            x = module(x)
        return x

    def right_inverse(self, value: Any) -> None:
        """Change what the parameter is made from so that it becomes `value`."""
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse."
                    )
                value = module.right_inverse(value)
            for name, x in zip(self.names, (value,) if self.is_tensor else value, strict=True):
                getattr(self, name).copy_(x)


def _reader(name: str) -> property:
    def get(module: Any) -> Any:
        return module.parametrizations[name]()

    def put(module: Any, value: Any) -> None:
        module.parametrizations[name].right_inverse(value)

    return property(get, put)


def _with_property(module: Module, name: str) -> None:
    """Give the module a class of its own that computes the parameter."""
    cls = type(module)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
        own = type(f"Parametrized{cls.__name__}", (cls,), {"parametrized_class": cls})
        object.__setattr__(module, "__class__", own)
    setattr(type(module), name, _reader(name))


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """The module, whose parameter is from now on what `parametrization` makes of the original one.

    Raises: ValueError where the module has no such parameter or the shape would change.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        module.parametrizations[tensor_name].append(parametrization)
        return module
    owner = next(
        (kept for kept in (module._parameters, module._buffers) if tensor_name in kept), None
    )
    if owner is None:
        raise ValueError(
            f"Module '{type(module).__name__}' does not have a parameter, a buffer, or a"
            f" parametrized element with name '{tensor_name}'"
        )
    original = owner[tensor_name]
    made = ParametrizationList([parametrization], original)
    with no_grad():
        shape = tuple(made().shape)
    if not unsafe and shape != tuple(original.shape):
        raise ValueError(
            f"Registering a parametrization may not change the shape of the tensor, unless the"
            f" `unsafe` flag is enabled.\nOriginal shape: {tuple(original.shape)}\n"
            f"Parametrized shape: {shape}"
        )
    del owner[tensor_name]
    _with_property(module, tensor_name)
    module.parametrizations[tensor_name] = made
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module, or one tensor of it, is parametrized."""
    found = module.__dict__["_modules"].get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """The module with a plain parameter again: its last value, or the original one.

    Raises: ValueError where it is not parametrized.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(
            f"Module {type(module).__name__} does not have a parametrization on {tensor_name}"
        )
    made = module.parametrizations[tensor_name]
    if leave_parametrized:
        with no_grad():
            value = made()
    elif made.is_tensor:
        value = made.original
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is"
            " parametrized in terms of a sequence of tensors."
        )
    del module.parametrizations[tensor_name]
    delattr(type(module), tensor_name)
    if not len(module.parametrizations):
        own: Any = type(module)
        object.__setattr__(module, "__class__", own.parametrized_class)
        del module.parametrizations
    trained = made.names[0] in made._parameters
    if trained:
        module.register_parameter(tensor_name, Parameter(value.detach()))
    else:
        module.register_buffer(tensor_name, value)
    return module
