"""Modules one after the other, of which some neighbours can be computed as one op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.autograd.mode import mode
from core.autograd.value import Kind
from core.nn.activation import ReLU
from core.nn.conv import Conv1d, Conv2d, Conv3d, repeated
from core.nn.hooks import EVERY_MODULE
from core.nn.module import Module
from core.nn.pooling import MaxPool1d, MaxPool2d, MaxPool3d
from core.ops.conv_pool import conv_relu_pool

LEADING: dict[type, type] = {Conv1d: MaxPool1d, Conv2d: MaxPool2d, Conv3d: MaxPool3d}


def run(modules: Sequence[Any], x: Any) -> Any:
    """The last result; a convolution, a ReLU and a max pool in a row never make what lies between.

    Only where nobody could see it: without hooks, and with nothing that watches ops.
    """
    i = 0
    while i < len(modules):
        three = modules[i : i + 3]
        y = _in_one(three[0], three[2], x) if _is_chain(three) else None
        x, i = (modules[i](x), i + 1) if y is None else (y, i + 3)
    return x


def _is_chain(modules: Sequence[Module]) -> bool:
    if len(modules) < 3 or type(modules[1]) is not ReLU or EVERY_MODULE or mode.watchers:
        return False
    return type(modules[2]) is LEADING.get(type(modules[0])) and all(map(_is_plain, modules))


def _is_plain(module: Module) -> bool:
    return not module._hooks and "forward" not in module.__dict__


def _in_one(conv: Any, pool: Any, x: Any) -> Any:
    """What a pool of a ReLU of a convolution gives, or None where each is to be called."""
    w, b = conv.weight, conv.bias
    tile, padding = repeated(pool.kernel_size, conv.dims), conv.padding
    if not (_is_simple(conv) and _has_tiles(pool, tile) and _fit(x, w, b, padding, tile)):
        return None
    return conv_relu_pool(x, w, b, tuple([(p, p) for p in padding]), tile)


def _is_simple(conv: Any) -> bool:
    ones = (1,) * conv.dims
    return (
        conv.stride == ones
        and conv.dilation == ones
        and conv.groups == 1
        and conv.padding_mode == "zeros"
        and type(conv.padding) is tuple
    )


def _has_tiles(pool: Any, tile: tuple[int, ...]) -> bool:
    n = len(tile)
    return (
        (pool.stride is pool.kernel_size or repeated(pool.stride, n) == tile)
        and repeated(pool.padding, n) == (0,) * n
        and repeated(pool.dilation, n) == (1,) * n
        and not pool.return_indices
        and not pool.ceil_mode
    )


def _fit(x: Any, w: Any, b: Any, padding: Any, tile: Any) -> bool:
    """Whether these are a batch and weights for it, with at least one tile to be pooled."""
    if type(x) is not Kind.of_results or x.array.ndim != len(tile) + 2:
        return False
    (_, channels, *size), (outs, seen, *kernel) = x.array.shape, w.array.shape
    if channels != seen or x.array.dtype != w.array.dtype:
        return False
    if b is not None and (b.array.dtype != x.array.dtype or b.array.shape != (outs,)):
        return False
    sizes = zip(size, padding, kernel, tile, strict=True)
    return all(0 < t <= n + 2 * p - k + 1 and k > 0 for n, p, k, t in sizes)
