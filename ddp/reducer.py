"""When gradients are reduced: bucket by bucket while backward runs, the rest at its end.

Nothing depends on forward, so unused parameters, several forwards or backwards, and branches that
differ by rank need no flag. Models that one backward reaches send in the order in which it reached
them, each its buckets in their order, so ranks agree on the sequence whatever their branches use.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from core.autograd.accumulate import WhenFinal, added_first, queue_callback, run_final
from core.autograd.place import where_it_lies
from core.autograd.value import Leaf, RemovableHandle, leaf_of, wrap
from core.backend import write
from ddp.absence import is_absent
from ddp.bucket import Bucket, make_buckets
from ddp.call import CollectiveError
from ddp.group import ProcessGroup, ReduceOp
from ddp.staging import Staged, needs_host
from ddp.stats import recorder_of
from ddp.weight import Weights


class _Backward(threading.local):
    """The reducers that this thread's backward has reached, in order."""

    def __init__(self) -> None:
        self.reached: list[Reducer] = []


_now = _Backward()


def _finish_all() -> None:
    reached, _now.reached = _now.reached, []
    for reducer in reached:
        reducer.entered = False
    try:
        for reducer in reached:
            reducer.send_rest()
        for reducer in reached:
            reducer.finish()
    finally:
        for reducer in reached:
            reducer.running = False


def _abandon_all() -> None:
    reached, _now.reached = _now.reached, []
    for reducer in reached:
        reducer.abandon()


def _send_full(group: Any) -> None:
    """Send what is full, up to the first bucket of the first model that waits for gradients."""
    for reducer in _now.reached:
        if reducer.running and reducer.group is group and not reducer.send_full():
            return


class Reducer:
    """Averages the gradients of `parameters` over a group, as part of every backward.

    A parameter that no rank used keeps `grad is None`; one that only some ranks used counts as zero
    on the others. `name` tells its collectives from those of other models of the group.
    """

    def __init__(
        self,
        names: Sequence[str],
        parameters: Sequence[Any],
        group: ProcessGroup,
        cap: int,
        at_end: Callable[[], None] | None = None,
        name: str = "",
    ) -> None:
        self.names, self.parameters, self.group = list(names), list(parameters), group
        self.name, self.at_end = name, at_end
        self.slots = [leaf_of(p) for p in self.parameters]
        self.lanes = [[leaf_of(leaf) for leaf in lane] for lane in self.leaves()]
        self.flats = [make_buckets(self.parameters, cap, group.allocate) for _ in self.lanes]
        self.buckets = self.flats[0]
        self.home_of = {i: b for b in self.buckets for i in b.positions}
        self.syncing = True
        self.entered = False  # a backward is under way, synced or not
        self.running = False  # buckets are on their way
        self.launched = 0
        self.steps = 0
        self.recorder = recorder_of(group)
        self.works: list[Any] = []
        self.kept: dict[int, Any] = {}
        self.weights = Weights()
        self.hook: Callable[[Bucket], Any] | None = None
        self.handles: list[RemovableHandle] = []
        self.early = 0
        self.attach()

    def leaves(self) -> list[list[Any]]:
        """The leaves whose gradients are reduced: one list per summand of this rank."""
        return [self.parameters]

    def attach(self) -> None:
        """Nothing; from now on this reducer is told of each gradient that has grown."""
        self.detach()
        self._settle_in()
        # The last bucket is full when backward is at its end: nothing is left that could hide it.
        # Reduced there and then it takes 30 us less than work that is started and waited for.
        on_host = self.buckets and type(self.buckets[-1].array) is numpy.ndarray
        self.early = len(self.buckets) - bool(on_host and self.hook is None)
        for slots in self.lanes:
            for i, slot in enumerate(slots):
                told = self._counted(i, slot, self.home_of[i])
                self.handles.append(added_first(slot.after, told))

    def _settle_in(self) -> None:
        """Let new gradients be put in the buckets."""
        for slots, flats in zip(self.lanes, self.flats, strict=True):
            for i, slot in enumerate(slots):
                slot.home = flats[self.home_of[i].index].views[i]

    def before_forward(self) -> None:
        """Nothing; what is to be done before a forward on shards is done."""

    def detach(self) -> None:
        """Nothing; the parameters' gradients are no longer reduced."""
        for handle in self.handles:
            handle.remove()
        self.handles = []
        for slot in itertools.chain(*self.lanes):
            slot.home = None

    def use_hook(self, hook: Callable[[Bucket], Any]) -> None:
        """Nothing; `hook` reduces the buckets."""
        self.hook = hook
        self.attach()

    def sync(self, wanted: bool) -> None:
        """Let the next backwards reduce gradients, or leave them local."""
        self.syncing = wanted

    def take_over(self, old: Reducer) -> None:
        """Go on with what another reducer of the module has counted."""
        self.steps, self.syncing = old.steps, old.syncing
        self.weights.take_over(old.weights)

    # ---- while backward runs ----

    def _counted(self, i: int, slot: Leaf, bucket: Bucket) -> Callable[[Any], None]:
        """What is called when a gradient has grown; the last of a bucket sends it."""

        def grown(_: Any) -> None:
            if not self.entered:
                self.enter()
            if self.weights.total is not None:
                self.check_weighable(i, slot)
            slot.local = True
            if not self.syncing:
                return
            if not self.running:
                self.begin()
            if bucket.index < self.launched:
                raise RuntimeError(
                    f"rank {self.group.rank}: {self.names[i]} received a gradient after its bucket"
                    " was sent: a backward that runs inside another one used it twice"
                )
            bucket.missing -= 1
            if not bucket.missing:
                _send_full(self.group)

        return grown

    def enter(self) -> None:
        """Nothing; a backward of this thread has reached the model."""
        self.entered = True
        if not _now.reached:
            queue_callback(_finish_all, _abandon_all)
        _now.reached.append(self)
        self.weights.begin()

    def check_weighable(self, i: int, slot: Leaf) -> None:
        """Raise RuntimeError where a weighted gradient was added to one that is reduced."""
        if not slot.local and slot.reduced is not None and slot.gradient is slot.reduced():
            raise RuntimeError(
                f"rank {self.group.rank}: {self.names[i]} has a gradient that was reduced before,"
                " to which a weighted backward cannot add: call zero_grad() first"
            )

    def begin(self) -> None:
        """Nothing; the buckets of a backward that reduces are empty."""
        if self.works:  # which an exception has left on their way
            self._wait()
            self._settle_in()
        self.running = True
        self.launched = 0
        self.kept = {}
        self.recorder.began()
        for bucket in self.buckets:
            bucket.missing = len(bucket.positions) * len(self.lanes)

    def _wait(self) -> None:
        works, self.works = self.works, []
        for work in works:
            if work is not None:
                work.wait()

    def send_full(self) -> bool:
        """Whether all buckets that go early have been sent, once the full ones are."""
        while self.launched < self.early:
            bucket = self.buckets[self.launched]
            if bucket.missing:
                return False
            self._launch(bucket)
        return True

    def _launch(self, bucket: Bucket) -> None:
        with bucket.place:
            self._launch_there(bucket)

    def _launch_there(self, bucket: Bucket) -> None:
        first = bucket.positions[0]
        if self.parameters[first].array.dtype != bucket.array.dtype:
            raise RuntimeError(
                f"rank {self.group.rank}: {self.names[first]} became"
                f" {self.parameters[first].array.dtype} after the module was wrapped, and its"
                f" bucket is {bucket.array.dtype}: call the wrapper, which makes new ones, first"
            )
        for slots, flats in zip(self.lanes, self.flats, strict=True):
            views = flats[bucket.index].views
            for i in bucket.positions:
                slot = slots[i]
                g = slot.gradient
                # Most are there already, and grew in this backward.
                if g is None or g.array is not views[i] or not slot.local:
                    self._gather(i, slot, views[i])
        self.launched += 1
        if is_absent():
            bucket.array[...] = 0
        self.recorder.sent(bucket.nbytes)
        self.works.append(self._located(self.send, bucket))

    def _gather(self, i: int, slot: Leaf, view: Any) -> None:
        """Bring a gradient into its bucket, wherever user code has put it.

        One that was assigned stays where it lies, for its memory may be a part of the user's own,
        and is given what was reduced.
        """
        g = slot.gradient
        if g is None:
            view[...] = 0
            return
        if g.array is not view:
            view[...] = g.array
            if slot.given is None or slot.given() is not g:
                slot.gradient = wrap(view)
        if not slot.local:
            self.kept[i] = view.copy()  # reduced before; an average of equal numbers can round

    def _located(self, call: Callable[..., Any], *args: Any) -> Any:
        """What a call with the other ranks returns; its errors say in which step this rank was."""
        try:
            return call(*args)
        except CollectiveError as error:
            if self.group.closed:  # by this rank, which waits for nobody
                raise
            step = self.steps + 1
            error.args = (
                f"{error}\n  rank {self.group.rank} waits in step {step} of its training loop"
                f" (backward {step} of {self.name or 'this model'}). Where a rank may run out of"
                " data before the others, say what to do: ddp.uneven(batches, 'stop'), or 'join'"
                " and the model",
            )
            raise

    def send(self, bucket: Bucket) -> Any:
        """The started average of a bucket, in place."""
        if self.hook is not None:
            return self.hook(bucket)
        return self.average(bucket.array)

    def average(self, array: Any) -> Any:
        """The average of an array over ranks, in place: started, or None where it is there."""
        if self.group.size == 1:
            return None
        if needs_host(array, self.group):
            return Staged(array, self.average)
        early = self.launched <= self.early
        return self.group.all_reduce(array, ReduceOp.AVG, async_op=early, label=self.name)

    # ---- at the end of backward ----

    def send_rest(self) -> None:
        """Send the buckets that are left of those that go early, full or not."""
        if self.running:
            for bucket in self.buckets[self.launched : self.early]:
                self._launch(bucket)

    def finish(self) -> None:
        """Agree on what was used, wait for everything, and leave the reduced gradients."""
        if not self.running:
            self.accumulated()
            return
        self.recorder.arrives()
        self._located(self._wait)
        for bucket in self.buckets[self.launched :]:
            self._launch(bucket)
        used = self._located(self._used_anywhere)
        self._located(self._wait)
        scale = self._located(self.weights.scale, self.group)
        self.recorder.ends()
        self.settle(used, scale)
        self.steps += 1
        if self.at_end is not None:
            self.at_end()
        if WhenFinal.made:
            self.run_final(used)

    def run_final(self, used: Sequence[int]) -> None:
        """Nothing; hooks of the parameters that were used have run, on all ranks."""
        for p, flag in zip(self.parameters, used, strict=True):
            if flag:
                run_final(p)

    def accumulated(self) -> None:
        """Nothing; gradients of a backward that was not synced stay where they are."""

    def abandon(self) -> None:
        """Forget a backward that ended by an exception; its gradients stay local."""
        self.entered = self.running = False
        self.weights.undo()
        if self.works:  # other ranks may still read and write the buckets: we move out
            for slot in itertools.chain(*self.lanes):
                slot.home = None
                if slot.gradient is not None:
                    slot.gradient = wrap(slot.gradient.array.copy())

    def used_here(self) -> Sequence[int]:
        """Which parameters have a gradient that this rank has to reduce."""
        if is_absent():
            return [False] * len(self.parameters)
        # One that was dropped since, as by zero_grad() after no_sync(), is not used.
        first, *others = [
            [slot.local and slot.gradient is not None for slot in slots] for slots in self.lanes
        ]
        return [any(flags) for flags in zip(first, *others, strict=True)] if others else first

    def _used_anywhere(self) -> Sequence[int]:
        used = self.used_here()
        if self.group.size == 1:
            return used
        every = numpy.array(used, numpy.uint8)
        self.group.all_reduce(every, ReduceOp.MAX, label=self.name)
        return every.tolist()

    def settle(self, used: Sequence[int], scale: float) -> None:
        """Leave reduced gradients, and what there was of parameters that nobody used."""
        for bucket in self.buckets:
            for i in bucket.positions:
                slot, home = self.slots[i], bucket.views[i]
                slot.local = False
                if used[i]:
                    if scale != 1:
                        with bucket.place:
                            home *= home.dtype.type(scale)
                    if slot.gradient is None:
                        slot.gradient = wrap(home)
                    elif slot.gradient.array is not home:
                        write(slot.gradient.array, home)
                    slot.reduced = weakref.ref(slot.gradient)
                elif i in self.kept:
                    with bucket.place:
                        home[...] = self.kept[i]


@where_it_lies
def has_any(a: Any) -> bool:
    """Whether an array has an element that is not zero."""
    return bool(a.any())
