"""`bucket_cap_mb="auto"`: sizes of buckets are tried over the first steps, and the fastest stays.

A sum over ranks is taken element by element, so the size of buckets changes no bit.
"""

from __future__ import annotations

import statistics
from typing import Any

import numpy

from ddp.group import ReduceOp

SIZES_MB = (1, 5, 25, 100)
STEPS = 4  # per size; the first one after a change is not counted


class Tuner:
    """Which size of buckets comes next; `cap` is the one to use now, in bytes."""

    def __init__(self, group: Any) -> None:
        self.group = group
        self.tried = 0
        self.seconds: list[float] = []
        self.done = False

    @property
    def cap(self) -> int:
        """Bytes per bucket of the size under trial."""
        return SIZES_MB[self.tried] << 20

    def next_cap(self, recorder: Any) -> int | None:
        """The size to change to, if this one was tried long enough; all ranks get the same."""
        if len(recorder.steps) < STEPS:
            return None
        measured = [compute + finish for compute, finish, _, _ in list(recorder.steps)[1:]]
        self.seconds.append(statistics.median(measured))
        self.tried += 1
        if self.tried < len(SIZES_MB):
            return self.cap
        self.done = True
        slowest = numpy.array(self.seconds)
        self.group.all_reduce(slowest, ReduceOp.MAX)
        self.tried = int(slowest.argmin())
        return self.cap
