"""The memory of a GPU: what the pool of arrays holds, and the most it held."""

from __future__ import annotations

import collections
import functools
import threading
from typing import Any

from core import backend
from core.backend import Device, cuda_module
from core.cuda.device import index_of


class _Peaks:
    """The most bytes in use per GPU since the last reset; counts from its first use on."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.news: collections.deque[tuple[int, int]] = collections.deque()
        self.used: dict[int, int] = {}
        self.most: dict[int, int] = {}

    def grow(self, device: int, size: int) -> None:
        """Count `size` bytes more, or less where it is negative.

        A collection of garbage frees blocks in the midst of anything, also of this: it never waits.
        """
        self.news.append((device, size))
        if self.lock.acquire(blocking=False):
            try:
                self._settle()
            finally:
                self.lock.release()

    def settled(self) -> _Peaks:
        """These peaks, with all news counted."""
        with self.lock:
            self._settle()
        return self

    def _settle(self) -> None:
        while self.news:
            device, size = self.news.popleft()
            used = self.used[device] = self.used.get(device, 0) + size
            if used > self.most.get(device, 0):
                self.most[device] = used


_peaks = _Peaks()


@functools.cache
def _watch() -> Any:
    """The hook that counts allocations in this thread, put in place on first use.

    CuPy's pool keeps no peak, and its hooks see one thread: the one that first asks.
    """
    hook_type = cuda_module().cuda.MemoryHook

    class Counter(hook_type):  # type: ignore[misc, valid-type]
        name = "unison peak"

        def malloc_postprocess(self, **about: Any) -> None:
            """Count a new block."""
            _peaks.grow(about["device_id"], about["mem_size"])

        def free_postprocess(self, **about: Any) -> None:
            """Count a freed block."""
            _peaks.grow(about["device_id"], -about["mem_size"])

    for index in range(backend.device_count()):
        _peaks.used[index] = _peaks.most[index] = _pool(index).used_bytes()
    hook = Counter()
    hook.__enter__()
    return hook


class _pool:  # noqa: N801 - reads like the pool itself
    """The pool of arrays as one GPU sees it."""

    def __init__(self, device: Any) -> None:
        self.place = Device("cuda", index_of(device))

    def __getattr__(self, name: str) -> Any:
        method = getattr(cuda_module().get_default_memory_pool(), name)

        def here(*args: Any, **kwargs: Any) -> Any:
            with backend.on(self.place):
                return method(*args, **kwargs)

        return here


def memory_allocated(device: Any = None) -> int:
    """The bytes that arrays on a GPU take; 0 without one."""
    if not backend.device_count():
        return 0
    return int(_pool(device).used_bytes())


def memory_reserved(device: Any = None) -> int:
    """The bytes that the pool holds of a GPU, for arrays that are and arrays to come."""
    if not backend.device_count():
        return 0
    return int(_pool(device).total_bytes())


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that arrays on a GPU took since the last reset.

    Counted from the first call of this or of `reset_peak_memory_stats` on, in that thread.
    """
    if not backend.device_count():
        return 0
    _watch()
    index = index_of(device)
    return max(_peaks.settled().most.get(index, 0), memory_allocated(index))


def reset_peak_memory_stats(device: Any = None) -> None:
    """Let the peak start anew from what is in use."""
    _watch()
    index = index_of(device)
    peaks = _peaks.settled()
    peaks.used[index] = peaks.most[index] = memory_allocated(index)


def empty_cache() -> None:
    """Give the memory that no array uses back to the current GPU; nothing without one."""
    if backend.device_count():
        _pool(None).free_all_blocks()


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free and total bytes of a GPU, all processes counted."""
    with backend.on(Device("cuda", index_of(device))):
        free, total = cuda_module().cuda.runtime.memGetInfo()
    return int(free), int(total)


def set_per_process_memory_fraction(fraction: float, device: Any = None) -> None:
    """Let arrays take at most a fraction of a GPU's memory.

    Raises: ValueError unless it lies in [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
    _pool(device).set_limit(fraction=fraction)


class _NoGpuError(MemoryError):
    """What is never raised: there is no GPU that could run out of memory."""


def out_of_memory_error() -> type[BaseException]:
    """The class of the error that is raised where a GPU has not enough memory."""
    if not backend.device_count():
        return _NoGpuError
    return cuda_module().cuda.memory.OutOfMemoryError
