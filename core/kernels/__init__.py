"""The same ops, faster, per device: delete this folder and every result stays."""

from typing import Any

import numpy

from core.autograd.dispatch import accelerates
from core.kernels import activation, attention, convolution, norm, pool, ufuncs

DIRECT: tuple[tuple[Any, Any], ...] = (*ufuncs.DIRECT, *convolution.DIRECT, *norm.DIRECT)
FUSED: tuple[tuple[Any, Any], ...] = (*activation.FUSED, *attention.FUSED, *norm.FUSED, *pool.FUSED)


def install() -> None:
    """Register every acceleration: forwards for NumPy arrays, and forwards with their gradients."""
    for op, function in DIRECT:
        op.op.direct = function
    for op, function in FUSED:
        accelerates(op, numpy.ndarray)(function)
