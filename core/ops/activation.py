"""Activations: functions of each element that networks put between products."""

from __future__ import annotations

import math
from typing import Any

from core.autograd.dispatch import primitive
from core.autograd.quick import leading
from core.backend import packed, xp
from core.ops.choice import choose, relu
from core.ops.exponential import exp, sigmoid
from core.ops.promotion import widened
from core.ops.special import erfc
from core.ops.trigonometric import tanh

# ---- of exponentials --------------------------------------------------------------------------


@leading
@primitive
@widened
def silu(x):
    """Elementwise x * sigmoid(x)."""
    return x * sigmoid(x)


silu.defvjp(x=lambda g, x: g * silu_slope(x, sigmoid(x)))


def silu_slope(x: Any, s: Any) -> Any:
    """The derivative of silu, where s = sigmoid(x)."""
    return s * (x * (1 - s) + 1)


@leading
@primitive
@widened
def softplus_at(x, beta, threshold):
    """Elementwise log(1 + exp(beta x)) / beta; x itself where beta x is above the threshold."""
    module = xp(x)
    return module.where(x * beta > threshold, x, module.logaddexp(x * beta, x.dtype.type(0)) / beta)


softplus_at.op.label = "SoftplusBackward0"
softplus_at.defvjp(
    x=lambda g, x, beta, threshold: choose(x * beta > threshold, g, g * sigmoid(x * beta)),
    beta=None,
    threshold=None,
)


@leading
@primitive
@widened
def mish(x):
    """Elementwise x * tanh(log(1 + exp(x)))."""
    return x * xp(x).tanh(xp(x).logaddexp(x, x.dtype.type(0)))


mish.defvjp(x=lambda g, x: g * mish_slope(x, tanh(softplus_at(x, 1, 20)), sigmoid(x)))


def mish_slope(x: Any, t: Any, s: Any) -> Any:
    """The derivative of mish, where t = tanh(softplus(x)) and s = sigmoid(x)."""
    return t + x * s * (1 - t * t)


@leading
@primitive(label="LogSigmoidBackward0")
@widened
def log_sigmoid(x):
    """Elementwise log(sigmoid(x))."""
    module = xp(x)
    return packed(module.minimum(x, x.dtype.type(0)) - module.log1p(module.exp(-module.abs(x))))


log_sigmoid.defvjp(x=lambda g, x: g * sigmoid(-x))


@leading
@primitive(label="EluBackward0")
@widened
def elu_at(x, alpha, scale, speed):
    """Elementwise scale * x above zero, scale * alpha * (exp(speed x) - 1) below."""
    module = xp(x)
    low = module.expm1(module.minimum(x, x.dtype.type(0)) * speed) * (alpha * scale)
    return module.where(x > 0, x * scale, low)


elu_at.defvjp(
    x=lambda g, x, alpha, scale, speed: choose(
        x > 0, g * scale, g * exp(relu(-x) * -speed) * (alpha * scale * speed)
    ),
    alpha=None,
    scale=None,
    speed=None,
)

# ---- gelu -------------------------------------------------------------------------------------

_ROOT = math.sqrt(2 / math.pi)
_CUBE = 0.044715
_HALF_ROOT, _PEAK = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi)


@primitive(label="GeluBackward0")
@widened
def gelu_tanh(x):
    """Elementwise gelu by the approximation with tanh."""
    inner = x * x
    inner *= _CUBE
    inner += 1
    inner *= x
    inner *= _ROOT
    out = xp(x).tanh(inner)
    out += 1
    out *= x
    out *= 0.5
    return out


gelu_tanh.defvjp(
    x=lambda g, x: g * gelu_tanh_slope(x, tanh((x * x * _CUBE + 1) * x * _ROOT)),
)


def gelu_tanh_slope(x: Any, t: Any) -> Any:
    """The derivative of gelu_tanh, where t is the inner tanh."""
    return (t + 1) * 0.5 + x * (1 - t * t) * (x * x * (3 * _CUBE) + 1) * (0.5 * _ROOT)


@primitive(label="GeluBackward0")
@widened
def gelu_erf(x):
    """Elementwise x times the normal distribution function of x."""
    return x * normal_below(x)


gelu_erf.defvjp(
    x=lambda g, x: g * (normal_below(x) + x * exp(x * x * -0.5) * _PEAK),
)


@leading
@primitive
@widened
def normal_below(x):
    """Elementwise probability that a normal number is below x."""
    return 0.5 * erfc(x * -_HALF_ROOT)


normal_below.defvjp(x=lambda g, x: g * exp(x * x * -0.5) * _PEAK)


# ---- of pieces --------------------------------------------------------------------------------


@leading
@primitive(label="LeakyReluBackward0")
def leaky(x, slope):
    """Elementwise x above zero, slope * x below."""
    return xp(x).where(x > 0, x, x * slope).astype(x.dtype, copy=False)


leaky.defvjp(x=lambda g, x, slope: choose(x > 0, g, g * slope), slope=None)


@primitive(label="PreluKernelBackward0")
def prelu_of(x, w):
    """Elementwise x above zero, w * x below; w is broadcast."""
    return xp(x).where(x > 0, x, x * w)


prelu_of.defvjp(
    x=lambda g, x, w: choose(x > 0, g, g * w),
    w=lambda g, x: -g * relu(-x),
)


@leading
@primitive(label="HardtanhBackward0")
def hardtanh_at(x, low, high):
    """Elementwise x, kept between two numbers."""
    return xp(x).clip(x, low, high).astype(x.dtype, copy=False)


hardtanh_at.defvjp(
    x=lambda g, x, low, high: choose((x <= low) | (x >= high), 0, g), low=None, high=None
)


@leading
@primitive(label="HardswishBackward0")
@widened
def hardswish(x):
    """Elementwise x * clip(x + 3, 0, 6) / 6."""
    return x * xp(x).clip(x + 3, 0, 6) / 6


hardswish.defvjp(
    x=lambda g, x: choose(x >= 3, g, choose(x <= -3, 0, g * (x / 3 + 0.5))),
)


@leading
@primitive(label="HardsigmoidBackward0")
@widened
def hardsigmoid(x):
    """Elementwise x / 6 + 1/2, kept between 0 and 1."""
    return xp(x).clip(x + 3, 0, 6) / 6


hardsigmoid.defvjp(x=lambda g, x: choose((x > -3) & (x < 3), g / 6, 0))


@leading
@primitive(label="ThresholdBackward0")
def threshold_at(x, threshold, value):
    """Elementwise x, or `value` where it is not above the threshold; NaN stays."""
    return xp(x).where(x <= threshold, x.dtype.type(value), x)


threshold_at.defvjp(
    x=lambda g, x, threshold: choose(x <= threshold, 0, g), threshold=None, value=None
)


@leading
@primitive(label="SoftshrinkBackward0")
def softshrink_at(x, width):
    """Elementwise x brought nearer to zero by `width`."""
    module = xp(x)
    out = module.where(x > width, x - width, module.where(x < -width, x + width, x * 0))
    return out.astype(x.dtype, copy=False)


softshrink_at.defvjp(x=lambda g, x, width: choose((x >= -width) & (x <= width), 0, g), width=None)


@leading
@primitive(label="HardshrinkBackward0")
def hardshrink_at(x, width):
    """Elementwise x, zero where it is nearer to zero than `width`."""
    return xp(x).where((x >= -width) & (x <= width), x.dtype.type(0), x)


hardshrink_at.defvjp(x=lambda g, x, width: choose((x >= -width) & (x <= width), 0, g), width=None)
