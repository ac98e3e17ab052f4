"""Normalisation over batches, layers, groups and instances."""

from __future__ import annotations

import math
from typing import Any

from core.autograd.adapt import adaptable
from core.autograd.inplace import write_out
from core.autograd.place import where_it_lies
from core.autograd.value import called, version_of
from core.backend import device_of, on
from core.layout import channels_last, channels_last_3d, follows
from core.ops.cast import clone, contiguous
from core.ops.choice import clamp_min
from core.ops.dims import axis_of
from core.ops.norm import affine, layer_normalised, rms_scaled, standardised
from core.ops.pad import pad
from core.ops.parts import slice_axis
from core.ops.shape import reshape_array
from core.ops.vector_norm import vector_norm

__all__ = (
    "batch_norm group_norm instance_norm layer_norm local_response_norm normalize rms_norm"
).split()


def _per_channel(x: Any, ndim: int) -> Any:
    return None if x is None else reshape_array(x, (1, -1) + (1,) * (ndim - 2))


def scaled(x: Any, weight: Any, bias: Any) -> Any:
    """X * weight + bias, either of which may be None."""
    if weight is not None:
        return affine(x, weight, bias)
    return x if bias is None else x + bias


def _laid(x: Any) -> Any:
    """`x` as PyTorch's normalisations lay their results: by rows, or channels last as it was."""
    formats = {4: channels_last, 5: channels_last_3d}
    ndim = x.array.ndim
    return x if ndim in formats and follows(x.array, formats[ndim]) else contiguous(x)


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each channel with mean 0 and variance 1 over the batch, or by the running statistics.

    Source: Ioffe & Szegedy (2015).
    """
    shape = tuple(input.shape)
    ndim = len(shape)
    axes = (0, *range(2, ndim))
    _check_channels(shape, training, running_mean, running_var, weight, bias)
    if eps < 0 or (training and not eps):
        raise ValueError(f"batch_norm eps must be positive, in evaluation mode or zero, got {eps}")
    input = _laid(input)
    if not math.prod(shape):
        return _of_nothing(input, weight, bias)
    w, b = _per_channel(weight, ndim), _per_channel(bias, ndim)
    if not training:
        return _by_statistics(input, running_mean, running_var, weight, bias, eps)
    count = math.prod(shape) // shape[1]
    if count == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {list(shape)}"
        )
    out, mean, variance = standardised(input, axes, eps, w, b)
    called(out, "NativeBatchNormBackward0")
    if running_mean is not None:
        with on(device_of(variance)):
            _follow(running_mean, mean, momentum)
            _follow(running_var, variance * (count / (count - 1)), momentum)
    return out


def _of_nothing(x: Any, weight: Any, bias: Any) -> Any:
    """A copy of an empty batch; the gradients of weight and bias are zero."""
    out = clone(x)
    out = out if weight is None else out * weight[:1].sum()
    return out if bias is None else out + bias[:1].sum()


def _by_statistics(x: Any, mean: Any, variance: Any, weight: Any, bias: Any, eps: float) -> Any:
    """Each channel scaled and shifted by what was gathered about it."""
    ndim = len(x.shape)
    scale = (variance + eps) ** -0.5
    shift = -mean * scale
    if weight is not None:
        scale, shift = scale * weight, shift * weight
    if bias is not None:
        shift = shift + bias
    out = affine(x, _per_channel(scale, ndim), _per_channel(shift, ndim))
    return called(out, "NativeBatchNormBackward0")


def _check_channels(shape: Any, training: bool, *tensors: Any) -> None:
    """Raise RuntimeError unless each tensor has one element per channel; two are needed to test."""
    if len(shape) < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {shape}")
    for name, x in zip(("running_mean", "running_var", "weight", "bias"), tensors, strict=True):
        if x is None:
            if not training and name.startswith("running"):
                raise RuntimeError(f"{name} must be defined in evaluation mode")
        elif x.array.size != shape[1]:
            raise RuntimeError(f"{name} should contain {shape[1]} elements not {x.array.size}")
    _check_both(*tensors[:2])


def _check_both(mean: Any, variance: Any) -> None:
    if (mean is None) != (variance is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")


def _follow(running: Any, value: Any, momentum: float) -> None:
    """Move a running statistic towards the value of this batch."""
    array = running.array
    with on(device_of(array)):
        array *= array.dtype.type(1 - momentum)
        array += (value.reshape(-1) * momentum).astype(array.dtype)
    version_of(running)[0] += 1


@where_it_lies
def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each channel of each sample with mean 0 and variance 1.

    Source: Ulyanov, Vedaldi & Lempitsky (2016).
    """
    shape = tuple(input.shape)
    ndim = len(shape)
    if not use_input_stats:
        out = batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
        return called(out, "ViewBackward0")
    input, axes = contiguous(input), tuple(range(2, ndim))
    _check_both(running_mean, running_var)
    count = math.prod(shape[2:])
    if count == 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {list(shape)}"
        )
    out, mean, variance = standardised(input, axes, eps)
    if running_mean is not None and shape[0]:
        _follow(running_mean, mean.mean(0), momentum)
        _follow(running_var, (variance * (count / (count - 1))).mean(0), momentum)
    out = scaled(out, _per_channel(weight, ndim), _per_channel(bias, ndim))
    return called(out, "ViewBackward0")


@adaptable
def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """The last dims with mean 0 and variance 1, then scaled and shifted per element.

    Source: Ba, Kiros & Hinton (2016).
    """
    axes = _last_axes(input, normalized_shape, weight)
    out = layer_normalised(contiguous(input), weight, bias, axes, eps)
    return called(out, "NativeLayerNormBackward0")


def rms_norm(
    input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None
) -> Any:
    """The last dims divided by the root of their mean square, then scaled per element.

    Source: Zhang & Sennrich (2019).
    """
    axes = _last_axes(input, normalized_shape, weight)
    if eps is None:
        eps = 2.0**-52 if input.dtype.name == "float64" else 2.0**-23
    x = contiguous(input)
    out = scaled(rms_scaled(x, axes, eps), weight, None)
    return called(out, "MulBackward0" if x is input else "CloneBackward0")


def _last_axes(input: Any, normalized_shape: Any, weight: Any) -> tuple[int, ...]:
    want = tuple(normalized_shape)
    have = tuple(input.shape)
    if not want:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, but got ()")
    if len(have) < len(want) or have[len(have) - len(want) :] != want:
        stars = "".join(f", {n}" for n in want)
        raise RuntimeError(
            f"Given normalized_shape={list(want)}, expected input with shape [*{stars}], but got"
            f" input of size{list(have)}"
        )
    if weight is not None and tuple(weight.shape) != want:
        raise RuntimeError(
            "Expected weight to be of same shape as normalized_shape, but got weight of shape"
            f" {list(weight.shape)} and normalized_shape = {list(want)}"
        )
    return tuple(range(len(have) - len(want), len(have)))


@adaptable
def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Each group of channels of each sample with mean 0 and variance 1.

    Source: Wu & He (2018).
    """
    shape = tuple(input.shape)
    if len(shape) < 2:
        raise RuntimeError(
            f"Expected at least 2 dimensions for input tensor but received {len(shape)}"
        )
    if math.prod(shape) == num_groups:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {list(shape)}"
        )
    if shape[1] % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of"
            f" shape {list(shape)} and num_groups={num_groups}"
        )
    input = _laid(input)
    grouped = reshape_array(input, (shape[0], num_groups, math.prod(shape[1:]) // num_groups))
    out, _, _ = standardised(grouped, (2,), eps)
    ndim = len(shape)
    out = scaled(reshape_array(out, shape), _per_channel(weight, ndim), _per_channel(bias, ndim))
    return called(out, "NativeGroupNormBackward0")


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """Each element divided by a power of the mean square of the channels around it.

    Source: Krizhevsky, Sutskever & Hinton (2012).
    """
    shape = tuple(input.shape)
    if len(shape) < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality input (got {len(shape)} dimensions)"
        )
    squares = pad(input * input, [0, 0] * (len(shape) - 2) + [size // 2, (size - 1) // 2])
    total = slice_axis(squares, 1, 0, shape[1])
    for start in range(1, size):
        total = total + slice_axis(squares, 1, start, shape[1])
    return input / (total * (alpha / size) + k) ** beta


@adaptable
def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """The input divided by its p-norm along `dim`, or by `eps` where that is larger."""
    ndim = len(input.shape)
    axes = tuple(axis_of(d, ndim) for d in ((dim,) if isinstance(dim, int) else dim))
    result = input / clamp_min(vector_norm(input, p, axes, True), eps)
    return result if out is None else write_out(result, out)
