"""Convolutions of one, two and three dims, and their transposes."""

from __future__ import annotations

import functools
from typing import Any

from core.autograd.adapt import adaptable
from core.autograd.value import Value, called
from core.backend import device_of, to_device
from core.ops.conv import conv_input, convolution
from core.ops.pad import constant_pad_nd
from core.ops.shape import permute, reshape_array
from core.waiting import convolved

__all__ = (
    "conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d"
).split()


def each_dim(x: Any, n: int, what: str = "value") -> tuple[int, ...]:
    """`x` once per dim.

    Raises: RuntimeError for a wrong count.
    """
    if isinstance(x, int):
        return (x,) * n
    out = tuple(int(v) for v in x)
    if len(out) == 1:
        out *= n
    if len(out) != n:
        raise RuntimeError(f"expected {what} to be a single integer value or a list of {n} values")
    return out


def remembered(cached: Any, *args: Any) -> Any:
    """What a cached function gives, which takes lists too."""
    return cached(*[tuple(a) if type(a) is list else a for a in args])


def named(function: Any, name: str, doc: str) -> Any:
    """The function, with the name and the text that its users see."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def placed(x: Any, values: Any, dtype: Any = None) -> Any:
    """NumPy's `values` on the device of a tensor."""
    values = values if dtype is None else values.astype(dtype)
    return to_device(values, device_of(x.array))


def same_padding(kernel: Any, dilation: Any) -> tuple[tuple[int, int], ...]:
    """(before, after) per dim that keeps the size; the odd one goes after."""
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((t // 2, t - t // 2) for t in totals)


def _padding(padding: Any, kernel: Any, stride: Any, dilation: Any, n: int) -> Any:
    if padding == "valid":
        return ((0, 0),) * n
    if padding == "same":
        if any(s != 1 for s in stride):
            raise RuntimeError("padding='same' is not supported for strided convolutions")
        return same_padding(kernel, dilation)
    if isinstance(padding, str):
        raise RuntimeError(f"Invalid padding string: '{padding}', expected 'valid' or 'same'")
    return tuple((p, p) for p in each_dim(padding, n, "padding"))


def _agree(input: Any, weight: Any, bias: Any, n: int, groups: int) -> bool:
    """Whether these are what mostly comes, in which there is nothing to check."""
    if not (isinstance(input, Value) and isinstance(weight, Value)):
        return False
    if not (bias is None or isinstance(bias, Value)):
        return False
    x, w, b = input.array, weight.array, None if bias is None else bias.array
    return (
        x.ndim == n + 2 == w.ndim
        and groups == 1
        and x.shape[1] == w.shape[1]
        and x.dtype is w.dtype
        and (b is None or (b.dtype is w.dtype and b.shape == w.shape[:1]))
    )


def _check(input: Any, weight: Any, bias: Any, n: int, groups: int, transposed: bool) -> None:
    kind = f"conv_transpose{n}d" if transposed else f"conv{n}d"
    for position, (name, x) in enumerate((("input", input), ("weight", weight), ("bias", bias)), 1):
        if not isinstance(x, Value) and not (x is None and name == "bias"):
            what = f"argument '{name}' (position {position}) must be Tensor"
            raise TypeError(f"{kind}(): {what}, not {type(x).__name__}")
    if len(weight.shape) != n + 2:
        raise RuntimeError(
            f"Expected a weight of {n + 2} dims for {kind}, but got one of size"
            f" {list(weight.shape)}"
        )
    if len(input.shape) not in (n + 1, n + 2):
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {kind}, but got input of"
            f" size: {list(input.shape)}"
        )
    if input.array.dtype != weight.array.dtype:
        raise RuntimeError(
            f"Input type ({input.dtype}) and weight type ({weight.dtype}) should be the same"
        )
    if bias is not None and input.array.dtype != bias.array.dtype:
        raise RuntimeError(
            f"Input type ({input.dtype}) and bias type ({bias.dtype}) should be the same"
        )
    channels = input.shape[-n - 1]
    expected = weight.shape[0] if transposed else weight.shape[1] * groups
    if channels != expected:
        raise RuntimeError(
            f"Given {'transposed=1' if transposed else f'groups={groups}'}, weight of size"
            f" {list(weight.shape)}, expected input{list(input.shape)} to have {expected} channels,"
            f" but got {channels} channels instead"
        )
    produced = weight.shape[1] * groups if transposed else weight.shape[0]
    if bias is not None and tuple(bias.shape) != (produced,):
        raise RuntimeError(
            f"Given weight of size {list(weight.shape)}, expected bias to be 1-dimensional with"
            f" {produced} elements, but got bias of size {list(bias.shape)} instead"
        )


def _check_fits(size: Any, kernel: Any, pads: Any, stride: Any, dilation: Any) -> None:
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError("non-positive dilation is not supported")
    full = tuple(n + lo + hi for n, (lo, hi) in zip(size, pads, strict=True))
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    if any(r > n for r, n in zip(reach, full, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({' x '.join(map(str, full))})."
            f" Kernel size: ({' x '.join(map(str, reach))}). Kernel size can't be greater than"
            " actual input size"
        )


@functools.lru_cache(maxsize=512, typed=True)
def _window(size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """Stride, padding before and after, and dilation, per dim, of a convolution that fits."""
    n = len(kernel)
    stride, dilation = each_dim(stride, n, "stride"), each_dim(dilation, n, "dilation")
    pads = _padding(padding, kernel, stride, dilation, n)
    _check_fits(size, kernel, pads, stride, dilation)
    return stride, pads, dilation


def _convolution(n: int) -> Any:
    def conv(
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Any:
        if not _agree(input, weight, bias, n, groups):
            _check(input, weight, bias, n, groups, False)
        sizes = input.array.shape[-n:], weight.array.shape[2:]
        stride, pads, dilation = remembered(_window, *sizes, stride, padding, dilation)
        if len(input.shape) == n + 2:
            return convolved(input, weight, bias, stride, pads, dilation, groups)
        out = convolution(input.unsqueeze(0), weight, bias, stride, pads, dilation, groups)
        return out.squeeze(0)

    kind = ("sequences", "images", "volumes")[n - 1]
    size, kernel, out = (
        ", ".join(form.format(x) for x in "DHW"[3 - n :]) for form in ("{}", "K{}", "{}_out")
    )
    doc = f"""The correlation of {kind} of channels with kernels.

    Shape: (N, C, {size}), (O, C/groups, {kernel}), (O,) -> (N, O, {out}); N may be left out.
    """
    return adaptable(named(conv, f"conv{n}d", doc))


def _transposed(n: int) -> Any:
    def conv_transpose(
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Any:
        _check(input, weight, bias, n, groups, True)
        stride, dilation = each_dim(stride, n, "stride"), each_dim(dilation, n, "dilation")
        pads, extra = each_dim(padding, n, "padding"), each_dim(output_padding, n, "output_padding")
        _check_extra(extra, stride, dilation)
        have = tuple(input.shape[-n:])
        size, both, zeros = _reached(have, weight.shape[2:], stride, pads, extra, dilation)
        batched = len(input.shape) == n + 2
        x = input if batched else input.unsqueeze(0)
        out = conv_input(x, weight, size, stride, both, dilation, groups)
        if any(zeros):
            out = constant_pad_nd(out, [n for z in reversed(zeros) for n in (0, z)], 0.0)
        if bias is not None:
            out = out + reshape_array(bias, (-1,) + (1,) * n)
        called(out, "ConvolutionBackward0")
        return out if batched else out.squeeze(0)

    doc = f"The gradient of `conv{n}d` with respect to its input, as a layer; plus a bias."
    return adaptable(named(conv_transpose, f"conv_transpose{n}d", doc))


def _reached(
    have: Any, kernel: Any, stride: Any, pads: Any, extra: Any, dilation: Any
) -> tuple[Any, Any, Any]:
    """The size of a transposed convolution, what it crops at both ends, and zeros behind it.

    Raises: RuntimeError where nothing is left.
    """
    size, both, zeros = [], [], []
    for i, k, s, p, e, d in zip(have, kernel, stride, pads, extra, dilation, strict=True):
        full = (i - 1) * s + d * (k - 1) + 1
        # Where e is a stride or more, a convolution over what it adds would take another step; so
        # less is cropped instead, and what is still missing is zero.
        added, less = (e, 0) if e < s else (0, min(e, p))
        size.append(full - 2 * p + added + less)
        both.append((p, p - less))
        zeros.append(e - added - less)
    out = tuple(n + z for n, z in zip(size, zeros, strict=True))
    if any(n <= 0 for n in out):
        raise RuntimeError(
            f"Given input size per channel: ({' x '.join(map(str, have))}). Calculated output size"
            f" per channel: ({' x '.join(map(str, out))}). Output size is too small"
        )
    return tuple(size), tuple(both), zeros


def _check_extra(extra: Any, stride: Any, dilation: Any) -> None:
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise RuntimeError(
            "output padding must be smaller than either stride or dilation, but got"
            f" output_padding: {list(extra)}, stride: {list(stride)}, dilation: {list(dilation)}"
        )


conv1d, conv2d, conv3d = (_convolution(n) for n in (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = (_transposed(n) for n in (1, 2, 3))


def conv_tbc(input: Any, weight: Any, bias: Any, pad: int = 0) -> Any:
    """The correlation of a sequence whose first dim is time and whose last is channels.

    Shape: (L, N, C), (K, C, O), (O,) -> (L + 2 pad - K + 1, N, O).
    Raises: RuntimeError where the sizes do not fit.
    """
    for x, ndim, name in ((input, 3, "Input"), (weight, 3, "Weight"), (bias, 1, "Bias")):
        if len(x.shape) != ndim:
            raise RuntimeError(
                f"{name} must have {ndim} dims in conv_tbc, got size {list(x.shape)}"
            )
    out = conv1d(permute(input, 1, 2, 0), permute(weight, 2, 1, 0), bias, padding=pad)
    return permute(out, 2, 0, 1)
