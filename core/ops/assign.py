"""Assignment in place: one value everywhere, zeros, another tensor's values."""

from __future__ import annotations

from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.autograd.inplace import forbid_leaf, stand_in, write_recorded
from core.autograd.mode import mode
from core.autograd.overlap import forbid_overlap, forbid_sharing
from core.autograd.place import where_it_lies
from core.autograd.value import Value, called, version_of
from core.backend import device_of, to_device, xp
from core.ops import cast

__all__ = ["fill"]


@primitive(label="FillBackward0")
def fill(input, value):
    """A tensor like `input` with every element `value`."""
    out = xp(input).empty(input.shape, input.dtype)
    out[...] = value
    return out


fill.defvjp(input=lambda g: zeros_of(g), value=lambda g: g)


@primitive(label="CopyBackwards")
def replaced(x, source):
    """`source`, broadcast to the shape and cast to the dtype of `x`."""
    out = xp(x).empty(x.shape, x.dtype)
    out[...] = source
    return out


replaced.defvjp(x=lambda g: zeros_of(g), source=lambda g: g)


@primitive(label="ZerosLikeBackward0")
def zeros_of(x):
    """Zeros like `x`."""
    return xp(x).zeros(x.shape, x.dtype)


zeros_of.defvjp(x=None)


def fill_(x: Any, value: Any) -> Any:
    """`x`, every element of which is now `value`.

    Raises: RuntimeError for a value with dims, or where `x` is a leaf that requires grad.
    """
    if isinstance(value, Value) and value.array.ndim:
        raise RuntimeError(
            "fill_ only supports 0-dimension value tensor but got tensor with"
            f" {value.array.ndim} dimensions."
        )
    if not isinstance(value, (int, float, numpy.generic, Value)):
        raise TypeError(
            f"fill_(): argument 'value' must be a tensor or a number, not {type(value).__name__}"
        )
    return _assigned(x, fill, value)


def zero_(x: Any) -> Any:
    """`x`, every element of which is now zero."""
    return _assigned(x, fill, 0, "ZeroBackward0")


def copy_(x: Any, src: Any, non_blocking: bool = False) -> Any:
    """`x` with the values of `src`, broadcast to its shape and cast to its dtype, from any device.

    Raises: RuntimeError where the shapes do not broadcast, or `x` is a leaf that requires grad.
    """
    if isinstance(src, (bool, int, float)):
        return _assigned(x, fill, src)
    if not isinstance(src, Value):
        raise TypeError(
            f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}"
        )
    if src.array.ndim > x.array.ndim:  # NumPy drops leading dims of size one
        raise RuntimeError(
            f"output with shape {list(x.array.shape)} doesn't match the broadcast shape of it and"
            f" {list(src.array.shape)}"
        )
    where = device_of(x.array)
    if device_of(src.array) != where:
        src = cast.transfer(src, where, device_of(src.array))
    return _assigned(x, replaced, src)


@where_it_lies
def _assigned(x: Any, op: Any, value: Any, label: str = "") -> Any:
    forbid_leaf(x)
    if mode.recording and (x.needs_grad or (isinstance(value, Value) and value.needs_grad)):
        write_recorded(x, called(op(stand_in(x), value), label))
        return x
    array = value.array if isinstance(value, Value) else value
    if isinstance(value, Value):
        array = to_device(array, device_of(x.array))
    if op is replaced:
        forbid_overlap(x.array)
        forbid_sharing(x, (value,))
    try:
        x.array[...] = array
    except ValueError:
        raise RuntimeError(
            f"The expanded size of the tensor {list(x.array.shape)} must match the existing size"
            f" {list(array.shape)}"
        ) from None
    version_of(x)[0] += 1
    return x
