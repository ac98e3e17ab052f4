"""Gradients that some rows of a table do not get in full."""

from __future__ import annotations

from core.autograd.dispatch import primitive


@primitive(label="EmbeddingBackward0")
def weigh_gradient(x, factor):
    """`x` as it is; its gradient is multiplied by `factor`, broadcast."""
    return x.copy()


weigh_gradient.defvjp(x=lambda g, factor: g * factor, factor=None)
