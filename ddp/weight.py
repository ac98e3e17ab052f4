"""The weighted mean of gradients: `backward(loss_sum, weight=n)` divides by all ranks' weight."""

from __future__ import annotations

import threading
from typing import Any


class _Current(threading.local):
    weight: float | None = None


_current = _Current()


def current_weight() -> float | None:
    """The weight of the backward that this thread is in; None where it has none."""
    return _current.weight


def backward(loss_sum: Any, weight: float, **options: Any) -> None:
    """Run `loss_sum.backward()` so that gradients become their sum divided by the global weight.

    `loss_sum` is a sum over this rank's samples, `weight` their number (or the sum of their
    weights); under `no_sync` both accumulate until the next backward
    outside. Ranks may differ in both.
    Raises: ValueError for a weight that is negative or no number.
    """
    if not weight >= 0:
        raise ValueError(f"weight: expected a number that is not negative, got {weight!r}")
    before, _current.weight = _current.weight, float(weight)
    try:
        loss_sum.backward(**options)
    finally:
        _current.weight = before
