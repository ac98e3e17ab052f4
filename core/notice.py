"""Warnings, told at the line of the program that led to them."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

COPIED = (
    "To copy construct from a tensor, it is recommended to use source.detach().clone() or"
    " source.detach().clone().requires_grad_(True), rather than tensor(source)."
)
READ_ONLY = (
    "The given NumPy array is not writable: writing to the tensor will raise. Copy the array to"
    " have one that can be written to."
)


def notice(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the first line outside of this package: once per line of the program, not of ours."""
    level = 1
    frame: FrameType | None = sys._getframe(0)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "core":
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)
