"""What NumPy and CuPy complain about, said in PyTorch's words and with its exception types."""

from __future__ import annotations

from typing import Any

import numpy


def explained(op: Any, arrays: Any, error: Exception) -> Exception:
    """The exception to raise for `error`, which the forward of `op` raised."""
    if isinstance(error, numpy.exceptions.AxisError):
        low, high = -max(error.ndim or 0, 1), max(error.ndim or 0, 1) - 1
        return IndexError(
            f"Dimension out of range (expected to be in range of [{low}, {high}],"
            f" but got {error.axis})"
        )
    shapes = [x.shape for x in arrays if hasattr(x, "shape")]
    if "broadcast" in str(error) and len(shapes) >= 2:
        return RuntimeError(broadcast_complaint(shapes[0], shapes[1]) or f"{op.name}: {error}")
    if isinstance(error, IndexError):
        return IndexError(str(error))
    return RuntimeError(f"{op.name}: {error}")


def broadcast_complaint(a: tuple[int, ...], b: tuple[int, ...]) -> str | None:
    """Why shapes `a` and `b` do not broadcast; None if they do."""
    n = max(len(a), len(b))
    left, right = (1,) * (n - len(a)) + tuple(a), (1,) * (n - len(b)) + tuple(b)
    for i in reversed(range(n)):
        if left[i] != right[i] and 1 not in (left[i], right[i]):
            return (
                f"The size of tensor a ({left[i]}) must match the size of tensor b ({right[i]})"
                f" at non-singleton dimension {i}"
            )
    return None
