"""Random words on a GPU by one kernel, where the definition takes some 200 launches."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

import numpy

from core.backend import cuda_module
from core.philox import Key, accelerate

SOURCE = pathlib.Path(__file__).with_suffix(".cu")
THREADS = 256
_MOST_GROUPS = 4096


@functools.cache
def _kernel() -> Any:
    """The compiled kernel; CuPy keeps one copy per GPU."""
    return cuda_module().RawKernel(SOURCE.read_text(encoding="utf-8"), "philox_words")


def words(key: Key, blocks: int, first: int, plane: int) -> Any:
    """The words of `blocks` counter blocks from block `first`, on the current GPU."""
    module = cuda_module()
    out = module.empty(4 * blocks, module.uint64)
    if blocks:
        groups = min(-(-blocks // THREADS), _MOST_GROUPS)
        _kernel()((groups,), (THREADS,), (out, *arguments(key, blocks, first, plane)))
    return out


def arguments(key: Key, blocks: int, first: int, plane: int) -> tuple[Any, ...]:
    """What follows the array, in the kernel's own widths."""
    whole = (first, key.seed, key.offset, key.stream, plane)
    return numpy.int64(blocks), *(numpy.uint64(n) for n in whole)


def install() -> None:
    """Register the kernel for CuPy's arrays."""
    accelerate("cupy", words)
