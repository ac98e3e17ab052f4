"""Activations."""

from __future__ import annotations

from typing import Any

from core.dtype import to_numpy
from core.ops import elementwise
from core.ops.cast import cast
from core.ops.dims import axis_of
from core.ops.loss import log_softmax_axis, softmax_axis

__all__ = "relu softmax log_softmax softmin".split()


def relu(input: Any, inplace: bool = False) -> Any:
    """Elementwise max(input, 0)."""
    return input.relu_() if inplace else elementwise.relu(input)


def _normalised(op: Any, input: Any, dim: int | None, dtype: Any) -> Any:
    if dtype is not None:
        input = cast(input, to_numpy(dtype))
    ndim = len(input.shape)
    if dim is None:  # PyTorch's old rule for a missing dim
        dim = 0 if ndim in (0, 1, 3) else 1
    return op(input, axis_of(dim, ndim)) if ndim else op(input.reshape(1), 0).reshape(())


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """Exponentials along `dim`, divided by their sum."""
    return _normalised(softmax_axis, input, dim, dtype)


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """The logarithm of softmax along `dim`."""
    return _normalised(log_softmax_axis, input, dim, dtype)


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """The softmax of -input along `dim`."""
    return _normalised(softmax_axis, -input, dim, dtype)
