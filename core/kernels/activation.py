"""gelu on the CPU: both of its forms and their slopes in pieces, with an erfc made for float32."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.kernels.piece import in_pieces, is_plain
from core.ops.activation import gelu_erf, gelu_tanh

# exp(a * a / 2) * P(normal > a) is t times this polynomial in t = 1 / (1 + 0.3 a) for a >= 0, to
# 1.5e-7 of its value: least squares, reweighted until the errors were even.
_STEP = 0.3
_TAIL = (
    0.1196291896,
    0.1207555875,
    0.09990363268,
    0.1285929746,
    -0.0537404679,
    0.2064124353,
    -0.1572355641,
    0.03568213695,
)
_PEAK = 1 / math.sqrt(2 * math.pi)
_SIGN = numpy.uint32(1 << 31)
_ROOT, _CUBE = math.sqrt(2 / math.pi), 0.044715


def _bell_and_tail(x: Any) -> tuple[Any, Any, Any]:
    """|x|, exp(-x * x / 2), and the probability that a normal number is above |x|."""
    size = numpy.abs(x)
    t = size * _STEP
    t += 1
    numpy.reciprocal(t, out=t)
    tail = t * _TAIL[-1]
    for c in _TAIL[-2::-1]:
        tail += c
        tail *= t
    bell = numpy.multiply(x, x, out=t)
    bell *= -0.5
    numpy.exp(bell, out=bell)
    tail *= bell
    return size, bell, tail


def _erf_form(out: Any, x: Any) -> None:
    size, _, tail = _bell_and_tail(x)
    tail *= size
    size *= 0.5
    numpy.multiply(x, 0.5, out=out)
    out += size  # the positive part, in less time than maximum takes
    out -= tail


def _erf_slope(out: Any, g: Any, x: Any) -> None:
    size, bell, slope = _bell_and_tail(x)
    numpy.subtract(0.5, slope, out=slope)
    bell *= _PEAK
    bell *= size
    slope += bell  # what the slope is above 1/2 for x > 0, and below it for x < 0
    bits = x.view(numpy.uint32) & _SIGN  # copysign takes three times as long
    numpy.bitwise_or(slope.view(numpy.uint32), bits, out=slope.view(numpy.uint32))
    slope += 0.5
    numpy.multiply(g, slope, out=out)


def fast_gelu_erf(x):
    """What `gelu_erf` gives, for finite float32."""
    if not is_plain(x) or x.dtype.char != "f" or not numpy.isfinite(numpy.add.reduce(x, None)):
        return NotImplemented
    return in_pieces(_erf_form, x), lambda g: (in_pieces(_erf_slope, g, x),)


def _inner_tanh(x: Any) -> tuple[Any, Any]:
    """The square, and the tanh inside gelu."""
    square = x * x
    t = square * (_CUBE * _ROOT)
    t += _ROOT
    t *= x
    return square, numpy.tanh(t, out=t)


def _tanh_form(out: Any, x: Any) -> None:
    _, t = _inner_tanh(x)
    t += 1
    t *= x
    numpy.multiply(t, 0.5, out=out)


def _tanh_slope(out: Any, g: Any, x: Any) -> None:
    square, t = _inner_tanh(x)
    square *= 1.5 * _CUBE * _ROOT
    square += 0.5 * _ROOT
    square *= x
    fall = t * t
    numpy.subtract(1, fall, out=fall)
    square *= fall
    t *= 0.5
    t += 0.5
    t += square
    numpy.multiply(g, t, out=out)


def fast_gelu_tanh(x):
    """What `gelu_tanh` gives."""
    if not is_plain(x):
        return NotImplemented
    return in_pieces(_tanh_form, x), lambda g: (in_pieces(_tanh_slope, g, x),)


FUSED = ((gelu_erf, fast_gelu_erf), (gelu_tanh, fast_gelu_tanh))
