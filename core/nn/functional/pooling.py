"""Pooling: windows made one element."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any

from core.autograd.value import Kind, called
from core.nn.functional.convolution import each_dim, named, remembered
from core.ops.cast import contiguous
from core.ops.pool import flat_places, max_windows, winners

__all__ = (
    "max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d"
    " max_pool3d_with_indices"
).split()


# ---- one function for each number of dims -----------------------------------------------------


def check_dims(input: Any, n: int, name: str) -> None:
    """Raise RuntimeError unless `input` has n spatial dims, a channel dim and perhaps a batch."""
    if len(input.shape) not in (n + 1, n + 2):
        raise RuntimeError(
            f"{name}() Expected {n + 1}D or {n + 2}D input tensor, but got input of size:"
            f" {list(input.shape)}"
        )


def per_dim(name: str, function: Any, doc: str, dims: Sequence[int] = (1, 2, 3)) -> Any:
    """`function(n, x, ...)` of batches as one public function for each `n`.

    `name` holds a place for n; what is no batch becomes one, and is one no longer afterwards.
    """
    return [_of_dims(n, name.format(n), function, doc) for n in dims]


def _of_dims(n: int, name: str, function: Any, doc: str) -> Any:
    def pool(input: Any, *args: Any, **kwargs: Any) -> Any:
        check_dims(input, n, name)
        if len(input.shape) == n + 2:
            return function(n, input, *args, **kwargs)
        out = function(n, input.unsqueeze(0), *args, **kwargs)
        return tuple(map(_unbatched, out)) if isinstance(out, tuple) else _unbatched(out)

    pool.__module__ = function.__module__
    signature = inspect.signature(function)
    _, x, *rest = signature.parameters.values()
    named(pool, name, doc).__signature__ = signature.replace(
        parameters=[x.replace(name="input"), *rest]
    )
    return pool


def _unbatched(x: Any) -> Any:
    """The one sample of a batch, whose node bears the name of the batch's."""
    node = x.grad_fn
    return x.squeeze(0) if node is None else called(x.squeeze(0), node.name())


def with_indices(function: Any) -> Any:
    """The function, which gives places too, whatever `return_indices` says."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def found(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.arguments["return_indices"] = True
        return function(*given.args, **given.kwargs)

    return found


# ---- windows ----------------------------------------------------------------------------------


def pooled_size(
    size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[int, ...]:
    """How many windows stand along each dim; the last starts in the input or its left pad."""
    out = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        count = (room + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1
        out.append(count)
    return tuple(out)


def frame(
    size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[tuple[int, int], ...]:
    """(before, after) per dim so that exactly the windows of `pooled_size` fit.

    Raises: RuntimeError where nothing fits.
    """
    counts = pooled_size(size, kernel, stride, padding, dilation, ceil_mode)
    if any(count < 1 for count in counts):
        raise RuntimeError(
            f"Given input size: {tuple(size)}. Calculated output size: {counts}. Output size is"
            " too small"
        )
    each = zip(size, kernel, stride, padding, dilation, counts, strict=True)
    return tuple(
        (p, max(p, (c - 1) * s + d * (k - 1) + 1 - n - p) if ceil_mode else p)
        for n, k, s, p, d, c in each
    )


@functools.lru_cache(maxsize=512, typed=True)
def _windows(n: int, *args: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(windows(n, *args))


def windows(
    n: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1
) -> list[tuple[int, ...]]:
    """Kernel, stride (the kernel's size unless given), padding and dilation, once per dim.

    Raises: RuntimeError for sizes that no window has.
    """
    kernel = each_dim(kernel_size, n, "kernel_size")
    step = kernel if stride is None or stride == () else each_dim(stride, n, "stride")
    pads, apart = each_dim(padding, n, "padding"), each_dim(dilation, n, "dilation")
    if min(*kernel, *step, *apart) <= 0:
        raise RuntimeError(
            "kernel size, stride and dilation should be greater than zero, but got"
            f" {kernel}, {step} and {apart}"
        )
    check_padding([d * (k - 1) + 1 for k, d in zip(kernel, apart, strict=True)], pads)
    return [kernel, step, pads, apart]


def check_padding(kernel: Any, padding: Any) -> None:
    """Raise RuntimeError where the padding is more than half a kernel."""
    if any(p * 2 > k or p < 0 for k, p in zip(kernel, padding, strict=True)):
        raise RuntimeError(
            "pad should be at most half of effective kernel size, but got"
            f" pad={padding[0]}, kernel_size={kernel[0]} and dilation=1"
        )


def check_filled(x: Any) -> None:
    """Raise RuntimeError where a dim that is not the batch's has no elements."""
    if 0 in x.shape[1:]:
        raise RuntimeError(
            "Expected input with optional 0 dim batch size and other non-zero dims, but got"
            f" {list(x.shape)}"
        )


def _max_pool(
    n: int,
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    args = n, kernel_size, stride, padding, dilation
    kernel, stride, pads, dilation = remembered(_windows, *args)
    size = tuple(x.shape[2:])
    check_filled(x)
    if type(x) is Kind.waiting and n > 1 and not return_indices and not ceil_mode:
        out = x.with_pool(kernel, stride, pads, dilation)
        if out is not None:
            return out
    x = contiguous(x) if n != 2 else x
    both = frame(size, kernel, stride, pads, dilation, ceil_mode)
    out = max_windows(x, kernel, stride, both, dilation)
    if n == 1:
        called(out, "SqueezeBackward1")
    if not return_indices:
        return out
    best = winners(x.detach(), out.detach(), kernel, stride, both, dilation)
    return out, flat_places(best, size, kernel, stride, both, dilation)


max_pool1d, max_pool2d, max_pool3d = per_dim(
    "max_pool{}d",
    _max_pool,
    "The largest element of each window, with its place if `return_indices`.",
)
max_pool1d_with_indices, max_pool2d_with_indices, max_pool3d_with_indices = per_dim(
    "max_pool{}d_with_indices",
    with_indices(_max_pool),
    "The largest element of each window, and its place.",
)
