"""On the CPU a NumPy ufunc stands in for the forwards that say the same through an operator."""

from __future__ import annotations

import functools
import math
import operator
from typing import Any

import numpy

from core.ops import (
    bitwise,
    compare,
    division,
    elementwise,
    exponential,
    gamma,
    linalg,
    shape,
    special,
    trigonometric,
)


def _product(a: Any, b: Any) -> Any:
    """The product; for small matrices the method takes 0.35 us where matmul takes 0.94."""
    if a.dtype.char not in "fd":
        return linalg.matrix_product.op.forward(a, b)
    if b.ndim == 2 and b.dtype is a.dtype:
        if a.ndim == 2:
            return a.dot(b)
        if a.ndim > 2 and a.flags.c_contiguous and a.size:  # one product, not one for each matrix
            return a.reshape(-1, a.shape[-1]).dot(b).reshape(*a.shape[:-1], b.shape[1])
    return numpy.matmul(a, b)


def _vector_product(x: Any, v: Any) -> Any:
    """The products of a matrix, or of a vector, and a vector."""
    return x.dot(v) if x.dtype.char in "fd" else linalg.matrix_vector.op.forward(x, v)


# With so few rows and so many weights OpenBLAS's product for AVX-512 takes 5 to 60 % longer than
# that of the transposes, which are then turned back; below this many products, where it leaves its
# operands where they are, both take as long.
_FEW, _MANY, _PRODUCTS = range(2, 101), 1 << 16, 10**6


def _turned(x: Any, w: Any) -> bool:
    few = len(x) in _FEW and w.size >= _MANY and x.dtype.char == "f"
    return few and len(x) * w.size > _PRODUCTS


def _linear(x: Any, w: Any, b: Any = None) -> Any:
    """The layer as one product of two matrices."""
    d, n = x.dtype, x.ndim
    if w.dtype is not d or (b is not None and b.dtype is not d) or d.char not in "fd":
        return linalg.linear.op.forward(x, w, b)
    if n < 2 or w.ndim != 2 or x.shape[-1] != w.shape[1] or not x.size or not x.flags.c_contiguous:
        return linalg.linear.op.forward(x, w, b)
    rows = x if n == 2 else x.reshape(-1, x.shape[-1])
    if _turned(rows, w):
        product = w.dot(rows.T).T
        out = numpy.empty(product.shape, d)
        numpy.copyto(out, product) if b is None else numpy.add(product, b, out=out)
    else:
        out = rows.dot(w.T)
        if b is not None:
            out += b
    return out if n == 2 else out.reshape(*x.shape[:-1], len(w))


_ONE = {char: numpy.ones((), char) for char in "fd"}  # a number would be converted each time


def _sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)) in one array."""
    if not x.ndim or x.dtype.char not in "fd":
        return exponential.sigmoid.op.forward(x)
    out = numpy.negative(x)
    numpy.exp(out, out)
    numpy.add(out, _ONE[x.dtype.char], out)
    return numpy.reciprocal(out, out)


def _rsqrt(x: Any) -> Any:
    """1 / sqrt(x) in one array."""
    if not x.ndim or x.dtype.char not in "fd":
        return exponential.rsqrt.op.forward(x)
    out = numpy.sqrt(x)
    return numpy.reciprocal(out, out)


def _sign(x: Any) -> Any:
    """The sign, zero for NaN."""
    if x.dtype.char not in "fd":
        return elementwise.sign.op.forward(x)
    out = numpy.sign(x)
    flat = out.ravel()
    if flat.dot(flat) >= 0:
        return out
    return numpy.where(x == x, out, x.dtype.type(0))


FEW = 256


def _one_by_one(op: Any, function: Any, few: int = FEW) -> Any:
    """The C library's function of each of a few elements, which a formula needs 40 calls for.

    The formula is for pieces of the others whose 40 temporary arrays stay in the cache.
    """

    def each(x: Any, *rest: Any) -> Any:
        d = x.dtype
        if x.size > few or d.char not in "fd":
            return _by_pieces(op.op.forward, x, *rest)
        try:
            found = [function(a) for a in x.ravel().tolist()]
        except (ValueError, ArithmeticError):  # Python raises where the result is infinite
            return op.op.forward(x, *rest)
        return numpy.array(found, d).reshape(x.shape)

    return each


_PIECE = 1 << 13


def _by_pieces(function: Any, x: Any, *rest: Any) -> Any:
    if x.size <= _PIECE or not x.flags.c_contiguous:
        return function(x, *rest)
    flat = x.reshape(-1)
    parts = [function(flat[i : i + _PIECE], *rest) for i in range(0, x.size, _PIECE)]
    return numpy.concatenate(parts).reshape(x.shape)


def _few(op: Any, function: Any) -> Any:
    """Python's arithmetic on each of a few elements, with as many terms as the type needs."""
    short, long = (_one_by_one(op, functools.partial(function, short=s), 32) for s in (True, False))
    return lambda x, *rest: (short if x.dtype.char == "f" else long)(x, *rest)


def _polygamma() -> Any:
    op = gamma.derivative_of_digamma
    few = _few(op, gamma.trigamma_of_number)
    return lambda x, n: few(x, n) if n == 1 else op.op.forward(x, n)


def _lerp(input: Any, end: Any, weight: Any) -> Any:
    """The interpolation by one number, from the end that is nearer."""
    if type(weight) is not float:
        return elementwise.lerp.op.forward(input, end, weight)
    step = end - input
    return input + weight * step if math.fabs(weight) < 0.5 else end - step * (1 - weight)


def _addcmul(input: Any, tensor1: Any, tensor2: Any, value: Any = 1) -> Any:
    """The sum of a product, without a factor of one."""
    return input + (
        tensor1 * tensor2 if type(value) is int and value == 1 else value * tensor1 * tensor2
    )


def _new_axis(x: Any, axis: int) -> Any:
    """A view with a new axis of size one."""
    if not x.flags.c_contiguous or not x.size:
        return shape.expand_axis.op.forward(x, axis)
    sizes = x.shape
    return x.reshape(*sizes[:axis], 1, *sizes[axis:])


DIRECT = (
    (exponential.sigmoid, _sigmoid),
    (exponential.rsqrt, _rsqrt),
    (elementwise.sign, _sign),
    (special.erf, _one_by_one(special.erf, math.erf)),
    (special.erfc, _one_by_one(special.erfc, math.erfc)),
    (special.erfinv, _few(special.erfinv, special.erfinv_of_number)),
    (gamma.digamma, _few(gamma.digamma, gamma.digamma_of_number)),
    (gamma.derivative_of_digamma, _polygamma()),
    (gamma.lgamma, _one_by_one(gamma.lgamma, gamma.lgamma_of_number)),
    (bitwise.logical_and, numpy.logical_and),
    (bitwise.logical_or, numpy.logical_or),
    (bitwise.logical_xor, numpy.logical_xor),
    (elementwise.lerp, _lerp),
    (elementwise.addcmul, _addcmul),
    (shape.expand_axis, _new_axis),
    (elementwise.plus, numpy.add),
    (elementwise.minus, numpy.subtract),
    (elementwise.mul, numpy.multiply),
    (division.quotient, numpy.divide),
    (elementwise.neg, numpy.negative),
    (elementwise.abs, numpy.absolute),
    (exponential.exp, numpy.exp),
    (exponential.log, numpy.log),
    (exponential.sqrt, numpy.sqrt),
    (trigonometric.tanh, numpy.tanh),
    (trigonometric.sin, numpy.sin),
    (trigonometric.cos, numpy.cos),
    (compare.eq, numpy.equal),
    (compare.ne, numpy.not_equal),
    (compare.lt, numpy.less),
    (compare.le, numpy.less_equal),
    (compare.gt, numpy.greater),
    (compare.ge, numpy.greater_equal),
    (linalg.matrix_product, _product),
    (linalg.matrix_vector, _vector_product),
    (linalg.inner_product, _vector_product),
    (linalg.linear, _linear),
    (shape.transposed, operator.attrgetter("T")),
)
