"""A convolution whose result is pooled by tiles, on the CPU: one for each place of a tile.

With the tile as their stride, and kernels that stand further on by their place, each gives what
lies at that place of all tiles. So no tile is cut out of anything, columns are as few as tiles, and
what is not the largest never leaves the cache. The price are kernels as wide as all places see,
mostly zeros: this is for few channels, as of images.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy
from numpy import ndarray

from core.autograd.mode import mode
from core.kernels.choice import BITS, shut
from core.kernels.convolution import fits, images, input_gradient
from core.ops.conv import Window
from core.ops.conv_pool import conv_relu_pool

_WIDER = 72  # products more for each element of a convolution, that what is saved is worth
_PIECE = 1 << 18  # elements of the convolutions made at once
_FEW = 1 << 19  # elements of columns that are kept even where they are more than the results
_SHUT = 255  # the place of a largest element that the ReLU makes zero


class _Tiles(NamedTuple):
    """The convolutions for all places of a tile."""

    window: Window  # of all of them: as wide as whole tiles, and moved on by one
    stands: list[tuple[slice, ...]]  # where each kernel stands in the wide one
    lie: list[Any]  # where each place lies in what is pooled
    pooled: tuple[int, ...]  # the size of that

    def fit(self, x: Any, w: Any) -> bool:
        """Whether this is the faster way, with few columns to keep."""
        window = self.window
        wider = math.prod(window.kernel) - math.prod(w.shape[2:])
        rows, results = x.shape[1] * math.prod(window.kernel), len(w) * len(self.stands)
        few = rows <= results or len(x) * rows * math.prod(window.out) <= _FEW
        return few and x.shape[1] * wider <= _WIDER and len(self.stands) < _SHUT


@functools.lru_cache(maxsize=256)
def _tiles(size: Any, kernel: Any, padding: Any, tile: Any) -> _Tiles | None:
    """What is known from sizes; None unless tiles leave nothing over."""
    ones = (1,) * len(tile)
    pooled = Window(size, kernel, ones, padding, ones).out
    if any(t < 2 or n < t or n % t for t, n in zip(tile, pooled, strict=True)):
        return None
    least = [k + t - 1 for k, t in zip(kernel, tile, strict=True)]
    wide = tuple(-(-n // t) * t for n, t in zip(least, tile, strict=True))
    more = zip(padding, wide, least, strict=True)
    frame = tuple((lo, hi + n - m) for (lo, hi), n, m in more)
    places = list(itertools.product(*(range(t) for t in tile)))
    stands = [tuple(slice(i, i + k) for i, k in zip(p, kernel, strict=True)) for p in places]
    lie = [(..., *(slice(i, None, t) for i, t in zip(p, tile, strict=True))) for p in places]
    return _Tiles(Window(size, wide, tile, frame, ones), stands, lie, pooled)


def _kernels(w: Any, b: Any, tiles: _Tiles) -> Any:
    """The kernels of all places, (places * O, rows); behind them the column of the bias."""
    outs, channels = w.shape[:2]
    wide = tiles.window.kernel
    rows = channels * math.prod(wide)
    out = numpy.zeros((len(tiles.stands), outs, rows + (b is not None)), w.dtype)
    for place, stand in zip(_as_kernels(out, channels, wide), tiles.stands, strict=True):
        place[(..., *stand)] = w
    if b is not None:
        out[:, :, rows] = b
    return out.reshape(-1, out.shape[2])


def _as_kernels(matrix: Any, channels: int, wide: tuple[int, ...]) -> Any:
    """The same memory as (places, O, C, *wide), without the bias."""
    each = [math.prod(wide[i:]) * matrix.itemsize for i in range(len(wide) + 1)]
    shape = (*matrix.shape[:2], channels, *wide)
    return ndarray(shape, matrix.dtype, matrix, 0, (*matrix.strides[:2], *each))


def fast_conv_relu_pool(x, w, b, padding, tile):
    """What `conv_relu_pool` gives, where there are few channels and tiles leave nothing over."""
    if not fits(x, w, 1) or (b is not None and b.dtype != x.dtype):
        return NotImplemented
    tiles = _tiles(x.shape[2:], w.shape[2:], padding, tile)
    if tiles is None or not tiles.fit(x, w):
        return NotImplemented
    kernels = _kernels(w, b, tiles)
    n, outs, points = len(x), len(w), math.prod(tiles.window.out)
    out = numpy.empty((n, outs * points), x.dtype)
    kept = at = None
    if mode.recording:
        kept = numpy.empty((n, kernels.shape[1], points), x.dtype)
        at = numpy.empty(out.shape, numpy.uint8)
    step = min(n, max(1, _PIECE // (len(kernels) * points)))
    every = numpy.empty((step, len(kernels), points), x.dtype)
    for part, (columns,) in images(x, tiles.window, kernels.shape[1], kept, step):
        some = every[: len(columns)]
        numpy.matmul(kernels, columns, out=some)
        some = some.reshape(len(some), len(tiles.stands), -1)
        _largest(some, out[part], None if at is None else at[part])
    if math.isnan(out.max()):  # also of what is infinite and meets the zeros of wide kernels
        return NotImplemented
    out = out.reshape(n, outs, *tiles.window.out)
    if kept is None:
        return out, None
    return out, _Gradients(x.shape, w, padding, kept, at, tiles)


def _largest(every: Any, out: Any, at: Any) -> None:
    """The largest of each tile, or 0, in `out`, and its place in `at`, where that is given.

    Shape: (n, places, M) -> (n, M).
    """
    best = every[:, 0]
    for place in range(1, every.shape[1]):
        here = every[:, place]
        if at is not None:
            _note(numpy.greater(here, best), place, at)
        best = numpy.maximum(best, here, out=out)
    if at is not None:
        _note(numpy.less_equal(out, 0), _SHUT, at)
    shut(out, out)


def _note(found: Any, place: int, at: Any) -> None:
    """Nothing; `place`, larger than those before, stands in `at` where it is found."""
    if place == 1:
        at[...] = found
        return
    larger = found.view(numpy.uint8)
    larger *= numpy.uint8(place)
    numpy.maximum(at, larger, out=at)


class _Gradients:
    """The gradients of the arguments, from columns that were kept and places of the largest."""

    def __init__(
        self, x: tuple[int, ...], w: Any, padding: Any, kept: Any, at: Any, tiles: _Tiles
    ) -> None:
        self.x, self.w, self.weight, self.padding = x, w.shape, w, padding
        self.kept, self.at, self.tiles = kept, at, tiles

    def __call__(self, g: Any) -> Any:
        g = numpy.ascontiguousarray(g).reshape(self.at.shape)
        count = len(self.tiles.stands)
        every = _Every(g, self.at, count, min(len(g), max(1, _PIECE // (count * g.shape[1]))))
        both = functools.cache(lambda: self.weights(every))
        return lambda: self.inputs(every), lambda: both()[0], lambda: both()[1], None, None

    def inputs(self, every: _Every) -> Any:
        """The gradient of the input, from that of what is pooled."""
        shape = (len(every.g), self.w[0], *self.tiles.pooled)
        whole = numpy.empty(shape, every.g.dtype)
        for part, some in every.pieces():
            some = some.reshape(*some.shape[:2], self.w[0], *self.tiles.window.out)
            for place, lies in enumerate(self.tiles.lie):
                whole[part][lies] = some[:, place]
        ones = (1,) * len(self.tiles.pooled)
        return input_gradient(whole, self.weight, self.x[2:], ones, self.padding, ones, 1)

    def weights(self, every: _Every) -> tuple[Any, Any]:
        """The gradients of the kernels and of the bias."""
        points, total = self.kept.shape[2], numpy.zeros(1, self.kept.dtype)
        for part, some in every.pieces():
            seen = self.kept[part].transpose(0, 2, 1)
            product = numpy.matmul(some.reshape(len(some), -1, points), seen)
            total = total + (product[0] if len(product) == 1 else product.sum(0))
        total = total.reshape(len(self.tiles.stands), self.w[0], -1)
        views = _as_kernels(total, self.w[1], self.tiles.window.kernel)
        views = [v[(..., *stand)] for v, stand in zip(views, self.tiles.stands, strict=True)]
        out = views[0] + views[1]
        for view in views[2:]:
            out += view
        return out, total[:, :, -1].sum(0)


class _Every:
    """What a pool's gradient gives each place of its tiles, some images at a time."""

    def __init__(self, g: Any, at: Any, count: int, step: int) -> None:
        self.g, self.at, self.step = g, at, step
        self.memory = numpy.empty((step, count, g.shape[1]), g.dtype)
        self.whole = False

    def pieces(self) -> Any:
        """Slices of the batch and the gradients (n, places, M) of their tiles."""
        for start in range(0, len(self.g), self.step):
            part = slice(start, start + self.step)
            g = self.g[part]
            some = self.memory[: len(g)]
            if not self.whole:
                _at_places(g, self.at[part], some)
                self.whole = len(g) == len(self.g)
            yield part, some


def _at_places(g: Any, at: Any, out: Any) -> None:
    """For each place of the tiles, `g` where it is the place of the largest, else 0.

    Shape: (n, M) -> (n, places, M).
    """
    bits = BITS[g.dtype.char]
    g, out = g.view(bits), out.view(bits)
    for place in range(out.shape[1]):
        open_ = (at == place).view(numpy.int8)
        numpy.negative(open_, out=open_)
        here = out[:, place]
        here[...] = open_
        here &= g


FUSED = ((conv_relu_pool, fast_conv_relu_pool),)
