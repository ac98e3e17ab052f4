"""The accelerations of the ops that layers are made of, in one table."""

from typing import Any

from core.kernels import activation, attention, conv_pool, convolution, norm, pool

DIRECT: tuple[tuple[Any, Any], ...] = (*activation.DIRECT, *convolution.DIRECT, *norm.DIRECT)
FUSED: tuple[tuple[Any, Any], ...] = (
    *activation.FUSED,
    *attention.FUSED,
    *convolution.FUSED,
    *conv_pool.FUSED,
    *norm.FUSED,
    *pool.FUSED,
)
WRITERS: tuple[tuple[Any, Any], ...] = activation.WRITERS
GATES = pool.GATES
