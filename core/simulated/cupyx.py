"""The stand-in's `cupyx` module: errors of linear algebra, and arrays in pinned memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from core.simulated.device import DeviceSynchronized, allow_synchronize
from core.simulated.memory import alloc_pinned_memory

__all__ = ["DeviceSynchronized", "allow_synchronize", "checks", "empty_pinned", "errstate"]


class _Checks(threading.local):
    on = False


_checks = _Checks()


@contextmanager
def errstate(*, linalg: str | None = None) -> Iterator[None]:
    """A context in which failing linear algebra raises ("raise") or gives NaN ("ignore")."""
    before, _checks.on = _checks.on, linalg == "raise"
    try:
        yield
    finally:
        _checks.on = before


def checks() -> bool:
    """Whether failing linear algebra raises here."""
    return _checks.on


def empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> numpy.ndarray:
    """A NumPy array in pinned memory."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    count = int(numpy.prod(shape, dtype=numpy.int64)) * numpy.dtype(dtype).itemsize
    return numpy.ndarray(shape, dtype, alloc_pinned_memory(count), order=order)  # type: ignore[arg-type]
