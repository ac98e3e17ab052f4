"""How elements lie in memory, as names that programs pass around: layouts and memory formats."""

from __future__ import annotations

import math
from typing import Any

__all__ = [
    "channels_last", "channels_last_3d", "contiguous_format", "layout", "memory_format",
    "preserve_format", "strided",
]  # fmt: skip


class layout:  # noqa: N801 - PyTorch's name
    """How a tensor keeps its elements: here always `strided`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"core.{self.name}"

    def __reduce__(self) -> str:
        return self.name


class memory_format(layout):  # noqa: N801 - PyTorch's name
    """An order of the dims in memory."""


strided = layout("strided")
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
_RANK = {channels_last: 4, channels_last_3d: 5}


def follows(array: Any, wanted: Any) -> bool:
    """Whether the elements of `array` lie in the order of a memory format (None: row-major)."""
    if wanted not in _RANK:
        return bool(array.flags.c_contiguous)
    if array.ndim != _RANK[wanted]:
        return False
    return bool(array.transpose(order_of(wanted, array.ndim)).flags.c_contiguous)


def order_of(wanted: Any, ndim: int) -> tuple[int, ...]:
    """The dims in the order in which a memory format (None: row-major) lays them, outermost first.

    Raises: RuntimeError for other numbers of dims than the format orders.
    """
    if wanted not in _RANK:
        return tuple(range(ndim))
    if ndim != _RANK[wanted]:
        raise RuntimeError(
            f"required rank {_RANK[wanted]} tensor to use {wanted.name} format, but it has"
            f" {ndim} dims"
        )
    return (0, *range(2, ndim), 1)


def steps_of(array: Any) -> tuple[int, ...]:
    """How many elements lie between neighbours along each axis.

    NumPy keeps no strides of new arrays without elements: those are of a row-major one.
    """
    if array.size or 0 not in array.strides:
        return tuple(step // array.itemsize for step in array.strides)
    return tuple(math.prod(max(n, 1) for n in array.shape[i + 1 :]) for i in range(array.ndim))
