"""Lists and dicts of modules and of parameters."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from core.autograd.value import Value
from core.nn.container import Numbered, key_at
from core.nn.module import Module, indented
from core.nn.parameter import Parameter
from core.tensor import Tensor


class ModuleList(Numbered):
    """Modules in a list."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def _part(self, index: slice) -> Any:
        return type(self)(list(self)[index])

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def insert(self, index: int, module: Module) -> None:
        """Put a module in before `index`."""
        items = list(self)
        items.insert(index, module)
        self._renew(items)

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """This list with other modules at its end."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                "ModuleList.extend should be called with an iterable, but got"
                f" {type(modules).__name__}"
            )
        return super().extend(modules)

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
    is_new = isinstance(value, Tensor) and not isinstance(value, Parameter)
    return Parameter(value) if is_new else value


def _text(x: Any, kind: Any) -> str:
    """What a repr says of one value."""
    if not isinstance(x, Tensor):
        return f"Object of type: {type(x).__name__}"
    name = "Parameter" if isinstance(x, Parameter) else "Tensor"
    size, where = "x".join(map(str, x.shape)), f" ({x.device})" if x.is_cuda else ""
    return f"{name} containing: [{kind} of size {size}{where}]"


def _kind(x: Any) -> Any:
    """The name of a tensor's type, like core.FloatTensor."""
    return x.type() if isinstance(x, Value) else None  # type: ignore[attr-defined]


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
        pairs = ((x, getattr(x, "dtype", None)) for x in self)
        return "\n".join(f"  ({i}): {_text(*pair)}" for i, pair in enumerate(pairs))

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

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def keys(self) -> Any:
        """The keys."""
        return self._keys.keys()

    def items(self) -> Iterator[tuple[str, Any]]:
        """The pairs of key and value."""
        return ((key, self[key]) for key in self._keys)

    def values(self) -> Iterator[Any]:
        """The values."""
        return (self[key] for key in self._keys)

    def get(self, key: str, default: Any = None) -> Any:
        """The value at `key`, or the default."""
        return self[key] if key in self else default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value at `key`, which is the default from now on where there was none."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str) -> Any:
        """The value at `key`, taken out."""
        found = self[key]
        del self[key]
        return found

    def popitem(self) -> tuple[str, Any]:
        """The last key and its value, taken out."""
        if not self._keys:
            raise KeyError("popitem(): dictionary is empty")
        key = next(reversed(self))
        return key, self.pop(key)

    def clear(self) -> None:
        """Take all values out."""
        for key in list(self._keys):
            del self[key]

    def copy(self) -> ParameterDict:
        """Another dict with the same values."""
        return ParameterDict(self.items())

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A new dict with one value at all keys."""
        return ParameterDict((key, default) for key in keys)

    def update(self, parameters: Any) -> None:
        """Put the values of a mapping, or of pairs, in; those of a plain dict in sorted order."""
        if not isinstance(parameters, (Iterable, ParameterDict)):
            raise TypeError(
                "ParametersDict.update should be called with an iterable of key/value pairs, but"
                f" got {type(parameters).__name__}"
            )
        ordered = isinstance(parameters, (OrderedDict, ParameterDict))
        given: Any = parameters
        if ordered or isinstance(given, Mapping):
            given = given.items() if ordered else sorted(given.items())
        for key, value in given:
            self[key] = value

    def __or__(self, other: Any) -> ParameterDict:
        out = self.copy()
        out.update(other)
        return out

    def __ror__(self, other: Any) -> ParameterDict:
        out = ParameterDict(other)
        out.update(self)
        return out

    def __ior__(self, other: Any) -> ParameterDict:
        self.update(other)
        return self

    def extra_repr(self) -> str:
        """One line per value."""
        return "\n".join(f"  ({key}): {_text(x, _kind(x))}" for key, x in self.items())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("ParameterDict should not be called.")
