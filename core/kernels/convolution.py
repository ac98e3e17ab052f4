"""Convolutions on the CPU: one image's columns at a time, copied into one buffer, into one product.

The result of each product lies where it belongs, so nothing is transposed, and the columns never
leave the cache. Where images are small the batch is the last axis, for long runs of memory. Columns
of few channels, as of a first layer, are kept for backward: they are fewer than what comes out.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy
from numpy import ndarray
from numpy.lib.stride_tricks import as_strided

from core.autograd.mode import mode
from core.ops.conv import (
    Window,
    conv_input,
    conv_weight,
    convolution,
    first_last,
    last_first,
)

_SMALL = 4096  # elements of columns, below which one image is too little for a product
_RUN = 64  # places of the kernel, from which columns of many images have long runs of memory
_DEEP = 48  # inner length of a product, below which it is not worth splitting
_PIECE = 1 << 17  # elements of columns made at once where images are small
_LITTLE = 1 << 18  # elements of columns that take less time than adding up a place at a time
_NEAR = 1 << 16  # and where they are not: those of several images, if they are so few


_known = functools.lru_cache(maxsize=512)(Window)


def window_of(*args: Any) -> Window:
    """A window of these sizes, remembered."""
    try:
        return _known(*args)
    except TypeError:  # lists among them
        return Window(*args)


def fits(x: Any, w: Any, groups: int) -> bool:
    """Whether these arrays are ours: one float type, one group, nothing empty."""
    return (
        groups == 1
        and type(x) is ndarray
        and type(w) is ndarray
        and x.dtype.char in "fd"
        and x.dtype == w.dtype
        and x.size > 0
        and w.size > 0
    )


def _small(channels: int, window: Window) -> bool:
    each = channels * math.prod(window.kernel) * math.prod(window.out)
    return each < _SMALL or math.prod(window.out) < _RUN


def _points(window: Window) -> bool:
    """Whether each place of the result sees one place of the input, its own."""
    return math.prod(window.kernel) == 1 and window.out == window.size == window.full


def convolved(x, w, b, stride, padding, dilation, groups):
    """What `convolution` gives."""
    if not fits(x, w, groups) or (b is not None and b.dtype != x.dtype):
        return convolution.op.forward(x, w, b, stride, padding, dilation, groups)
    window = window_of(x.shape[2:], w.shape[2:], stride, padding, dilation)
    if _small(x.shape[1], window) and math.prod(window.out) >= _RUN and not _points(window):
        return convolution.op.forward(x, w, b, stride, padding, dilation, groups)
    return _correlated(x, w, b, window)


def _correlated(x: Any, w: Any, b: Any, window: Window) -> Any:
    out = numpy.empty((len(x), len(w), *window.out), x.dtype)
    shift = None if b is None else b.reshape(-1, 1)
    if _points(window):
        flat = out.reshape(len(x), len(w), -1)
        numpy.matmul(w.reshape(len(w), -1), x.reshape(len(x), x.shape[1], -1), out=flat)
        if shift is not None:
            flat += shift
        return out
    if _small(x.shape[1], window):
        return _correlated_small(x, w, shift, window, out)
    flat = out.reshape(len(x), len(w), -1)
    kernels = _matrices(w, _shares(x.shape[1], window))
    if shift is not None and kernels[0].shape[1] < _DEEP:  # one more row of columns, of ones
        kernels, shift = [numpy.concatenate((kernels[0], shift), 1)], None
    more = numpy.empty(0, x.dtype)
    for part, views in images(x, window, kernels[0].shape[1]):
        some = flat[part]
        numpy.matmul(kernels[0], views[0], out=some)
        for kernel, view in zip(kernels[1:], views[1:], strict=True):
            more = more if more.shape == some.shape else numpy.empty_like(some)
            some += numpy.matmul(kernel, view, out=more)
        if shift is not None:
            some += shift
    return out


def _correlated_small(x: Any, w: Any, shift: Any, window: Window, out: Any) -> Any:
    kernels = w.reshape(len(w), -1)
    for part, columns in _pieces(x, window):
        product = kernels.dot(columns)
        if shift is not None:
            product += shift
        product = product.reshape(len(kernels), *window.out, -1)
        out[part] = last_first(product)
    return out


def fast_convolution(x, w, b, stride, padding, dilation, groups):
    """What `convolution` gives where its columns are few, kept for the gradients of `w` and `b`."""
    outs, channels = w.shape[:2]
    rows = channels * math.prod(w.shape[2:])
    if rows > outs or not mode.recording or not fits(x, w, groups):
        return NotImplemented
    window = window_of(x.shape[2:], w.shape[2:], stride, padding, dilation)
    if _small(channels, window) or _shares(channels, window) or _points(window):
        return NotImplemented
    kernels, kind = w.reshape(outs, rows), x.dtype
    if b is not None and b.dtype == kind:
        kernels = numpy.concatenate((kernels, b.reshape(-1, 1)), 1)
    elif b is not None:
        return NotImplemented
    out = numpy.empty((len(x), outs, *window.out), kind)
    flat = out.reshape(len(x), outs, -1)
    kept = numpy.empty((len(x), kernels.shape[1], flat.shape[2]), kind)
    for part, (columns,) in images(x, window, kernels.shape[1], kept):
        numpy.matmul(kernels, columns, out=flat[part])

    def vjp(g: Any) -> Any:
        # The row of ones gives the sums for `b`.
        both = functools.cache(lambda: _compared(kept, g.reshape(len(g), outs, -1)))
        return (
            lambda: input_gradient(g, w, x.shape[2:], stride, padding, dilation, groups),
            lambda: numpy.ascontiguousarray(both()[:rows].T).reshape(w.shape),
            lambda: both()[rows].copy(),
            *(None,) * 4,
        )

    return out, vjp


def _compared(columns: Any, g: Any) -> Any:
    """The products of columns (N, R, P) with gradients (N, O, P), added up over N and P: (R, O)."""
    out = numpy.zeros((columns.shape[1], g.shape[1]), g.dtype)
    step = max(1, _NEAR // columns[0].size)
    for start in range(0, len(g), step):
        part = slice(start, start + step)
        out += numpy.matmul(columns[part], g[part].transpose(0, 2, 1)).sum(0)
    return out


def input_gradient(g, w, size, stride, padding, dilation, groups):
    """What `conv_input` gives: often, for a stride of one, a convolution with turned kernels."""
    kernel = w.shape[2:]
    if not fits(g, w, groups):
        return conv_input.op.forward(g, w, size, stride, padding, dilation, groups)
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    frame = tuple((r - lo, r - hi) for r, (lo, hi) in zip(reach, padding, strict=True))
    ones = (1,) * len(kernel)
    most = 4 if any(lo or hi for lo, hi in padding) else 1  # the wider the frame, the more zeros
    columns = len(g) * len(w) * math.prod(kernel) * math.prod(size)
    dense = len(w) <= most * w.shape[1] or columns <= _LITTLE
    if dense and all(s == 1 for s in stride) and all(lo >= 0 and hi >= 0 for lo, hi in frame):
        turned = numpy.flip(w, tuple(range(2, w.ndim))).swapaxes(0, 1)
        return _correlated(g, turned, None, window_of(g.shape[2:], kernel, ones, frame, dilation))
    if math.prod(w.shape[1:]) * math.prod(g.shape[2:]) < 4 * _SMALL:
        return conv_input.op.forward(g, w, size, stride, padding, dilation, groups)
    return _spread(g, w, window_of(size, kernel, stride, padding, dilation))


def _spread(g: Any, w: Any, window: Window) -> Any:
    """Each image's columns, added up where they belong while they are in the cache.

    Every stride-th element of the result is one array, and the columns are as large as it is: what
    a place of the kernel adds for all channels is then one run of memory. Zeros fill the rest.
    """
    outs, channels = w.shape[:2]
    kernels = numpy.ascontiguousarray(w.reshape(outs, channels, -1).transpose(2, 1, 0))
    kernels = kernels.reshape(-1, outs)
    grid = tuple(-(-n // s) for n, s in zip(window.full, window.stride, strict=True))
    large = numpy.zeros((outs, *grid), g.dtype)
    inner = large[(slice(None), *(slice(n) for n in window.out))]
    columns = numpy.empty((len(kernels), math.prod(grid)), g.dtype)
    length = channels * math.prod(grid)
    starts = list(_starts(window, grid))
    beyond = max(start for _, start in starts)
    whole = numpy.empty((*window.stride, length + beyond), g.dtype)
    targets = [whole[phase][start : start + length] for phase, start in starts]
    out = numpy.empty((len(g), channels, *window.size), g.dtype)
    pairs = list(_interleaved(out, whole[..., :length], grid, window))
    for i, one in enumerate(g):
        inner[...] = one
        numpy.matmul(kernels, large.reshape(outs, -1), out=columns)
        whole.fill(0)
        for target, part in zip(targets, columns.reshape(len(targets), -1), strict=True):
            target += part
        for to, part in pairs:
            to[i] = part
    return out


def _starts(window: Window, grid: tuple[int, ...]) -> Any:
    """For each place in the kernel the phase that it adds to, and the first element there."""
    steps = [math.prod(grid[i + 1 :]) for i in range(len(grid))]
    for place in itertools.product(*(range(k) for k in window.kernel)):
        each = zip(place, window.dilation, window.stride, strict=True)
        parts = [divmod(k * d, s) for k, d, s in each]
        yield tuple(r for _, r in parts), sum(q * n for (q, _), n in zip(parts, steps, strict=True))


def _interleaved(out: Any, whole: Any, grid: tuple[int, ...], window: Window) -> Any:
    """Pairs of a part of the result and the part of a phase that belongs there."""
    for phase in itertools.product(*(range(s) for s in window.stride)):
        to: list[slice] = []
        part: list[slice] = []
        for r, s, (lo, _), n in zip(phase, window.stride, window.padding, window.size, strict=True):
            first = (r - lo) % s
            start = (first + lo) // s
            to.append(slice(first, None, s))
            part.append(slice(start, start + len(range(first, n, s))))
        one = whole[phase].reshape(-1, *grid)
        yield out[(slice(None), slice(None), *to)], one[(slice(None), *part)]


def weight_gradient(x, g, kernel, stride, padding, dilation, groups):
    """What `conv_weight` gives."""
    if not fits(x, g, groups):
        return conv_weight.op.forward(x, g, kernel, stride, padding, dilation, groups)
    window = window_of(x.shape[2:], kernel, stride, padding, dilation)
    outs, channels = g.shape[1], x.shape[1]
    if _small(channels, window):
        if math.prod(window.out) >= _RUN:
            return conv_weight.op.forward(x, g, kernel, stride, padding, dilation, groups)
        out = numpy.zeros((channels * math.prod(kernel), outs), x.dtype)
        for part, columns in _pieces(x, window):
            out += columns.dot(first_last(g[part]).reshape(outs, -1).T)
        return numpy.ascontiguousarray(out.T).reshape(outs, channels, *kernel)
    flat = numpy.ascontiguousarray(g).reshape(len(g), outs, -1)
    first = kernel[0] if _shares(channels, window) else 1
    # The fast way round: the longer side of the result first.
    out = numpy.zeros((first, channels * math.prod(kernel) // first, outs), x.dtype)
    each = numpy.empty(0, x.dtype)
    for part, views in images(x, window, out.shape[1]):
        seen = flat[part].transpose(0, 2, 1)
        if first > 1:  # products with a matrix turned round take longer, by more than one copy
            seen = seen.copy()
        if each.shape[1:2] != seen.shape[:1]:
            each = numpy.empty((first, len(seen), *out.shape[1:]), x.dtype)
        for k, view in enumerate(views):
            numpy.matmul(view, seen, out=each[k])
        out += each[:, 0] if len(seen) == 1 else each.sum(1)
    out = out.reshape(first, channels, -1, outs).transpose(3, 1, 0, 2)
    return numpy.ascontiguousarray(out).reshape(outs, channels, *kernel)


# ---- columns -----------------------------------------------------------------------------------


def _shares(channels: int, window: Window) -> bool:
    """Whether the rows of the kernel share columns, each standing further down in the same ones.

    A third of the copying for kernels of three rows, and as many products, to be added up.
    """
    rest = channels * math.prod(window.kernel[1:])
    return window.stride[0] == 1 and window.kernel[0] > 1 and rest >= _DEEP


def _matrices(w: Any, shared: bool) -> list[Any]:
    """The kernels as matrices: one, or one for each of their rows."""
    if not shared:
        return [numpy.ascontiguousarray(w).reshape(len(w), -1)]
    return [numpy.ascontiguousarray(w[:, :, k]).reshape(len(w), -1) for k in range(w.shape[2])]


def images(x: Any, window: Window, rows: int, kept: Any = None, step: int | None = None) -> Any:
    """Slices of the batch and their columns (n, C * prod(K), prod(P)), in a buffer used again.

    Of several images at once where those of one leave room in the cache; with a row of ones behind
    them, where there are to be more `rows`. Where the kernel's rows share columns, one array
    (n, C * prod(K[1:]), prod(P)) for each row. In `kept` (N, rows, prod(P)), where it is given, and
    of `step` images, where that is.
    """
    channels, d = x.shape[1], len(window.kernel)
    shared, framed = _shares(channels, window), window.full != window.size
    shape = (channels, *window.kernel, *window.out)
    if shared:
        shape = (channels, *window.kernel[1:], window.full[0], *window.out[1:])
    high = channels * math.prod(shape[1:d] if shared else window.kernel)
    places = math.prod(shape) // high
    step = min(len(x), step or max(1, _NEAR // math.prod(shape)))
    seen = numpy.zeros((step, channels, *window.full), x.dtype) if framed else x
    steps = _steps(seen.strides[2:], window)
    if shared:
        steps = (*steps[1:d], seen.strides[2], *steps[d + 1 :])
    columns = numpy.empty((step, rows, places), x.dtype) if kept is None else kept
    columns[:, high:] = 1
    to = columns[:, :high].reshape(len(columns), *shape)
    views = _views(columns, window) if shared else [columns]
    inner = window.inner(2)
    windows = _strided(seen, (len(seen), *shape), (*seen.strides[:2], *steps))
    for start in range(0, len(x), step):
        part = slice(start, min(start + step, len(x)))
        count = part.stop - start
        if framed:
            seen[:count][inner] = x[part]
        mine = slice(count) if kept is None else part
        numpy.copyto(to[mine], windows[:count] if framed else windows[part])
        yield part, [view[mine] for view in views]


def _strided(x: Any, shape: Any, strides: Any) -> Any:
    """What as_strided gives, which takes five times as long."""
    if x.flags.c_contiguous:
        return ndarray(shape, x.dtype, x, 0, strides)
    return as_strided(x, shape, strides)


def _views(columns: Any, window: Window) -> list[Any]:
    """The part of shared columns that stands for each row of the kernel."""
    row = math.prod(window.out[1:])
    places = window.out[0] * row
    starts = [k * window.dilation[0] * row for k in range(window.kernel[0])]
    return [columns[:, :, start : start + places] for start in starts]


def _pieces(x: Any, window: Window) -> Any:
    """Slices of the batch and their columns (C * prod(K), prod(P) * n)."""
    channels = x.shape[1]
    each = channels * math.prod(window.kernel) * math.prod(window.out)
    step = max(1, _PIECE // each)
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        last = first_last(x[part])
        framed = numpy.zeros((channels, *window.full, last.shape[-1]), x.dtype)
        framed[window.inner(1)] = last
        strides = _steps(framed.strides[1:-1], window)
        shape = (channels, *window.kernel, *window.out, last.shape[-1])
        strides = (framed.strides[0], *strides, framed.strides[-1])
        columns = as_strided(framed, shape, strides)
        yield part, columns.reshape(channels * math.prod(window.kernel), -1)


def _steps(strides: Any, window: Window) -> tuple[int, ...]:
    """The strides of places in the kernel, then of places of the kernel."""
    dilated = [a * d for a, d in zip(strides, window.dilation, strict=True)]
    return (*dilated, *(a * s for a, s in zip(strides, window.stride, strict=True)))


FUSED = ((convolution, fast_convolution),)
DIRECT = (
    (convolution, convolved),
    (conv_input, input_gradient),
    (conv_weight, weight_gradient),
)
