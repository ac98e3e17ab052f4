"""Simulated GPUs: with UNISON_SIMULATED_GPUS=N there are `cuda:0..N-1`, in NumPy's memory.

The package stands in for CuPy, with exactly the names that this project uses, and refuses what CuPy
refuses: arrays of NumPy or of another device than the current one, implicit conversion, keywords
that CuPy's functions lack. What CuPy does and a test must not rest on (the order in which atomics
add) is refused too. Streams run in order; a collective on one is over once all ranks have joined.
"""

from __future__ import annotations

import importlib
import os
from typing import Any


def count() -> int:
    """The number of simulated GPUs asked for by UNISON_SIMULATED_GPUS."""
    return int(os.environ.get("UNISON_SIMULATED_GPUS") or 0)


def module() -> Any:
    """The stand-in for the `cupy` module."""
    return importlib.import_module("core.simulated.cupy")  # only where it is asked for


def extras() -> Any:
    """The stand-in for the `cupyx` module."""
    return importlib.import_module("core.simulated.cupyx")
