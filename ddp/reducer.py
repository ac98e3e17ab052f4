"""When gradients are reduced: bucket by bucket while backward runs, the rest at its end.

Nothing depends on forward, so unused parameters, several forwards or backwards, and branches that
differ by rank need no flag.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy

from core.autograd.accumulate import queue_callback
from core.autograd.value import RemovableHandle, leaf_of, wrap
from ddp.absence import is_absent
from ddp.bucket import Bucket, make_buckets
from ddp.call import CollectiveError
from ddp.group import ProcessGroup, ReduceOp, Work
from ddp.reduction import is_narrow_float, tree_sum
from ddp.staging import Staged, needs_host
from ddp.stats import recorder_of
from ddp.weight import current_weight


class Weights:
    """What the gradients gathered since the last reduction weigh on this rank."""

    def __init__(self) -> None:
        self.total: float | None = None
        self.plain = False
        self.share: float | None = None  # of a loss that says none, where ranks may run out

    def begin(self) -> None:
        """Note the weight of the backward that begins in this thread."""
        weight = current_weight()
        if weight is None and self.share is not None:
            self.total = self.share
        else:
            self.note(weight)

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
        self.lanes = self.leaves()
        self.flats = [make_buckets(lane, cap, group.allocate) for lane in self.lanes]
        self.buckets = self.flats[0]
        self.home_of = {i: b for b in self.buckets for i in b.positions}
        self.at_end = at_end
        self.syncing = True
        self.entered = False  # a backward is under way, synced or not
        self.alone = False
        self.running = False  # buckets are on their way
        self.launched = 0
        self.steps = 0
        self.recorder = recorder_of(group)
        self.works: list[Any] = []
        self.kept: dict[int, Any] = {}
        self.weights = Weights()
        self.hook: Callable[[Bucket], Any] | None = None
        self.handles = [
            self._attach(n, i, leaf)
            for n, lane in enumerate(self.lanes)
            for i, leaf in enumerate(lane)
        ]

    def leaves(self) -> list[list[Any]]:
        """The leaves whose gradients are reduced: one list per summand of this rank."""
        return [self.parameters]

    def _attach(self, lane: int, i: int, leaf: Any) -> RemovableHandle:
        slot = leaf_of(leaf)
        bucket = self.flats[lane][self.home_of[i].index]
        if self.group.size > 1 or len(self.lanes) > 1 or type(self) is not Reducer:
            slot.home = bucket.views[i]  # one rank has no use for a copy
        return RemovableHandle(slot.after, lambda leaf: self.ready(leaf, i))

    def detach(self) -> None:
        """Nothing; the parameters' gradients are no longer reduced."""
        for handle in self.handles:
            handle.remove()
        for lane in self.lanes:
            for leaf in lane:
                leaf_of(leaf).home = None

    # ---- while backward runs ----

    def ready(self, leaf: Any, i: int) -> None:
        """Note that a parameter's gradient has grown; send its bucket if it was the last of it."""
        slot = leaf_of(leaf)
        if not self.entered:
            self.entered = True
            # One rank has nothing to send: 25 us of a step of 180 us, were it treated as many.
            self.alone = self.group.size == 1 and self.hook is None and type(self) is Reducer
            queue_callback(self.finish)
            self.weights.begin()
        if self.weights.total is not None and not slot.local and slot.gradient is slot.reduced:
            raise RuntimeError(
                f"rank {self.group.rank}: {self.names[i]} has a gradient that was reduced before,"
                " to which a weighted backward cannot add: call zero_grad() first"
            )
        slot.local = True
        if not self.syncing or self.alone:
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
        self.recorder.began()
        for bucket in self.buckets:
            bucket.missing = len(bucket.positions) * len(self.lanes)

    def _launch(self, bucket: Bucket) -> None:
        for lane, flats in zip(self.lanes, self.flats, strict=True):
            for i in bucket.positions:
                self._gather(i, lane[i], flats[bucket.index].views[i])
        self.launched += 1
        if is_absent():
            bucket.array[...] = 0
        self.recorder.sent(bucket.nbytes)
        with self.located():
            self.works.append(self.send(bucket))

    @contextlib.contextmanager
    def located(self) -> Iterator[None]:
        """A context whose collectives, if they fail, say in which step this rank was."""
        try:
            yield
        except CollectiveError as error:
            step = self.steps + 1
            error.args = (
                f"{error}\n  rank {self.group.rank} waits in step {step} of its training loop"
                f" (backward {step} of this model). Where a rank may run out of data before the"
                " others, say what to do: ddp.uneven(batches, 'stop'), or 'join' and the model",
            )
            raise

    def send(self, bucket: Bucket) -> Any:
        """The started average of a bucket, in place."""
        if self.hook is not None:
            return self.hook(bucket)
        if self.group.size == 1:
            return None
        if needs_host(bucket.array, self.group):
            return Staged(bucket.array, self._average)
        return self._average(bucket.array)

    def _average(self, array: Any) -> Work | None:
        return self.group.all_reduce(array, ReduceOp.AVG, async_op=True)

    def _gather(self, i: int, leaf: Any, view: Any) -> None:
        """Bring a gradient into its bucket, wherever user code has put it."""
        slot = leaf_of(leaf)
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
        self.entered = False
        if self.alone and self.syncing:
            self._finish_alone()
        if not self.running:
            return
        try:
            for bucket in self.buckets[self.launched :]:
                self._launch(bucket)
            self.recorder.arrives()
            with self.located():
                used = self._used_anywhere()
                for work in self.works:
                    if work is not None:
                        work.wait()
                scale = self.weights.scale(self.group)
            self.recorder.ends()
            self.steps += 1
            for i in range(len(self.parameters)):
                self.settle(i, bool(used[i]), scale)
            if self.at_end is not None:
                self.at_end()
        finally:
            self.running = False

    def _finish_alone(self) -> None:
        self.recorder.began()
        self.recorder.arrives()
        scale = self.weights.scale(self.group) if self.weights.total is not None else 1.0
        self.weights.plain = False
        for p in self.parameters:
            slot = p.leaf
            if slot.local:
                slot.local = False
                if scale != 1:
                    slot.gradient.array *= slot.gradient.array.dtype.type(scale)
                slot.reduced = slot.gradient
        self.recorder.ends()
        self.steps += 1
        if self.at_end is not None:
            self.at_end()

    def _used_anywhere(self) -> Any:
        used = numpy.zeros(len(self.parameters), numpy.uint8)
        for lane in self.lanes if not is_absent() else ():
            used |= numpy.array([leaf_of(leaf).local for leaf in lane], numpy.uint8)
        if self.group.size > 1:
            self.group.all_reduce(used, ReduceOp.MAX)
        return used

    def settle(self, i: int, used: bool, scale: float) -> None:
        """Leave a parameter with its reduced gradient, or with what it had if nobody used it."""
        slot, home = leaf_of(self.parameters[i]), self.home_of[i].views[i]
        slot.local = False
        if used:
            if scale != 1:
                home *= home.dtype.type(scale)
            if slot.gradient is None:
                slot.gradient = wrap(home)
            slot.reduced = slot.gradient
        elif i in self.kept:
            home[...] = self.kept[i]


class ShardedReducer(Reducer):
    """A reducer whose every rank has one summand per local shard, added in the shards' tree.

    Summands r, r + W, r + 2W, ... are added on rank r, their sums over ranks, so the order of all S
    summands is that of `tree_sum` whatever W is. `mean` outside has divided by the local shards.
    """

    def __init__(self, aliases: list[list[Any]], *args: Any) -> None:
        self.aliases = aliases
        super().__init__(*args)
        self.wide: dict[int, Any] = {}
        for p, name in zip(self.parameters, self.names, strict=True):
            self.handles.append(RemovableHandle(leaf_of(p).after, self._outside(name)))

    def leaves(self) -> list[list[Any]]:
        """One list of stand-ins per local shard."""
        return self.aliases

    def _outside(self, name: str) -> Callable[[Any], None]:
        def refuse(leaf: Any) -> None:
            raise RuntimeError(
                f"rank {self.group.rank}: {name} was used outside the sharded forward, so its"
                " gradient belongs to no shard; call the wrapped module itself"
            )

        return refuse

    def send(self, bucket: Bucket) -> Work | None:
        """The started average of a bucket's sum over local shards."""
        flats = [lane[bucket.index].array for lane in self.flats]
        if is_narrow_float(bucket.array.dtype):  # rounded once, after the last addition
            total = tree_sum([flat.astype(numpy.float32) for flat in flats])
            self.wide[bucket.index] = total
        else:
            total = bucket.array
            if len(flats) > 1:
                total[...] = tree_sum(flats)
        return self.group.all_reduce(total, ReduceOp.AVG, async_op=True)

    def finish(self) -> None:
        """As for one summand; then the stand-ins are empty again."""
        super().finish()
        self.wide = {}

    def settle(self, i: int, used: bool, scale: float) -> None:
        """Add the reduced gradient to the parameter's own."""
        bucket = self.home_of[i]
        if bucket.index in self.wide:
            bucket.array[...] = self.wide.pop(bucket.index)
        for lane in self.lanes:
            slot = leaf_of(lane[i])
            slot.local, slot.gradient = False, None
        if not used:
            return
        slot = leaf_of(self.parameters[i])
        view = bucket.views[i]
        if scale != 1:
            view *= view.dtype.type(scale)
        if slot.gradient is None:
            slot.gradient = wrap(view.copy())
        else:
            slot.gradient.array += view
