"""Normalisation on the CPU: by rows or by images, in pieces, with sums as products."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.kernels.piece import is_plain, row_sums
from core.ops.norm import affine, moments, pull

_PIECE = 1 << 15  # elements worked on together


def _layout(x: Any, axes: tuple[int, ...]) -> tuple[int, int, int] | None:
    """(images, channels, places) where the axes leave one of channels, or only the first ones.

    (rows, 1, length) for the last axes: each row is then normalised alone. None for anything else.
    """
    n = x.ndim
    if n < 2 or not x.flags.c_contiguous or not axes:
        return None
    if tuple(axes) == (0, *range(2, n)):
        return x.shape[0], x.shape[1], math.prod(x.shape[2:])
    if tuple(axes) == tuple(range(n - len(axes), n)) and len(axes) < n:
        return -1, 1, math.prod(x.shape[n - len(axes) :])
    return None


def _ours(layout: Any, *arrays: Any) -> bool:
    return layout is not None and layout[2] >= 8 and is_plain(*arrays)


def _pieces(x: Any) -> Any:
    """Slices of the first axis that are one piece."""
    step = max(1, _PIECE * len(x) // x.size)
    return (slice(i, i + step) for i in range(0, len(x), step))


# ---- mean and variance -------------------------------------------------------------------------


def fast_moments(x, axes):
    """What `moments` gives."""
    layout: Any = _layout(x, axes)
    if not _ours(layout, x):
        return moments.op.forward(x, axes)
    flat = x.reshape(layout)
    mean = _mean(row_sums(flat), flat, layout)
    squares = numpy.empty((*flat.shape[:2], 1), x.dtype)
    for part in _pieces(flat):
        centred = flat[part] - (mean[part] if layout[0] < 0 else mean)
        centred *= centred
        squares[part] = row_sums(centred)
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    return mean.reshape(shape), _mean(squares, flat, layout).reshape(shape)


def _mean(sums: Any, flat: Any, layout: Any) -> Any:
    """The mean over an image's places, and over the images where they are one batch."""
    if layout[0] < 0:
        return sums * sums.dtype.type(1 / flat.shape[2])
    return sums.sum(0, keepdims=True) * sums.dtype.type(1 / (len(flat) * flat.shape[2]))


# ---- the gradient ------------------------------------------------------------------------------


def fast_pull(g, x, mean, scale, axes, eps):
    """What `pull` gives."""
    layout: Any = _layout(x, axes)
    if not _ours(layout, x, g, mean, scale) or g.shape != x.shape:
        return pull.op.forward(g, x, mean, scale, axes, eps)
    flat, h = x.reshape(layout), numpy.ascontiguousarray(g).reshape(layout)
    rows = layout[0] < 0
    lead = len(flat) if rows else 1
    mean, scale = mean.reshape(lead, -1, 1), scale.reshape(lead, -1, 1)
    out = numpy.empty_like(flat)
    if rows:
        for part in _pieces(flat):
            _pull_part(h[part], flat[part], mean[part], scale[part], layout, out[part])
    else:
        both = _products(h, flat, mean, scale, layout)
        for part in _pieces(flat):
            _put_together(h[part], flat[part], mean, scale, both, out[part])
    return out.reshape(x.shape)


def _pull_part(h: Any, x: Any, mean: Any, scale: Any, layout: Any, out: Any) -> None:
    _put_together(h, x, mean, scale, _products(h, x, mean, scale, layout), out)


def _products(h: Any, x: Any, mean: Any, scale: Any, layout: Any) -> tuple[Any, Any]:
    """The mean of `h`, and of `h` times the standardised `x`."""
    sums = numpy.empty((*x.shape[:2], 1), x.dtype)
    for part in _pieces(x):
        centred = x[part] - (mean[part] if layout[0] < 0 else mean)
        centred *= h[part]
        sums[part] = row_sums(centred)
    return _mean(row_sums(h), x, layout), _mean(sums, x, layout) * scale


def _put_together(h: Any, x: Any, mean: Any, scale: Any, both: Any, out: Any) -> None:
    numpy.subtract(x, mean, out=out)
    out *= both[1] * scale
    out += both[0]
    numpy.subtract(h, out, out=out)
    out *= scale


# ---- scale and shift ---------------------------------------------------------------------------


def fast_affine(x, w, b):
    """What `affine` gives for one factor per channel or per element of a row."""
    if not is_plain(x, w) or (b is not None and (not is_plain(x, b) or b.shape != w.shape)):
        return NotImplemented
    channels = w.ndim == x.ndim > 2 and w.size == x.shape[1] == w.shape[1]
    rows = w.ndim == 1 and x.ndim > 1 and w.shape[0] == x.shape[-1]
    if not (channels or rows) or not x.flags.c_contiguous:
        return NotImplemented
    out = x * w
    if b is not None:
        out += b
    layout = (len(x), x.shape[1], -1) if channels else (-1, x.shape[-1])
    summed = _channel_sums if channels else _column_sums

    def vjp(g: Any) -> Any:
        h = numpy.ascontiguousarray(g).reshape(layout)
        return (
            lambda: g * w,
            lambda: summed(h, x.reshape(layout)).reshape(w.shape),
            lambda: summed(h, None).reshape(w.shape),
        )

    return out, vjp


def _channel_sums(h: Any, x: Any) -> Any:
    """`h`, times `x` where there is one, summed over images and places."""
    total = numpy.zeros((h.shape[1], 1), h.dtype)
    for part in _pieces(h):
        total += row_sums(h[part] if x is None else h[part] * x[part]).sum(0)
    return total


def _column_sums(h: Any, x: Any) -> Any:
    """`h`, times `x` where there is one, summed over rows."""
    total = numpy.zeros(h.shape[1], h.dtype)
    for part in _pieces(h):
        each = h[part] if x is None else h[part] * x[part]
        total += numpy.ones(len(each), h.dtype).dot(each)
    return total


DIRECT = ((moments, fast_moments), (pull, fast_pull))
FUSED = ((affine, fast_affine),)
