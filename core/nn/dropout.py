"""Layers that set elements to zero at random while training."""

from __future__ import annotations

from typing import Any

import core.nn.functional as F
from core.nn.module import Module


class _Dropout(Module):
    """What the dropout layers share."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        """Probability."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Elements zero with probability p, the others divided by 1 - p."""

    def forward(self, input: Any) -> Any:
        """The input with a fresh mask; itself in evaluation."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Whole channels of sequences zero with probability p."""

    def forward(self, input: Any) -> Any:
        """The input with a fresh mask; itself in evaluation."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Whole channels of images zero with probability p."""

    def forward(self, input: Any) -> Any:
        """The input with a fresh mask; itself in evaluation."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """Whole channels of volumes zero with probability p."""

    def forward(self, input: Any) -> Any:
        """The input with a fresh mask; itself in evaluation."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance behind a selu."""

    def forward(self, input: Any) -> Any:
        """The input with a fresh mask; itself in evaluation."""
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_Dropout):
    """AlphaDropout of whole channels."""

    def forward(self, input: Any) -> Any:
        """The input with a fresh mask; itself in evaluation."""
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)
