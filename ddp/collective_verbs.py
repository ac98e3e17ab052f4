"""The collectives of one array per rank, with the names and meanings of torch.distributed.

Each verb checks its arguments, states its call, and hands its messages over as a plan.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ddp.call import CollectiveMismatchError
from ddp.group_core import Timeout
from ddp.messages import Messages, flat_view, store
from ddp.reduction import Array, ReduceOp
from ddp.schedule import Channel
from ddp.work import Steps, Work


class Collectives(Messages):
    """The collectives of one array per rank."""

    def broadcast(
        self,
        array: Array,
        root: int = 0,
        async_op: bool = False,
        timeout: Timeout = None,
        label: str = "",
    ) -> Work | None:
        """Nothing; `array` holds what the root's held."""
        call = self.call("broadcast", array, root=root, label=label)
        if self.rank != root:
            self.check_output("broadcast", array, array.dtype, array.shape)

        def plan(channel: Channel) -> Steps:
            flat = flat_view(array)
            yield from self.schedule.broadcast(channel, flat, root)
            if self.rank != root:
                store(array, flat)

        return shown(self.start(call, plan, async_op, timeout), async_op)

    def all_reduce(
        self,
        array: Array,
        op: ReduceOp = ReduceOp.SUM,
        async_op: bool = False,
        timeout: Timeout = None,
        label: str = "",
    ) -> Work | None:
        """Nothing; `array` holds the reduction over ranks, the same bits on every rank."""
        if not async_op and self.reduces_at_once(array, op, timeout, label):
            return None
        call = self.call("all_reduce", array, op, label=label)
        self.check_output("all_reduce", array, array.dtype, array.shape)

        def plan(channel: Channel) -> Steps:
            out = yield from self.schedule.all_reduce(channel, flat_view(array), op)
            array[...] = out.reshape(array.shape)

        return shown(self.start(call, plan, async_op, timeout), async_op)

    def reduce(
        self,
        array: Array,
        root: int = 0,
        op: ReduceOp = ReduceOp.SUM,
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Work | None:
        """Nothing; the root's `array` holds the reduction over ranks, the others are unchanged."""
        call = self.call("reduce", array, op, root)
        if self.rank == root:
            self.check_output("reduce", array, array.dtype, array.shape)

        def plan(channel: Channel) -> Steps:
            out = yield from self.schedule.reduce(channel, flat_view(array), op, root)
            if self.rank == root:
                array[...] = out.reshape(array.shape)

        return shown(self.start(call, plan, async_op, timeout), async_op)

    def all_gather(
        self, outs: Sequence[Array], array: Array, async_op: bool = False, timeout: Timeout = None
    ) -> Work | None:
        """Nothing; `outs[r]` holds rank r's `array`."""
        call = self.call("all_gather", array)
        self.check_outs("all_gather", outs, array)

        def plan(channel: Channel) -> Steps:
            flats = [flat_view(out) for out in outs]
            yield from self.schedule.all_gather(channel, flats, flat_view(array))
            _store_all(outs, flats)

        return shown(self.start(call, plan, async_op, timeout), async_op)

    def all_gather_into_tensor(
        self, out: Array, array: Array, async_op: bool = False, timeout: Timeout = None
    ) -> Work | None:
        """Nothing; `out` holds the arrays of all ranks one after the other.

        Shape: (n, ...) -> (size * n, ...) or (size, n, ...).
        """
        call = self.call("all_gather_into_tensor", array)
        self.check_whole("all_gather_into_tensor", out, array, out)

        def plan(channel: Channel) -> Steps:
            flat = flat_view(out)
            yield from self.schedule.all_gather(channel, self._cut(flat), flat_view(array))
            store(out, flat)

        return shown(self.start(call, plan, async_op, timeout), async_op)

    def gather(
        self,
        array: Array,
        outs: Sequence[Array] | None = None,
        root: int = 0,
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Work | None:
        """Nothing; on the root `outs[r]` holds rank r's `array`."""
        call = self.call("gather", array, root=root)
        self.check_only_root("gather", "outputs", outs, root)
        if self.rank == root:
            self.check_outs("gather", outs, array)
        places: Sequence[Array] = outs if outs is not None and self.rank == root else []

        def plan(channel: Channel) -> Steps:
            flats = [flat_view(out) for out in places]
            yield from self.schedule.gather(channel, flats, flat_view(array), root)
            _store_all(places, flats)

        return shown(self.start(call, plan, async_op, timeout), async_op)

    def scatter(
        self,
        array: Array,
        parts: Sequence[Array] | None = None,
        root: int = 0,
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Work | None:
        """Nothing; `array` holds the root's `parts[this rank]`."""
        call = self.call("scatter", array, root=root)
        self.check_output("scatter", array, array.dtype, array.shape)
        self.check_only_root("scatter", "inputs", parts, root)
        if self.rank == root:
            self.check_parts("scatter", parts, array)
        sources: Sequence[Array] = parts if parts is not None and self.rank == root else []

        def plan(channel: Channel) -> Steps:
            flat = flat_view(array)
            yield from self.schedule.scatter(channel, flat, [flat_view(p) for p in sources], root)
            store(array, flat)

        return shown(self.start(call, plan, async_op, timeout), async_op)

    def reduce_scatter(
        self,
        out: Array,
        parts: Sequence[Array],
        op: ReduceOp = ReduceOp.SUM,
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Work | None:
        """Nothing; `out` holds the reduction over ranks of their `parts[this rank]`."""
        call = self.call("reduce_scatter", out, op)
        self.check_output("reduce_scatter", out, out.dtype, out.shape)
        self.check_parts("reduce_scatter", parts, out)

        def plan(channel: Channel) -> Steps:
            flats = [flat_view(part) for part in parts]
            mine = yield from self.schedule.reduce_scatter(channel, flats, op)
            out[...] = mine.reshape(out.shape)

        return shown(self.start(call, plan, async_op, timeout), async_op)

    def reduce_scatter_tensor(
        self,
        out: Array,
        array: Array,
        op: ReduceOp = ReduceOp.SUM,
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Work | None:
        """Nothing; `out` holds this rank's share of the reduction over ranks of `array`.

        Shape: `array` (size * n, ...) or (size, n, ...), `out` (n, ...).
        """
        call = self.call("reduce_scatter_tensor", out, op)
        self.check_whole("reduce_scatter_tensor", array, out, out)

        def plan(channel: Channel) -> Steps:
            parts = self._cut(flat_view(array))
            mine = yield from self.schedule.reduce_scatter(channel, parts, op)
            out[...] = mine.reshape(out.shape)

        return shown(self.start(call, plan, async_op, timeout), async_op)

    def all_to_all(
        self,
        outs: Sequence[Array],
        arrays: Sequence[Array],
        async_op: bool = False,
        timeout: Timeout = None,
        label: str = "all_to_all",
    ) -> Work | None:
        """Nothing; `outs[r]` holds rank r's `arrays[this rank]`. Sizes may differ, also 0."""
        self.check_exchange(label, outs, arrays)
        call = self.call(label, label=arrays[0].dtype.name)

        def plan(channel: Channel) -> Steps:
            yield from self.agree_on_sizes(channel, label, outs, arrays)
            flats = [flat_view(out) for out in outs]
            yield from self.schedule.exchange(channel, [flat_view(a) for a in arrays], flats)
            _store_all(outs, flats)

        return shown(self.start(call, plan, async_op, timeout), async_op)

    def all_to_all_single(
        self,
        out: Array,
        array: Array,
        out_splits: Sequence[int] | None = None,
        in_splits: Sequence[int] | None = None,
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Work | None:
        """Nothing; `out` holds what all ranks had for this one, cut along the first dimension."""
        outs = self._split("all_to_all_single", out, out_splits)
        arrays = self._split("all_to_all_single", array, in_splits)
        return self.all_to_all(outs, arrays, async_op, timeout, "all_to_all_single")

    # ---- arguments ----

    def _cut(self, flat: Array) -> list[Array]:
        count = flat.size // self.size
        return [flat[r * count : (r + 1) * count] for r in range(self.size)]

    def check_outs(self, op: str, outs: Sequence[Array] | None, array: Array) -> None:
        self.check_count(op, "outputs", outs or [])
        for out in outs or []:
            self.check_output(op, out, array.dtype, array.shape)

    def check_parts(self, op: str, parts: Sequence[Array] | None, array: Array) -> None:
        self.check_count(op, "inputs", parts or [])
        for part in parts or []:
            self.check_array(op, part)
            if part.dtype != array.dtype or part.shape != array.shape:
                raise ValueError(
                    f"rank {self.rank}: {op} expected inputs {array.dtype} {array.shape}, "
                    f"got {part.dtype} {part.shape}"
                )

    def check_exchange(self, op: str, outs: Sequence[Array], arrays: Sequence[Array]) -> None:
        self.check_count(op, "outputs", outs)
        self.check_count(op, "inputs", arrays)
        for out, array in zip(outs, arrays):
            self.check_array(op, array)
            if array.dtype != arrays[0].dtype:
                raise ValueError(
                    f"rank {self.rank}: {op} expected inputs of one dtype, got {arrays[0].dtype}"
                    f" and {array.dtype}"
                )
            self.check_output(op, out, array.dtype, out.shape)

    def check_whole(self, op: str, whole: Array, part: Array, written: Array) -> None:
        self.check_array(op, whole)
        self.check_output(op, written, part.dtype, written.shape)
        stacked = (self.size, *part.shape)
        joined = (self.size * part.shape[0], *part.shape[1:]) if part.ndim else (self.size,)
        if whole.dtype != part.dtype or tuple(whole.shape) not in (stacked, joined):
            raise ValueError(
                f"rank {self.rank}: {op} expected {part.dtype} {joined} or {stacked} "
                f"beside {tuple(part.shape)}, got {whole.dtype} {tuple(whole.shape)}"
            )

    def _split(self, op: str, array: Array, splits: Sequence[int] | None) -> list[Array]:
        self.check_array(op, array)
        rows = array.shape[0] if array.ndim else 0
        if splits is None:
            splits = [rows // self.size] * self.size
        self.check_count(op, "splits", splits)
        if sum(splits) != rows or min(splits) < 0:
            raise ValueError(
                f"rank {self.rank}: {op} expected splits that add up to the first dimension "
                f"of {tuple(array.shape)}, got {list(splits)}"
            )
        ends = [sum(splits[: r + 1]) for r in range(self.size)]
        return [array[end - count : end] for end, count in zip(ends, splits)]

    def agree_on_sizes(
        self, channel: Channel, op: str, outs: Sequence[Array], arrays: Sequence[Array]
    ) -> Steps:
        """None, if what each rank sends is what the other expects; else an error on every rank."""
        mine = np.array([[a.size for a in arrays], [out.size for out in outs]], np.int64)
        table = [np.empty(mine.size, np.int64) for _ in range(self.size)]
        yield from self.schedule.all_gather(channel, table, mine.reshape(-1))
        sent, expected = np.stack(table).reshape(self.size, 2, self.size).transpose(1, 0, 2)
        wrong = np.argwhere(sent != expected.T)
        if wrong.size:
            src, dst = (int(r) for r in wrong[0])
            raise CollectiveMismatchError(
                f"rank {self.rank}: {op}: rank {src} sends {sent[src, dst]} elements to rank "
                f"{dst}, which expects {expected[dst, src]}"
            )


def shown(work: Work, async_op: bool) -> Work | None:
    """The work of an asynchronous call; None of one that is over."""
    return work if async_op else None


def _store_all(arrays: Sequence[Array], flats: Sequence[Array]) -> None:
    for array, flat in zip(arrays, flats):
        store(array, flat)
