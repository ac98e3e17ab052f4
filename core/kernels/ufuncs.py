"""On the CPU a NumPy ufunc stands in for the forwards that say the same through an operator."""

from __future__ import annotations

from typing import Any

import numpy

from core.ops import (
    compare,
    division,
    elementwise,
    exponential,
    linalg,
    reduce,
    trigonometric,
)

_add_up = numpy.add.reduce


def _product(a: Any, b: Any) -> Any:
    """a @ b; for small matrices the method takes 0.35 us where matmul takes 0.94."""
    return a.dot(b) if a.ndim == 2 == b.ndim else numpy.matmul(a, b)


def _sum(x: Any, dim: Any, keepdim: Any, dtype: Any) -> Any:
    """The sum of all elements without looking at what was not asked for."""
    if dim is None and dtype is None and not keepdim and x.dtype.char in "fd":
        return _add_up(x, None)
    return reduce.sum.op.forward(x, dim, keepdim, dtype)


DIRECT = (
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
    (reduce.sum, _sum),
)


def install() -> None:
    """Let the quick paths of these ops call the ufunc itself."""
    for op, ufunc in DIRECT:
        op.op.direct = ufunc
