"""Choices between elements on the CPU, by their bits.

NumPy's where takes 3 ns for an element of a mask that nobody can foresee; the bits take 0.4.
The larger of an element and a number takes 0.37 ns, for which it has no vector instructions; its
clip has them, and with infinity for the other bound takes 0.13.
"""

from __future__ import annotations

import math
from typing import Any

import numpy
from numpy import ndarray

from core.backend import packed
from core.kernels.piece import ELEMENTS, number
from core.ops import activation, choice, masked

MANY = 1 << 11
BITS = {"f": numpy.dtype("int32"), "d": numpy.dtype("int64")}


def select(mask: Any, a: Any, b: Any) -> Any:
    """`a` where the mask is True, else `b`: arrays of one type, or numbers."""
    like = a if type(a) is ndarray else b
    if mask.size < MANY or type(like) is not ndarray or not mask.flags.c_contiguous:
        return numpy.where(mask, a, b)
    bits = BITS.get(like.dtype.char)
    parts = [_lean(v, like.dtype) for v in (a, b)]
    if bits is None or mask.dtype.char != "?" or not all(_fits(v, mask, like) for v in parts):
        return numpy.where(mask, a, b)
    out = numpy.empty(mask.shape, like.dtype)
    _by_bits(mask.reshape(-1), *[v.reshape(-1).view(bits) for v in (out, *parts)])
    return out


def _lean(v: Any, dtype: Any) -> Any:
    """A number, also one that was stretched, as an array without axes; others as they are."""
    if type(v) is not ndarray:
        return numpy.array(v, dtype)
    return numpy.asarray(v[(0,) * v.ndim]) if v.size and not any(v.strides) else v


def _fits(v: Any, mask: Any, like: Any) -> bool:
    return v.dtype is like.dtype and v.flags.c_contiguous and (not v.ndim or v.shape == mask.shape)


def _by_bits(mask: Any, out: Any, a: Any, b: Any) -> None:
    nothing = b.size == 1 and not b[0]
    for i in range(0, out.size, ELEMENTS):
        end = i + ELEMENTS
        every = mask[i:end].astype(out.dtype)
        numpy.negative(every, every)
        x, y = (v if v.size == 1 else v[i:end] for v in (a, b))
        if nothing:
            numpy.bitwise_and(x, every, out[i:end])
            continue
        piece = numpy.bitwise_xor(x, y, out[i:end])
        piece &= every
        piece ^= y


def _relu(x):
    nought = _NOUGHT.get(x.dtype.char)
    if nought is None:
        return choice.relu.op.forward(x)
    if x.size < MANY:
        return numpy.maximum(nought, x)  # of -0 and 0 the second, as clip
    return shut(x)


def shut(x, out=None):
    """`x`, or 0 where it is less."""
    return x.clip(_NOUGHT[x.dtype.char], _INFINITE[x.dtype.char], out=out)


def _kept_between(x, low, high, out):
    return x.clip(low, high, out=out)


def _clamped(x, min=None, max=None):
    bounds = {type(b) for b in (min, max) if b is not None}
    if x.size < MANY or x.dtype.char not in "fd" or bounds - {int, float} or not bounds:
        return choice.clamp.op.forward(x, min, max)
    low, high = (-math.inf if min is None else min), (math.inf if max is None else max)
    return x.clip(number(low, x.dtype), number(high, x.dtype))


def _leaky(x, slope):
    if x.size < MANY:
        return activation.leaky.op.forward(x, slope)
    return select(x > 0, x, x * slope)


def _filled(x, mask, value):
    if x.shape != mask.shape or x.dtype.char not in "fd" or type(value) not in (int, float):
        return masked.fill_mask.op.forward(x, mask, value)
    return packed(select(mask, value, x))


def _gate(g, out):
    if g.size < choice.FEW:
        return choice.gate.op.forward(g, out)
    return gated(g, opened(out))


def gated(g: Any, open_: Any) -> Any:
    """`g` where the gate is open, and 0 where it is shut."""
    bits = BITS[g.dtype.char]
    every = open_.astype(bits)
    every &= g.view(bits)
    return every.view(g.dtype)


def _gate_over(g, out):
    """The same, over `g` where it is of a type that there are bits for."""
    bits = BITS.get(g.dtype.char)
    if bits is None:
        return choice.gate(g, out)
    seen = g.view(bits)
    seen &= opened(out)  # narrow numbers, whose sign goes on
    return g


def opened(out: Any) -> Any:
    """-1, which has all bits, where the gate is open, and 0 where it is shut."""
    open_ = numpy.less_equal(out, _NOUGHT[out.dtype.char]).view(numpy.int8)
    open_ -= 1
    return open_


_NOUGHT = {char: numpy.zeros((), char) for char in "fd"}
_INFINITE = {char: numpy.array(math.inf, char) for char in "fd"}
DIRECT = (
    (choice.relu, _relu),
    (choice.clamp, _clamped),
    (choice.gate, _gate),
    (choice.choose, select),
    (activation.leaky, _leaky),
    (masked.fill_mask, _filled),
)
OVER = ((choice.relu, _gate_over),)
WRITERS: tuple[tuple[Any, Any], ...] = (
    (choice.relu, shut),
    (activation.hardtanh_at, _kept_between),
)
