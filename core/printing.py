"""How tensors print."""

from __future__ import annotations

from typing import Any

import numpy

from core.backend import to_host


def tensor_text(x: Any) -> str:
    """The text of a tensor, as PyTorch prints it."""
    return f"tensor({numpy.array2string(to_host(x.array), separator=', ', prefix='tensor(')})"
