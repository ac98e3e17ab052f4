"""Where the time of a step goes: computing, waiting for slower ranks, reducing.

Clocks of ranks are not compared. All leave a step's reduction together, so the time from there to
the next reduction says who is slow, on any number of nodes.
"""

from __future__ import annotations

import statistics
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy

from ddp.lifecycle import default_group

KEPT_STEPS = 1000
_COLUMNS = ("compute", "finish", "reduce", "bytes")


class Recorder:
    """What one rank measures in each step of one model: four readings of the clock."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.steps: deque[tuple[float, float, float, int]] = deque(maxlen=KEPT_STEPS)
        self.ended: float | None = None
        self.first_sent = self.arrived = 0.0
        self.sent_bytes = 0

    def began(self) -> None:
        """Note that the first bucket of a step is about to be sent."""
        self.first_sent = 0.0
        self.sent_bytes = 0

    def sent(self, nbytes: int) -> None:
        """Note that a bucket was sent."""
        if not self.sent_bytes:
            self.first_sent = self.clock()
        self.sent_bytes += nbytes

    def arrives(self) -> None:
        """Note that this rank has nothing left to do but to wait."""
        self.arrived = self.clock()
        if not self.sent_bytes:
            self.first_sent = self.arrived

    def ends(self) -> None:
        """Note that all gradients are reduced; a first step has no beginning and is left out."""
        now = self.clock()
        if self.ended is not None:
            compute = self.arrived - self.ended
            self.steps.append((compute, now - self.arrived, now - self.first_sent, self.sent_bytes))
        self.ended = now

    def kept(self) -> None:
        """Note a step whose gradients needed no reduction."""
        now = self.clock()
        if self.ended is not None:
            self.steps.append((now - self.ended, 0.0, 0.0, 0))
        self.ended = now


class Spread(NamedTuple):
    """The least, the middle and the largest over ranks of each rank's median over steps."""

    min: float
    median: float
    max: float


class Stats(NamedTuple):
    """The steps of one model on all ranks, in seconds and bytes.

    `compute` is the time from one reduction to the next; `wait` what a rank then waits for slower
    ones; `reduce` from the first bucket sent to the last one back; `exposed` the part of it, less
    waiting, that no computing hides. `slowest` is the rank that came last most often, `came_last`
    how often each did.
    """

    steps: int
    compute: Spread
    wait: Spread
    reduce: Spread
    exposed: Spread
    bytes: int
    slowest: int
    came_last: tuple[int, ...]


_latest: weakref.WeakKeyDictionary[Any, Recorder] = weakref.WeakKeyDictionary()


def recorder_of(group: Any, known: Recorder | None = None) -> Recorder:
    """A new recorder, or a known one; `stats()` tells of it until there is another in the group."""
    made = _latest[group] = known or Recorder()
    return made


def stats(model: Any = None) -> Stats:
    """Where the time of the last steps went (at most 1000): all ranks call it, and get the same.

    Of `model`, else of the one that was wrapped last in the default group.
    Raises: RuntimeError before the second step.
    """
    group = default_group(None) if model is None else model.process_group
    recorder = _latest.get(group) if model is None else model.reducer.recorder
    if recorder is None or not recorder.steps:
        raise RuntimeError(f"rank {group.rank}: stats() needs a model that has taken two steps")
    mine = numpy.array(recorder.steps, numpy.float64)
    every: list[Any] = [None] * group.size
    group.all_gather_object(every, mine)
    count = min(len(rows) for rows in every)
    return summarised(numpy.stack([rows[-count:] for rows in every]))


def summarised(table: Any) -> Stats:
    """The summary of measurements.

    Shape: table (ranks, steps, 4).
    """
    compute, finish, reduce, size = (table[:, :, i] for i in range(len(_COLUMNS)))
    wait = compute.max(0) - compute
    last = numpy.bincount(compute.argmax(0), minlength=len(table))
    return Stats(
        steps=table.shape[1],
        compute=_spread(compute),
        wait=_spread(wait),
        reduce=_spread(numpy.maximum(reduce - numpy.minimum(wait, finish), 0)),
        exposed=_spread(numpy.maximum(finish - wait, 0)),
        bytes=int(statistics.median(size[0].tolist())),
        slowest=int(last.argmax()),
        came_last=tuple(last.tolist()),
    )


def _spread(by_rank: Any) -> Spread:
    medians: Sequence[float] = numpy.median(by_rank, 1).tolist()
    return Spread(min(medians), statistics.median(medians), max(medians))
