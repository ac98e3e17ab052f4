"""The shape of a tensor: a tuple of its own name."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any


class Size(tuple[int, ...]):
    """The shape of a tensor: a tuple that prints as PyTorch's.

    Raises: TypeError for sizes that are no integers.
    Example:
        >>> Size([2, 3]), Size([2, 3]).numel()
        (core.Size([2, 3]), 6)
    """

    __slots__ = ()

    def __new__(cls, sizes: Iterable[Any] = ()) -> Size:
        """The sizes, each as a plain int."""
        if type(sizes) is tuple and all(type(n) is int for n in sizes):
            return tuple.__new__(cls, sizes)
        return tuple.__new__(cls, [_size(i, n) for i, n in enumerate(sizes)])

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"core.Size([{', '.join(map(str, self))}])"

    def __getitem__(self, key: Any) -> Any:
        found = tuple.__getitem__(self, key)
        return tuple.__new__(Size, found) if isinstance(key, slice) else found

    def __add__(self, other: Any) -> Size:
        if not isinstance(other, tuple):
            kind = type(other).__name__
            raise TypeError(f'can only concatenate tuple (not "{kind}") to core.Size')
        return Size(tuple.__add__(self, other))

    def __radd__(self, other: Any) -> Size:
        return Size(other) + self

    def __mul__(self, count: Any) -> Size:
        return Size(tuple.__mul__(self, count))

    __rmul__ = __mul__

    def __reduce__(self) -> tuple[Any, ...]:
        return Size, (tuple(self),)


def _size(i: int, n: Any) -> int:
    try:
        return operator.index(n)
    except TypeError:
        raise TypeError(
            f"core.Size() takes an iterable of 'int' (item {i} is '{type(n).__name__}')"
        ) from None
