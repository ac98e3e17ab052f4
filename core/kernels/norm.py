"""Normalisation on the CPU: by rows or by images, in pieces, with sums as products."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy

from core.kernels.piece import is_plain, number, row_sums
from core.ops.norm import affine, layer_normalised, moments, normalise

_PIECE = 1 << 16  # elements worked on together


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


# ---- standardised, scaled and shifted ----------------------------------------------------------


def fast_normalise(x, mean, scale, w, b, axes, eps):
    """What `normalise` gives with one factor per element of a row, or per channel of a batch."""
    layout: Any = _layout(x, axes)
    if not _ours(layout, x, mean, scale) or not _match(x, axes, w) or not _match(x, axes, b):
        return NotImplemented
    rows = layout[0] < 0
    flat, shape = x.reshape(layout), x.shape
    per: tuple[int, ...] = (-1, 1) if rows else (1, layout[1], 1)
    line = (-1,) if rows else per
    flat = flat[:, 0] if rows else flat
    given = [None if v is None else v.reshape(line) for v in (w, b)]
    mean, scale = mean.reshape(per), scale.reshape(per)
    put, pull = (_put_rows, _pull_rows) if rows else (_put_channels, _pull_channels)
    out = put(flat, mean, scale, *given).reshape(shape)

    def vjp(g: Any) -> Any:
        g = numpy.ascontiguousarray(g).reshape(flat.shape)
        gx, gw, gb = pull(g, flat, mean, scale, given[0])
        of_w, of_b = (None if v is None else h.reshape(v.shape) for v, h in ((w, gw), (b, gb)))
        return gx.reshape(shape), None, None, of_w, of_b, None, None

    return out, vjp


def _match(x: Any, axes: tuple[int, ...], v: Any) -> bool:
    """Whether `v` is None, or has the axes that make it stand for channels, or for a whole row."""
    if v is None:
        return True
    channels = axes[0] == 0
    want = (1, x.shape[1], *(1,) * (x.ndim - 2)) if channels else x.shape[axes[0] :]
    return is_plain(x, v) and v.shape == want


def fast_layer(x, w, b, axes, eps):
    """What `layer_normalised` gives."""
    layout: Any = _layout(x, axes)
    if layout is None or layout[0] > 0 or not is_plain(x):
        return NotImplemented
    if not (_match(x, axes, w) and _match(x, axes, b)):
        return NotImplemented
    flat, shape = x.reshape(-1, layout[2]), x.shape
    factor, shift = (None if v is None else v.reshape(-1) for v in (w, b))
    out, mean, scale = _standard_rows(flat, factor, shift, eps)

    def vjp(g: Any) -> Any:
        g = numpy.ascontiguousarray(g).reshape(flat.shape)
        gx, gw, gb = _pull_rows(g, flat, mean, scale, factor)
        of_w, of_b = (None if v is None else h.reshape(v.shape) for v, h in ((w, gw), (b, gb)))
        return gx.reshape(shape), of_w, of_b, None, None

    return out.reshape(shape), vjp


def _standard_rows(x: Any, w: Any, b: Any, eps: float) -> tuple[Any, Any, Any]:
    """The rows with mean 0 and variance 1, scaled and shifted; their means and their factors."""
    out = numpy.empty_like(x)
    if x.size <= _PIECE:
        return out, *_standard_piece(x, out, w, b, eps)
    mean, scale = numpy.empty((2, len(x), 1), x.dtype)
    for part in _pieces(x):
        mean[part], scale[part] = _standard_piece(x[part], out[part], w, b, eps)
    return out, mean, scale


def _standard_piece(x: Any, out: Any, w: Any, b: Any, eps: float) -> tuple[Any, Any]:
    share = _shares(x.shape[1], x.dtype)
    mean = x.dot(share).reshape(-1, 1)
    numpy.subtract(x, mean, out)
    scale = (out * out).dot(share).reshape(-1, 1)
    numpy.add(scale, number(eps, x.dtype), scale)
    numpy.reciprocal(numpy.sqrt(scale, scale), scale)
    numpy.multiply(out, scale, out)
    if w is not None:
        numpy.multiply(out, w, out)
    if b is not None:
        numpy.add(out, b, out)
    return mean, scale


@functools.lru_cache(maxsize=32)
def _shares(n: int, dtype: Any) -> Any:
    """With what a row is multiplied to give its mean."""
    return numpy.full(n, 1 / n, dtype)


def _put_rows(x: Any, mean: Any, scale: Any, w: Any, b: Any) -> Any:
    out = numpy.empty_like(x)
    for part in _pieces(x):
        piece = numpy.subtract(x[part], mean[part], out=out[part])
        piece *= scale[part]
        if w is not None:
            piece *= w
        if b is not None:
            piece += b
    return out


def _pull_rows(g: Any, x: Any, mean: Any, scale: Any, w: Any) -> Any:
    """The gradients of the rows, of their factors and of their shifts."""
    out = numpy.empty_like(x)
    sums = numpy.zeros((2, x.shape[1]), x.dtype)
    each = numpy.ones(x.shape[1], x.dtype) if w is None else w
    even = each * x.dtype.type(1 / x.shape[1])
    for part in _pieces(x):
        h, s = g[part], scale[part]
        ones = numpy.ones(len(h), x.dtype)
        centred = x[part] - mean[part]
        centred *= s
        product = h * centred
        sums[0] += ones.dot(product)
        sums[1] += ones.dot(h)
        centred *= product.dot(even).reshape(-1, 1)
        centred += h.dot(even).reshape(-1, 1)
        piece = numpy.multiply(h, each, out=out[part])
        piece -= centred
        piece *= s
    return out, *sums


def _put_channels(x: Any, mean: Any, scale: Any, w: Any, b: Any) -> Any:
    factor = scale if w is None else scale * w
    shift = -mean * factor
    return _lines(x, factor, shift if b is None else shift + b)


def _lines(x: Any, factor: Any, shift: Any, g: Any = None, slope: Any = None) -> Any:
    """X * factor + shift, plus g * slope where there is one, channel by channel."""
    out = numpy.empty_like(x)
    for part in _pieces(x):
        piece = numpy.multiply(x[part], factor, out=out[part])
        piece += shift
        if g is not None:
            piece += g[part] * slope
    return out


def _pull_channels(g: Any, x: Any, mean: Any, scale: Any, w: Any) -> Any:
    """The gradients of the images, of the channels' factors and of their shifts."""
    products = numpy.zeros(mean.shape, x.dtype)
    for part in _pieces(x):
        centred = x[part] - mean
        centred *= g[part]
        products += row_sums(centred).sum(0, keepdims=True)
    total = row_sums(g).sum(0, keepdims=True)
    each = x.dtype.type(1 / (len(x) * x.shape[2]))
    slope = scale if w is None else scale * w
    tilt = products * (scale * scale * each)
    shift = slope * (mean * tilt - total * each)
    return _lines(x, -slope * tilt, shift, g, slope), products * scale, total


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


DIRECT = ((moments, fast_moments),)
FUSED = ((normalise, fast_normalise), (layer_normalised, fast_layer), (affine, fast_affine))
