"""What a module registers when it is assigned: parameters and buffers."""

from __future__ import annotations

from typing import Any

from core.autograd.value import share
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

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        out = super().__deepcopy__(memo)
        out.grad = None  # as PyTorch's; that of another tensor keeps it
        return out

    def __repr__(self, **options: Any) -> str:  # type: ignore[override]
        return "Parameter containing:\n" + Tensor.__repr__(self)


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
