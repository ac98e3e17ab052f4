"""Pooling: the largest, or the mean, of each window."""

from __future__ import annotations

from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.backend import xp
from core.ops.conv import Window


@primitive(label=lambda node: f"MaxPool{len(node.shape) - 2}DWithIndicesBackward0", fresh=True)
def max_windows(x, kernel, stride, padding, dilation):
    """The largest element of each window; padding is (before, after) per dim.

    Shape: (N, C, *S) -> (N, C, *P).
    """
    window = Window(x.shape[2:], kernel, stride, padding, dilation)
    parts = window.offsets()
    x = window.padded(x, _lowest(x.dtype))
    out = x[next(parts)].copy()
    for part in parts:
        xp(x).maximum(out, x[part], out=out)
    return out


# The largest are found again, not saved: a ReLU in place often follows, and changes them.
max_windows.defvjp(
    x=lambda g, x, x_shape, kernel, stride, padding, dilation: spread_windows(
        g,
        winners(
            x,
            max_windows(x, kernel, stride, padding, dilation),
            kernel,
            stride,
            padding,
            dilation,
        ),
        tuple(x_shape[2:]),
        kernel,
        stride,
        padding,
        dilation,
    ),
    kernel=None,
    stride=None,
    padding=None,
    dilation=None,
)


@primitive
def winners(x, out, kernel, stride, padding, dilation):
    """Which place of the kernel holds the largest element: of NaNs the last, else the first.

    Padding never does, also where all elements are as low as it is.
    """
    window = Window(x.shape[2:], kernel, stride, padding, dilation)
    inside = None
    if window.full != window.size:
        inside = window.padded(xp(x).ones((1, 1, *window.size), bool), False)
    x = window.padded(x, _lowest(x.dtype))
    best = xp(x).full(out.shape, -1, numpy.int32)
    for i, part in enumerate(window.offsets()):
        found = (x[part] == out) & (best < 0)
        if inside is not None:
            found &= inside[part]
        if x.dtype.kind in "fV":
            found |= x[part] != x[part]
        best = xp(x).where(found, numpy.int32(i), best)
    return best


winners.defvjp(x=None, out=None)


@primitive
def spread_windows(g, places, size, kernel, stride, padding, dilation):
    """Zeros of spatial `size` with each window's `g` added at its place."""
    window = Window(size, kernel, stride, padding, dilation)
    out = xp(g).zeros((*g.shape[:2], *window.full), g.dtype)
    zero = g.dtype.type(0)
    for i, part in enumerate(window.offsets()):
        out[part] += xp(g).where(places == i, g, zero)
    return window.cropped(out)


@primitive
def gather_windows(x, places, kernel, stride, padding, dilation):
    """The element of each window that stands at its place."""
    window = Window(x.shape[2:], kernel, stride, padding, dilation)
    x = window.padded(x)
    out = xp(x).zeros(places.shape, x.dtype)
    for i, part in enumerate(window.offsets()):
        out = xp(x).where(places == i, x[part], out)
    return out


spread_windows.defvjp(
    g=lambda h, places, kernel, stride, padding, dilation: gather_windows(
        h, places, kernel, stride, padding, dilation
    ),
    places=None,
)
gather_windows.defvjp(
    x=lambda g, places, x_shape, kernel, stride, padding, dilation: spread_windows(
        g, places, tuple(x_shape[2:]), kernel, stride, padding, dilation
    ),
    places=None,
)


def _lowest(dtype: Any) -> Any:
    return -numpy.inf if dtype.kind in "fV" else numpy.iinfo(dtype).min


@primitive
def flat_places(places, size, kernel, stride, padding, dilation):
    """The flat index in the input of the element that each window's place means.

    Dtype: int64.
    """
    module = xp(places)
    rest, where = places.astype(numpy.int64), []
    for k in reversed(kernel):
        where.append(rest % k)
        rest = rest // k
    out = module.zeros(places.shape, numpy.int64)
    for i, inside in enumerate(reversed(where)):
        n = places.ndim - len(kernel) + i
        corner = module.arange(places.shape[n]) * stride[i] - padding[i][0]
        corner = corner.reshape((-1,) + (1,) * (places.ndim - n - 1))
        out = out * size[i] + corner + inside * dilation[i]
    return out


flat_places.defvjp(places=None)
