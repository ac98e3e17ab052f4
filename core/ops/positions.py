"""Elements addressed by their places in the flat order: the ground of gather, scatter and indexing.

Repeated places are added one after the other, in the order of the index, so sums do not depend on
anything but their operands.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.backend import xp
from core.ops.dims import row_major
from core.ops.promotion import accumulates_in

_INT64 = numpy.dtype("int64")


@primitive(name="take", label="TakeBackward0")
def take_flat(x, index):
    """The elements of `x` at places of the flat order, in the shape of `index`."""
    return x.reshape(-1)[index]


take_flat.defvjp(x=lambda g, x_shape, index: add_flat(g, index, x_shape), index=None)


@primitive(label="PutBackward0")
def add_flat(g, index, shape):
    """Zeros of `shape` to which the elements of `g` were added at places of the flat order."""
    wide = accumulates_in(g.dtype)
    out = xp(g).zeros(math.prod(shape), wide)
    add_at(out, index, g)
    return out.reshape(shape).astype(g.dtype, copy=False)


add_flat.defvjp(g=lambda h, index: take_flat(h, index), index=None, shape=None)


def add_at(out: Any, index: Any, values: Any) -> None:
    """Add `values` to the array `out`, of one axis, at places that may repeat."""
    combine_at("add", out, index, values)


def combine_at(ufunc: str, out: Any, index: Any, values: Any) -> None:
    """Combine `values`, in their order, into the array `out`, of one axis, at given places."""
    index, values = index.reshape(-1), values.astype(out.dtype, copy=False).reshape(-1)
    module = xp(out)
    if module is numpy:
        # One axis of places costs 2 ns per element; rows of places cost 9.
        getattr(numpy, ufunc).at(out, index, values)
        return
    if index.size:
        _joined(getattr(module, ufunc), out, index, values, module)


def _joined(combine: Any, out: Any, index: Any, values: Any, module: Any) -> None:
    """What `ufunc.at` does, for CuPy: its own `at` adds in any order, and cannot multiply.

    Equal places are brought together and combined over distances 1, 2, 4, ...: a fixed order, in as
    many steps as the count has bits, however often a place (a frequent word) comes. Every one of
    equal places writes the same total, so nobody has to wait for a count of the different ones.
    """
    order = index.argsort()
    places, values = index[order], values[order]
    step, inner = 1, (slice(None), *(None,) * (values.ndim - 1))
    while step < places.size:
        same = (places[step:] == places[:-step])[inner]
        later = module.where(same, combine(values[:-step], values[step:]), values[step:])
        values = module.concatenate([values[:step], later])
        step *= 2
    last = module.searchsorted(places, places, side="right") - 1
    out[places] = combine(out[places], values[last])


def add_at_rows(g: Any, axis: int, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` to which the parts of `g` along an axis were added at places of that axis.

    Shape: as many parts as `index`, of one axis, has elements.
    """
    module = xp(g)
    if module is numpy:
        return add_flat(g, rows(index, axis, shape), shape)
    wide = accumulates_in(g.dtype)
    lines = (shape[axis], *shape[:axis], *shape[axis + 1 :])
    out = module.zeros(lines, wide)
    if index.size:  # by whole rows: fewer places to sort than one for each element
        parts = module.moveaxis(g, axis, 0).astype(wide, copy=False)
        _joined(module.add, out, index % shape[axis], parts, module)
    return module.ascontiguousarray(module.moveaxis(out, 0, axis)).astype(g.dtype, copy=False)


def counted(places: Any, size: int, each: Any = 1) -> Any:
    """How often each place below `size` comes, or what the elements of `each` there add up to.

    Dtype: int64: whole numbers, which may be added in any order.
    """
    module = xp(places)
    out = module.zeros(size, numpy.int64)
    module.add.at(out, places.reshape(-1), each)
    return out


def along(index: Any, axis: int, shape: tuple[int, ...]) -> Any:
    """The flat places in `shape` of an array of indices along one axis, as gather reads them."""
    if not shape:
        return index.reshape(index.shape)
    module = xp(index)
    out = index.astype(numpy.int64, copy=False)
    step = row_major(shape)[axis]
    if step != 1:
        out = out * step
    lines = _lines_of_few if module is numpy and index.size <= _FEW else _lines
    for line in lines(module, index.shape, axis, shape):
        out = out + line
    return out


def _lines(module: Any, sizes: tuple[int, ...], axis: int, shape: tuple[int, ...]) -> list[Any]:
    """Per axis but one, where in the flat order of `shape` its indices below `sizes` lie."""
    steps, found = row_major(shape), []
    for d, n in enumerate(sizes):
        if d != axis and n != 1:
            line = module.arange(n) * steps[d]
            found.append(line.reshape((-1,) + (1,) * (len(sizes) - 1 - d)))
    return found


_FEW = 1 << 12
_lines_of_few = functools.lru_cache(maxsize=256)(_lines)


def rows(index: Any, axis: int, shape: tuple[int, ...]) -> Any:
    """The flat places in `shape` of all elements at the given indices along one axis."""
    if not shape:
        return index.reshape(())
    module = xp(index)
    out = index.astype(numpy.int64, copy=False).reshape((-1,) + (1,) * (len(shape) - 1 - axis))
    out = out * row_major(shape)[axis]
    lines = _lines_of_few if module is numpy and math.prod(shape) <= _FEW else _lines
    for line in lines(module, shape, axis, shape):
        out = out + line
    return out


def check_range(index: Any, low: int, n: int, error: type[Exception], said: str) -> None:
    """Raise `error` with `said` unless all indices are from `low` to n - 1.

    Arrays on a GPU are not looked at: that would wait for the GPU.
    """
    if not isinstance(index, numpy.ndarray) or not index.size:
        return
    places = index.ravel()  # min and max cost four times as much where there are few
    if not low and places.dtype is _INT64:
        seen = places.view(numpy.uint64)  # where what is below zero is large
        if seen[seen.argmax()] < n:
            return
    least, most = int(places[places.argmin()]), int(places[places.argmax()])
    if least < low or most >= n:
        bad = least if least < low else most
        raise error(said.format(index=bad, size=n))


def check_index(index: Any, name: str, kinds: str = "il") -> None:
    """Raise RuntimeError unless a tensor of indices is of int64 (or, with "il", int32)."""
    want = (numpy.int64, numpy.int32) if "i" in kinds else (numpy.int64,)
    if index.array.dtype not in want:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
