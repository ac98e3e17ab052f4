"""Convolution: three products that are each other's gradients, over columns cut out of the input.

`convolution` correlates, `conv_input` spreads (the transposed convolution), `conv_weight` compares.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.autograd.product import total
from core.backend import xp
from core.ops.promotion import accumulates_in, same_device

# Columns are made and used in pieces that stay in the cache; a GPU has room for larger ones.
_PIECE = 1 << 18
_PIECE_GPU = 1 << 26


@primitive(casts=same_device, label="ConvolutionBackward0", fresh=True)
def convolution(x, w, b, stride, padding, dilation, groups):
    """The correlation of `x` with kernels `w`, plus `b` per channel; padding is (before, after).

    Shape: (N, C, *S), (O, C/groups, *K), (O,) or None -> (N, O, *P).
    Dtype: half types are accumulated in float32.
    """
    want = x.dtype
    x, w = x.astype(accumulates_in(want), copy=False), w.astype(accumulates_in(want), copy=False)
    window = Window(x.shape[2:], w.shape[2:], stride, padding, dilation)
    kernels = w.reshape(groups, w.shape[0] // groups, -1)
    x = window.padded(x)
    out = xp(x).empty((x.shape[0], w.shape[0], *window.out), x.dtype)
    for part, columns in window.columns(x, groups):
        product = xp(x).matmul(kernels, columns)
        if b is not None:
            product += b.reshape(groups, -1, 1)
        _batch_first(product, len(out[part]), window.out, out[part])
    return out.astype(want, copy=False)


convolution.op.unread = (2,)


@primitive(casts=same_device, label="ConvolutionBackward0")
def conv_input(g, w, size, stride, padding, dilation, groups):
    """The gradient of `convolution` with respect to an input of spatial `size`.

    Shape: (N, O, *P), (O, C/groups, *K) -> (N, C, *size).
    """
    want = g.dtype
    g, w = g.astype(accumulates_in(want), copy=False), w.astype(accumulates_in(want), copy=False)
    window = Window(size, w.shape[2:], stride, padding, dilation)
    kernels = w.reshape(groups, w.shape[0] // groups, -1).swapaxes(1, 2)
    channels = w.shape[1] * groups
    out = xp(g).empty((g.shape[0], channels, *window.size), g.dtype)
    # The batch is the last axis in here: what is added up lies in long runs of memory.
    for part in window.parts(g, channels):
        last = first_last(g[part])
        last = last.reshape(groups, g.shape[1] // groups, -1)
        whole = window.added(xp(g).matmul(kernels, last), channels)
        out[part] = last_first(whole[window.inner(1)])
    return out.astype(want, copy=False)


@primitive(casts=same_device, label="ConvolutionBackward0")
def conv_weight(x, g, kernel, stride, padding, dilation, groups):
    """The gradient of `convolution` with respect to weights of spatial size `kernel`.

    Shape: (N, C, *S), (N, O, *P) -> (O, C/groups, *kernel).
    """
    want = x.dtype
    x, g = x.astype(accumulates_in(want), copy=False), g.astype(accumulates_in(want), copy=False)
    window = Window(x.shape[2:], kernel, stride, padding, dilation)
    x = window.padded(x)
    channels = x.shape[1] // groups
    out = xp(x).zeros((groups, g.shape[1] // groups, channels * math.prod(kernel)), x.dtype)
    for part, columns in window.columns(x, groups):
        out += xp(x).matmul(_batch_last(g[part], groups), columns.swapaxes(1, 2))
    return out.reshape(g.shape[1], channels, *kernel).astype(want, copy=False)


convolution.defvjp(
    x=lambda g, w, x_shape, stride, padding, dilation, groups: conv_input(
        g, w, tuple(x_shape[2:]), stride, padding, dilation, groups
    ),
    w=lambda g, x, w_shape, stride, padding, dilation, groups: conv_weight(
        x, g, tuple(w_shape[2:]), stride, padding, dilation, groups
    ),
    b=lambda g: total(g, (0, *range(2, len(g.shape))), False),
    stride=None,
    padding=None,
    dilation=None,
    groups=None,
)
conv_input.defvjp(
    g=lambda h, w, stride, padding, dilation, groups: convolution(
        h, w, None, stride, padding, dilation, groups
    ),
    w=lambda h, g, w_shape, stride, padding, dilation, groups: conv_weight(
        h, g, tuple(w_shape[2:]), stride, padding, dilation, groups
    ),
    size=None,
    stride=None,
    padding=None,
    dilation=None,
    groups=None,
)
conv_weight.defvjp(
    x=lambda h, g, x_shape, stride, padding, dilation, groups: conv_input(
        g, h, tuple(x_shape[2:]), stride, padding, dilation, groups
    ),
    g=lambda h, x, stride, padding, dilation, groups: convolution(
        x, h, None, stride, padding, dilation, groups
    ),
    kernel=None,
    stride=None,
    padding=None,
    dilation=None,
    groups=None,
)


# ---- windows ----------------------------------------------------------------------------------


class Window:
    """Where a kernel stands over an input: sizes with padding, and of the result.

    `full` is the input's size with its padding, `out` the number of places per dim.
    """

    def __init__(self, size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> None:
        self.size, self.kernel = tuple(size), tuple(kernel)
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.full = tuple(n + lo + hi for n, (lo, hi) in zip(size, padding, strict=True))
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        sizes = zip(self.full, reach, stride, strict=True)
        self.out = tuple((n - r) // s + 1 for n, r, s in sizes)

    def padded(self, x: Any, value: Any = 0) -> Any:
        """`x` inside a frame of `value`; itself without padding."""
        if not any(lo or hi for lo, hi in self.padding):
            return x
        out = xp(x).full((*x.shape[:2], *self.full), value, x.dtype)
        out[self.inner()] = x
        return out

    def cropped(self, x: Any) -> Any:
        """`x` without its padding."""
        if self.full == self.size:
            return x
        return xp(x).ascontiguousarray(x[self.inner()])

    def inner(self, lead: int = 2) -> Any:
        """The key of what is not padding, behind `lead` other axes."""
        inner = [slice(lo, lo + n) for n, (lo, _) in zip(self.size, self.padding, strict=True)]
        return (*(slice(None),) * lead, *inner)

    def offsets(self) -> Any:
        """For each place in the kernel, in order, the part of the padded input that it meets."""
        for place in itertools.product(*(range(k) for k in self.kernel)):
            each = zip(place, self.dilation, self.stride, self.out, strict=True)
            yield (..., *(slice(k * d, k * d + s * (n - 1) + 1, s) for k, d, s, n in each))

    def parts(self, x: Any, channels: int) -> Any:
        """Slices of the batch whose columns fit the cache."""
        limit = _PIECE if type(x) is numpy.ndarray else _PIECE_GPU
        each = max(1, channels * math.prod(self.kernel) * math.prod(self.out))
        step = max(1, limit // each)
        return (slice(i, i + step) for i in range(0, x.shape[0], step))

    def columns(self, x: Any, groups: int) -> Any:
        """(part of the batch, its columns): what each kernel sees at each place.

        Shape: padded (N, C, *full) -> (groups, C/groups * prod(K), n * prod(P)).
        """
        channels = x.shape[1]
        strided = [a * s for a, s in zip(x.strides[2:], self.stride, strict=True)]
        dilated = [a * d for a, d in zip(x.strides[2:], self.dilation, strict=True)]
        shape = (channels, *self.kernel, x.shape[0], *self.out)
        strides = (x.strides[1], *dilated, x.strides[0], *strided)
        windows = xp(x).lib.stride_tricks.as_strided(x, shape, strides)
        skip = (slice(None),) * (1 + len(self.kernel))
        rows = channels // groups * math.prod(self.kernel)
        for part in self.parts(x, channels):
            yield part, windows[(*skip, part)].reshape(groups, rows, -1)

    def added(self, columns: Any, channels: int) -> Any:
        """Columns added up where they were cut out.

        Shape: (groups, C/groups * prod(K), prod(P) * n) -> (C, *full, n).
        """
        columns = columns.reshape(channels, math.prod(self.kernel), *self.out, -1)
        out = xp(columns).zeros((channels, *self.full, columns.shape[-1]), columns.dtype)
        for i, (_, *where) in enumerate(self.offsets()):
            out[(slice(None), *where)] += columns[:, i]
        return out


def first_last(x: Any) -> Any:
    """`x` with its first axis last; moveaxis takes 10 us for it."""
    return x.transpose(*range(1, x.ndim), 0)


def last_first(x: Any) -> Any:
    """`x` with its last axis first."""
    return x.transpose(-1, *range(x.ndim - 1))


def _batch_last(g: Any, groups: int) -> Any:
    """(n, O, *P) -> (groups, O/groups, n * prod(P))."""
    return g.swapaxes(0, 1).reshape(groups, g.shape[1] // groups, -1)


def _batch_first(x: Any, n: int, size: Any, out: Any) -> None:
    """Write (groups, O/groups, n * prod(P)) to `out` of shape (n, O, *P)."""
    out[...] = x.reshape(out.shape[1], n, *size).swapaxes(0, 1)
