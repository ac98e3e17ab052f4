"""`ProcessGroup`: the verbs of collective communication over arrays; never models, never tensors.

Names and meanings are those of torch.distributed, in place and with `async_op=True -> Work`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ddp.collective_verbs import Collectives, shown
from ddp.group_core import Timeout
from ddp.messages import P2POp
from ddp.reduction import Array, ReduceOp
from ddp.schedule import Channel
from ddp.work import Steps, Work

__all__ = ["P2POp", "ProcessGroup", "ReduceOp", "Timeout", "Work"]

# PyTorch's `distributed.group.WORLD`: None is the default group, everywhere.
WORLD = None

# How long close() waits for the other ranks: what is left to free is freed at the end anyway.
CLOSE_SECONDS = 10.0


class ProcessGroup(Collectives):
    """The ranks that talk to each other, numbered 0 to size - 1, and all they can say.

    Every collective is called by all ranks of the group, in the same order.
    Raises: (from every verb, or from `Work.wait`) CollectiveMismatchError, CollectiveTimeoutError,
        RankFailedError, on every rank that can be reached, before any array is changed.
    """

    def barrier(
        self, async_op: bool = False, timeout: Timeout = None, label: str = ""
    ) -> Work | None:
        """Nothing, once every rank has come here; `label` says in reports what for."""
        call = self.call("barrier", label=label)
        return shown(self.start(call, self.schedule.barrier, async_op, timeout), async_op)

    # ---- many arrays in one collective ----

    def all_reduce_coalesced(
        self,
        arrays: Sequence[Array],
        op: ReduceOp = ReduceOp.SUM,
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Work | None:
        """Nothing; each array holds its reduction over ranks. One dtype; one round of messages."""
        joined = _joined(arrays)
        call = self.call("all_reduce_coalesced", joined, op, label=_shapes(arrays))
        for array in arrays:
            self.check_output("all_reduce_coalesced", array, joined.dtype, array.shape)

        def plan(channel: Channel) -> Steps:
            out = yield from self.schedule.all_reduce(channel, joined, op)
            _store_joined(arrays, out)

        return shown(self.start(call, plan, async_op, timeout), async_op)

    def broadcast_coalesced(
        self,
        arrays: Sequence[Array],
        root: int = 0,
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Work | None:
        """Nothing; each array holds what the root's held. One dtype; one round of messages."""
        joined = _joined(arrays)
        call = self.call("broadcast_coalesced", joined, root=root, label=_shapes(arrays))

        def plan(channel: Channel) -> Steps:
            yield from self.schedule.broadcast(channel, joined, root)
            if self.rank != root:
                _store_joined(arrays, joined)

        return shown(self.start(call, plan, async_op, timeout), async_op)

    def all_gather_coalesced(
        self,
        outs: Sequence[Sequence[Array]],
        arrays: Sequence[Array],
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Work | None:
        """Nothing; `outs[r][i]` holds rank r's `arrays[i]`. One dtype; one round of messages."""
        joined = _joined(arrays)
        self.check_count("all_gather_coalesced", "lists of outputs", outs)
        call = self.call("all_gather_coalesced", joined, label=_shapes(arrays))
        for places in outs:
            for out, array in zip(places, arrays, strict=True):
                self.check_output("all_gather_coalesced", out, array.dtype, array.shape)

        def plan(channel: Channel) -> Steps:
            flats = [np.empty_like(joined) for _ in outs]
            yield from self.schedule.all_gather(channel, flats, joined)
            for places, flat in zip(outs, flats):
                _store_joined(places, flat)

        return shown(self.start(call, plan, async_op, timeout), async_op)

    # ---- other groups ----

    def split(self, color: int | None, key: int = 0, timeout: Timeout = None) -> Any:
        """The group of the ranks with the same color, ordered by key, then rank; None for None."""
        self.subgroups += 1
        entries: list[Any] = [None] * self.size
        self.all_gather_object(entries, (color, key))
        if color is None:
            return None
        members = [(k, r) for r, (c, k) in enumerate(entries) if c == color]
        return self._make_subgroup([r for _, r in sorted(members)], timeout)

    def new_group(self, ranks: Sequence[int] | None = None, timeout: Timeout = None) -> Any:
        """The group of these ranks of this one, None on other ranks; called by all ranks."""
        ranks = list(range(self.size)) if ranks is None else list(ranks)
        for rank in ranks:
            self.check_rank("new_group", "ranks", rank)
        if len(set(ranks)) != len(ranks) or not ranks:
            raise ValueError(f"rank {self.rank}: new_group expected distinct ranks, got {ranks}")
        self.subgroups += 1
        call = self.call("new_group", label=str(ranks))
        self.start(call, self.schedule.barrier)
        return self._make_subgroup(ranks, timeout) if self.rank in ranks else None

    def _make_subgroup(self, ranks: list[int], timeout: Timeout) -> Any:
        part = self.subgroup(ranks, f"{self.subgroups}:{ranks}", timeout or self.timeout)
        part.ranks = [self.ranks[r] for r in ranks]
        return part

    def close(self) -> None:
        """Nothing; the group gives back what it holds and cannot be used any more.

        Called by all ranks. A group that failed is only marked: its other ranks may not come.
        """
        if self.closed:
            return
        if self.failure is None:
            self.start(self.call("close"), self.schedule.barrier, timeout=CLOSE_SECONDS)
            self.release()
        self.closed = True


def _joined(arrays: Sequence[Array]) -> Array:
    dtypes = sorted({array.dtype.name for array in arrays})
    if len(dtypes) != 1:
        raise TypeError(f"expected one or more arrays of one dtype, got {dtypes}")
    return np.concatenate([array.reshape(-1) for array in arrays])


def _store_joined(arrays: Sequence[Array], joined: Array) -> None:
    start = 0
    for array in arrays:
        array[...] = joined[start : start + array.size].reshape(array.shape)
        start += array.size


def _shapes(arrays: Sequence[Array]) -> str:
    return " ".join(str(tuple(array.shape)) for array in arrays)
