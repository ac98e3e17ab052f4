"""Gradients of logical shards: several summands per rank, added in the shards' tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy

from core.autograd.value import RemovableHandle, leaf_of, wrap
from ddp.bucket import Bucket, make_buckets
from ddp.group import ProcessGroup
from ddp.reducer import Reducer
from ddp.reduction import is_narrow_float, tree_sum


class _Shown(NamedTuple):
    """The gradient that a parameter had, and the one that it shows while shards accumulate."""

    before: Any
    total: Any


class ShardedReducer(Reducer):
    """A reducer whose every rank has one summand per local shard, added in the shards' tree.

    Summands r, r + W, r + 2W, ... are added on rank r, their sums over ranks, so the order of all S
    summands is that of `tree_sum` whatever W is. `mean` outside has divided by the local shards.
    """

    def __init__(
        self,
        aliases: list[list[Any]],
        names: Sequence[str],
        parameters: Sequence[Any],
        group: ProcessGroup,
        cap: int,
        *args: Any,
    ) -> None:
        self.aliases = aliases
        self.wide: dict[int, Any] = {}
        self.shown: dict[int, _Shown] = {}
        self.watches: list[RemovableHandle] = []
        super().__init__(names, parameters, group, cap, *args)
        self.spares = make_buckets(self.parameters, cap, group.allocate)

    def leaves(self) -> list[list[Any]]:
        """One list of stand-ins per local shard."""
        return self.aliases

    def attach(self) -> None:
        """Nothing; the stand-ins are heard, the parameters themselves refuse gradients."""
        super().attach()
        for slot, name in zip(self.slots, self.names, strict=True):
            self.handles.append(RemovableHandle(slot.after, self._outside(name)))

    def _outside(self, name: str) -> Callable[[Any], None]:
        def refuse(leaf: Any) -> None:
            raise RuntimeError(
                f"rank {self.group.rank}: {name} was used outside the sharded forward (directly, by"
                " another method, or in eval mode), so its gradient belongs to no shard: let the"
                " wrapper's forward use it, in training mode"
            )

        return refuse

    # ---- gradients that wait for the others of an accumulation ----

    def accumulated(self) -> None:
        """Show the sums of this rank's shards in the parameters, as gradients not yet reduced."""
        for i, slot in enumerate(self.slots):
            parts = [lane[i].gradient.array for lane in self.lanes if lane[i].gradient is not None]
            if parts:
                before = slot.gradient
                total = sum(
                    parts[1:], parts[0].copy() if before is None else before.array + parts[0]
                )
                self.shown[i] = _Shown(before, total)
                slot.gradient, slot.local = wrap(total.copy()), True
        for lane in self.aliases if self.shown else ():
            for alias in lane:
                slot = leaf_of(alias)
                self.watches.append(RemovableHandle(slot.before, self._seen_again))

    def _seen_again(self, g: Any) -> None:
        self.look_again()

    def look_again(self) -> bool:
        """Drop what is gone from the parameters since, as by zero_grad(); hide the rest again.

        Whether there was something to hide.
        Raises: RuntimeError where it was changed in another way, which no shard could follow.
        """
        for handle in self.watches:
            handle.remove()
        self.watches = []
        shown, self.shown = self.shown, {}
        for i, was in shown.items():
            slot, x = self.slots[i], self.slots[i].gradient
            slot.local = False
            if x is not None and _equal(x.array, was.total):
                slot.gradient = was.before
                continue
            if x is not None and bool(x.array.any()):
                raise RuntimeError(
                    f"rank {self.group.rank}: the gradient of {self.names[i]} was changed between"
                    " backwards under no_sync on logical shards: change it once it is reduced"
                )
            for lane in self.lanes:
                lane[i].gradient, lane[i].local = None, False
        return bool(shown)

    def abandon(self) -> None:
        """Forget a backward that ended by an exception; its gradients are shown as local."""
        super().abandon()
        self.look_again()
        self.accumulated()

    # ---- when a bucket is full ----

    def send(self, bucket: Bucket) -> Any:
        """The started average of a bucket's sum over local shards."""
        flats = [lane[bucket.index].array for lane in self.flats]
        if is_narrow_float(bucket.array.dtype):  # rounded once, after the last addition
            total = tree_sum([flat.astype(numpy.float32) for flat in flats])
            self.wide[bucket.index] = total
            return self.average(total)
        if len(flats) > 1:
            bucket.array[...] = tree_sum(flats)
        return self.average(bucket.array)

    def settle(self, used: Sequence[bool], scale: float) -> None:
        """Add the reduced gradients to the parameters' own; then the stand-ins are empty again."""
        for slots in self.lanes:
            for slot in slots:
                slot.local, slot.gradient = False, None
        for bucket in self.buckets:
            wide = self.wide.pop(bucket.index, None)
            if wide is not None:
                bucket.array[...] = wide
            if scale != 1:
                bucket.array *= bucket.array.dtype.type(scale)
            self._store(bucket, used)

    def _store(self, bucket: Bucket, used: Sequence[bool]) -> None:
        slots = [self.slots[i] for i in bucket.positions]
        if all(slot.gradient is None for slot in slots) and all(used[i] for i in bucket.positions):
            for i, slot in zip(bucket.positions, slots, strict=True):
                slot.gradient = wrap(bucket.views[i])
            self._exchange(bucket)  # a copy would take 0.4 ms for a perceptron of 2.7 MB
            return
        for i, slot in zip(bucket.positions, slots, strict=True):
            if used[i] and slot.gradient is None:
                slot.gradient = wrap(bucket.views[i].copy())
            elif used[i]:
                slot.gradient.array += bucket.views[i]

    def _exchange(self, bucket: Bucket) -> None:
        """Leave a bucket's memory to the gradients that are in it; the next ones go elsewhere."""
        spare = self.spares[bucket.index]
        bucket.array, spare.array = spare.array, bucket.array
        bucket.views, spare.views = spare.views, bucket.views
        for i in bucket.positions:
            self.lanes[0][i].home = bucket.views[i]


def _equal(a: Any, b: Any) -> bool:
    return bool(((a == b) | ((a != a) & (b != b))).all())  # a NaN is what it was
