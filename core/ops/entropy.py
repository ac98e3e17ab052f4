"""Cross-entropies of probabilities and of their logits, elementwise."""

from __future__ import annotations

from core.autograd.dispatch import primitive
from core.backend import xp
from core.ops.choice import clamp_min
from core.ops.exponential import log, log1p, sigmoid
from core.ops.promotion import widened


@primitive(label="BinaryCrossEntropyBackward0")
@widened
def binary_entropy(x, t):
    """Elementwise -(t log(x) + (1 - t) log(1 - x)), with logarithms no lower than -100."""
    module = xp(x)
    high = module.maximum(module.log(x), x.dtype.type(-100))
    low = module.maximum(module.log1p(-x), x.dtype.type(-100))
    return (t - 1) * low - t * high


binary_entropy.defvjp(
    x=lambda g, x, t: g * (x - t) / clamp_min(x * (1 - x), 1e-12),
    t=lambda g, x: g * (clamp_min(log1p(-x), -100) - clamp_min(log(x), -100)),
)


@primitive(label="BinaryCrossEntropyWithLogitsBackward0")
@widened
def logit_entropy(x, t):
    """Elementwise binary cross-entropy of sigmoid(x), without overflow."""
    module = xp(x)
    return module.maximum(x, x.dtype.type(0)) - x * t + module.log1p(module.exp(-module.abs(x)))


logit_entropy.defvjp(
    x=lambda g, x, t: g * (sigmoid(x) - t),
    t=lambda g, x: -g * x,
)
