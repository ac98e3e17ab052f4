"""Pooling by means and powers, to a given size, by random regions, and undone."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core import random
from core.autograd.inplace import write_out
from core.autograd.place import where_it_lies
from core.autograd.value import called, wrap
from core.backend import device_of, module_of, to_host, xp
from core.nn.functional.convolution import each_dim, placed
from core.nn.functional.pooling import check_filled, frame, per_dim, windows, with_indices
from core.ops.activation import threshold_at
from core.ops.cast import clone
from core.ops.decompose import mT
from core.ops.division import div
from core.ops.elementwise import abs, sign
from core.ops.extreme import argmax
from core.ops.fold import sum_windows
from core.ops.gather import gather, index_select
from core.ops.join import cat
from core.ops.linalg import matmul
from core.ops.scatter import scatter
from core.ops.shape import reshape_array

__all__ = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
    adaptive_max_pool1d_with_indices adaptive_max_pool2d adaptive_max_pool2d_with_indices
    adaptive_max_pool3d adaptive_max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d
    fractional_max_pool2d fractional_max_pool2d_with_indices fractional_max_pool3d
    fractional_max_pool3d_with_indices lp_pool1d lp_pool2d lp_pool3d max_unpool1d max_unpool2d
    max_unpool3d
""".split()


# ---- means ------------------------------------------------------------------------------------


@where_it_lies
def _avg_pool(
    n: int,
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    out: Any = None,
) -> Any:
    kernel, stride, pads, _ = windows(n, kernel_size, stride, padding)
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    size = tuple(x.shape[2:])
    check_filled(x)
    if n == 3 and any(have < k for have, k in zip(size, kernel, strict=True)):
        raise RuntimeError(f"input image {size} smaller than kernel size {kernel}")
    both = frame(size, kernel, stride, pads, (1,) * n, ceil_mode)
    total = sum_windows(x, kernel, stride, both)
    count: Any = math.prod(kernel)
    if divisor_override is not None:
        count = divisor_override
    elif both != ((0, 0),) * n and not (count_include_pad and not ceil_mode):
        counts = _counts(size, tuple(total.shape[2:]), (kernel, stride, pads), count_include_pad)
        count = wrap(placed(x, counts.astype(x.array.dtype)))
    whole = not x.dtype.is_floating_point
    mean = div(total, count, rounding_mode="trunc") if whole else total / count
    mean = called(mean, _label(n, "AvgPool"))
    return mean if out is None else write_out(mean, out)


def _label(n: int, kind: str) -> str:
    """PyTorch's name of the node: its pools of one dim are those of two, squeezed."""
    return "SqueezeBackward1" if n == 1 else f"{kind}{n}DBackward0"


def _counts(size: Any, out: Any, how: Any, with_padding: bool) -> numpy.ndarray:
    """How many elements each window's mean is over."""
    counts = numpy.ones(())
    for n, count, k, s, p in zip(size, out, *how, strict=True):
        start = numpy.arange(count) * s - p
        end = numpy.minimum(start + k, n + p)
        if not with_padding:
            start, end = numpy.maximum(start, 0), numpy.minimum(end, n)
        counts = counts[..., None] * (end - start)
    return counts


def _lp_pool(
    n: int,
    x: Any,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Any:
    mean = _avg_pool(n, x**norm_type, kernel_size, stride, 0, ceil_mode)
    count = math.prod(each_dim(kernel_size, n, "kernel_size"))
    size = threshold_at(abs(mean), 0, 0)  # its slope is zero at zero, where the root's is infinite
    return (sign(mean).detach() * size * count) ** (1.0 / norm_type)


# ---- to a size --------------------------------------------------------------------------------


def _sizes(n: int, x: Any, output_size: Any) -> tuple[int, ...]:
    wanted = (
        (output_size,) * n if output_size is None or isinstance(output_size, int) else output_size
    )
    if len(wanted) != n:
        raise RuntimeError(f"adaptive pooling of {n} dims: output_size must be {n} numbers")
    out = tuple(
        have if want is None else int(want) for want, have in zip(wanted, x.shape[2:], strict=True)
    )
    if any(want < 0 for want in out):
        raise RuntimeError(
            "adaptive pooling: elements of output_size must be greater than or equal to 0 but"
            f" received {out}"
        )
    return out


def _bounds(n: int, count: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Where each of `count` regions of `n` elements starts and ends; they may overlap."""
    i = numpy.arange(count)
    return i * n // count, -(-(i + 1) * n // count)


@where_it_lies
def adaptive_mean(x: Any, sizes: tuple[int, ...]) -> Any:
    """The mean of each region, one dim after the other; a copy where there is nothing to do."""
    ndim = len(x.shape)
    if tuple(x.shape[ndim - len(sizes) :]) == tuple(sizes):
        return clone(x)
    for axis, count in enumerate(sizes, ndim - len(sizes)):
        n = x.shape[axis]
        if n == count:
            continue
        start, end = _bounds(n, count)
        places = numpy.arange(n)[:, None]
        inside = (places >= start) & (places < end)
        shares = (inside / (end - start)).astype(x.array.dtype)
        x = _combined(x, axis, wrap(placed(x, shares)))
    return x


def _combined(x: Any, axis: int, shares: Any) -> Any:
    """The sums along one dim that `shares` (elements, sums) says, row by row in memory."""
    shape = tuple(x.shape)
    before, after = shape[:axis], shape[axis + 1 :]
    if not after:
        return matmul(x, shares)
    planes = reshape_array(x, (math.prod(before), shape[axis], math.prod(after)))
    return reshape_array(matmul(mT(shares), planes), (*before, shares.shape[1], *after))


def _adaptive_avg_pool(n: int, x: Any, output_size: Any) -> Any:
    sizes = _sizes(n, x, output_size)
    label = "MeanBackward1" if n > 1 and set(sizes) == {1} else _label(n, "AdaptiveAvgPool")
    return called(adaptive_mean(x, sizes), label)


@where_it_lies
def _largest_in(x: Any, regions: list[tuple[numpy.ndarray, numpy.ndarray]]) -> tuple[Any, Any]:
    """The largest element of each region of the last dims, and their flat places."""
    n = len(regions)
    size = tuple(x.shape[2:])
    flat: Any = numpy.zeros((1,) * (2 * n), numpy.int64)
    for axis, (start, end) in enumerate(regions):
        width = int((end - start).max(initial=1))
        # A shorter region repeats its last element, which changes no maximum.
        line = numpy.minimum(start[:, None] + numpy.arange(width), end[:, None] - 1)
        line_shape = [1] * (2 * n)
        line_shape[axis], line_shape[n + axis] = line.shape
        flat = flat + line.reshape(line_shape) * math.prod(size[axis + 1 :])
    count = math.prod(flat.shape[:n])
    places = wrap(placed(x, flat.reshape(-1)))
    width = places.shape[0] // count if count else 0
    rows = reshape_array(x, (*x.shape[:2], math.prod(size)))
    seen = index_select(rows.detach(), 2, places)
    best = _best(reshape_array(seen, (*x.shape[:2], count, width)))
    where = places[best + wrap(placed(x, numpy.arange(count) * width))]
    out = gather(rows, 2, where)
    shape = (*x.shape[:2], *flat.shape[:n])
    return reshape_array(out, shape), reshape_array(where, shape)


def _best(rows: Any) -> Any:
    """Where the largest element of each row stands: of NaNs the last, else the first."""
    first = argmax(rows, -1)
    unordered = rows.array != rows.array
    if type(unordered) is numpy.ndarray and not unordered.any():  # a GPU would have to wait
        return first
    last = unordered.shape[-1] - 1 - unordered[..., ::-1].argmax(-1)
    return wrap(xp(unordered).where(unordered.any(-1), last, first.array))


def _adaptive_max_pool(n: int, x: Any, output_size: Any, return_indices: bool = False) -> Any:
    sizes = _sizes(n, x, output_size)
    found = _largest_in(x, [_bounds(have, want) for have, want in zip(x.shape[2:], sizes)])
    called(found[0], _label(n, "AdaptiveMaxPool"))
    return found if return_indices else found[0]


def _fractional_max_pool(
    n: int,
    x: Any,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    kernel = each_dim(kernel_size, n, "kernel_size")
    size = tuple(x.shape[2:])
    sizes = _counts_of_regions(size, kernel, output_size, output_ratio)
    if _random_samples is None:
        key = random.default_generator().reserve()
        samples = random.uniform(key, (*x.shape[:2], n), "float64")
    else:
        samples = to_host(_random_samples.array).astype("float64")
    if n == 2:  # PyTorch's samples of images, not those of volumes, are for the last dim first.
        samples = samples[..., ::-1]
    outs = [
        [
            _largest_in(
                x[b : b + 1, c : c + 1],
                [_regions(*row) for row in zip(samples[b, c], size, sizes, kernel, strict=True)],
            )
            for c in range(x.shape[1])
        ]
        for b in range(x.shape[0])
    ]
    if 0 in x.shape[:2]:
        found = _largest_in(x, [_regions(0.0, *row) for row in zip(size, sizes, kernel)])
    else:
        found = tuple(_grid([[pair[i] for pair in row] for row in outs]) for i in range(2))
    called(found[0], _label(n, "FractionalMaxPool"))
    return found if return_indices else found[0]


def _counts_of_regions(size: Any, kernel: Any, output_size: Any, ratio: Any) -> tuple[int, ...]:
    """How many random regions there are to be along each dim.

    Raises: ValueError, RuntimeError where that is not told, or there is no room for them.
    """
    n = len(size)
    if output_size is None and ratio is None:
        raise ValueError("fractional_max_pool requires specifying either an output_size or a ratio")
    if output_size is None:
        ratios = (ratio,) * n if isinstance(ratio, float) else ratio
        counts = tuple(int(have * ratio) for have, ratio in zip(size, ratios, strict=True))
    else:
        counts = each_dim(output_size, n, "output_size")
    for have, want, k in zip(size, counts, kernel, strict=True):
        if want + k - 1 > have:
            raise RuntimeError(
                f"fractional_max_pool{n}d(): {want} regions of {k} are too many for an input of"
                f" size {have}"
            )
    return counts


def _regions(u: float, size: int, count: int, k: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Regions of k elements at random distances; the last one ends at the end.

    Source: Graham (2014).
    """
    start = numpy.zeros(count, numpy.int64)
    if count > 1:
        alpha = (size - k) / (count - 1)
        i = numpy.arange(count)
        start = ((i + u) * alpha).astype(numpy.int64) - int(u * alpha)
    start[-1] = size - k
    return start, start + k


def _grid(rows: list[list[Any]]) -> Any:
    return cat([cat(row, 1) for row in rows], 0)


# ---- undone -----------------------------------------------------------------------------------


@where_it_lies
def _max_unpool(
    n: int,
    x: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Any:
    kernel = each_dim(kernel_size, n, "kernel_size")
    stride = kernel if stride is None else each_dim(stride, n, "stride")
    pads = each_dim(padding, n, "padding")
    indices = indices if len(indices.shape) == n + 2 else indices.unsqueeze(0)
    if indices.shape != x.shape:
        raise RuntimeError(
            f"Expected shape of indices to be same as that of the input tensor ({list(x.shape)})"
            f" but got indices tensor with shape: {list(indices.shape)}"
        )
    shapes = zip(x.shape[2:], kernel, stride, pads, strict=True)
    usual = tuple((have - 1) * s + k - 2 * p for have, k, s, p in shapes)
    size = usual if output_size is None else _unpooled_size(n, output_size, usual, stride)
    rows = (*x.shape[:2], math.prod(x.shape[2:]))
    module = module_of(device_of(x.array))
    zeros = wrap(module.zeros((*x.shape[:2], math.prod(size)), x.array.dtype))
    out = scatter(zeros, 2, reshape_array(indices, rows), reshape_array(x, rows))
    name = "SqueezeBackward1" if n == 1 else f"MaxUnpool{n}DBackward0"
    return called(reshape_array(out, (*x.shape[:2], *size)), name)


def _unpooled_size(n: int, given: Any, usual: Any, stride: Any) -> tuple[int, ...]:
    """The size that was asked for.

    Raises: ValueError where pooling with this stride could not have been of it.
    """
    if len(given) not in (n, n + 2):
        raise ValueError(
            f"output_size should be a sequence containing {n} or {n + 2} elements, but it has a"
            f" length of '{len(given)}'"
        )
    size = tuple(given)[-n:]
    for i, (want, middle, s) in enumerate(zip(size, usual, stride, strict=True)):
        if not middle - s < want < middle + s:
            raise ValueError(
                f'invalid output_size "{size}" (dim {i} must be between {middle - s} and'
                f" {middle + s})"
            )
    return size


avg_pool1d, avg_pool2d, avg_pool3d = per_dim("avg_pool{}d", _avg_pool, "The mean of each window.")
lp_pool1d, lp_pool2d, lp_pool3d = per_dim("lp_pool{}d", _lp_pool, "The p-norm of each window.")
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = per_dim(
    "adaptive_avg_pool{}d", _adaptive_avg_pool, "The means of regions, as many as asked for."
)
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = per_dim(
    "adaptive_max_pool{}d", _adaptive_max_pool, "The largest elements of so many regions."
)
(
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d_with_indices,
) = per_dim(
    "adaptive_max_pool{}d_with_indices",
    with_indices(_adaptive_max_pool),
    "The largest elements of so many regions, and their places.",
)
fractional_max_pool2d, fractional_max_pool3d = per_dim(
    "fractional_max_pool{}d",
    _fractional_max_pool,
    "The largest elements of random regions.",
    (2, 3),
)
fractional_max_pool2d_with_indices, fractional_max_pool3d_with_indices = per_dim(
    "fractional_max_pool{}d_with_indices",
    with_indices(_fractional_max_pool),
    "The largest elements of random regions, and their places.",
    (2, 3),
)
max_unpool1d, max_unpool2d, max_unpool3d = per_dim(
    "max_unpool{}d", _max_unpool, "Zeros with the elements where max pooling found them."
)
