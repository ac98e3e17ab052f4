"""What a module registers when it is assigned: parameters and buffers."""

from __future__ import annotations

import copy
from typing import Any

from core.autograd.value import share
from core.backend import device_of, on, to_host
from core.ops.creation import empty
from core.tensor import Tensor


class Parameter(Tensor):
    """A tensor that a module registers as one of its parameters; it shares the memory of `data`.

    Example:
        >>> Parameter(Tensor([1.0, 2.0])).requires_grad
        True
    """

    __slots__ = ()

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        return _made(cls, data, requires_grad)

    def __repr__(self, **options: Any) -> str:  # type: ignore[override]
        return "Parameter containing:\n" + Tensor.__repr__(self)

    def __deepcopy__(self, memo: Any) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        out = memo[id(self)] = type(self)(Tensor(0), self.requires_grad)
        with on(device_of(self.array)):
            out.array = self.array.copy()
        if self.grad is not None:
            out.grad = copy.deepcopy(self.grad, memo)
        out.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return out

    def __reduce__(self) -> Any:
        state = (to_host(self.array), str(self.device), self.requires_grad, dict(self.__dict__))
        return _restored, (type(self), *state)


class Buffer(Tensor):
    """A tensor that a module registers as a buffer: state that is saved but not trained."""

    __slots__ = ()
    persistent: bool

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        out = _made(cls, data, False)
        out.persistent = persistent
        return out


def _made(cls: type, data: Any, requires_grad: bool) -> Any:
    data = empty(0) if data is None else data
    if not isinstance(data, Tensor):
        raise TypeError(f"{cls.__name__} expected a Tensor, got {type(data).__name__}")
    out: Any = object.__new__(cls)
    out.array = data.array
    out.node = out.base = out.leaf = out.version = None
    out.needs_grad = False
    share(out, data)
    return out.requires_grad_(requires_grad)


def _restored(kind: Any, array: Any, device: str, requires_grad: bool, extra: Any) -> Any:
    data = Tensor(0)
    data.array = array
    out = kind(data if device == "cpu" else data.to(device))
    out.__dict__.update(extra)
    return out.requires_grad_(requires_grad)
