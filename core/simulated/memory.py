"""Memory of simulated GPUs: allocations that are counted, pointers into them, pinned memory."""

from __future__ import annotations

import collections
import threading
from typing import Any

import numpy

from core.simulated.device import TOTAL_BYTES, Device, current_id

_ROUND = 512  # CuPy's pool hands out multiples of this


class OutOfMemoryError(MemoryError):
    """What CuPy raises where the GPU has not enough memory."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        limit_text = f" (limit set to: {limit:,} bytes)" if limit else ""
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes"
            f"{limit_text})."
        )


class MemoryHook:
    """What is told of this thread's allocations, between entering and leaving it."""

    name = "MemoryHook"

    def __enter__(self) -> MemoryHook:
        _hooks.running.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        _hooks.running.remove(self)

    def malloc_postprocess(self, **about: Any) -> None:
        """A block was handed out."""

    def free_postprocess(self, **about: Any) -> None:
        """A block was taken back."""


class _Hooks(threading.local):
    def __init__(self) -> None:
        self.running: list[MemoryHook] = []


_hooks = _Hooks()


class MemoryPool:
    """The counters of CuPy's pool, per device; freed blocks stay until they are asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # A collection of garbage gives blocks back in the midst of anything, also of `take`, and
        # must not wait for the lock.
        self._freed: collections.deque[tuple[int, int]] = collections.deque()
        self._used: dict[int, int] = {}
        self._total: dict[int, int] = {}
        self._limit: dict[int, int] = {}

    def take(self, device: int, size: int) -> None:
        """Count `size` bytes as used.

        Raises: OutOfMemoryError beyond the limit.
        """
        with self._lock:
            self._settle()
            used = self._used.get(device, 0) + size
            limit = self._limit.get(device, 0)
            if used > (limit or TOTAL_BYTES):
                raise OutOfMemoryError(size, used - size, limit)
            self._used[device] = used
            self._total[device] = max(self._total.get(device, 0), used)
        for hook in _hooks.running:
            hook.malloc_postprocess(
                device_id=device, size=size, mem_size=size, mem_ptr=0, pmem_id=0
            )

    def give(self, device: int, size: int) -> None:
        """Count `size` bytes as free again."""
        self._freed.append((device, size))
        for hook in _hooks.running:
            hook.free_postprocess(device_id=device, mem_size=size, mem_ptr=0, pmem_id=0)

    def used_bytes(self) -> int:
        """The bytes in use on the current device."""
        with self._lock:
            self._settle()
            return self._used.get(current_id(), 0)

    def _settle(self) -> None:
        while self._freed:
            device, size = self._freed.popleft()
            self._used[device] -= size

    def total_bytes(self) -> int:
        """The bytes in use and kept for later on the current device."""
        return self._total.get(current_id(), 0)

    def free_bytes(self) -> int:
        """The bytes kept for later on the current device."""
        return self.total_bytes() - self.used_bytes()

    def free_all_blocks(self, stream: Any = None) -> None:
        """Give back what is kept for later on the current device."""
        self._total[current_id()] = self.used_bytes()

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        """Set the most bytes the current device may use; 0 is no limit."""
        if (size is None) == (fraction is None):
            raise ValueError("size and fraction cannot be specified at the same time")
        self._limit[current_id()] = int(TOTAL_BYTES * fraction) if fraction else int(size or 0)

    def get_limit(self) -> int:
        """The most bytes the current device may use."""
        return self._limit.get(current_id(), 0)


pool = MemoryPool()


def total_on(device: int) -> int:
    """All bytes that the pool holds of a device."""
    with Device(device):
        return pool.total_bytes()


class Memory:
    """One allocation: NumPy's memory that stands for a device's."""

    def __init__(self, holder: numpy.ndarray, device: int) -> None:
        self.size = -(-holder.nbytes // _ROUND) * _ROUND
        self.device_id = device
        self._counted = False
        pool.take(device, self.size)
        self._counted = True
        self.holder = holder
        self.ptr = holder.__array_interface__["data"][0]

    def __del__(self) -> None:
        if self._counted:
            pool.give(self.device_id, self.size)

    @property
    def device(self) -> Device:
        """The device that it belongs to."""
        return Device(self.device_id)


class MemoryPointer:
    """A place in an allocation."""

    def __init__(self, mem: Memory, offset: int) -> None:
        self.mem = mem
        self.ptr = mem.ptr + offset

    @property
    def device_id(self) -> int:
        """The index of the device."""
        return self.mem.device_id

    @property
    def device(self) -> Device:
        """The device."""
        return self.mem.device

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)

    def __int__(self) -> int:
        return self.ptr


def alloc(size: int) -> MemoryPointer:
    """New memory of the current device."""
    return MemoryPointer(Memory(numpy.empty(size, numpy.uint8), current_id()), 0)


# ---- pinned memory ----------------------------------------------------------------------------


class PinnedMemoryPool:
    """The pool of the CPU's memory that copies may run from while the CPU goes on."""

    def malloc(self, size: int) -> Any:
        """New pinned memory; as in CuPy, a power of two of bytes."""
        return memoryview(bytearray(1 << max(int(size) - 1, 0).bit_length()))

    def free_all_blocks(self) -> None:
        """Give back what is kept for later."""


pinned_pool = PinnedMemoryPool()


def alloc_pinned_memory(size: int) -> Any:
    """New pinned memory, as a buffer."""
    return pinned_pool.malloc(size)


# ---- views by address -------------------------------------------------------------------------


def array_at(
    memptr: MemoryPointer, shape: Any, dtype: numpy.dtype, strides: Any = None
) -> numpy.ndarray:
    """The memory behind a pointer as an array of NumPy's, which keeps it alive."""
    return numpy.asarray(_Window(memptr, shape, dtype, strides)).view(dtype)


class _Window:
    """What NumPy reads to make a view of memory at an address."""

    def __init__(self, memptr: MemoryPointer, shape: Any, dtype: numpy.dtype, strides: Any) -> None:
        self.holder = memptr.mem
        self.__array_interface__ = {
            "version": 3,
            "typestr": f"|V{dtype.itemsize}" if dtype.kind == "V" else dtype.str,
            "shape": (shape,) if isinstance(shape, int) else tuple(shape),
            "strides": None if strides is None else tuple(strides),
            "data": (memptr.ptr, False),
        }
