"""Simulated GPUs: with UNISON_SIMULATED_GPUS=N, `cuda:0..N-1` exist and keep arrays in NumPy's memory.

Placement rules hold as on real GPUs: an operation that mixes devices, or a device with the CPU, is
refused, and NumPy's functions refuse these arrays as they refuse CuPy's.
"""

from __future__ import annotations

import os
import threading
import types
from typing import Any

import numpy


def count() -> int:
    """The number of simulated GPUs asked for by UNISON_SIMULATED_GPUS."""
    return int(os.environ.get("UNISON_SIMULATED_GPUS") or 0)


class _Current(threading.local):
    id = 0


_current = _Current()


class Device:
    """One simulated GPU; as a context manager, the place where new arrays are made."""

    def __init__(self, index: int | None = None) -> None:
        self.id = _current.id if index is None else index
        self._before: list[int] = []

    def __enter__(self) -> Device:
        self._before.append(_current.id)
        _current.id = self.id
        return self

    def __exit__(self, *_: Any) -> None:
        _current.id = self._before.pop()

    def use(self) -> None:
        """Make this the device on which this thread's new arrays are made."""
        _current.id = self.id

    def synchronize(self) -> None:
        """Wait for the device's work, of which there is never any."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)


class ndarray(numpy.ndarray):  # noqa: N801 - CuPy's name
    """An array on a simulated GPU."""

    place: Device

    def __array_finalize__(self, source: Any) -> None:
        self.place = getattr(source, "place", None) or Device()

    @property
    def device(self) -> Device:  # type: ignore[override]
        """The GPU that holds this array."""
        return self.place

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _call(getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function: Any, kinds: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was called with an array on a simulated GPU")

    def __matmul__(self, other: Any) -> Any:
        return _call(numpy.matmul, (self, other), {})

    def copy(self, order: str = "C") -> Any:  # type: ignore[override]
        """A copy on the current device, as in CuPy."""
        return _wrapped(self.view(numpy.ndarray).copy(order), Device())

    def get(self) -> numpy.ndarray:
        """This array in the CPU's memory."""
        return numpy.array(self.view(numpy.ndarray))


def _method(name: str) -> Any:
    plain = getattr(numpy.ndarray, name)

    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        return _call(plain, (self, *args), kwargs)

    return method


for _name in ("sum", "mean", "prod", "max", "min", "all", "any", "argmax", "argmin", "cumsum"):
    setattr(ndarray, _name, _method(_name))
for _name in ("take", "astype", "repeat", "argsort", "nonzero", "item", "tolist"):
    setattr(ndarray, _name, _method(_name))


def _found(value: Any, devices: dict[int, None]) -> Any:
    """`value` with simulated arrays unwrapped, their devices noted in `devices`."""
    if type(value) is ndarray:
        devices[value.place.id] = None
        return value.view(numpy.ndarray)
    if type(value) is numpy.ndarray and value.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: copy it to the GPU first")
    if type(value) in (list, tuple):
        return type(value)(_found(v, devices) for v in value)
    return value


def _wrapped(value: Any, device: Device) -> Any:
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        out = numpy.asarray(value).view(ndarray)
        out.place = device
        return out
    if type(value) in (list, tuple) or hasattr(value, "_fields"):
        parts = [_wrapped(v, device) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def _call(function: Any, args: Any, kwargs: Any) -> Any:
    devices: dict[int, None] = {}
    out = kwargs.get("out")
    args, kwargs = _found(tuple(args), devices), {k: _found(v, devices) for k, v in kwargs.items()}
    if len(devices) > 1:
        raise ValueError(f"Array device must be same as the current device: {sorted(devices)}")
    result = function(*args, **kwargs)
    if out is not None:
        return out[0] if type(out) is tuple else out
    return _wrapped(result, Device(next(iter(devices), None)))


class _Runtime:
    CUDARuntimeError = RuntimeError

    @staticmethod
    def getDeviceCount() -> int:  # noqa: N802 - CUDA's name
        return count()


class _Module:
    """NumPy's functions for arrays on simulated GPUs, under CuPy's names."""

    ndarray = ndarray
    cuda = types.SimpleNamespace(Device=Device, runtime=_Runtime)

    @staticmethod
    def asnumpy(array: Any) -> numpy.ndarray:
        return array.get()

    @staticmethod
    def asarray(value: Any, dtype: Any = None, order: Any = None) -> Any:
        if type(value) is ndarray and dtype in (None, value.dtype) and order is None:
            return value
        return _module.array(value, dtype, order=order or "K")

    @staticmethod
    def array(value: Any, dtype: Any = None, copy: bool = True, order: str = "K") -> Any:
        place = value.place if type(value) is ndarray else Device()
        plain = value.view(numpy.ndarray) if type(value) is ndarray else value
        return _wrapped(numpy.array(plain, dtype, copy=copy or None, order=order), place)

    def __getattr__(self, name: str) -> Any:
        found = getattr(numpy, name)
        if isinstance(found, type) or not callable(found):
            return found

        def function(*args: Any, **kwargs: Any) -> Any:
            return _call(found, args, kwargs)

        function.__name__ = name
        setattr(self, name, function)
        return function


_module = _Module()


def module() -> Any:
    """The stand-in for the `cupy` module."""
    return _module
