"""Modules that hold modules."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from core.nn.module import Module

N = TypeVar("N", bound="Numbered")


def key_at(keys: list[str], index: Any) -> str:
    """The key at a position, counted from the end where negative.

    Raises: IndexError out of range.
    """
    i = operator.index(index)
    if not -len(keys) <= i < len(keys):
        raise IndexError(f"index {i} is out of range")
    return keys[i]


class Numbered(Module):
    """What the modules share whose children have a position."""

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._part(index)
        return self._modules[key_at(list(self._modules), index)]

    def _part(self, index: slice) -> Any:
        """Another one of this class, of some of the children."""
        raise NotImplementedError

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, key_at(list(self._modules), index), module)

    def __delitem__(self, index: Any) -> None:
        left = list(self)
        del left[index]
        self._renew(left)

    def _renew(self, modules: list[Any]) -> None:
        self._modules.clear()
        self._modules.update({str(i): module for i, module in enumerate(modules)})

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __iadd__(self: N, modules: Iterable[Module]) -> N:
        return self.extend(modules)

    def append(self: N, module: Module) -> N:
        """This module with another one at its end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self: N, modules: Iterable[Module]) -> N:
        """This module with others at its end."""
        for module in modules:
            self.append(module)
        return self

    def pop(self, key: Any) -> Module:
        """The module at `key`, taken out."""
        found = self[key]
        del self[key]
        return found


class Sequential(Numbered):
    """Modules called one after the other, each on the result of the one before.

    Example:
        >>> from core import nn
        >>> nn.Sequential(nn.Linear(4, 2), nn.ReLU())
        Sequential(
          (0): Linear(in_features=4, out_features=2, bias=True)
          (1): ReLU()
        )
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        named = args[0].items() if len(args) == 1 and isinstance(args[0], OrderedDict) else None
        for name, module in named or enumerate(args):
            self.add_module(str(name), module)

    def forward(self, input: Any) -> Any:
        """The last result."""
        for module in self._modules.values():
            input = module(input)
        return input

    def _part(self, index: slice) -> Any:
        return type(self)(OrderedDict(list(self._modules.items())[index]))

    def __add__(self, other: Any) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(
                "add operator supports only objects of Sequential class, but"
                f" {type(other)} is given."
            )
        return Sequential(*self, *other)

    def _times(self, count: Any) -> list[Module]:
        if not isinstance(count, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(count)}")
        if count <= 0:
            raise ValueError(f"Non-positive multiplication factor {count} for {type(self)}")
        return list(self) * count

    def __mul__(self, count: int) -> Sequential:
        return Sequential(*self._times(count))

    __rmul__ = __mul__

    def __imul__(self, count: int) -> Sequential:
        self._renew(self._times(count))
        return self

    def insert(self, index: int, module: Module) -> Sequential:
        """This module with another one put in before `index`."""
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}")
        if not -len(self) <= index <= len(self):
            raise IndexError(f"Index out of range: {index}")
        items = list(self)
        items.insert(index, module)
        self._renew(items)
        return self
