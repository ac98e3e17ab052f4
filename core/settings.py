"""What PyTorch's programs set for a whole process: threads, precision, determinism."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

import numpy

# The functions with which BLAS libraries tell and set their threads: OpenBLAS in NumPy's wheels
# and elsewhere, MKL, BLIS.
COUNTERS = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
    ("bli_thread_get_num_threads", "bli_thread_set_num_threads"),
)
_PRECISIONS = ("highest", "high", "medium")
asked: dict[str, Any] = {"deterministic": False, "precision": "highest", "interop": 1}


def _blas() -> tuple[Callable[[], int], Callable[[int], Any]] | None:
    """The two functions of the BLAS that NumPy computes with."""
    # NumPy's own extension, so that what it was linked to is found wherever that lies.
    library = ctypes.CDLL(numpy._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
    for get, put in COUNTERS:
        if hasattr(library, get) and hasattr(library, put):
            return getattr(library, get), getattr(library, put)
    return None


def get_num_threads() -> int:
    """The number of threads that NumPy's BLAS uses; 1 where it cannot be asked."""
    found = _blas()
    return int(found[0]()) if found else 1


def set_num_threads(num: int) -> None:
    """Make NumPy's BLAS use this many threads.

    Raises: RuntimeError for no positive number, or a BLAS whose threads only its variable sets.
    """
    if not isinstance(num, int) or num < 1:
        raise RuntimeError(f"set_num_threads expects a positive integer, got {num!r}")
    found = _blas()
    if found:
        found[1](num)
    elif str(num) != os.environ.get("OMP_NUM_THREADS"):
        raise RuntimeError(
            "this NumPy's BLAS cannot be told its number of threads: set OMP_NUM_THREADS before"
            " the start"
        )


def get_num_interop_threads() -> int:
    """What was set by set_num_interop_threads(): operations never run beside each other."""
    return int(asked["interop"])


def set_num_interop_threads(num: int) -> None:
    """Keep the number; it has no effect, since operations never run beside each other.

    Raises: RuntimeError for no positive number.
    """
    if not isinstance(num, int) or num < 1:
        raise RuntimeError(f"set_num_interop_threads expects a positive integer, got {num!r}")
    asked["interop"] = num


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Keep the wish; every algorithm here is deterministic, wished for or not."""
    asked["deterministic"] = bool(mode)


def are_deterministic_algorithms_enabled() -> bool:
    """What use_deterministic_algorithms() was told."""
    return bool(asked["deterministic"])


def set_float32_matmul_precision(precision: str) -> None:
    """Keep the permission to round in products; none is made use of: they are float32's own.

    Raises: RuntimeError for another word than PyTorch's three.
    """
    if precision not in _PRECISIONS:
        raise RuntimeError(f"precision is one of {_PRECISIONS}, got {precision!r}")
    asked["precision"] = precision


def get_float32_matmul_precision() -> str:
    """What set_float32_matmul_precision() was told: "highest", "high" or "medium"."""
    return str(asked["precision"])
