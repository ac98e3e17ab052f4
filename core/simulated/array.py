"""The array of simulated GPUs, with those methods of CuPy's that are used."""

from __future__ import annotations

from typing import Any

import numpy

from core.simulated.device import Device, current_id, declare_synchronize, settle
from core.simulated.keys import wrapped_round
from core.simulated.memory import Memory, MemoryPointer, array_at

SCALARS = (bool, int, float, complex, numpy.generic)


class ndarray:  # noqa: N801 - CuPy's name
    """An array on a simulated GPU. `plain` is its memory as NumPy sees it."""

    __slots__ = ("__weakref__", "base", "mem", "plain")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    plain: Any
    base: ndarray | None
    mem: Memory

    def __init__(
        self,
        shape: Any,
        dtype: Any = float,
        memptr: MemoryPointer | None = None,
        strides: Any = None,
        order: str = "C",
    ) -> None:
        dtype = numpy.dtype(dtype)
        check_dtype(dtype)
        self.base = None
        if memptr is None:
            self.plain = numpy.empty(shape, dtype, order)  # type: ignore[call-overload]
            self.mem = Memory(self.plain, current_id())
        else:
            self.plain = array_at(memptr, shape, dtype, strides)
            self.mem = memptr.mem

    # ---- what it is ----

    @property
    def data(self) -> MemoryPointer:
        """Where its first element lies."""
        start = self.plain.__array_interface__["data"][0] if self.size else self.mem.ptr
        return MemoryPointer(self.mem, start - self.mem.ptr)

    @property
    def device(self) -> Device:
        """The GPU that holds it."""
        return Device(self.mem.device_id)

    @property
    def flags(self) -> Flags:
        """How it lies in memory."""
        return Flags(self)

    dtype = property(lambda self: self.plain.dtype, doc="The element type.")
    ndim = property(lambda self: self.plain.ndim, doc="The number of axes.")
    size = property(lambda self: self.plain.size, doc="The number of elements.")
    strides = property(lambda self: self.plain.strides, doc="The steps along the axes in bytes.")
    itemsize = property(lambda self: self.plain.itemsize, doc="Bytes per element.")
    nbytes = property(lambda self: self.plain.nbytes, doc="Bytes of all elements.")
    T = property(lambda self: self.transpose(), doc="With the axes in reverse order.")

    def __len__(self) -> int:
        if not self.plain.ndim:
            raise TypeError("len() of unsized object")
        return len(self.plain)

    def __iter__(self) -> Any:
        if not self.plain.ndim:
            raise TypeError("iteration over a 0-d array")
        return iter([self[i] for i in range(len(self))])

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct"
            " a NumPy array explicitly."
        )

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was called with an array on a simulated GPU")

    def __repr__(self) -> str:
        return repr(self.get())

    # ---- to and from the CPU ----

    def get(
        self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True
    ) -> numpy.ndarray:
        """A copy in the CPU's memory."""
        if blocking:
            declare_synchronize()
        settle() if stream is None else stream.synchronize()
        if out is None:
            return numpy.array(self.plain, order=order)  # type: ignore[call-overload]
        if out.dtype != self.dtype or out.shape != self.shape or not out.flags.c_contiguous:
            raise ValueError("out must have this array's dtype and shape, and be contiguous")
        out[...] = self.plain
        return out

    def set(self, arr: numpy.ndarray, stream: Any = None) -> None:
        """Copy an array of the CPU here."""
        if not isinstance(arr, numpy.ndarray) or arr.dtype != self.dtype:
            raise TypeError(f"Only numpy.ndarray of {self.dtype} can be set to cupy.ndarray")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not self.plain.flags.forc:
            raise RuntimeError("Cannot set to non-contiguous array")
        settle(stream)
        self.plain[...] = arr

    def item(self) -> Any:
        """The one element as a Python number."""
        declare_synchronize()
        settle()
        return self.plain.item()

    def tolist(self) -> Any:
        """The elements as nested lists."""
        declare_synchronize()
        settle()
        return self.plain.tolist()

    def tobytes(self, order: str = "C") -> bytes:
        """The elements' bytes."""
        declare_synchronize()
        settle()
        return self.plain.tobytes(order)

    def __bool__(self) -> bool:
        return bool(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self.plain.__array_interface__ | {"version": 3, "stream": 1}

    def __dlpack__(self, *, stream: Any = None, **keywords: Any) -> Any:
        settle()
        return self.plain.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.mem.device_id

    def __copy__(self) -> ndarray:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> ndarray:
        with self.device:
            return self.copy()

    def __reduce__(self) -> Any:
        return _from_host, (self.get(),)

    # ---- the same memory ----

    def view(self, dtype: Any = None, type: Any = None) -> ndarray:
        """The same memory, as another dtype where one is given."""
        return seen(self, self.plain.view() if dtype is None else self.plain.view(dtype))

    def transpose(self, *axes: Any) -> ndarray:
        """With the axes in another order."""
        return seen(self, self.plain.transpose(*axes))

    def swapaxes(self, axis1: int, axis2: int) -> ndarray:
        """With two axes exchanged."""
        return seen(self, self.plain.swapaxes(axis1, axis2))

    def squeeze(self, axis: Any = None) -> ndarray:
        """Without axes of one element."""
        return seen(self, self.plain.squeeze(axis))

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> ndarray:
        """The diagonals."""
        out = self.plain.diagonal(offset, axis1, axis2)
        return seen(self, numpy.lib.stride_tricks.as_strided(out, writeable=True))

    def reshape(self, *shape: Any, order: str = "C", copy: Any = None) -> ndarray:
        """In another shape: the same memory where that can be, else a copy."""
        out = self.plain.reshape(*shape, order=order)
        return (
            seen(self, out)
            if numpy.may_share_memory(out, self.plain)
            else launched([self], lambda: out)
        )

    def ravel(self, order: str = "C") -> ndarray:
        """In one axis."""
        return self.reshape(-1, order=order)

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return self.plain.shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        self.plain = self.plain.reshape(shape, copy=False)

    def __getitem__(self, key: Any) -> ndarray:
        plain, arrays = unwrapped_key(key)
        if not arrays:
            return seen(self, self.plain[plain if ... in plain else (*plain, ...)])
        if any(x.dtype == bool for x in arrays):
            declare_synchronize()  # for the count
        where = wrapped_round(plain, self.plain.shape)
        return launched([self, *arrays], lambda: self.plain[where])

    def __setitem__(self, key: Any, value: Any) -> None:
        plain, arrays = unwrapped_key(key)
        if sum(x.dtype == bool for x in arrays) > 1:
            raise ValueError("more than one boolean array in the index of an assignment")
        if isinstance(value, numpy.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        check_devices([self, *arrays, *([value] if isinstance(value, ndarray) else [])])
        if any(x.dtype == bool for x in arrays):
            declare_synchronize()  # CuPy counts, for numbers too
        settle()
        if not isinstance(value, (ndarray, numpy.ndarray, *SCALARS)):
            raise TypeError(f"Unsupported type {type(value)}")
        with numpy.errstate(all="ignore"):
            where = wrapped_round(plain, self.plain.shape) if arrays else plain
            self.plain[where] = value.plain if isinstance(value, ndarray) else value

    def fill(self, value: Any) -> None:
        """Set every element."""
        self[...] = value

    # ---- new memory ----

    def astype(
        self,
        dtype: Any,
        order: str = "K",
        casting: Any = None,
        subok: Any = None,
        copy: bool = True,
    ) -> ndarray:
        """In another dtype, as a copy unless nothing changes and none is asked for."""
        check_dtype(numpy.dtype(dtype))
        if not copy and self.plain.dtype == dtype and order == "K":
            return self
        return launched([self], lambda: self.plain.astype(dtype, order=order))

    def copy(self, order: str = "C") -> ndarray:
        """A copy on the current device."""
        settle()
        return fresh(self.plain.copy(order))

    def flatten(self, order: str = "C") -> ndarray:
        """A copy in one axis."""
        return launched([self], lambda: self.plain.flatten(order))

    def repeat(self, repeats: Any, axis: Any = None) -> ndarray:
        """Each element several times."""
        if isinstance(repeats, (ndarray, numpy.ndarray)):
            raise ValueError("cupy.ndaray cannot be specified as `repeats` argument.")
        return launched([self], lambda: self.plain.repeat(repeats, axis))

    def take(self, indices: Any, axis: int | None = None, out: Any = None) -> ndarray:
        """The elements, or parts along an axis, at indices."""
        if out is not None or not isinstance(indices, ndarray):
            raise NotImplementedError("the stand-in's take needs an array of the GPU, and no out")
        return launched([self, indices], lambda: self.plain.take(indices.plain, axis))

    def clip(self, min: Any = None, max: Any = None, out: Any = None) -> ndarray:
        """With what lies outside of two bounds moved to them."""
        if out is not None or isinstance(min, ndarray) or isinstance(max, ndarray):
            raise NotImplementedError("the stand-in's clip takes numbers")
        return launched([self], lambda: self.plain.clip(min, max))

    def nonzero(self) -> tuple[ndarray, ...]:
        """The indices of elements that are not zero, one array per axis."""
        if not self.plain.ndim:
            raise ValueError("Calling nonzero on 0d arrays is not allowed.")
        declare_synchronize()  # for the count
        settle()
        return tuple(launched([self], lambda x=index: x) for index in self.plain.nonzero())

    def argsort(self, axis: Any = -1, kind: Any = None) -> ndarray:
        """The indices that sort; equal elements keep their order."""
        if kind not in (None, "stable"):
            raise ValueError("CuPy's sort is stable: only kind=None and 'stable' are supported")
        if not self.plain.ndim:
            raise ValueError("Sorting arrays with the rank of zero is not supported")
        return launched([self], lambda: self.plain.argsort(axis, kind="stable"))


class Flags:
    """What CuPy says about how an array lies in memory."""

    def __init__(self, array: ndarray) -> None:
        self.c_contiguous = array.plain.flags.c_contiguous
        self.f_contiguous = array.plain.flags.f_contiguous
        self.owndata = array.base is None

    @property
    def forc(self) -> bool:
        """Whether it lies without gaps in row-major or column-major order."""
        return self.c_contiguous or self.f_contiguous

    @property
    def fnc(self) -> bool:
        """Whether it lies in column-major and not in row-major order."""
        return self.f_contiguous and not self.c_contiguous


# ---- how results are made ---------------------------------------------------------------------


def check_dtype(dtype: numpy.dtype) -> None:
    """Raise ValueError for dtypes that a GPU cannot hold: objects, texts, dates."""
    if dtype.kind not in "?biufc" and dtype.name != "bfloat16":
        raise ValueError(f"Unsupported dtype {dtype}")


def check_devices(arrays: list[Any]) -> None:
    """Raise ValueError unless all arrays lie on the current device."""
    here = current_id()
    for x in arrays:
        if x.mem.device_id != here:
            raise ValueError(
                f"The device where the array resides ({x.mem.device_id}) is different from the"
                f" current device ({here}). Peer access is unavailable between these devices."
            )


def fresh(plain: Any) -> ndarray:
    """An array of its own memory on the current device."""
    plain = numpy.asarray(plain)
    check_dtype(plain.dtype)
    out = object.__new__(ndarray)
    if plain.base is not None:
        plain = plain.copy("K")
    out.plain, out.base = plain, None
    out.mem = Memory(plain, current_id())
    return out


def seen(array: ndarray, plain: numpy.ndarray) -> ndarray:
    """A view of an array's memory."""
    out = object.__new__(ndarray)
    out.plain = numpy.asarray(plain)
    out.base = array if array.base is None else array.base
    out.mem = array.mem
    return out


def launched(arrays: list[Any], work: Any) -> ndarray:
    """The result of work on arrays of the current device, after what its stream had before it."""
    check_devices(arrays)
    settle()
    with numpy.errstate(all="ignore"):
        return fresh(work())


def unwrapped(value: Any, arrays: list[Any]) -> Any:
    """`value` with simulated arrays as NumPy's, which are noted; NumPy's own are refused."""
    if isinstance(value, ndarray):
        arrays.append(value)
        return value.plain
    if isinstance(value, numpy.ndarray):
        raise TypeError(f"Unsupported type {numpy.ndarray}")
    if isinstance(value, (list, tuple)):
        return type(value)(unwrapped(v, arrays) for v in value)
    return value


def unwrapped_key(key: Any) -> tuple[Any, list[Any]]:
    """A key for NumPy, and the arrays in it (those of the CPU copied to the current device)."""
    arrays: list[Any] = []
    parts = []
    for part in key if isinstance(key, tuple) else (key,):
        if isinstance(part, (list, numpy.ndarray, bool, numpy.bool_)):
            part = fresh(numpy.array(part))
            if not part.size and part.dtype == float:
                part = part.astype(numpy.int32)
        parts.append(unwrapped(part, arrays))
    return tuple(parts), arrays


def _from_host(array: numpy.ndarray) -> ndarray:
    return fresh(array)
