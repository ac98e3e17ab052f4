"""Gradients of logical shards: several summands per rank, added in the shards' tree."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy

from core.autograd.accumulate import added_first, queue_callback, run_hooks
from core.autograd.place import where_it_lies
from core.autograd.record import as_array
from core.autograd.value import Leaf, RemovableHandle, leaf_of, wrap
from core.backend import device_of, on
from ddp.bucket import Bucket, make_buckets
from ddp.group import ProcessGroup
from ddp.reducer import Reducer, has_any
from ddp.reduction import is_narrow_float, tree_sum
from ddp.sync import checksum
from ddp.weight import current_weight

_OUTSIDE = 2  # in the flags of a parameter: it has a gradient that no shard gave it


class _Shown(NamedTuple):
    """The gradient that a parameter had, and the one that it shows while shards accumulate."""

    before: Any
    total: Any


class ShardedReducer(Reducer):
    """A reducer whose every rank has one summand per local shard, added in the shards' tree.

    Summands r, r + W, r + 2W, ... are added on rank r, their sums over ranks, so the order of all S
    summands is that of `tree_sum` whatever W is. `mean` outside has divided by the local shards.
    What parameters get past the shards, as by a penalty on weights, must be equal on all ranks:
    then it is its own mean.
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
        self.outside: dict[int, Any] = {}
        self.aside: dict[int, Any] = {}
        self.followed: frozenset[int] = frozenset()
        self.heard: dict[int, dict[int, Any]] = {}  # hooks of parameters in this backward
        self.lent: list[Bucket] = []
        super().__init__(names, parameters, group, cap, *args)
        self.spares = make_buckets(self.parameters, cap, group.allocate)
        # What every step asks for again: the lists below take half a microsecond each to make.
        self.hooks = [slot.before for slot in self.slots]
        self.rows = [
            [(i, self.slots[i], self.lanes[0][i]) for i in bucket.positions]
            for bucket in self.buckets
        ]
        self.narrow = [is_narrow_float(bucket.array.dtype) for bucket in self.buckets]

    def leaves(self) -> list[list[Any]]:
        """One list of stand-ins per local shard."""
        return self.aliases

    def attach(self) -> None:
        """Nothing; the stand-ins are heard, and what the parameters themselves are given."""
        super().attach()
        for i, slot in enumerate(self.slots):
            before = RemovableHandle(slot.before, _PutsAside(self, i))
            after = added_first(slot.after, functools.partial(self._take, i))
            self.handles += [before, after]
        self.followed = frozenset()

    def before_forward(self) -> None:
        """Nothing; hooks of parameters are followed, and memory is taken back."""
        if max(map(len, self.hooks), default=0) > 1:  # one hook is ours
            self._follow_hooks()
        if self.lent:
            self._take_back()

    def begin(self) -> None:
        """Nothing; the buckets of a backward that reduces are empty."""
        if self.lent:
            self._take_back()
        super().begin()

    def _follow_hooks(self) -> None:
        """Nothing; hooks of the parameters run on each shard's gradient, as on that of a rank."""
        # Most parameters have none but ours, so their stand-ins are spared one in vain.
        hooked = [
            i for i, slot in enumerate(self.slots) if len(slot.before) > 1 and _users_hooks(slot)
        ]
        for i in hooked:
            for slots in self.lanes if i not in self.followed else ():
                told = functools.partial(self._as_of_a_rank, i)
                self.handles.append(RemovableHandle(slots[i].before, told))
        if hooked:
            self.followed |= frozenset(hooked)

    def _as_of_a_rank(self, i: int, g: Any) -> Any:
        """A shard's gradient after the hooks of its parameter.

        They see what a rank would that has this shard alone: not divided by the number of local
        ones, which is a power of two. That of a loss with a weight, a sum, was not divided.
        """
        if not self.heard:
            queue_callback(self.heard.clear, self.heard.clear)
        # Those that the first shard saw, also where one took itself away.
        hooks = self.heard.setdefault(i, _users_hooks(self.slots[i]))
        count = len(self.lanes) if current_weight() is None else 1
        with on(device_of(g.array)):
            seen = as_array(g.array * count, (g.array,))
            return wrap(as_array(run_hooks(hooks, seen, False) / count, (g.array,)))

    # ---- gradients that no shard gave ----

    def put_aside(self, i: int) -> None:
        """Let the gradient that comes stand alone."""
        self.look_again()
        self.aside[i], self.slots[i].gradient = self.slots[i].gradient, None

    def _take(self, i: int, _: Any) -> None:
        if not self.entered:
            self.enter()
        if self.weights.total is not None:
            raise RuntimeError(self._belongs_nowhere(i, "has no weight"))
        slot = self.slots[i]
        g, slot.gradient = slot.gradient.array, self.aside.pop(i, None)
        self.outside[i] = as_array(self.outside[i] + g, (g,)) if i in self.outside else g
        slot.local = True
        if self.syncing and not self.running:
            self.begin()

    def take_over(self, old: Reducer) -> None:
        """Go on with what another reducer of the module has counted, and has of such gradients."""
        super().take_over(old)
        if not isinstance(old, ShardedReducer):
            return
        place = {name: i for i, name in enumerate(self.names)}
        self.outside = {place[old.names[i]]: g for i, g in old.outside.items()}

    def used_here(self) -> Sequence[int]:
        """As flags: whether a shard gave a parameter a gradient, and whether it got one besides."""
        used = super().used_here()
        if not self.outside:
            return used
        return [bool(here) + _OUTSIDE * (i in self.outside) for i, here in enumerate(used)]

    def _check_outside(self, used: Sequence[int]) -> None:
        wanted = [i for i, flags in enumerate(used) if flags & _OUTSIDE]
        if not wanted or self.group.size == 1:
            return
        sums = [checksum(wrap(self.outside[i])) if i in self.outside else 0 for i in wanted]
        every = numpy.empty((self.group.size, len(wanted)), numpy.uint64)
        self.group.all_gather_into_tensor(every, numpy.array(sums, numpy.uint64))
        odd = (every != every[0]).any(0)
        if odd.any():
            self.outside.clear()
            raise RuntimeError(self._belongs_nowhere(wanted[int(odd.argmax())], "differs by rank"))

    def _belongs_nowhere(self, i: int, why: str) -> str:
        return (
            f"rank {self.group.rank}: {self.names[i]} was used outside the sharded forward"
            f" (directly, by another method, or in eval mode), and its gradient there {why}, so it"
            " belongs to no shard: let the wrapper's forward use it, in training mode"
        )

    # ---- gradients that wait for the others of an accumulation ----

    def accumulated(self) -> None:
        """Show the sums of this rank's shards in the parameters, as gradients not yet reduced."""
        for i, slot in enumerate(self.slots):
            parts = [lane[i].gradient.array for lane in self.lanes if lane[i].gradient is not None]
            parts += [self.outside[i]] if i in self.outside else []
            if parts:
                before = slot.gradient
                with on(device_of(parts[0])):
                    total = (parts.pop(0) if before is None else before.array).copy()
                    for part in parts:
                        total += part
                    self.shown[i] = _Shown(before, total)
                    slot.gradient, slot.local = wrap(total.copy()), True
        for lane in self.aliases if self.shown else ():
            for alias in lane:
                slot = leaf_of(alias)
                self.watches.append(RemovableHandle(slot.before, self._seen_again))

    def _seen_again(self, g: Any) -> None:
        if self.look_again():
            queue_callback(self._show_again)

    def _show_again(self) -> None:
        """Nothing; what was hidden is shown again, where no backward but autograd.grad saw it."""
        if not self.entered and not self.shown:
            self.accumulated()

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
            is_there, slot.local = slot.local, False  # zeros may have been there, or been put there
            if is_there and x is not None and _equal(x.array, was.total):
                slot.gradient = was.before
                continue
            if x is not None and has_any(x.array):
                raise RuntimeError(
                    f"rank {self.group.rank}: the gradient of {self.names[i]} was changed between"
                    " backwards under no_sync on logical shards: change it once it is reduced"
                )
            self.outside.pop(i, None)
            for lane in self.lanes:
                lane[i].gradient, lane[i].local = None, False
        return bool(shown)

    def abandon(self) -> None:
        """Forget a backward that ended by an exception; its gradients are shown as local."""
        super().abandon()
        for i, before in self.aside.items():
            self.slots[i].gradient = before
        self.aside = {}
        self.look_again()
        self.accumulated()

    # ---- when a bucket is full ----

    def send(self, bucket: Bucket) -> Any:
        """The started average of a bucket's sum over local shards."""
        narrow = self.narrow[bucket.index]
        if len(self.flats) == 1 and not narrow:
            return self.average(bucket.array)
        flats = [lane[bucket.index].array for lane in self.flats]
        if narrow:  # rounded once, after the last addition
            total = tree_sum([flat.astype(numpy.float32) for flat in flats])
            self.wide[bucket.index] = total
            return self.average(total)
        bucket.array[...] = tree_sum(flats)
        return self.average(bucket.array)

    def settle(self, used: Sequence[int], scale: float) -> None:
        """Add the reduced gradients to the parameters' own; then the stand-ins are empty again."""
        if max(used, default=0) >= _OUTSIDE:
            self._check_outside(used)
            used = [flags & 1 for flags in used]
        for slots in self.lanes[1:]:
            for slot in slots:
                slot.local, slot.gradient = False, None
        for bucket in self.buckets:
            if self.wide or scale != 1:
                self._finish_sum(bucket, scale)
            self._store(bucket, used)
        for i, g in self.outside.items():
            self.slots[i].local = False
            before = self.slots[i].gradient
            if before is None:
                self.slots[i].gradient = wrap(g)
            else:
                with on(device_of(g)):
                    before.array += g
        self.outside = {}

    def _finish_sum(self, bucket: Bucket, scale: float) -> None:
        with bucket.place:
            wide = self.wide.pop(bucket.index, None)
            if wide is not None:
                bucket.array[...] = wide
            if scale != 1:
                bucket.array *= bucket.array.dtype.type(scale)

    def _store(self, bucket: Bucket, used: Sequence[int]) -> None:
        rows, views = self.rows[bucket.index], bucket.views
        if all([slot.gradient is None and used[i] for i, slot, _ in rows]):
            for i, slot, lane in rows:  # a copy would take 0.4 ms for a perceptron of 2.7 MB
                g = lane.gradient  # in the bucket since it was sent, if this rank has one
                slot.gradient = wrap(views[i]) if g is None else g
                lane.gradient = lane.home = None
                lane.local = False
            self.lent.append(bucket)
            return
        with bucket.place:
            for i, slot, lane in rows:
                lane.local, lane.gradient = False, None
                if used[i] and slot.gradient is None:
                    slot.gradient = wrap(views[i].copy())
                elif used[i]:
                    slot.gradient.array += views[i]

    def _take_back(self) -> None:
        """Nothing; buckets whose gradients are gone, as after zero_grad(), are used again.

        They are still in the cache: two sets in turn take a perceptron of 2.7 MB 4 % of its step.
        To gradients that are there their memory is left.
        """
        lent, self.lent = self.lent, []
        for bucket in lent:
            rows = self.rows[bucket.index]
            if any([slot.gradient is not None for _, slot, _ in rows]):
                spare = self.spares[bucket.index]
                bucket.array, spare.array = spare.array, bucket.array
                bucket.views, spare.views = spare.views, bucket.views
            for i, _, lane in rows:
                lane.home = bucket.views[i]


class _PutsAside:
    """A reducer's own hook on a parameter; there are two where a module was wrapped twice."""

    def __init__(self, reducer: ShardedReducer, i: int) -> None:
        self.reducer, self.i = reducer, i

    def __call__(self, _: Any) -> None:
        self.reducer.put_aside(self.i)


def _users_hooks(slot: Leaf) -> dict[int, Any]:
    return {n: hook for n, hook in slot.before.items() if type(hook) is not _PutsAside}


@where_it_lies
def _equal(a: Any, b: Any) -> bool:
    return bool(((a == b) | ((a != a) & (b != b))).all())  # a NaN is what it was
