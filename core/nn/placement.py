"""Where a module's parameters and buffers live, and of which type they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from core.autograd.value import Value
from core.backend import Device
from core.dtype import bfloat16, float16, float32, float64
from core.dtype import dtype as ElementType
from core.ops.creation import empty_like

P = TypeVar("P", bound="Placed")


class Placed:
    """The part of a module that moves and converts what it holds, in place."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]

    def _apply(self: P, fn: Callable[[Any], Any], recurse: bool = True) -> P:
        for module in self.children() if recurse else ():  # type: ignore[attr-defined]
            module._apply(fn)
        for param in self._parameters.values():
            if param is not None:
                _replace(param, fn)
        for name, x in self._buffers.items():
            if x is not None:
                self._buffers[name] = fn(x)
        return self

    def to(self: P, *args: Any, **kwargs: Any) -> P:
        """This module on another device or, its floating-point tensors, of another dtype."""
        device, dtype = _wanted(*args, **kwargs)
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(
                "nn.Module.to only accepts floating point or complex dtypes, but got desired"
                f" dtype={dtype}"
            )

        def moved(x: Any) -> Any:
            if dtype is None or not x.is_floating_point():
                return x.to(device=device)
            return x.to(device=device, dtype=dtype)

        return self._apply(moved)

    def cpu(self: P) -> P:
        """This module in the CPU's memory."""
        return self.to(device="cpu")

    def cuda(self: P, device: Any = None) -> P:
        """This module on a GPU, the current one unless given."""
        return self.to(device="cuda" if device is None else device)

    def to_empty(self: P, *, device: Any, recurse: bool = True) -> P:
        """This module on a device, with memory that holds anything."""
        return self._apply(lambda x: empty_like(x, device=device), recurse)

    def type(self: P, dst_type: Any) -> P:
        """This module with every parameter and buffer of one dtype."""
        return self._apply(lambda x: x.to(dtype=dst_type))

    def float(self: P) -> P:
        """This module with its floating-point tensors in float32."""
        return self.to(float32)

    def double(self: P) -> P:
        """This module with its floating-point tensors in float64."""
        return self.to(float64)

    def half(self: P) -> P:
        """This module with its floating-point tensors in float16."""
        return self.to(float16)

    def bfloat16(self: P) -> P:
        """This module with its floating-point tensors in bfloat16."""
        return self.to(bfloat16)


def _wanted(
    *args: Any,
    device: Any = None,
    dtype: Any = None,
    non_blocking: bool = False,
    memory_format: Any = None,
) -> tuple[Any, Any]:
    """The device and the dtype that the arguments of `to` ask for."""
    for arg in args:
        if isinstance(arg, Value):
            device, dtype = arg.device, arg.dtype  # type: ignore[attr-defined]
        elif isinstance(arg, ElementType):
            dtype = arg
        elif isinstance(arg, (str, int, Device)) and not isinstance(arg, bool):
            device = arg
    return device, dtype


def _replace(param: Any, fn: Callable[[Any], Any]) -> None:
    """Let a parameter, and its gradient, hold what `fn` makes of them; it stays the same object."""
    g = param.grad
    new = fn(param.data)
    if new.array is not param.array:
        param.array = new.array
        param.version = None
    if g is not None:
        param.leaf.gradient = fn(g.data)
