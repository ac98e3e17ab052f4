"""Entropies of probabilities and cross-entropies of them and of their logits, elementwise."""

from __future__ import annotations

import numpy

from core.autograd.dispatch import primitive
from core.autograd.quick import unary
from core.backend import xp
from core.ops.choice import choose, clamp_min
from core.ops.exponential import log, log1p, sigmoid
from core.ops.promotion import promote_float, widened


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


@unary
@primitive(casts=promote_float, name="special_entr")
@widened
def entr(x):
    """Elementwise -x * log(x), zero at zero and -inf below."""
    module = xp(x)
    found = module.where(x > 0, -x * module.log(module.where(x > 0, x, 1)), 0 * x)
    return module.where(x < 0, -numpy.inf, found)


entr.defvjp(x=lambda g, x: -g * (1 + log(x)))


@primitive(
    casts=promote_float, tensors=None, name="special_xlog1py", label="SpecialXlog1PyBackward0"
)
@widened
def xlog1py(a, b):
    """Elementwise a * log(1 + b), zero where a is zero and b is not NaN."""
    module = xp(a if hasattr(a, "dtype") else b)
    b = b if hasattr(b, "dtype") else module.asarray(b, a.dtype)
    return module.where((a == 0) & (b == b), 0, a * module.log1p(b))


xlog1py.defvjp(
    a=lambda g, a, b: choose(
        (a == 0) & (b <= -1), 0, g * (log1p(b) if hasattr(b, "dtype") else numpy.log1p(b))
    ),
    b=lambda g, a, b: g * a / (b + 1),
)
