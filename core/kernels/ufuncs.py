"""On the CPU a NumPy ufunc stands in for the forwards that say the same through an operator."""

from __future__ import annotations

import numpy

from core.ops import compare, division, elementwise, exponential, linalg, trigonometric

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
    (linalg.matrix_product, numpy.matmul),
)


def install() -> None:
    """Let the quick paths of these ops call the ufunc itself."""
    for op, ufunc in DIRECT:
        op.op.direct = ufunc
