"""Modules that hold modules."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

from core.nn.module import Module


class Sequential(Module):
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

    def _key(self, index: Any) -> str:
        return key_at(list(self._modules), index)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[self._key(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._key(index), module)

    def __delitem__(self, index: Any) -> None:
        keys = list(self._modules)
        for key in keys[index] if isinstance(index, slice) else [self._key(index)]:
            delattr(self, key)
        left = list(self._modules.values())
        self._modules.clear()
        self._modules.update({str(i): module for i, module in enumerate(left)})

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __add__(self, other: Any) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(
                "add operator supports only objects of Sequential class, but"
                f" {type(other)} is given."
            )
        return Sequential(*self, *other)

    def append(self, module: Module) -> Sequential:
        """This module with another one at its end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, sequential: Iterable[Module]) -> Sequential:
        """This module with others at its end."""
        for module in sequential:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Sequential:
        """This module with another one put in before `index`."""
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}")
        if not -len(self) <= index <= len(self):
            raise IndexError(f"Index out of range: {index}")
        items = list(self)
        items.insert(index, module)
        self._modules.clear()
        self._modules.update({str(i): m for i, m in enumerate(items)})
        return self

    def pop(self, key: Any) -> Module:
        """The module at `key`, taken out."""
        found = self[key]
        del self[key]
        return found


def key_at(keys: list[str], index: Any) -> str:
    """The key at a position, counted from the end where negative.

    Raises: IndexError out of range.
    """
    i = operator.index(index)
    if not -len(keys) <= i < len(keys):
        raise IndexError(f"index {i} is out of range")
    return keys[i]
