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


def dense(x: Any, dtype: Any) -> Any:
    """A copy of an array in a dtype, its dims in memory in the order that they had.

    Expanded dims keep their places, as PyTorch has it; NumPy would make them the innermost.
    """
    if 0 not in x.strides:
        return x.astype(dtype)
    order = order_in_memory(x.strides)
    copied = x.transpose(order).astype(dtype, order="C")
    return copied.transpose([order.index(i) for i in range(x.ndim)])


def order_in_memory(strides: Any) -> list[int]:
    """The dims, outermost first: sorted by their strides past those of zero, which stay."""
    order = list(range(len(strides)))[::-1]
    for i in range(1, len(order)):
        at = i
        for k in range(i - 1, -1, -1):
            inner, outer = abs(strides[order[k]]), abs(strides[order[at]])
            if inner and outer and inner < outer:
                break
            if inner > outer > 0:
                order[k], order[at], at = order[at], order[k], k
    return order[::-1]
