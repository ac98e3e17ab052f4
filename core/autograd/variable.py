"""Variable, PyTorch's old name for a tensor that may require grad."""

from __future__ import annotations

from typing import Any

from core.autograd.value import Kind, Value


class _IsTensor(type):
    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, Kind.of_results)


class Variable(metaclass=_IsTensor):
    """A tensor: `Variable(x, requires_grad=True)` is `x` in a leaf of its own."""

    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: Any = None) -> Any:
        """The leaf of the memory of `data`.

        Raises: TypeError for what is no tensor.
        """
        if not isinstance(data, Value):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        return data.detach().requires_grad_(requires_grad)  # type: ignore[attr-defined]
