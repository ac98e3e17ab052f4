"""Pinned memory of the CPU: a GPU copies from it while both go on. Who reads it keeps it alive."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy

from core.backend import (
    Device,
    cuda_module,
    cupyx_module,
    device_of,
    on,
    owner,
    resolve,
    to_device,
)


def pinned(array: numpy.ndarray) -> numpy.ndarray:
    """A copy of an array in pinned memory, from which a GPU copies while the CPU goes on.

    Raises: RuntimeError where there is no GPU.
    """
    if is_pinned(array):
        return array
    resolve("cuda")
    out = _new_pinned(array.shape, array.dtype)
    out[...] = array
    return out


def _new_pinned(shape: tuple[int, ...], dtype: Any) -> numpy.ndarray:
    out = cupyx_module().empty_pinned(shape, dtype)
    key = id(out)
    _pinned[key] = weakref.ref(out, lambda _: _pinned.pop(key, None))
    return out


def to_pinned(array: Any) -> numpy.ndarray:
    """A copy of a GPU's array in pinned memory, once it is there."""
    with on(device_of(array)):
        return array.get(out=_new_pinned(array.shape, array.dtype))


def from_pinned(host: numpy.ndarray, array: Any) -> None:
    """Set a GPU's array to what pinned memory holds, when the current stream has come to it."""
    device = device_of(array)
    with on(device):
        if array.flags.c_contiguous:
            _send(host, array)
        else:
            array[...] = copied_meanwhile(host, device)


_pinned: dict[int, Any] = {}
# Copies under way: what they read must stay until the event behind them has passed.
in_flight: list[tuple[Any, Any]] = []
_flights = threading.Lock()


def is_pinned(array: Any) -> bool:
    """Whether an array lies in pinned memory."""
    return id(array) in _pinned or id(owner(array)) in _pinned


def copied_meanwhile(array: numpy.ndarray, device: Device) -> Any:
    """A pinned array on a GPU, where it will be once the current stream has come to it."""
    if not array.flags.c_contiguous:  # would be copied to where nobody keeps it
        return to_device(array, device)
    with on(device):
        out = cuda_module().empty(array.shape, array.dtype)
        _send(array, out)
    return out


def _send(source: numpy.ndarray, target: Any) -> None:
    """Copy pinned memory to the current GPU, and keep it until it was read."""
    stream = cuda_module().cuda.get_current_stream()
    target.set(source, stream=stream)
    with _flights:
        in_flight[:] = [(event, kept) for event, kept in in_flight if not event.done]
        in_flight.append((stream.record(), source))
