"""Windows of images as columns, and columns added up to images; sums over windows."""

from __future__ import annotations

import math

from core.autograd.dispatch import primitive
from core.backend import xp
from core.ops.conv import Window


@primitive(label="Im2ColBackward0")
def unfold_columns(x, kernel, stride, padding, dilation):
    """What each place of a kernel meets, window by window.

    Shape: (N, C, *S) -> (N, C * prod(kernel), prod(P)).
    """
    window = Window(x.shape[2:], kernel, stride, padding, dilation)
    x = window.padded(x)
    parts = [x[part] for part in window.offsets()]
    out = xp(x).stack(parts, 2)
    return out.reshape(x.shape[0], x.shape[1] * math.prod(kernel), math.prod(window.out))


@primitive(label="Col2ImBackward0")
def fold_columns(columns, size, kernel, stride, padding, dilation):
    """Columns added up where `unfold_columns` took them from an input of spatial `size`."""
    window = Window(size, kernel, stride, padding, dilation)
    places = math.prod(kernel)
    batch, channels = columns.shape[0], columns.shape[1] // places
    columns = columns.reshape(batch, channels, places, *window.out)
    out = xp(columns).zeros((batch, channels, *window.full), columns.dtype)
    for i, part in enumerate(window.offsets()):
        out[part] += columns[:, :, i]
    return window.cropped(out)


unfold_columns.defvjp(
    x=lambda g, x_shape, kernel, stride, padding, dilation: fold_columns(
        g, tuple(x_shape[2:]), kernel, stride, padding, dilation
    ),
    kernel=None,
)
fold_columns.defvjp(
    columns=lambda g, kernel, stride, padding, dilation: unfold_columns(
        g, kernel, stride, padding, dilation
    ),
    size=None,
)


@primitive
def sum_windows(x, kernel, stride, padding):
    """The sum of each window; zeros outside.

    Shape: (N, C, *S) -> (N, C, *P).
    """
    window = Window(x.shape[2:], kernel, stride, padding, (1,) * len(kernel))
    x = window.padded(x)
    parts = window.offsets()
    out = x[next(parts)].copy()
    for part in parts:
        out += x[part]
    return out


@primitive
def spread_sums(g, size, kernel, stride, padding):
    """Each element of `g` added to all of its window in an input of spatial `size`."""
    window = Window(size, kernel, stride, padding, (1,) * len(kernel))
    out = xp(g).zeros((*g.shape[:2], *window.full), g.dtype)
    for part in window.offsets():
        out[part] += g
    return window.cropped(out)


sum_windows.op.label = lambda node: f"AvgPool{len(node.shape) - 2}DBackward0"
sum_windows.defvjp(
    x=lambda g, x_shape, kernel, stride, padding: spread_sums(
        g, tuple(x_shape[2:]), kernel, stride, padding
    ),
    kernel=None,
)
spread_sums.defvjp(
    g=lambda h, kernel, stride, padding: sum_windows(h, kernel, stride, padding), size=None
)
