"""Softmax layers, and the gated linear unit: activations along a dim."""

from __future__ import annotations

from typing import Any

import core.nn.functional as F
from core.nn.module import Module


class GLU(Module):
    """The first half of a dim times the sigmoid of the second."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        """Settings."""
        return f"dim={self.dim}"


class Softmax(Module):
    """Exponentials along a dim, divided by their sum."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        """Settings."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """The logarithm of softmax along a dim."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        """Settings."""
        return f"dim={self.dim}"


class Softmin(Module):
    """The softmax of -input along a dim."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.softmin(input, self.dim)

    def extra_repr(self) -> str:
        """Settings."""
        return f"dim={self.dim}"


class Softmax2d(Module):
    """The softmax over the channels of images.

    Shape: (N, C, H, W) or (C, H, W) -> the same.
    """

    def forward(self, input: Any) -> Any:
        """The result."""
        if len(input.shape) not in (3, 4):
            raise ValueError(
                f"Softmax2d: expected input to be 3D or 4D, got {len(input.shape)}D instead"
            )
        return F.softmax(input, -3)
