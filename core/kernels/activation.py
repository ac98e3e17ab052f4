"""Activations on the CPU in pieces: gelu with its slopes, and what NumPy's logaddexp is slow at."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.autograd.mode import mode
from core.kernels.piece import ELEMENTS, in_pieces, is_plain, number
from core.ops.activation import (
    elu_at,
    gelu_erf,
    gelu_tanh,
    hardsigmoid,
    hardswish,
    leaky,
    mish,
    silu,
    softplus_at,
)
from core.ops.exponential import sigmoid
from core.ops.special import erf

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


def _inner(x: Any, square: Any) -> Any:
    """`x` times the polynomial at `square`, in memory of its own."""
    below = square * _INNER[-1]
    for c in _INNER[-2:0:-1]:
        below += c
        below *= square
    below += _INNER[0]
    below *= x
    return below


def _erf_form(out: Any, x: Any, slope: Any = None) -> None:
    square = x * x
    below = _inner(x, square)
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


# ---- of exponentials ---------------------------------------------------------------------------


def _log_of_one_more(out: Any, x: Any) -> None:
    """log(1 + exp(x)): 60 ns an element by logaddexp, 2 by these six."""
    numpy.abs(x, out)
    numpy.negative(out, out)
    numpy.exp(out, out)
    numpy.log1p(out, out)
    numpy.add(out, numpy.maximum(x, number(0, x.dtype)), out)


def _softplus(x, beta, threshold):
    if not is_plain(x) or not x.ndim:
        return softplus_at.op.forward(x, beta, threshold)

    def piece(out: Any, x: Any) -> None:
        scaled = x if beta == 1 else x * beta
        _log_of_one_more(out, scaled)
        if beta != 1:
            out /= beta
        over = numpy.greater(scaled, number(threshold, x.dtype))
        if numpy.count_nonzero(over):
            out[over] = x[over]

    return in_pieces(piece, x)


def _mish(x):
    if not is_plain(x) or not x.ndim:
        return mish.op.forward(x)

    def piece(out: Any, x: Any) -> None:
        _log_of_one_more(out, x)
        numpy.tanh(out, out)
        out *= x

    return in_pieces(piece, x)


def _silu(x):
    if not is_plain(x) or not x.ndim:
        return silu.op.forward(x)

    return in_pieces(_silu_piece, x)


def _silu_piece(out: Any, x: Any) -> None:
    numpy.negative(x, out)
    numpy.exp(out, out)
    numpy.add(out, number(1, x.dtype), out)
    numpy.divide(x, out, out)


def _elu(x, alpha, scale, speed):
    if not is_plain(x) or not x.ndim:
        return elu_at.op.forward(x, alpha, scale, speed)

    def piece(out: Any, x: Any) -> None:
        zero = number(0, x.dtype)
        numpy.minimum(x, zero, out=out)
        if speed != 1:
            out *= speed
        numpy.expm1(out, out)
        if alpha * scale != 1:
            out *= alpha * scale
        high = numpy.maximum(x, zero)
        if scale != 1:
            high *= scale
        out += high

    return in_pieces(piece, x)


def _erf(x):
    """The error function through the same tanh as gelu, for more numbers than a few."""
    if not is_plain(x) or x.dtype.char != "f" or x.size <= FEW:
        return few_erf(x)
    return in_pieces(_erf_piece, x)


def _erf_piece(out: Any, x: Any) -> None:
    numpy.multiply(x, x, out)
    out *= 2
    below = _inner(x, out)
    below *= math.sqrt(2)
    numpy.tanh(below, out)


# ---- in place ----------------------------------------------------------------------------------


def _over(op: Any) -> Any:
    """What writes an op of each element into its input, of which only pieces are made beside."""

    def write(x: Any, *args: Any, out: Any) -> None:
        line = out.ravel("K")
        if line.base is None:
            out[...] = op.op.direct(x, *args)  # it has gaps, and ravel copied
            return
        for i in range(0, line.size, ELEMENTS):
            piece = line[i : i + ELEMENTS]
            piece[...] = op.op.direct(piece, *args)

    return write


few_erf = erf.op.direct
FEW = 64
DIRECT = (
    (softplus_at, _softplus),
    (mish, _mish),
    (silu, _silu),
    (elu_at, _elu),
    (erf, _erf),
)
FUSED = ((gelu_erf, fast_gelu_erf), (gelu_tanh, fast_gelu_tanh))
WRITERS = tuple(
    (op, _over(op)) for op in (sigmoid, silu, mish, elu_at, leaky, hardswish, hardsigmoid)
)
