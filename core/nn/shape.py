"""Layers that rearrange their input."""

from __future__ import annotations

from typing import Any

from core.nn.module import Module
from core.ops.shape import flatten


class Flatten(Module):
    """The dims from `start_dim` to `end_dim` made one; the batch stays by default."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Any) -> Any:
        """The input with fewer dims."""
        return flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Dims."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
