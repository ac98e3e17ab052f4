"""Work on long arrays in pieces that stay in the cache through many passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
from numpy import ndarray

ELEMENTS = 1 << 16


def is_plain(*arrays: Any) -> bool:
    """Whether all are NumPy arrays of the same one of float32 and float64, and not empty."""
    first = arrays[0]
    return (
        type(first) is ndarray
        and first.dtype.char in "fd"
        and all(type(x) is ndarray and x.dtype == first.dtype and x.size for x in arrays)
    )


def in_pieces(function: Callable[..., Any], *arrays: Any) -> Any:
    """A new array that `function(out, *arrays)` fills piece by piece, for arrays of one shape."""
    out = numpy.empty(arrays[0].shape, arrays[0].dtype)
    if out.size <= ELEMENTS:
        function(out, *arrays)
        return out
    flat = [numpy.ascontiguousarray(x).reshape(-1) for x in (out, *arrays)]
    for i in range(0, out.size, ELEMENTS):
        function(*[x[i : i + ELEMENTS] for x in flat])
    return out


def row_sums(x: Any) -> Any:
    """Sums over the last axis, kept as one: a product with ones takes a sixth of add.reduce."""
    return (
        x.reshape(-1, x.shape[-1]).dot(numpy.ones(x.shape[-1], x.dtype)).reshape(*x.shape[:-1], 1)
    )
