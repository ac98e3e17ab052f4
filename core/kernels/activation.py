"""gelu on the CPU: both of its forms and their slopes in pieces, the exact one for float32."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.autograd.mode import mode
from core.kernels.piece import in_pieces, is_plain
from core.ops.activation import gelu_erf, gelu_tanh

# The probability that a normal number is below x is (1 + tanh(x * p(x * x))) / 2 for this p, to
# 7e-8 where |x| < 5.9: least squares, reweighted until the errors were even. Above, it only grows.
_INNER = (
    0.7978844927,
    0.03633391128,
    -3.295470067e-05,
    -5.527796094e-05,
    3.973115944e-06,
    -1.336470411e-07,
    1.80936721e-09,
)
_PEAK = 1 / math.sqrt(2 * math.pi)
_ROOT, _CUBE = math.sqrt(2 / math.pi), 0.044715


def _erf_form(out: Any, x: Any, slope: Any = None) -> None:
    square = x * x
    below = square * _INNER[-1]
    for c in _INNER[-2:0:-1]:
        below += c
        below *= square
    below += _INNER[0]
    below *= x
    numpy.tanh(below, out=below)
    below *= 0.5
    below += 0.5
    numpy.multiply(x, below, out=out)
    if slope is not None:
        square *= -0.5
        numpy.exp(square, out=square)
        square *= x
        square *= _PEAK
        numpy.add(below, square, out=slope)


def fast_gelu_erf(x):
    """What `gelu_erf` gives, for float32; its slope, half of whose work is done here, is kept."""
    if not is_plain(x) or x.dtype.char != "f":
        return NotImplemented
    if not mode.recording:
        return in_pieces(_erf_form, x), None
    slope = numpy.empty(x.shape, x.dtype)
    return in_pieces(_erf_form, x, slope), lambda g: (g * slope,)


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
