"""The stand-in's `cupy` module: its names are those of CuPy that this project uses."""

from __future__ import annotations

import types
from typing import Any

import numpy

from core.simulated import cupyx, nccl, ufuncs
from core.simulated.arithmetic import ufunc
from core.simulated.array import check_dtype, fresh, ndarray
from core.simulated.device import (
    CUDARuntimeError,
    Device,
    Event,
    Stream,
    declare_synchronize,
    device_count,
    get_current_stream,
    get_elapsed_time,
    settle,
)
from core.simulated.functions import LINALG, SIGNATURES, function
from core.simulated.memory import (
    TOTAL_BYTES,
    Memory,
    MemoryHook,
    MemoryPointer,
    OutOfMemoryError,
    alloc_pinned_memory,
    pinned_pool,
    pool,
    total_on,
)

__all__ = ["asarray", "asnumpy", "array", "ascontiguousarray", "cuda", "from_dlpack", "ndarray"]

dtype, newaxis, nan, inf, pi = numpy.dtype, None, numpy.nan, numpy.inf, numpy.pi
bool_, uint8, uint16, uint32, uint64 = (
    numpy.bool_, numpy.uint8, numpy.uint16, numpy.uint32, numpy.uint64,
)  # fmt: skip
int8, int16, int32, int64 = numpy.int8, numpy.int16, numpy.int32, numpy.int64
float16, float32, float64 = numpy.float16, numpy.float32, numpy.float64
finfo, iinfo, broadcast_shapes = numpy.finfo, numpy.iinfo, numpy.broadcast_shapes
result_type, promote_types, can_cast = numpy.result_type, numpy.promote_types, numpy.can_cast

globals().update({name: ufunc(name) for name in ufuncs.LOOPS})
globals().update({name: globals()[of] for name, of in ufuncs.ALIASES.items()})
globals().update(
    {name: function(name, text, getattr(numpy, name)) for name, text in SIGNATURES.items()}
)


def _product(x1: Any, x2: Any) -> Any:
    """The product of matrices as cuBLAS makes it: half types add up in float32."""
    if x1.dtype.itemsize != 2 or x1.dtype.kind not in "fV":
        return numpy.matmul(x1, x2)
    return numpy.matmul(x1.astype(numpy.float32), x2.astype(numpy.float32)).astype(x1.dtype)


matmul = function("matmul", "x1 x2 | out= casting= order= dtype=", _product)


# ---- to and from the CPU ----------------------------------------------------------------------


def array(
    obj: Any,
    dtype: Any = None,
    copy: bool | None = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> ndarray:
    """A new array on the current device, or `obj` itself where it is there and nothing changes."""
    if isinstance(obj, ndarray):
        there = obj.device == Device()
        plain = obj.plain
        if there and not copy and dtype in (None, plain.dtype) and _in_order(plain, order):
            return obj
        settle()
    else:
        plain = numpy.asarray(obj, dtype)
        check_dtype(plain.dtype)
    with numpy.errstate(all="ignore"):
        return fresh(numpy.array(plain, dtype, order=order, ndmin=ndmin))  # type: ignore[call-overload]


def _in_order(plain: numpy.ndarray, order: str | None) -> bool:
    flags = plain.flags
    wanted = {"C": flags.c_contiguous, "F": flags.f_contiguous}
    return wanted.get(order or "K", True)


def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False
) -> ndarray:
    """`a` as an array of the current device."""
    return array(a, dtype, copy, order or "K")


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    """`a` as an array in row-major order, of one axis at least."""
    out = array(a, dtype, None, "C")
    return out if out.ndim else out.reshape(1)


def asnumpy(
    a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True
) -> numpy.ndarray:
    """`a` in the CPU's memory."""
    if isinstance(a, ndarray):
        return a.get(stream, order, out, blocking)
    return numpy.asarray(a, order=order)  # type: ignore[call-overload]


def from_dlpack(array: Any, /, *, device: Any = None, copy: bool | None = None) -> ndarray:
    """The memory of another library's array of a GPU."""
    kind, index = array.__dlpack_device__()
    if kind != 2:
        raise BufferError("from_dlpack: the array is not in a GPU's memory")
    if isinstance(array, ndarray):
        return array.view()
    plain = numpy.from_dlpack(_OnCpu(array))
    with Device(index):
        start = MemoryPointer(Memory(plain, index), 0)
        return ndarray(plain.shape, plain.dtype, start, plain.strides)


class _OnCpu:
    """Another object's DLPack memory, as that of the CPU that it is."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, **keywords: Any) -> Any:
        return self.array.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def as_strided(x: ndarray, shape: Any = None, strides: Any = None) -> ndarray:
    """A view of the memory from the first element of `x` on. As CuPy's, it has no base."""
    shape = x.shape if shape is None else tuple(shape)
    return ndarray(shape, x.dtype, x.data, x.strides if strides is None else tuple(strides))


lib = types.SimpleNamespace(stride_tricks=types.SimpleNamespace(as_strided=as_strided))


def _inverted(function: Any, shape_of: Any) -> Any:
    """A function that gives NaN where NumPy's raises: CuPy looks only where it is asked to."""

    def call(*args: Any) -> Any:
        if cupyx.checks():
            declare_synchronize()
        try:
            return function(*args)
        except numpy.linalg.LinAlgError as error:
            if cupyx.checks():
                raise
            if "ingular" not in str(error) and "definite" not in str(error):
                raise
            return numpy.full(shape_of(*args), numpy.nan, args[0].dtype)

    return call


_QUIET = {
    "inv": lambda a: a.shape,
    "cholesky": lambda a: a.shape,
    "solve": lambda a, b: numpy.broadcast_shapes(a.shape[:-2], b.shape[:-2]) + b.shape[-2:],
}


def _linalg(name: str) -> Any:
    plain = getattr(numpy.linalg, name)
    return _inverted(plain, _QUIET[name]) if name in _QUIET else plain


linalg = types.SimpleNamespace(
    **{name: function(f"linalg.{name}", text, _linalg(name)) for name, text in LINALG.items()}
)


# ---- cupy.cuda --------------------------------------------------------------------------------


def _properties(device: int) -> dict[str, Any]:
    """What the CUDA runtime says of a device."""
    return {
        "name": b"simulated GPU",
        "totalGlobalMem": TOTAL_BYTES,
        "multiProcessorCount": 132,
        "major": 9,
        "minor": 0,
        "warpSize": 32,
        "maxThreadsPerMultiProcessor": 2048,
    }


def _mem_info() -> tuple[int, int]:
    """Free and total bytes of the current device."""
    return TOTAL_BYTES - total_on(Device().id), TOTAL_BYTES


runtime = types.SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=device_count,
    getDeviceProperties=_properties,
    memGetInfo=_mem_info,
    deviceCanAccessPeer=lambda device, peer: False,
    deviceSynchronize=lambda: Device().synchronize(),
    driverGetVersion=lambda: 13000,
    runtimeGetVersion=lambda: 13000,
)
cuda = types.SimpleNamespace(
    Device=Device,
    Event=Event,
    MemoryHook=MemoryHook,
    MemoryPointer=MemoryPointer,
    Stream=Stream,
    alloc_pinned_memory=alloc_pinned_memory,
    get_current_stream=get_current_stream,
    get_elapsed_time=get_elapsed_time,
    is_available=lambda: device_count() > 0,
    memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    nccl=nccl,
    runtime=runtime,
)


def get_default_memory_pool() -> Any:
    """The pool that arrays are made from."""
    return pool


def get_default_pinned_memory_pool() -> Any:
    """The pool of pinned memory."""
    return pinned_pool


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module 'cupy' has no attribute {name!r} that this project uses")
