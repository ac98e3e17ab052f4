"""Windows as columns, and channels traded for space."""

from __future__ import annotations

import math
from typing import Any

from core.autograd.value import called
from core.nn.functional.convolution import each_dim
from core.ops.cast import clone
from core.ops.fold import fold_columns, unfold_columns
from core.ops.shape import permute, reshape_array

__all__ = "fold unfold pixel_shuffle pixel_unshuffle channel_shuffle".split()


def unfold(
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """What each place of a kernel meets, window by window.

    Shape: (N, C, H, W) -> (N, C * prod(kernel_size), windows).
    """
    if len(input.shape) not in (3, 4):
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero"
            f" dimensions for input, but got: {list(input.shape)}"
        )
    batched = len(input.shape) == 4
    x = input if batched else input.unsqueeze(0)
    kernel, stride, pads, dilation = _each(kernel_size, stride, padding, dilation)
    counts = _blocks(x.shape[2:], kernel, stride, pads, dilation)
    if min(counts) < 1:
        raise RuntimeError(
            f"Given input with spatial size {tuple(x.shape[2:])}, kernel_size={kernel},"
            f" dilation={dilation}, padding={tuple(lo for lo, _ in pads)}, calculated shape of the"
            f" array of sliding blocks as {counts}, but its components must be at least one."
        )
    out = unfold_columns(x, kernel, stride, pads, dilation)
    return out if batched else out.squeeze(0)


def _each(kernel: Any, stride: Any, padding: Any, dilation: Any) -> tuple[Any, Any, Any, Any]:
    pads = tuple((p, p) for p in each_dim(padding, 2, "padding"))
    return each_dim(kernel, 2), each_dim(stride, 2), pads, each_dim(dilation, 2)


def _blocks(size: Any, kernel: Any, stride: Any, pads: Any, dilation: Any) -> tuple[int, ...]:
    """How many windows there are along each dim."""
    each = zip(size, kernel, stride, pads, dilation, strict=True)
    return tuple((n + p[0] + p[1] - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in each)


def fold(
    input: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Any:
    """Windows added up to an image: the transpose of `unfold`.

    Raises: RuntimeError where the numbers of windows or channels do not fit.
    """
    if len(input.shape) not in (2, 3):
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and"
            f" non-zero dimensions for input, but got: {list(input.shape)}"
        )
    batched = len(input.shape) == 3
    x = input if batched else input.unsqueeze(0)
    size = each_dim(output_size, 2)
    kernel, stride, pads, dilation = _each(kernel_size, stride, padding, dilation)
    count = math.prod(_blocks(size, kernel, stride, pads, dilation))
    if x.shape[1] % math.prod(kernel):
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size,"
            f" but got input.size(1)={x.shape[1]} and kernel_size={kernel}."
        )
    if x.shape[2] != count:
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={kernel}, expected size of input's dimension 2"
            f" to match the calculated number of sliding blocks {count}, but got"
            f" input.size(2)={x.shape[2]}."
        )
    out = fold_columns(x, size, kernel, stride, pads, dilation)
    return out if batched else out.squeeze(0)


def _image(name: str, input: Any, factor: int, what: str) -> Any:
    """The shape of an image with channels, of any batch.

    Raises: RuntimeError for what is none, or a factor that is no factor.
    """
    if len(input.shape) < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with"
            f" {len(input.shape)} dimension(s)"
        )
    if factor <= 0:
        raise RuntimeError(f"{name} expects a positive {what}, but got {factor}")
    return input.shape


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Channels turned into finer pixels.

    Shape: (*, C * r * r, H, W) -> (*, C, H * r, W * r).
    """
    *lead, c, h, w = _image("pixel_shuffle", input, upscale_factor, "upscale_factor")
    r = upscale_factor
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of"
            f" upscale_factor, but input.size(-3)={c} is not divisible by {r * r}"
        )
    n = len(lead)
    x = reshape_array(input, (*lead, c // (r * r), r, r, h, w))
    x = permute(x, *range(n), n, n + 3, n + 1, n + 4, n + 2)
    out = reshape_array(x, (*lead, c // (r * r), h * r, w * r))
    return called(_apart(out), "PixelShuffleBackward0")


def _apart(x: Any) -> Any:
    """The pixels in memory of their own, also where none moved."""
    return x if x.base is None else clone(x)


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """Fine pixels turned into channels: the inverse of `pixel_shuffle`."""
    *lead, c, h, w = _image("pixel_unshuffle", input, downscale_factor, "downscale_factor")
    r = downscale_factor
    if h % r or w % r:
        raise RuntimeError(
            "pixel_unshuffle expects height and width to be divisible by downscale_factor, but got"
            f" {h} and {w}, not divisible by {r}"
        )
    n = len(lead)
    x = reshape_array(input, (*lead, c, h // r, r, w // r, r))
    x = permute(x, *range(n), n, n + 2, n + 4, n + 1, n + 3)
    out = reshape_array(x, (*lead, c * r * r, h // r, w // r))
    return called(_apart(out), "PixelUnshuffleBackward0")


def channel_shuffle(input: Any, groups: int) -> Any:
    """The channels of all groups in turn.

    Shape: (N, C, *) -> the same.
    """
    shape = tuple(input.shape)
    if len(shape) < 3:
        raise RuntimeError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(shape)}"
        )
    if groups <= 0:
        raise RuntimeError(
            f"Number of groups to divide channels in must be positive. Value of groups:{groups}"
        )
    if shape[1] % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {shape[1]} channels and"
            f" {groups} groups."
        )
    x = reshape_array(input, (shape[0], groups, shape[1] // groups, *shape[2:]))
    x = permute(x, 0, 2, 1, *range(3, len(shape) + 1))
    return called(reshape_array(x, shape), "ChannelShuffleBackward0")
