"""Dropout: elements set to zero at random; the mask is recomputed from its key, never stored."""

from __future__ import annotations

from typing import Any

from core import random
from core.autograd.dispatch import primitive
from core.backend import xp


@primitive(label="MulBackward0")
def drop(x, key, p, shape):
    """`x` times a random mask of `shape` that is 0 with probability `p`, else 1 / (1 - p)."""
    mask = random.bernoulli(key, shape, 1.0 - p, xp(x))
    kept = x * mask
    kept *= x.dtype.type(1.0 / (1.0 - p) if p < 1 else 0.0)
    return kept


drop.defvjp(x=lambda g, key, p, shape: drop(g, key, p, shape), key=None, p=None, shape=None)


def dropped(x: Any, p: float, shape: Any) -> Any:
    """`x` with a fresh mask of `shape`, broadcast."""
    return drop(x, random.default_generator().reserve(), p, tuple(shape))
