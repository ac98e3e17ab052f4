"""Flat buckets: which parameters' gradients lie side by side in one array, and where.

The plan depends on the parameters alone, so every rank and every resumed run has the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from core.backend import CPU, device_of, on, xp

FIRST_BYTES = 1 << 20  # a small first bucket leaves while most of backward is still to come


def plan_buckets(
    sizes: Sequence[int], kinds: Sequence[Any], cap: int, first: int = FIRST_BYTES
) -> list[list[int]]:
    """Which parameters share a bucket: positions in reverse order, `cap` bytes each, one kind each.

    Example:
        >>> plan_buckets([4, 4, 4, 4], ["f", "f", "f", "f"], cap=8, first=4)
        [[3], [2, 1], [0]]
    """
    done: list[list[int]] = []
    open_buckets: dict[Any, list[int]] = {}
    filled: dict[Any, int] = {}
    limit = min(first, cap)
    for i in reversed(range(len(sizes))):
        kind = kinds[i]
        open_buckets.setdefault(kind, []).append(i)
        filled[kind] = filled.get(kind, 0) + sizes[i]
        if filled[kind] >= limit:
            done.append(open_buckets.pop(kind))
            filled.pop(kind)
            limit = cap
    return done + list(open_buckets.values())


class Bucket:
    """One flat array and the views of it in which its parameters' gradients live."""

    def __init__(
        self, index: int, parameters: Sequence[Any], positions: Sequence[int], allocate: Any
    ) -> None:
        self.index = index
        self.positions = list(positions)
        arrays = [parameters[i].array for i in positions]
        total = sum(array.size for array in arrays)
        self.device = device_of(arrays[0])
        with self.place:
            on_host = isinstance(arrays[0], numpy.ndarray) and self.device == CPU
            make = allocate if on_host else xp(arrays[0]).zeros
            self.array = make(total, arrays[0].dtype)
            self.views: dict[int, Any] = {}
            start = 0
            for i, array in zip(self.positions, arrays, strict=True):
                self.views[i] = self.array[start : start + array.size].reshape(array.shape)
                start += array.size
        self.missing = 0

    @property
    def place(self) -> Any:
        """A context in which the array's GPU is the current one."""
        return on(self.device)

    @property
    def nbytes(self) -> int:
        """Bytes of the flat array."""
        return self.array.nbytes


def make_buckets(parameters: Sequence[Any], cap: int, allocate: Any = numpy.zeros) -> list[Bucket]:
    """The buckets of `parameters`, about `cap` bytes each; `allocate(count, dtype)` makes them."""
    arrays = [p.array for p in parameters]
    kinds = [(str(array.dtype), str(device_of(array))) for array in arrays]
    plan = plan_buckets([array.nbytes for array in arrays], kinds, cap)
    return [Bucket(n, parameters, positions, allocate) for n, positions in enumerate(plan)]
