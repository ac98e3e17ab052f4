"""A convolution, a ReLU and a max pool over tiles, in one: what many image models begin with."""

from __future__ import annotations

from core.autograd.dispatch import composite
from core.ops.choice import relu
from core.ops.conv import convolution
from core.ops.pool import max_windows


@composite
def conv_relu_pool(x, w, b, padding, tile):
    """The largest element of each tile of `relu(convolution(x, w, b))`; strides are one.

    Shape: (N, C, *S), (O, C, *K), (O,) or None -> (N, O, *P).
    """
    ones = (1,) * len(tile)
    y = relu(convolution(x, w, b, ones, padding, ones, 1))
    return max_windows(y, tile, tile, ((0, 0),) * len(tile), ones)


conv_relu_pool.op.label = max_windows.op.label
conv_relu_pool.op.unread = (2,)
