"""Where arrays live: the one place that tells NumPy from CuPy (or from simulated GPUs)."""

from __future__ import annotations

import importlib
import os
import threading
from typing import Any

import numpy

from core import simulated


class Device:
    """A place for arrays: `cpu`, or `cuda:N`.

    Example:
        >>> Device("cuda:1").index, Device("cuda", 1) == Device("cuda:1"), Device("cpu")
        (1, True, device(type='cpu'))
    """

    __slots__ = ("index", "type")

    def __init__(self, type: Any, index: int | None = None) -> None:
        if isinstance(type, Device):
            type, index = type.type, type.index if index is None else index
        elif isinstance(type, int):
            type, index = "cuda", type
        elif ":" in type:
            if index is not None:
                raise RuntimeError(f"type (string) must not include an index: {type!r}")
            type, _, number = type.partition(":")
            if not number.isdigit():
                raise RuntimeError(f"Invalid device string: '{type}:{number}'")
            index = int(number)
        if type not in ("cpu", "cuda"):
            raise RuntimeError(
                f"Expected one of cpu, cuda device type at start of device string: {type}"
            )
        self.type: str = type
        self.index: int | None = index

    def __repr__(self) -> str:
        where = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{where})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Device) and self.type == other.type
        return same and self.index == other.index  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple[Any, ...]:
        return Device, (self.type, self.index)


CPU = Device("cpu")
MODULE_OF: dict[type, Any] = {numpy.ndarray: numpy}  # array type -> array module
_lock = threading.Lock()
_cuda: Any = None


def xp(array: Any) -> Any:
    """The module (numpy, cupy, or the simulated one) whose array this is."""
    return MODULE_OF.get(type(array), numpy)


def is_array(x: Any) -> bool:
    """Whether `x` is an array of a known module."""
    return type(x) in MODULE_OF


def cuda_module() -> Any:
    """The module that makes arrays on a GPU, imported on first use.

    Raises: RuntimeError with one sentence where there is no usable GPU.
    """
    global _cuda
    with _lock:
        if _cuda is None:
            _cuda = simulated.module() if simulated.count() else _cupy()
            MODULE_OF[_cuda.ndarray] = _cuda
    return _cuda


def _cupy() -> Any:
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise RuntimeError(
            "cuda needs CuPy: install the extra that matches the driver,"
            " unison-ddp[cuda12] or unison-ddp[cuda13]"
            f" ({error})"
        ) from error


def device_count() -> int:
    """The number of GPUs this process can use; 0 where CuPy or a driver is missing."""
    if simulated.count():
        return simulated.count()
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return 0
    try:
        runtime = cuda_module().cuda.runtime
    except RuntimeError:
        return 0
    try:
        return runtime.getDeviceCount()
    except runtime.CUDARuntimeError:  # no driver, or no device
        return 0


def device_of(array: Any) -> Device:
    """The device that holds `array`."""
    if type(array) is numpy.ndarray or not hasattr(array, "device"):
        return CPU
    return Device("cuda", array.device.id)


def resolve(device: Any) -> Device:
    """The device meant by a Device, a string, an index or None (the CPU); `cuda` gets its index.

    Raises: RuntimeError for a GPU that is not there.
    """
    if device is None:
        return CPU
    found = device if type(device) is Device else Device(device)
    if found.type == "cpu":
        return CPU
    count = device_count()
    if not count:
        cuda_module()
        raise RuntimeError("cuda was asked for, but no GPU (or no driver) is visible here")
    index = cuda_module().cuda.Device().id if found.index is None else found.index
    if index >= count:
        raise RuntimeError(f"invalid device ordinal: cuda:{index}, visible devices: {count}")
    return Device("cuda", index)


def module_of(device: Device) -> Any:
    """The array module of a device."""
    return numpy if device.type == "cpu" else cuda_module()


def on(device: Device) -> Any:
    """A context in which arrays are made on `device`."""
    if device.type == "cpu":
        return _Here()
    return cuda_module().cuda.Device(device.index)


class _Here:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: Any) -> None:
        return None


def to_host(array: Any) -> numpy.ndarray:
    """`array` in the CPU's memory; itself where it is there already."""
    return array if type(array) is numpy.ndarray else cuda_module().asnumpy(array)


def to_device(array: Any, device: Device) -> Any:
    """`array` on `device`; itself where it is there already."""
    if device_of(array) == device:
        return array
    if device.type == "cpu":
        return to_host(array)
    with on(device):
        if type(array) is numpy.ndarray:
            return cuda_module().asarray(array)
        return array.copy()
