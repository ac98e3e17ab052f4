"""Layers that act on each element."""

from __future__ import annotations

from typing import Any

import core.nn.functional as F
from core.nn.module import Module


class ReLU(Module):
    """Elementwise max(input, 0)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Any) -> Any:
        """The positive part."""
        return F.relu(input, self.inplace)

    def extra_repr(self) -> str:
        """Whether it writes into its input."""
        return "inplace=True" if self.inplace else ""
