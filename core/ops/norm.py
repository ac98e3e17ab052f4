"""Normalisation: mean zero and variance one over some axes."""

from __future__ import annotations

from typing import Any

from core.autograd.dispatch import composite, primitive
from core.autograd.value import Value
from core.backend import device_of, on, xp
from core.ops.promotion import accumulates_in


@primitive
def moments(x, axes):
    """The mean and the variance (not corrected) of an array over axes, kept as ones.

    Dtype: float32 for the half types.
    """
    x = x.astype(accumulates_in(x.dtype), copy=False)
    mean = x.mean(axes, keepdims=True)
    centred = x - mean
    centred *= centred
    return mean, centred.mean(axes, keepdims=True)


@primitive(label="NativeBatchNormBackward0")
def standardise(x, mean, scale, axes, eps):
    """(x - mean) * scale, where these are the mean and 1 / sqrt(variance + eps) of `x` over axes.

    They are arguments because callers need them too; the rules know that they depend on `x`.
    """
    out = x - mean
    out *= scale
    return out.astype(x.dtype, copy=False)


standardise.defvjp(
    x=lambda g, x, mean, scale, axes, eps: pull(g, x, mean, scale, axes, eps),
    mean=None,
    scale=None,
    axes=None,
    eps=None,
)


@composite
def normalise(x, mean, scale, w, b, axes, eps):
    """`standardise`, then `affine` where there is a factor or a shift."""
    out = standardise(x, mean, scale, axes, eps)
    if w is not None:
        return affine(out, w, b)
    return out if b is None else out + b


normalise.op.label = "NativeLayerNormBackward0"


def standardised(
    x: Any, axes: tuple[int, ...], eps: float, w: Any = None, b: Any = None
) -> tuple[Any, Any, Any]:
    """A tensor with mean 0 and variance 1 over axes, times `w` plus `b`; its mean and variance.

    These two are arrays.
    """
    array = x.array if isinstance(x, Value) else x
    with on(device_of(array)):
        mean, variance = moments(array, axes)
        scale = 1 / xp(array).sqrt(variance + eps)
    return normalise(x, mean, scale, w, b, axes, eps), mean, variance


@composite
def layer_normalised(x, w, b, axes, eps):
    """`standardised` without its statistics."""
    return standardised(x, axes, eps, w, b)[0]


layer_normalised.op.label = "NativeLayerNormBackward0"


@primitive
def pull(g, x, mean, scale, axes, eps):
    """The gradient that `g` gives the argument `x` of `standardise`."""
    g = g.astype(accumulates_in(g.dtype), copy=False)
    out = x - mean
    out *= scale
    product = g * out
    out *= product.mean(axes, keepdims=True)
    out += g.mean(axes, keepdims=True)
    out = g - out
    out *= scale
    return out.astype(x.dtype, copy=False)


pull.defvjp(
    g=lambda h, x, mean, scale, axes, eps: pull(h, x, mean, scale, axes, eps),
    x=lambda h, g, x, axes, eps: pull_twice(h, g, x, axes, eps),
    mean=None,
    scale=None,
    axes=None,
    eps=None,
)


def pull_twice(h: Any, g: Any, x: Any, axes: tuple[int, ...], eps: float) -> Any:
    """The gradient that `h` gives the argument `x` of `pull`, of any order of derivative."""
    out, _, _ = standardised(x, axes, eps)
    scale = inverse_deviation(x, axes, eps)

    def over(v: Any) -> Any:
        return v.mean(axes, keepdims=True)

    ga, ha = over(g * out), over(h * out)
    inner = -scale * (h * ga + g * ha)
    through_out = scale * (inner - over(inner) - out * over(inner * out))
    return through_out - scale * scale * out * (over(h * g) - over(g) * over(h) - ha * ga)


def inverse_deviation(x: Any, axes: tuple[int, ...], eps: float) -> Any:
    """1 / sqrt(variance + eps) over axes."""
    centred = x - x.mean(axes, keepdims=True)
    return ((centred * centred).mean(axes, keepdims=True) + eps) ** -0.5


@primitive(label="NativeLayerNormBackward0")
def affine(x, w, b):
    """X * w + b, broadcast."""
    out = x * w
    if b is not None:
        out += b
    return out.astype(x.dtype, copy=False)


affine.defvjp(
    x=lambda g, w: g * w,
    w=lambda g, x: g * x,
    b=lambda g: g,
)


@primitive(label="FusedRmsNormBackward0")
def rms_scaled(x, axes, eps):
    """X divided by sqrt(mean(x**2) + eps) over axes."""
    wide = x.astype(accumulates_in(x.dtype), copy=False)
    return (wide * rms_scale(wide, axes, eps)).astype(x.dtype, copy=False)


def rms_scale(x: Any, axes: tuple[int, ...], eps: float) -> Any:
    """1 / sqrt(mean(x**2) + eps) over axes."""
    return ((x * x).mean(axes, keepdims=True) + eps) ** -0.5


def rms_pull(g: Any, x: Any, out: Any, axes: tuple[int, ...], eps: float) -> Any:
    """The gradient that `g` gives the argument `x` of `rms_scaled`, of half types in float32."""
    wide = None if isinstance(x, Value) else accumulates_in(x.dtype)
    if wide is not None and wide != x.dtype:
        v = x.astype(wide)
        scaled = v * rms_scale(v, axes, eps)
        return rms_pull(g.astype(wide), v, scaled, axes, eps).astype(x.dtype)
    return rms_scale(x, axes, eps) * (g - out * (g * out).mean(axes, keepdims=True))


rms_scaled.defvjp(
    x=lambda g, x, out, axes, eps: rms_pull(g, x, out, axes, eps),
    axes=None,
    eps=None,
)
