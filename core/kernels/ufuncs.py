"""On the CPU a NumPy ufunc stands in for the forwards that say the same through an operator."""

from __future__ import annotations

import numpy

from core.ops import compare, elementwise

DIRECT = (
    (elementwise.plus, numpy.add),
    (elementwise.minus, numpy.subtract),
    (elementwise.mul, numpy.multiply),
    (elementwise.div, numpy.divide),
    (elementwise.neg, numpy.negative),
    (elementwise.abs, numpy.absolute),
    (elementwise.exp, numpy.exp),
    (elementwise.log, numpy.log),
    (elementwise.sqrt, numpy.sqrt),
    (elementwise.tanh, numpy.tanh),
    (compare.eq, numpy.equal),
    (compare.ne, numpy.not_equal),
    (compare.lt, numpy.less),
    (compare.le, numpy.less_equal),
    (compare.gt, numpy.greater),
    (compare.ge, numpy.greater_equal),
)


def install() -> None:
    """Let the quick paths of these ops call the ufunc itself."""
    for op, ufunc in DIRECT:
        op.op.direct = ufunc
