"""What `dim` arguments mean: wrapped, checked, and turned into axes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any


def axis_of(dim: int, ndim: int) -> int:
    """The axis that `dim` means in a tensor of `ndim` dimensions.

    Raises: IndexError out of range.
    """
    n = ndim or 1
    if not -n <= dim < n:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
        )
    return dim % n


def axes_of(dim: int | Sequence[int] | None, ndim: int) -> tuple[int, ...] | None:
    """The axes that `dim` means; None for all of them.

    Raises: IndexError out of range; RuntimeError for a repeated dim.
    """
    if dim is None:
        return None
    if isinstance(dim, int):
        return (axis_of(dim, ndim),)[:ndim]
    axes = distinct(dim, ndim)
    if not ndim:
        return ()
    return axes or None


def distinct(dims: Sequence[int], ndim: int) -> tuple[int, ...]:
    """The axes that several dims mean.

    Raises: IndexError out of range; RuntimeError for a repeated dim.
    """
    axes = tuple(axis_of(d, ndim) for d in dims)
    for i, axis in enumerate(axes):
        if axis in axes[:i]:
            raise RuntimeError(f"dim {axis} appears multiple times in the list of dims")
    return axes


def kept(shape: Sequence[int], axes: tuple[int, ...] | None) -> tuple[int, ...]:
    """`shape` with the reduced axes kept as ones."""
    return tuple(1 if axes is None or i in axes else n for i, n in enumerate(shape))


def size_of(shape: Sequence[int], axes: tuple[int, ...] | None) -> int:
    """How many elements are reduced into one."""
    count = 1
    for i, n in enumerate(shape):
        if axes is None or i in axes:
            count *= n
    return count


def flat(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """The sizes of a call like f(2, 3), f((2, 3)) or f([2, 3]).

    Raises: TypeError for what is not a whole number.
    """
    if len(sizes) == 1 and not isinstance(sizes[0], int) and hasattr(sizes[0], "__len__"):
        sizes = sizes[0] if getattr(sizes[0], "ndim", 1) else sizes
    return tuple(map(operator.index, sizes))


def pair_of(dims: Any, default: tuple[Any, ...] = ()) -> tuple[int, ...]:
    """`dims` as a tuple: one int, or a sequence of them."""
    if isinstance(dims, int):
        return (dims,)
    return tuple(dims) if dims is not None else default


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides, in elements, of a row-major tensor of `shape`."""
    out = []
    step = 1
    for n in reversed(shape):
        out.append(step)
        step *= max(n, 1)
    return tuple(reversed(out))
