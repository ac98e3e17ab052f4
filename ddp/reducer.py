"""When gradients are reduced: bucket by bucket while backward runs, the rest at its end.

Nothing depends on forward, so unused parameters, several forwards or backwards, and branches that
differ by rank need no flag.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from core.autograd.accumulate import queue_callback
from core.autograd.value import RemovableHandle, leaf_of, wrap
from ddp.bucket import Bucket, make_buckets
from ddp.group import ProcessGroup, ReduceOp, Work


class Reducer:
    """Averages the gradients of `parameters` over a group, as part of every backward.

    A parameter that no rank used keeps `grad is None`; one that only some ranks used counts as zero
    on the others.
    """

    def __init__(
        self,
        names: Sequence[str],
        parameters: Sequence[Any],
        group: ProcessGroup,
        cap: int,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        self.names, self.parameters, self.group = list(names), list(parameters), group
        self.buckets = make_buckets(self.parameters, cap)
        self.home_of = {i: b for b in self.buckets for i in b.positions}
        self.at_end = at_end
        self.syncing = True
        self.running = False
        self.launched = 0
        self.works: list[Work | None] = []
        self.kept: dict[int, Any] = {}
        self.handles = [self._attach(i, p) for i, p in enumerate(self.parameters)]

    def _attach(self, i: int, p: Any) -> RemovableHandle:
        slot = leaf_of(p)
        slot.home = self.home_of[i].views[i]
        return RemovableHandle(slot.after, lambda leaf: self.ready(i))

    def detach(self) -> None:
        """Nothing; the parameters' gradients are no longer reduced."""
        for handle, p in zip(self.handles, self.parameters, strict=True):
            handle.remove()
            leaf_of(p).home = None

    # ---- while backward runs ----

    def ready(self, i: int) -> None:
        """Note that a parameter's gradient has grown; send its bucket if it was the last of it."""
        leaf_of(self.parameters[i]).local = True
        if not self.syncing:
            return
        if not self.running:
            self._begin()
        bucket = self.home_of[i]
        if bucket.index < self.launched:
            raise RuntimeError(
                f"rank {self.group.rank}: {self.names[i]} received a gradient after its bucket was"
                " sent: a backward that runs inside another one used it twice"
            )
        bucket.missing -= 1
        while self.launched < len(self.buckets) and not self.buckets[self.launched].missing:
            self._launch(self.buckets[self.launched])

    def _begin(self) -> None:
        self.running = True
        self.launched = 0
        self.works = []
        self.kept = {}
        for bucket in self.buckets:
            bucket.missing = len(bucket.positions)
        queue_callback(self.finish)

    def _launch(self, bucket: Bucket) -> None:
        for i in bucket.positions:
            self._gather(i, bucket.views[i])
        self.launched += 1
        self.works.append(self.group.all_reduce(bucket.array, ReduceOp.AVG, async_op=True))

    def _gather(self, i: int, view: Any) -> None:
        """Bring a gradient into its bucket, wherever user code has put it."""
        slot = leaf_of(self.parameters[i])
        g = slot.gradient
        if g is None:
            view[...] = 0
            return
        if g.array is not view:
            view[...] = g.array
            slot.gradient = wrap(view)
        if not slot.local:
            self.kept[i] = view.copy()  # reduced before; an average of equal numbers can round

    # ---- at the end of backward ----

    def finish(self) -> None:
        """Send the buckets that are left, agree on what was used, and wait for everything."""
        try:
            for bucket in self.buckets[self.launched :]:
                self._launch(bucket)
            used = self._used_anywhere()
            for work in self.works:
                if work is not None:
                    work.wait()
            for i, p in enumerate(self.parameters):
                self._settle(i, leaf_of(p), bool(used[i]))
            if self.at_end is not None:
                self.at_end()
        finally:
            self.running = False

    def _used_anywhere(self) -> Any:
        used = numpy.array([leaf_of(p).local for p in self.parameters], numpy.uint8)
        self.group.all_reduce(used, ReduceOp.MAX)
        return used

    def _settle(self, i: int, slot: Any, used: bool) -> None:
        slot.local = False
        if used:
            if slot.gradient is None:
                slot.gradient = wrap(slot.home)
        elif i in self.kept:
            slot.home[...] = self.kept[i]
