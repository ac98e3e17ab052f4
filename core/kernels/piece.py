"""Work on long arrays in pieces that stay in the cache through many passes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy
from numpy import ndarray

from core.layout import dense

ELEMENTS = 1 << 16


def is_plain(*arrays: Any) -> bool:
    """Whether all are NumPy arrays of the same one of float32 and float64, and not empty."""
    kind = arrays[0].dtype
    if kind.char not in "fd":
        return False
    for x in arrays:  # all() of a generator costs 0.5 us
        if type(x) is not ndarray or not x.size or (x.dtype is not kind and x.dtype != kind):
            return False
    return True


def in_pieces(function: Callable[..., Any], *arrays: Any) -> Any:
    """A new array that `function(out, *arrays)` fills piece by piece, for arrays of one shape.

    It lies in memory as the first of them does.
    """
    out = numpy.empty_like(arrays[0])
    if 0 in arrays[0].strides:  # expanded dims keep their places
        out = dense(arrays[0], out.dtype)
    if out.ndim and out.size <= ELEMENTS:
        function(out, *arrays)
        return out
    flat = [x.ravel("K") for x in (out, *arrays)]
    if flat[0].base is None or any(x.strides != out.strides for x in arrays):
        function(out, *arrays)  # not one line of memory
        return out
    for i in range(0, out.size, ELEMENTS):
        function(*[x[i : i + ELEMENTS] for x in flat])
    return out


@functools.lru_cache(maxsize=256)
def number(value: float, dtype: Any) -> Any:
    """A number as an array without axes: a ufunc would convert it for 0.3 us at every call."""
    out = numpy.array(value, dtype)
    out.flags.writeable = False
    return out


def row_sums(x: Any) -> Any:
    """Sums over the last axis, kept as one: a product with ones takes a sixth of add.reduce."""
    return (
        x.reshape(-1, x.shape[-1]).dot(numpy.ones(x.shape[-1], x.dtype)).reshape(*x.shape[:-1], 1)
    )
