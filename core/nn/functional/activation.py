"""Activations."""

from __future__ import annotations

import functools
from typing import Any

from core import random
from core.autograd.adapt import adaptable
from core.autograd.inplace import in_place, write_out
from core.autograd.place import where_it_lies
from core.autograd.value import called, wrap
from core.backend import device_of, on, xp
from core.ops import activation, choice, exponential, trigonometric
from core.ops.dims import axis_of
from core.ops.loss import log_softmax_axis, softmax_axis
from core.ops.parts import slice_axis
from core.ops.shape import reshape_array
from core.ops.softmax import along

__all__ = (
    "celu celu_ elu elu_ gelu glu gumbel_softmax hardshrink hardsigmoid hardswish hardtanh"
    " hardtanh_ leaky_relu leaky_relu_ log_softmax logsigmoid mish prelu relu relu6 relu_ rrelu"
    " rrelu_ selu selu_ sigmoid silu softmax softmin softplus softshrink softsign tanh tanhshrink"
    " threshold threshold_"
).split()


_writer = functools.cache(in_place)


def applied(op: Any, inplace: bool, input: Any, *args: Any) -> Any:
    """op(input, *args), or with `inplace` the input itself with those values."""
    return _writer(op)(input, *args) if inplace else op(input, *args)


# ---- one formula per side of zero -------------------------------------------------------------


def relu(input: Any, inplace: bool = False) -> Any:
    """Elementwise max(input, 0)."""
    return input.relu_() if inplace else choice.relu(input)


def relu6(input: Any, inplace: bool = False) -> Any:
    """Elementwise input, kept between 0 and 6."""
    return hardtanh(input, 0.0, 6.0, inplace)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """Elementwise input above zero, negative_slope * input below."""
    return applied(activation.leaky, inplace, input, negative_slope)


def prelu(input: Any, weight: Any) -> Any:
    """Elementwise input above zero, weight * input below; one weight, or one per channel."""
    ndim = len(input.shape)
    count = weight.shape[0] if len(weight.shape) else 1
    if count != 1 and (ndim < 2 or input.shape[1] != count):
        found = input.shape[1] if ndim > 1 else 1
        raise RuntimeError(
            f"Mismatch of parameter numbers and input channel size. Found parameter numbers ="
            f" {count} and channel size = {found}."
        )
    shape = (1, count, *(1,) * (ndim - 2)) if ndim > 1 else (1,) * ndim
    return activation.prelu_of(input, reshape_array(weight, shape))


def rrelu(
    input: Any,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Any:
    """Leaky relu whose slope is random per element while training, else the middle of the range."""
    if lower > upper:
        raise RuntimeError(
            "Lower bound should be less than or equal to the upper bound, but got"
            f" {lower} and {upper}"
        )
    if not training:
        out = applied(activation.leaky, inplace, input, (lower + upper) / 2)
        return called(out, "RreluWithNoiseBackward0")
    x = input.array
    key = random.default_generator().reserve()
    with on(device_of(x)):
        slopes = random.uniform(key, x.shape, x.dtype, lower, upper, xp(x))
    return called(
        applied(activation.prelu_of, inplace, input, wrap(slopes)), "RreluWithNoiseBackward0"
    )


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """Elementwise input above the threshold, `value` elsewhere."""
    return applied(activation.threshold_at, inplace, input, threshold, value)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """Elementwise input above zero, alpha * (exp(input) - 1) below."""
    return applied(activation.elu_at, inplace, input, alpha, 1.0, 1.0)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """Elementwise input above zero, alpha * (exp(input / alpha) - 1) below."""
    out = applied(activation.elu_at, inplace, input, alpha, 1.0, 1.0 / alpha)
    return out if inplace else called(out, "CeluBackward0")


def selu(input: Any, inplace: bool = False) -> Any:
    """The scaled elu that keeps mean 0 and variance 1.

    Source: Klambauer, Unterthiner, Mayr & Hochreiter (2017).
    """
    alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    return applied(activation.elu_at, inplace, input, alpha, scale, 1.0)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """Elementwise input, kept between two numbers."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if not input.dtype.is_floating_point:  # the bounds are rounded too
        min_val, max_val = int(min_val), int(max_val)
    return applied(activation.hardtanh_at, inplace, input, min_val, max_val)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """Elementwise input * clip(input + 3, 0, 6) / 6."""
    return applied(activation.hardswish, inplace, input)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """Elementwise input / 6 + 1/2, kept between 0 and 1."""
    return applied(activation.hardsigmoid, inplace, input)


def softshrink(input: Any, lambd: float = 0.5, *, out: Any = None) -> Any:
    """Elementwise input brought nearer to zero by `lambd`."""
    if lambd < 0:
        raise RuntimeError(
            f"lambda must be greater or equal to 0, but found to be {float(lambd):g}."
        )
    return activation.softshrink_at(input, lambd, out=out)


def hardshrink(input: Any, lambd: float = 0.5, *, out: Any = None) -> Any:
    """Elementwise input, zero where it is nearer to zero than `lambd`."""
    return activation.hardshrink_at(input, lambd, out=out)


# ---- smooth -----------------------------------------------------------------------------------


def gelu(input: Any, approximate: str = "none", *, out: Any = None) -> Any:
    """Elementwise input times the normal distribution function of it.

    Source: Hendrycks & Gimpel (2016).
    """
    if approximate == "tanh":
        return activation.gelu_tanh(input, out=out)
    if approximate != "none":
        raise RuntimeError("approximate argument must be either none or tanh.")
    return activation.gelu_erf(input, out=out)


def silu(input: Any, inplace: bool = False) -> Any:
    """Elementwise input * sigmoid(input)."""
    return applied(activation.silu, inplace, input)


def mish(input: Any, inplace: bool = False) -> Any:
    """Elementwise input * tanh(softplus(input))."""
    return applied(activation.mish, inplace, input)


@adaptable
def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0, *, out: Any = None) -> Any:
    """Elementwise log(1 + exp(beta * input)) / beta; input above the threshold."""
    return activation.softplus_at(input, beta, threshold, out=out)


def logsigmoid(input: Any, *, out: Any = None) -> Any:
    """Elementwise log(sigmoid(input))."""
    result = activation.log_sigmoid(input)
    return result if out is None else write_out(result, out)


def sigmoid(input: Any) -> Any:
    """Elementwise logistic function."""
    return exponential.sigmoid(input)


def tanh(input: Any) -> Any:
    """Elementwise hyperbolic tangent."""
    return trigonometric.tanh(input)


def tanhshrink(input: Any) -> Any:
    """Elementwise input - tanh(input)."""
    return input - trigonometric.tanh(input)


def softsign(input: Any) -> Any:
    """Elementwise input / (1 + |input|)."""
    return input / (abs(input) + 1)


# ---- over a dim -------------------------------------------------------------------------------


def glu(input: Any, dim: int = -1) -> Any:
    """The first half of `dim` times the sigmoid of the second."""
    if not len(input.shape):
        raise RuntimeError("glu does not support 0-dimensional tensors")
    axis = axis_of(dim, len(input.shape))
    n = input.shape[axis]
    if n % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {axis} is size {n}")
    half = n // 2
    first, second = slice_axis(input, axis, 0, half), slice_axis(input, axis, half, half)
    return called(first * exponential.sigmoid(second), "GluBackward0")


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """Exponentials along `dim`, divided by their sum."""
    return along(softmax_axis, input, dim, dtype)


@adaptable
def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """The logarithm of softmax along `dim`."""
    return along(log_softmax_axis, input, dim, dtype)


@adaptable
def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """The softmax of -input along `dim`."""
    return along(softmax_axis, -input, dim, dtype)


@where_it_lies
def gumbel_softmax(
    logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Any:
    """A sample of the relaxed categorical distribution; one-hot, with soft gradients, if `hard`.

    Source: Jang, Gu & Poole (2016).
    """
    x = logits.array
    key = random.default_generator().reserve()
    with on(device_of(x)):
        noise = -xp(x).log(random.exponential(key, x.shape, x.dtype, xp=xp(x)))
    soft = softmax((logits + wrap(noise)) / tau, dim)
    if not hard:
        return soft
    axis = axis_of(dim, len(logits.shape))
    best = xp(x).expand_dims(soft.array.argmax(axis), axis)
    shape = tuple(-1 if i == axis else 1 for i in range(x.ndim))
    places = xp(x).arange(x.shape[axis]).reshape(shape)
    return wrap((places == best).astype(x.dtype)) - soft.detach() + soft


def _writing(name: str, function: Any) -> Any:
    def in_place(input: Any, *args: Any, **kwargs: Any) -> Any:
        return function(input, *args, inplace=True, **kwargs)

    in_place.__name__ = in_place.__qualname__ = name
    in_place.__doc__ = f"`{function.__name__}`, written into the input."
    return in_place


relu_, leaky_relu_, elu_, celu_, selu_, hardtanh_, rrelu_, threshold_ = (
    _writing(f"{f.__name__}_", f)
    for f in (relu, leaky_relu, elu, celu, selu, hardtanh, rrelu, threshold)
)
