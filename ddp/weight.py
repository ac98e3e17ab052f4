"""The weighted mean of gradients: `backward(loss_sum, weight=n)` divides by all ranks' weight."""

from __future__ import annotations

import functools
import itertools
import math
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy

from ddp.group import ProcessGroup, ReduceOp


class _Current(threading.local):
    weight: float | None = None


_current = _Current()
# By number, so that threads may come and go: an entry is taken out in one go.
_asleep: dict[int, weakref.WeakMethod[Callable[[], None]]] = {}
_number = itertools.count().__next__


def current_weight() -> float | None:
    """The weight of the backward that this thread is in; None where it has none."""
    return _current.weight


def when_weighted(told: Callable[[], None]) -> None:
    """Nothing; this method is called before the next backward that has a weight."""
    key = _number()
    _asleep[key] = weakref.WeakMethod(told, functools.partial(_asleep.pop, key))


def backward(loss_sum: Any, weight: float, **options: Any) -> None:
    """Run `loss_sum.backward()` so that gradients become their sum divided by the global weight.

    `loss_sum` is a sum over this rank's samples, `weight` their number (or the sum of their
    weights); under `no_sync` both accumulate until the next backward
    outside. Ranks may differ in both.
    Raises: ValueError for a weight that is negative, infinite or no number.
    """
    if not 0 <= weight < math.inf:
        raise ValueError(f"weight: expected a finite number, not negative, got {weight!r}")
    for key in [*_asleep] if _asleep else ():
        known = _asleep.pop(key, None)
        told = None if known is None else known()
        if told is not None:
            told()
    before, _current.weight = _current.weight, float(weight)
    try:
        loss_sum.backward(**options)
    finally:
        _current.weight = before


class Weights:
    """What the gradients gathered since the last reduction weigh on this rank.

    `waiting` tells whether there are any still: zero_grad() drops them, and their weight with them.
    """

    def __init__(self, waiting: Callable[[], bool] = lambda: True) -> None:
        self.waiting = waiting
        self.total: float | None = None
        self.plain = False
        self.share: float | None = None  # of a loss that says none, where ranks may run out
        self.before: tuple[float | None, bool] = (None, False)

    def begin(self) -> None:
        """Note the weight of the backward that begins in this thread."""
        if (self.plain or self.total is not None) and not self.waiting():
            self.total, self.plain = None, False
        self.before = (self.total, self.plain)
        weight = _current.weight
        if weight is None and self.total is None and self.share is None:
            self.plain = True  # as it nearly always is
        elif weight is None and self.share is not None:
            self.total = self.share
        else:
            self.note(weight)

    def take_over(self, old: Weights) -> None:
        """Nothing; these are the weights of what another reducer has gathered, too."""
        self.total, self.plain, self.share, self.before = (
            old.total,
            old.plain,
            old.share,
            old.before,
        )

    def undo(self) -> None:
        """Forget the weight of the backward that began last."""
        self.total, self.plain = self.before

    def note(self, weight: float | None) -> None:
        """Add the weight of one backward.

        Raises: RuntimeError where backwards with and without a weight would be mixed.
        """
        if weight is None:
            self.plain = True
        else:
            self.total = (self.total or 0.0) + weight
        if self.plain and self.total is not None:
            raise RuntimeError(
                "backward() and ddp.backward(loss, weight=...) cannot be mixed in one accumulation"
            )

    def scale(self, group: ProcessGroup) -> float:
        """What an average over ranks is multiplied by to be the weighted mean; then start anew."""
        total, self.total, self.plain = self.total, None, False
        if total is None:
            return 1.0
        every = numpy.array([total])
        group.all_reduce(every, ReduceOp.SUM)
        return group.size / every[0] if every[0] else 0.0
