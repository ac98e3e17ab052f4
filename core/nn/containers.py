"""Lists and dicts of modules and of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from core.nn.container import key_at
from core.nn.module import Module, indented
from core.nn.parameter import Parameter
from core.tensor import Tensor


class ModuleList(Module):
    """Modules in a list."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self._modules[key_at(list(self._modules), index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, key_at(list(self._modules), index), module)

    def __delitem__(self, index: Any) -> None:
        left = list(self)
        del left[index]
        self._replace(left)

    def _replace(self, modules: list[Any]) -> None:
        self._modules.clear()
        self._modules.update({str(i): module for i, module in enumerate(modules)})

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def insert(self, index: int, module: Module) -> None:
        """Put a module in before `index`."""
        items = list(self)
        items.insert(index, module)
        self._replace(items)

    def append(self, module: Module) -> ModuleList:
        """This list with another module at its end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """This list with other modules at its end."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                "ModuleList.extend should be called with an iterable, but got"
                f" {type(modules).__name__}"
            )
        for module in modules:
            self.append(module)
        return self

    def pop(self, key: Any) -> Module:
        """The module at `key`, taken out."""
        found = self[key]
        del self[key]
        return found

    def __repr__(self) -> str:
        if not len(self):
            return f"{self._get_name()}()"
        texts = [repr(module) for module in self]
        starts = [i for i, text in enumerate(texts) if not i or text != texts[i - 1]]
        lines = []
        for start, end in zip(starts, [*starts[1:], len(texts)], strict=True):
            count, text = end - start, texts[start]
            line = f"({start}): {text}"
            if count > 1:
                line = f"({start}-{end - 1}): {count} x {text}"
            lines.append(indented(line, 2))
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"


class ModuleDict(Module):
    """Modules in a dict."""

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        self.update(modules or {})

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Take all modules out."""
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """The module at `key`, taken out."""
        return self._modules.pop(key)

    def keys(self) -> Any:
        """The keys."""
        return self._modules.keys()

    def items(self) -> Any:
        """The pairs of key and module."""
        return self._modules.items()

    def values(self) -> Any:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Any) -> None:
        """Put the modules of a mapping, or of pairs, in."""
        if not isinstance(modules, (Iterable, Mapping)):
            raise TypeError(
                "ModuleDict.update should be called with an iterable of key/value pairs, but got"
                f" {type(modules).__name__}"
            )
        pairs = modules.items() if hasattr(modules, "items") else modules
        for key, module in pairs:
            self[key] = module


def _registered(value: Any) -> Any:
    """Tensors become parameters; anything else stays."""
    return Parameter(value) if type(value) is Tensor else value


class ParameterList(Module):
    """Parameters, and other values, in a list."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        self.extend(values or ())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)([self[i] for i in range(len(self))[index]])
        return getattr(self, key_at([str(i) for i in range(self._size)], index))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, key_at([str(i) for i in range(self._size)], index), _registered(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter(self[i] for i in range(self._size))

    def __iadd__(self, values: Iterable[Any]) -> ParameterList:
        return self.extend(values)

    def append(self, value: Any) -> ParameterList:
        """This list with another value at its end."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """This list with other values at its end."""
        if isinstance(values, Tensor) or not isinstance(values, Iterable):
            raise TypeError(
                "ParameterList.extend should be called with an iterable, but got"
                f" {type(values).__name__}"
            )
        for value in values:
            self.append(value)
        return self

    def extra_repr(self) -> str:
        """One line per value."""
        lines = []
        for i, x in enumerate(self):
            if isinstance(x, Tensor):
                kind = "Parameter" if isinstance(x, Parameter) else "Tensor"
                size = "x".join(map(str, x.shape))
                where = f" ({x.device})" if x.is_cuda else ""
                lines.append(f"  ({i}): {kind} containing: [{x.dtype} of size {size}{where}]")
            else:
                lines.append(f"  ({i}): Object of type: {type(x).__name__}")
        return "\n".join(lines)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("ParameterList should not be called.")


class ParameterDict(Module):
    """Parameters, and other values, in a dict."""

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        self.update(parameters or {})

    def __getitem__(self, key: str) -> Any:
        return getattr(self, self._name(key))

    def __setitem__(self, key: str, value: Any) -> None:
        self._keys[key] = None
        setattr(self, self._name(key), _registered(value))

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, self._name(key))

    @staticmethod
    def _name(key: Any) -> str:
        if not isinstance(key, str):
            raise TypeError(
                f"Index given to ParameterDict cannot be used as a key as it is not a string: {key}"
            )
        return key

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def keys(self) -> Any:
        """The keys."""
        return self._keys.keys()

    def items(self) -> Any:
        """The pairs of key and value."""
        return [(key, self[key]) for key in self._keys]

    def values(self) -> Any:
        """The values."""
        return [self[key] for key in self._keys]

    def get(self, key: str, default: Any = None) -> Any:
        """The value at `key`, or the default."""
        return self[key] if key in self else default

    def pop(self, key: str) -> Any:
        """The value at `key`, taken out."""
        found = self[key]
        del self[key]
        return found

    def clear(self) -> None:
        """Take all values out."""
        for key in list(self._keys):
            del self[key]

    def update(self, parameters: Any) -> None:
        """Put the values of a mapping, or of pairs, in."""
        pairs = parameters.items() if hasattr(parameters, "items") else parameters
        for key, value in pairs:
            self[key] = value
