"""Where arrays live: the one place that tells NumPy from CuPy (or from simulated GPUs)."""

from __future__ import annotations

import importlib
import os
import threading
import warnings
import weakref
from typing import Any

import numpy

from core import simulated


class Device:
    """A place for arrays: `cpu`, or `cuda:N`; as a context, where new tensors go.

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
        if index is not None and index < 0:
            raise RuntimeError(f"Device index must not be negative: {index}")
        self.type: str = type
        self.index: int | None = index

    def __enter__(self) -> Device:
        _default.devices.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        _default.devices.pop()

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


class _Default(threading.local):
    """Where this thread's new tensors go unless a call says it."""

    def __init__(self) -> None:
        self.devices: list[Device] = []
        self.chosen: Device | None = None


_default = _Default()
CPU = Device("cpu")
MODULE_OF: dict[type, Any] = {numpy.ndarray: numpy}  # array type -> array module
_lock = threading.Lock()
_cuda: Any = None
_pretended = False  # whether that is the simulated one: tests and demonstrations may change it


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
    global _cuda, _pretended
    with _lock:
        pretend = simulated.count() > 0
        if _cuda is None or pretend != _pretended:
            _cuda, _pretended = simulated.module() if pretend else _cupy(), pretend
            MODULE_OF[_cuda.ndarray] = _cuda
            _use_given(_cuda.cuda)
    return _cuda


def _use_given(cuda: Any) -> None:
    # "cuda" is the GPU that the launcher gave this rank, from the first use on: a model made before
    # the process group would be on GPU 0, and so would a context of every rank (0.5 to 1 GB each).
    given = os.environ.get("UNISON_DEVICE", "").partition(":")[2]
    if given.isdigit() and int(given) < _count(cuda.runtime):
        cuda.Device(int(given)).use()


def cupy_distributions() -> list[str]:
    """The installed packages that bring a `cupy` module, such as cupy-cuda12x."""
    metadata = importlib.import_module("importlib.metadata")  # 20 ms, for a GPU only
    found: dict[str, None] = {}
    for package in metadata.distributions():
        name = (package.metadata["Name"] or "").lower().replace("_", "-")
        if name == "cupy" or name.startswith(("cupy-cuda", "cupy-rocm")):
            found[f"{name} {package.version}"] = None
    return sorted(found)


def _cupy() -> Any:
    installed = cupy_distributions()
    if len(installed) > 1:
        warnings.warn(
            f"several CuPy packages are installed and overwrite each other: {', '.join(installed)};"
            " uninstall all of them, then install one",
            stacklevel=4,
        )
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
    return _count(runtime)


def _count(runtime: Any) -> int:
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
    """The device meant by a Device, a string, an index or None (the default one).

    Raises: RuntimeError for a GPU that is not there.
    """
    if device is None:
        device = _default.devices[-1] if _default.devices else _default.chosen
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


def set_default_device(device: Any) -> None:
    """Let this thread's new tensors be made on `device` where none is given; None is the CPU.

    Raises: RuntimeError for a GPU that is not there.
    """
    _default.chosen = None if device is None else resolve(device)


def get_default_device() -> Device:
    """The device of this thread's new tensors where none is given."""
    return resolve(None)


def module_of(device: Device) -> Any:
    """The array module of a device."""
    return numpy if device.type == "cpu" else cuda_module()


def on(device: Device) -> Any:
    """A context in which arrays are made on `device`."""
    if device.type == "cpu":
        return _Here()
    return cuda_module().cuda.Device(device.index)


def cuda_submodule(name: str) -> Any:
    """A part of CuPy that is loaded by itself, such as `cuda.nccl`."""
    module = cuda_module()
    if not simulated.count():
        return importlib.import_module(f"cupy.{name}")
    for part in name.split("."):
        module = getattr(module, part)
    return module


def cupyx_module() -> Any:
    """What CuPy has beyond NumPy's names: the module `cupyx`."""
    if simulated.count():
        return simulated.extras()
    return importlib.import_module("cupyx")


def checked_linalg(array: Any) -> Any:
    """A context in which decompositions that fail raise, as NumPy's do; CuPy's return NaN."""
    if type(array) is numpy.ndarray:
        return _Here()
    return cupyx_module().errstate(linalg="raise")


class _Here:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: Any) -> None:
        return None


def elsewhere(arrays: Any) -> Device | None:
    """The GPU of the first array that lies on one, unless that is the current one."""
    for x in arrays:
        if type(x) in MODULE_OF and type(x) is not numpy.ndarray:
            there = device_of(x)
            return None if cuda_module().cuda.Device().id == there.index else there
    return None


def write(target: Any, values: Any) -> None:
    """Set the elements of `target` to those of an array that may lie elsewhere, or to a number."""
    if type(target) is numpy.ndarray:
        target[...] = to_host(values) if type(values) in MODULE_OF else values
        return
    with on(device_of(target)):
        target[...] = to_device(values, device_of(target)) if is_array(values) else values


def to_host(array: Any) -> numpy.ndarray:
    """`array` in the CPU's memory; itself where it is there already."""
    if type(array) is numpy.ndarray:
        return array
    with on(device_of(array)):  # CuPy copies on a stream of the current GPU
        return cuda_module().asnumpy(array)


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


# ---- memory -----------------------------------------------------------------------------------


def owner(array: Any) -> Any:
    """The array whose memory `array` is a part of; itself where it has its own."""
    base = array.base
    whole = base if type(base) is type(array) else array
    if type(whole) is numpy.ndarray:
        return whole
    known = _wholes.get(id(whole))
    return known[1] if known is not None else whole


# CuPy sets no base on arrays that are made from a pointer: id -> (a reference to it, its owner).
_wholes: dict[int, tuple[Any, Any]] = {}


def _owned(view: Any, whole: Any) -> Any:
    key = id(view)
    _wholes[key] = (weakref.ref(view, lambda _: _wholes.pop(key, None)), whole)
    return view


def packed(array: Any) -> Any:
    """The array row by row in memory: itself where it lies so."""
    return array if array.flags.c_contiguous else xp(array).ascontiguousarray(array)


def address(array: Any) -> int:
    """Where the first element lies in memory."""
    if isinstance(array, numpy.ndarray):
        return array.__array_interface__["data"][0]
    return array.data.ptr


def offset_of(array: Any) -> int:
    """How many bytes the first element lies after the first one of the memory's owner."""
    whole = owner(array)
    return 0 if whole is array else address(array) - address(whole)


def strided(array: Any, shape: Any, strides: Any, offset: int) -> Any:
    """A view of the memory of `array`; `strides`, and `offset` from its owner's start, in bytes."""
    if isinstance(array, numpy.generic):  # what NumPy's arithmetic of zero-dim arrays returns
        array = numpy.asarray(array)
    whole = owner(array)
    if type(array) is not numpy.ndarray:
        return _owned(type(array)(shape, array.dtype, whole.data + offset, strides), whole)
    if not whole.flags.forc:  # memory that came with gaps is no buffer
        return numpy.asarray(_Window(whole, shape, strides, offset)).view(array.dtype)
    return numpy.ndarray(shape, array.dtype, whole, offset if 0 not in shape else 0, strides)


class _Window:
    """What NumPy reads to make a view of memory that it may not slice as a buffer."""

    def __init__(self, whole: Any, shape: Any, strides: Any, offset: int) -> None:
        start, read_only = whole.__array_interface__["data"]
        self.__array_interface__ = whole.__array_interface__ | {
            "shape": tuple(shape),
            "strides": tuple(strides),
            "data": (start + offset, read_only),
        }
        self.whole = whole
