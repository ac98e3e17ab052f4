"""A parameter computed from others each time it is read."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from core.autograd.mode import no_grad
from core.autograd.value import Value
from core.nn.containers import ModuleDict, ModuleList
from core.nn.module import Module
from core.nn.parameter import Parameter

# ---- what a parameter is computed from --------------------------------------------------------


class ParametrizationList(ModuleList):
    """The functions that make one parameter, and what they make it from: `original`.

    Raises: ValueError where they would change the dtype or, unless `unsafe`, the shape.
    """

    def __init__(self, modules: Any, original: Any, unsafe: bool = False) -> None:
        if not len(modules):
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        dtype, shape = original.dtype, original.shape
        new = _inverted(self, original)
        self.is_tensor = isinstance(new, Value)
        if self.is_tensor:
            if new.dtype is not dtype:
                raise ValueError(
                    "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                    f"original.dtype: {dtype}\nright_inverse(original).dtype: {new.dtype}"
                )
            _take(original, new)
            parts: Any = {"original": original}
        else:
            parts = {f"original{i}": x for i, x in enumerate(_sequence(new))}
            if isinstance(original, Parameter):
                parts = {k: Parameter(x.detach(), original.requires_grad) for k, x in parts.items()}
        self.names = list(parts)
        for name, x in parts.items():
            _register(self, name, x)
        if not unsafe:
            _check_kept(self(), dtype, shape)

    def forward(self) -> Any:
        """The parameter."""
        first, *rest = list(self)
        x = first(*(getattr(self, name) for name in self.names))
        for module in rest:
            x = module(x)
        return x

    def right_inverse(self, value: Any) -> None:
        """Change what the parameter is made from so that it becomes `value`.

        Raises: RuntimeError where a function has no inverse.
        """
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse."
                    )
                value = module.right_inverse(value)
            values = (value,) if self.is_tensor else _sequence(value)
            if len(values) != len(self.names):
                raise ValueError(
                    "'right_inverse' must return a sequence of tensors of length"
                    f" {len(self.names)}. Got a sequence of length {len(values)}."
                )
            for name, x in zip(self.names, values, strict=True):
                getattr(self, name).copy_(x)


def _inverted(modules: Any, value: Any) -> Any:
    """What the functions make `value` from; a function without an inverse counts as identity."""
    with no_grad():
        for module in reversed(list(modules)):
            if hasattr(module, "right_inverse"):
                try:
                    value = module.right_inverse(value)
                except NotImplementedError:
                    continue
    return value


def _sequence(value: Any) -> Any:
    wrong = value if not isinstance(value, Sequence) else None
    if wrong is None:
        wrong = next((x for x in value if not isinstance(x, Value)), None)
    if wrong is not None:
        raise ValueError(
            "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got"
            f" {type(wrong).__name__}"
        )
    return value


def _take(tensor: Any, value: Any) -> None:
    """Let a tensor that optimizers know hold what `value` holds; it stays the same object."""
    if value is not tensor:
        tensor.array, tensor.version = value.array, None


def _register(module: Module, name: str, x: Any) -> None:
    if isinstance(x, Parameter):
        module.register_parameter(name, x)
    else:
        module.register_buffer(name, x)


def _check_kept(value: Any, dtype: Any, shape: Any) -> None:
    if not isinstance(value, Value):
        raise ValueError(f"A parametrization must return a tensor. Got {type(value).__name__}.")
    for name, had, has in (
        ("dtype", dtype, value.dtype),  # type: ignore[attr-defined]
        ("shape", tuple(shape), tuple(value.array.shape)),
    ):
        if had != has:
            raise ValueError(
                f"Registering a parametrization may not change the {name} of the tensor, unless the"
                f" `unsafe` flag is enabled.\noriginal {name}: {had}\nparametrized {name}: {has}"
            )


# ---- a module with such parameters ------------------------------------------------------------


class _Kept(threading.local):
    """What this thread has computed inside `cached`, by module and name."""

    depth = 0

    def __init__(self) -> None:
        self.values: dict[tuple[int, str], Any] = {}


_kept = _Kept()


@contextmanager
def cached() -> Iterator[None]:
    """A context in which each parametrized tensor is computed once, when it is first read."""
    _kept.depth += 1
    try:
        yield
    finally:
        _kept.depth -= 1
        if not _kept.depth:
            _kept.values.clear()


def _reader(name: str) -> property:
    def get(module: Any) -> Any:
        made = module.parametrizations[name]
        if not _kept.depth:
            return made()
        key = (id(module), name)
        if key not in _kept.values:
            _kept.values[key] = made()
        return _kept.values[key]

    def put(module: Any, value: Any) -> None:
        module.parametrizations[name].right_inverse(value)

    return property(get, put)


def _no_pickle(module: Any) -> NoReturn:
    raise RuntimeError(
        "Serialization of parametrized modules is only supported through state_dict()."
    )


def _copied(module: Any, memo: Any) -> Any:
    out = memo[id(module)] = object.__new__(type(module))
    out.__setstate__(copy.deepcopy(module.__dict__, memo))
    return out


# Such classes are shared by all modules and copies whose tensors of these names are computed, and
# never change: a copy that loses its parametrization does not take it from the others.
@functools.lru_cache(maxsize=1024)
def _class_of(cls: type, names: tuple[str, ...]) -> type:
    members: dict[str, Any] = {name: _reader(name) for name in names}
    members |= {"parametrized_class": cls, "__getstate__": _no_pickle}
    if not hasattr(cls, "__deepcopy__"):
        members["__deepcopy__"] = _copied
    return type(f"Parametrized{cls.__name__}", (cls,), members)


def _set_class(module: Module) -> None:
    cls, names = type_before_parametrizations(module), tuple(module.parametrizations)
    object.__setattr__(module, "__class__", _class_of(cls, names) if names else cls)


def type_before_parametrizations(module: Module) -> type:
    """The module's class without what parametrizations add to it."""
    return getattr(type(module), "parametrized_class", type(module))


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """The module, whose tensor is from now on what `parametrization` makes of the original one.

    Raises: ValueError where the module has no such tensor or its dtype or shape would change.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        _append(module, tensor_name, parametrization, unsafe)
        return module
    owner = next((o for o in (module._parameters, module._buffers) if tensor_name in o), None)
    if owner is None:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with"
            f" name '{tensor_name}'"
        )
    made = ParametrizationList([parametrization], owner[tensor_name], unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = made
    _set_class(module)
    return module


def _append(module: Module, name: str, parametrization: Module, unsafe: bool) -> None:
    made = module.parametrizations[name]
    if not unsafe:
        before = getattr(module, name)
        after = parametrization(before)
        _check_kept(after, before.dtype, before.shape)
        _check_kept(_inverted([parametrization], after), before.dtype, before.shape)
    made.append(parametrization)
    made.unsafe |= unsafe


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module, or one tensor of it, is parametrized."""
    found = module.__dict__["_modules"].get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """The module with a plain tensor again: its last value, or the original one.

    Raises: ValueError where it is not parametrized, or is made from several originals.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    made = module.parametrizations[tensor_name]
    if not (leave_parametrized or made.is_tensor):
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is"
            " parametrized in terms of a sequence of tensors."
        )
    kept = getattr(made, made.names[0])
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name)
        if made.is_tensor:
            _take(kept, value)
        else:
            kept = Parameter(value, kept.requires_grad) if isinstance(kept, Parameter) else value
    del module.parametrizations[tensor_name]
    _set_class(module)
    if not len(module.parametrizations):
        del module.parametrizations
    _register(module, tensor_name, kept)
    return module
