"""Max pooling on the CPU where windows tile the input: no frame, and one scatter backward.

Which place of a tile holds its largest element is found in forward, while both are in the cache,
and kept as that element's distance from the tile's corner: one byte each for most images.
"""

from __future__ import annotations

import functools
import itertools
import math
import sys
from typing import Any

import numpy

from core.autograd.mode import mode
from core.kernels.choice import gated, opened
from core.kernels.piece import is_plain
from core.ops.pool import max_windows

_PIECE = 1 << 17  # elements of the input looked at together


def _tiles(x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> bool:
    return (
        is_plain(x)
        and tuple(kernel) == tuple(stride)
        and all(d == 1 for d in dilation)
        and not any(lo or hi for lo, hi in padding)
        and all(n >= k for n, k in zip(x.shape[2:], kernel, strict=True))
    )


def _pieces(x: Any) -> Any:
    """Slices of the batch, each of as many elements as are looked at together."""
    step = max(1, _PIECE * len(x) // x.size)
    return [slice(n, n + step) for n in range(0, len(x), step)]


@functools.lru_cache(maxsize=256)
def _places(sizes: tuple[int, ...], kernel: tuple[int, ...]) -> list[tuple[Any, int]]:
    """For each place of a tile its elements, and how far they lie from their tiles' corners."""
    units = [math.prod(sizes[i + 1 :]) for i in range(len(sizes))]
    return [
        (
            (..., *(slice(i, n // k * k, k) for i, n, k in zip(place, sizes, kernel, strict=True))),
            sum(i * unit for i, unit in zip(place, units, strict=True)),
        )
        for place in itertools.product(*(range(k) for k in kernel))
    ]


@functools.lru_cache(maxsize=16)
def _corners(planes: int, sizes: tuple[int, ...], kernel: tuple[int, ...]) -> Any:
    """Where the tiles of that many planes have their corners, in the planes as one row."""
    d = len(sizes)
    out = numpy.arange(planes).reshape(-1, *(1,) * d) * math.prod(sizes)
    for axis, (n, k) in enumerate(zip(sizes, kernel, strict=True)):
        unit = math.prod(sizes[axis + 1 :])
        out = out + (numpy.arange(n // k) * (k * unit)).reshape(-1, *(1,) * (d - axis - 1))
    return out


def _largest(x: Any, kernel: Any, out: Any) -> None:
    """The largest of each tile, one dim after the other, rows first: they are runs of memory."""
    for axis, k in enumerate(kernel, 2):
        end = x.shape[axis] // k * k
        lead = (slice(None),) * axis
        best = x[(*lead, slice(0, end, k))]
        last = out if axis == x.ndim - 1 else None
        for i in range(1, k):
            best = numpy.maximum(best, x[(*lead, slice(i, end, k))], out=last)
        x = best
    if x is not out:
        out[...] = x


def _find(x: Any, out: Any, places: Any, far: Any) -> None:
    """How far from its corner each tile has its largest element first."""
    kind = far.dtype.type
    far.fill(places[-1][1])
    for where, distance in places[:-1]:
        found = x[where] == out
        beyond = found.view(numpy.uint8) if kind is numpy.uint8 else found.astype(kind)
        beyond -= kind(1)  # nothing where it was found, and else more than any distance
        beyond |= kind(distance)
        numpy.minimum(far, beyond, out=far)


def _find_nan(x: Any, places: Any, far: Any) -> None:
    """How far from its corner each tile that has NaN, which is larger than all, has it last."""
    for where, distance in places:
        far[numpy.isnan(x[where])] = distance


def _in_pairs(shape: Any, kernel: Any) -> bool:
    return all(k == 2 for k in kernel) and not any(n % 2 for n in shape[2:])


def _halve(x: Any, out: Any, far: Any) -> None:
    """As `_largest` and, where `far` is given, `_find`, for tiles of two in each dim.

    Every element is compared with the one a step ahead, also across tiles, and what is of no use
    left out afterwards: without gaps NumPy has vector instructions, and is four times as fast.
    """
    best, place, step, unit = x.reshape(-1), None, 1, 1
    for n in reversed(x.shape[2:]):
        here, ahead = best[:-step], best[step:]
        larger = numpy.empty_like(best)  # of the last run, which is left out, nothing is set
        if far is not None:
            is_ahead = numpy.empty(best.shape, bool)
            numpy.greater(ahead, here, out=is_ahead[:-step])
            flags = is_ahead.view(numpy.uint8)
            if place is None:
                place = flags.astype(far.dtype, copy=False)
            else:
                _move(place, flags[:-step], step, unit)
            place = _firsts(place, step)
        numpy.maximum(here, ahead, out=larger[:-step])
        best = _firsts(larger, step)
        step, unit = step * n // 2, unit * n
    out.reshape(-1)[:] = best
    if far is not None:
        far.reshape(-1)[:] = place


def _move(place: Any, is_ahead: Any, step: int, unit: int) -> None:
    """Nothing; where what is a step ahead is larger, its distance stands, and `unit` more."""
    more = place[step:] - place[:-step]  # modulo 256: the sum is right
    more += place.dtype.type(unit)
    more *= is_ahead
    place[:-step] += more


def _firsts(x: Any, step: int) -> Any:
    """Of each two runs of `step` elements the first."""
    if step == 1 and sys.byteorder == "little" and x.itemsize in _WIDER:
        # Half of each wider integer: a conversion has vector instructions, a copy of each second
        # element has none.
        return x.view(_WIDER[x.itemsize]).astype(f"u{x.itemsize}").view(x.dtype)
    runs = x.view(f"V{step * x.itemsize}").reshape(-1, 2)[:, 0]  # as one element each
    return runs.copy().view(x.dtype)


_WIDER = {1: "u2", 2: "u4", 4: "u8"}


def _spread(g: Any, far: Any, shape: Any, kernel: Any, open_: Any = None) -> Any:
    """Each element of `g`, or of those where a gate is open, where the largest of its tile is."""
    spread = numpy.empty(shape, g.dtype)
    for part in _pieces(spread):
        flat = spread[part].reshape(-1)
        flat.fill(0)
        distances = far[part].reshape(-1, *far.shape[2:])
        at = _corners(len(distances), shape[2:], kernel)
        some = g[part] if open_ is None else gated(g[part], open_[part])
        flat[at + distances] = some.reshape(distances.shape)
    return spread


def fast_max_windows(x, kernel, stride, padding, dilation):
    """What `max_windows` gives where the windows tile the input."""
    if not _tiles(x, kernel, stride, padding, dilation):
        return NotImplemented
    kernel, shape = tuple(kernel), x.shape
    places = _places(shape[2:], kernel)
    sizes = [n // k for n, k in zip(shape[2:], kernel, strict=True)]
    out = numpy.empty((*shape[:2], *sizes), x.dtype)
    far = numpy.empty(out.shape, numpy.min_scalar_type(places[-1][1] + 1))
    pairs = _in_pairs(shape, kernel)
    for part in _pieces(x):
        if pairs:
            _halve(x[part], out[part], far[part] if mode.recording else None)
        else:
            _largest(x[part], kernel, out[part])
            if mode.recording:
                _find(x[part], out[part], places, far[part])
        if mode.recording and numpy.isnan(out[part]).any():
            _find_nan(x[part], places, far[part])
    open_ = opened(out) if mode.recording else None

    def vjp(g: Any, gated: bool = False) -> Any:
        # A relu before this is shut where the largest element of a tile, so its result, is 0.
        spread = _spread(g, far, shape, kernel, open_ if gated else None)
        return spread, None, None, None, None

    return out, vjp


GATES = (max_windows,)
FUSED = ((max_windows, fast_max_windows),)
