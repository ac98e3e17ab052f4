"""Freed memory that the C library keeps for the next array instead of giving it to the system.

A fresh page costs 0.25 us when it is first written: a third of a step that makes its temporary
arrays anew each time. glibc gives back whatever is free at the end of its heap above 128 KiB, and
maps large arrays each by itself, until it is told otherwise.
"""

from __future__ import annotations

import ctypes
import os
import sys

KEPT = 256 << 20  # bytes that may lie free at the end of the heap
ONE = 64 << 20  # an array from here on is mapped, and given back, by itself
CHOSEN = "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES"
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """Whether the C library was told to keep freed memory.

    It is not where UNISON_KEEP_MEMORY is 0, where the user set glibc's own variables, and where
    the C library is another one.
    """
    if sys.platform != "linux" or os.environ.get("UNISON_KEEP_MEMORY") == "0":
        return False
    if any(name in os.environ for name in CHOSEN):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_TRIM_THRESHOLD, KEPT) and mallopt(_MMAP_THRESHOLD, ONE))
