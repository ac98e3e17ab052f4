"""class Module: holds parameters, buffers and other modules, and computes `forward`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from core.autograd.accumulate import fill_zero
from core.autograd.value import Value
from core.compiler import unchanged
from core.nn.hooks import EVERY_MODULE, Hooked, Hooks, call_with_hooks, registered
from core.nn.parameter import Buffer, Parameter
from core.nn.placement import Placed
from core.nn.state import Stateful

M = TypeVar("M", bound="Module")


class Module(Hooked, Placed, Stateful):
    """A part of a model: a subclass assigns its parts in `__init__` and defines `forward`."""

    training: bool

    def __init__(self) -> None:
        state = self.__dict__
        state["training"] = True
        state["_parameters"], state["_buffers"], state["_modules"] = {}, {}, {}
        state["_transient"] = {}  # the buffers that are not saved
        state["_state_hooks"] = {}

    def forward(self, *args: Any) -> Any:
        """What a call of the module computes; every subclass defines it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        hooks = self._hooks
        if hooks is None and not EVERY_MODULE:
            return self.forward(*args, **kwargs)
        return call_with_hooks(self, hooks or Hooks(), args, kwargs)

    # ---- attributes ----

    def __getattr__(self, name: str) -> Any:
        state = self.__dict__
        for kind in ("_parameters", "_buffers", "_modules"):
            found = state.get(kind)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        state = self.__dict__
        if isinstance(value, Parameter):
            self._need_init("parameters")
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._need_init("module")
            self._forget(name, "_modules")
            state["_modules"][name] = registered("module", self, name, value)
        elif isinstance(value, Buffer):
            self._need_init("buffers")
            self._forget(name, "_buffers")
            self.register_buffer(name, value, value.persistent)
        else:
            kind = next(
                (k for k in ("_parameters", "_modules", "_buffers") if name in state.get(k, ())), ""
            )
            if not kind:
                object.__setattr__(self, name, value)
            elif value is None or (kind == "_buffers" and isinstance(value, Value)):
                what = _EXPECTED[kind][0].split()[-1]
                state[kind][name] = registered(what, self, name, value)
            else:
                raise TypeError(_cannot_assign(value, kind, name))

    def __delattr__(self, name: str) -> None:
        for kind in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__[kind]:
                del self.__dict__[kind][name]
                self._transient.pop(name, None)
                return
        object.__delattr__(self, name)

    def _need_init(self, kind: str) -> None:
        if "_modules" not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")

    def _forget(self, name: str, kind: str) -> None:
        """Nothing; only `kind` still knows the name: what is replaced there keeps its place."""
        state = self.__dict__
        state.pop(name, None)
        for other in ("_parameters", "_buffers", "_modules"):
            if other != kind:
                state[other].pop(name, None)
        state["_transient"].pop(name, None)

    def __dir__(self) -> list[str]:
        own = [*self._parameters, *self._buffers, *self._modules]
        names = [*dir(type(self)), *self.__dict__, *own]
        return sorted(name for name in dict.fromkeys(names) if not name[0].isdigit())

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the attributes of a pickled or copied module."""
        Module.__init__(self)
        self.__dict__.update(state)

    # ---- registration ----

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter that can be read as the attribute `name`."""
        self._need_init("parameter")
        self._check_name(name, "parameter", "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{_type_of(param)}' object to parameter '{name}'"
                " (core.nn.Parameter or None required)"
            )
        if param is not None and param.node is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be"
                f" created explicitly. To express '{name}' as a function of another Tensor, compute"
                " the value in the forward() method."
            )
        self._parameters[name] = registered("parameter", self, name, param)

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add a tensor that is state but no parameter; saved unless `persistent` is false."""
        self._need_init("buffer")
        self._check_name(name, "buffer", "_buffers")
        if tensor is not None and not isinstance(tensor, Value):
            raise TypeError(
                f"cannot assign '{_type_of(tensor)}' object to buffer '{name}'"
                " (core Tensor or None required)"
            )
        self._buffers[name] = registered("buffer", self, name, tensor)
        if persistent:
            self._transient.pop(name, None)
        else:
            self._transient[name] = True

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child that can be read as the attribute `name`."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{_type_of(module)} is not a Module subclass")
        self._check_name(name, "module", "_modules")
        self._modules[name] = registered("module", self, name, module)

    register_module = add_module

    def _check_name(self, name: Any, kind: str, where: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in self.__dict__[where]:
            raise KeyError(f"attribute '{name}' already exists")

    # ---- what it holds ----

    def _named(
        self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: dict[int, Any] = {}
        every = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in every if recurse else ((prefix, self),):
            for name, x in module.__dict__[kind].items():
                if x is None or id(x) in seen:
                    continue
                if remove_duplicate:
                    seen[id(x)] = x
                yield f"{path}.{name}" if path else name, x

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Each parameter with its full name."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """Each parameter, once."""
        return (x for _, x in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Each buffer with its full name."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        """Each buffer, once."""
        return (x for _, x in self.named_buffers(recurse=recurse))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Each module directly inside this one, with its name."""
        seen: dict[int, bool] = {}
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen[id(module)] = True
                yield name, module

    def children(self) -> Iterator[Module]:
        """Each module directly inside this one."""
        return (module for _, module in self.named_children())

    def named_modules(
        self, memo: Any = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and every one inside it, with its full name."""
        memo = {} if memo is None else memo
        if remove_duplicate and self in memo:
            return
        if remove_duplicate:
            memo.add(self) if isinstance(memo, set) else memo.update({self: True})
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and every one inside it."""
        return (module for _, module in self.named_modules())

    def get_submodule(self, target: str) -> Module:
        """The module called `target`, like "net.0.conv".

        Raises: AttributeError where there is none.
        """
        found: Any = self
        for part in target.split(".") if target else ():
            if not hasattr(found, part):
                raise AttributeError(f"{type(found).__name__} has no attribute `{part}`")
            found = getattr(found, part)
            if not isinstance(found, Module):
                raise AttributeError(f"`{part}` is not an nn.Module")
        return found

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module in the place called `target`, which must be there with `strict`.

        Raises: ValueError, AttributeError where there is no such place, or no module in it.
        """
        if not target:
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        if strict or hasattr(self.get_submodule(path), name):
            self.get_submodule(target)
        setattr(self.get_submodule(path), name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter called `target`.

        Raises: AttributeError where there is none.
        """
        return self._got(target, "_parameters", "nn.Parameter")

    def get_buffer(self, target: str) -> Any:
        """The buffer called `target`.

        Raises: AttributeError where there is none.
        """
        return self._got(target, "_buffers", "buffer")

    def _got(self, target: str, kind: str, what: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if not hasattr(owner, name):
            raise AttributeError(f"{type(owner).__name__} has no attribute `{name}`")
        if name not in owner.__dict__[kind]:
            raise AttributeError(f"`{name}` is not an {what}")
        return owner.__dict__[kind][name]

    # ---- changes to all of it ----

    def apply(self: M, fn: Callable[[Module], None]) -> M:
        """This module, after `fn` ran on every module inside it and then on itself."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self: M, mode: bool = True) -> M:
        """This module in training mode, or with False in evaluation mode."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: M) -> M:
        """This module in evaluation mode."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """This module, whose parameters now do or do not require gradients."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or set them to zero."""
        for param in self.parameters():
            if param.grad is None:
                continue
            if set_to_none:
                param.grad = None
            else:
                fill_zero(param.leaf)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Nothing, after a warning: no Python code is compiled."""
        unchanged("Module.compile", self)

    # ---- text ----

    def extra_repr(self) -> str:
        """What `repr` says of this module besides its children."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        first = extra.split("\n") if extra else []
        children = [
            f"({name}): {indented(repr(module), 2)}" for name, module in self._modules.items()
        ]
        lines = first + children
        if not lines:
            return f"{self._get_name()}()"
        if len(first) == 1 and not children:
            return f"{self._get_name()}({first[0]})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"


def indented(text: str, spaces: int) -> str:
    """A text whose lines after the first are moved to the right."""
    first, *rest = text.split("\n")
    return "\n".join([first, *(" " * spaces + line for line in rest)])


def _type_of(x: Any) -> str:
    kind = type(x)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


_EXPECTED = {
    "_parameters": ("parameter", "core.nn.Parameter or None expected"),
    "_modules": ("child module", "core.nn.Module or None expected"),
    "_buffers": ("buffer", "core.nn.Buffer, core.Tensor or None expected"),
}


def _cannot_assign(value: Any, kind: str, name: str) -> str:
    what, expected = _EXPECTED[kind]
    return f"cannot assign '{_type_of(value)}' as {what} '{name}' ({expected})"
