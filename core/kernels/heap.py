"""Freed memory that the C library keeps for the next array instead of giving it to the system.

A fresh page costs 0.25 us when it is first written: a third of a step that makes its temporary
arrays anew each time. glibc gives back whatever is free at the end of its heap above 128 KiB, and
maps large arrays each by itself, until it is told otherwise. The system is asked to make the heap
of large pages: a step goes through thousands of small ones, more than a processor finds at once.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys

KEPT = 256 << 20  # bytes that may lie free at the end of the heap
ONE = 64 << 20  # an array from here on is mapped, and given back, by itself
CHOSEN = "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES"
AHEAD = 192 << 20  # bytes of addresses, not of memory, that the heap is given at once
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_SMALL_PAD = 128 << 10  # glibc's own
_LARGE_PAGE = 2 << 20


def keep_freed_memory() -> bool:
    """Whether the C library was told to keep freed memory.

    It is not where UNISON_KEEP_MEMORY is 0, where the user set glibc's own variables, and where
    the C library is another one.
    """
    if sys.platform != "linux" or os.environ.get("UNISON_KEEP_MEMORY") == "0":
        return False
    if any(name in os.environ for name in CHOSEN):
        return False
    library = ctypes.CDLL(None)
    mallopt = getattr(library, "mallopt", None)
    if mallopt is None or not (mallopt(_TRIM_THRESHOLD, KEPT) and mallopt(_MMAP_THRESHOLD, ONE)):
        return False
    _ask_for_large_pages(library)
    return True


def _ask_for_large_pages(library: ctypes.CDLL) -> None:
    """Nothing; the heap reaches far ahead, in large pages where the system has them."""
    library.malloc.restype = library.sbrk.restype = ctypes.c_void_p
    library.malloc.argtypes, library.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
    library.sbrk.argtypes = [ctypes.c_ssize_t]
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    start = library.sbrk(0)
    library.mallopt(_TOP_PAD, AHEAD)
    library.free(library.malloc(AHEAD // 8))  # more than is free at its end now: it grows
    library.mallopt(_TOP_PAD, _SMALL_PAD)
    end = library.sbrk(0)
    start += -start % _LARGE_PAGE
    end -= end % _LARGE_PAGE
    if start < end:  # else it could not grow, and small pages are as good, only slower
        library.madvise(start, end - start, mmap.MADV_HUGEPAGE)
