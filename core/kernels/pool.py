"""Max pooling on the CPU where windows tile the input: no frame, no places written down."""

from __future__ import annotations

import itertools
from typing import Any

import numpy

from core.kernels.piece import is_plain
from core.ops.pool import max_windows, spread_windows, winners

_PIECE = 1 << 17  # elements of the input looked at together


def _tiles(x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> bool:
    return (
        is_plain(x)
        and tuple(kernel) == tuple(stride)
        and all(d == 1 for d in dilation)
        and not any(lo or hi for lo, hi in padding)
        and all(n >= k for n, k in zip(x.shape[2:], kernel, strict=True))
    )


def _largest(x: Any, kernel: Any) -> Any:
    """The largest of each tile, one dim after the other."""
    for axis, k in enumerate(kernel, 2):
        end = x.shape[axis] // k * k
        lead = (slice(None),) * axis
        out = x[(*lead, slice(0, end, k))]
        for i in range(1, k):
            out = numpy.maximum(out, x[(*lead, slice(i, end, k))])
        x = out
    return x


def _spread(g: Any, x: Any, out: Any, kernel: Any) -> Any:
    """Each element of `g` at the first place of its tile that holds the largest; NaN is larger."""
    ends = [n // k * k for n, k in zip(x.shape[2:], kernel, strict=True)]
    exact = tuple(ends) == x.shape[2:]
    spread = (numpy.empty if exact else numpy.zeros)(x.shape, g.dtype)
    offsets = [
        (..., *(slice(i, e, k) for i, e, k in zip(place, ends, kernel, strict=True)))
        for place in itertools.product(*(range(k) for k in kernel))
    ]
    step = max(1, _PIECE * len(x) // x.size)
    for n in range(0, len(x), step):
        part = slice(n, n + step)
        _spread_part(g[part], x[part], out[part], offsets, spread[part])
    return spread


def _spread_part(g: Any, x: Any, out: Any, offsets: Any, spread: Any) -> None:
    rest = g.copy()  # what no place of the tile has taken yet
    unordered = numpy.isnan(out).any()
    for where in offsets[:-1]:
        found = x[where] == out
        if unordered:
            found |= numpy.isnan(x[where])
        taken = found * rest
        spread[where] = taken
        rest -= taken
    spread[offsets[-1]] = rest


def fast_max_windows(x, kernel, stride, padding, dilation):
    """What `max_windows` gives where the windows tile the input."""
    if not _tiles(x, kernel, stride, padding, dilation):
        return NotImplemented
    out = _largest(x, kernel)
    if out.base is not None:
        out = out.copy()
    kept = out.copy()  # `out` may be changed in place, and finding it again takes 7 times as long
    window = (kernel, stride, padding, dilation)

    def vjp(g: Any) -> Any:
        if numpy.isfinite(numpy.add.reduce(g, None)):
            return _spread(g, x, kept, kernel), None, None, None, None
        places = winners.op.forward(x, kept, *window)  # 0 * inf is not 0
        return spread_windows.op.forward(g, places, x.shape[2:], *window), None, None, None, None

    return out, vjp


FUSED = ((max_windows, fast_max_windows),)
