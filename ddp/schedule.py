"""Which messages make up each collective, over nothing but sends and receives between two ranks.

A schedule is a generator of conditions (see `ddp.work`). Buffers are flat and contiguous; equal
sizes on both ends were checked before. Backends with something faster override single methods.
"""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ddp.reduction import Array, ReduceOp, reduce_arrays
from ddp.work import Steps

# Up to here every rank sends all it has to every other: one round of messages in place of two.
SMALL_BYTES = 8192


class Channel(ABC):
    """The messages of one operation, kept apart from those of all others."""

    rank: int
    size: int

    @abstractmethod
    def send(self, buffer: Array, peer: int) -> Any:
        """A request, done when `buffer` may be changed again."""

    @abstractmethod
    def recv(self, buffer: Array, peer: int) -> Any:
        """A request, done when the message from `peer` is in `buffer`."""

    @abstractmethod
    def recv_any(self, buffer: Array) -> Callable[[], int | None]:
        """The rank whose message has come into `buffer`, of whichever rank; None before that."""

    def only_for(self, fingerprint: int) -> None:  # noqa: B027  (boards reach all simulated ranks)
        """Nothing; from now on messages meet only those of calls with this fingerprint."""

    @abstractmethod
    def done(self, requests: list[Any]) -> Callable[[], bool]:
        """The condition that all requests are done."""


def slices(count: int, size: int) -> list[slice]:
    """`count` elements cut in `size` runs whose lengths differ by at most one.

    Example:
        >>> slices(5, 2)
        [slice(0, 2, None), slice(2, 5, None)]
    """
    return [slice(count * r // size, count * (r + 1) // size) for r in range(size)]


class Schedule:
    """Every collective by sends and receives; the obvious version that faster ones must equal."""

    def exchange(self, channel: Channel, sends: Sequence[Array], recvs: Sequence[Array]) -> Steps:
        """None; `recvs[r]` holds what rank r had in `sends[this rank]`; nothing travels empty."""
        rank = channel.rank
        if recvs[rank] is not None and recvs[rank].size:
            recvs[rank][...] = sends[rank]
        peers = [(rank + step) % channel.size for step in range(1, channel.size)]
        requests = [
            channel.recv(recvs[p], p) for p in peers if recvs[p] is not None and recvs[p].size
        ]
        requests += [
            channel.send(sends[p], p) for p in peers if sends[p] is not None and sends[p].size
        ]
        if requests:
            yield channel.done(requests)

    def broadcast(self, channel: Channel, flat: Array, root: int) -> Steps:
        """None; `flat` holds what the root's held, by a binomial tree."""
        size = channel.size
        place = (channel.rank - root) % size
        step = 1
        if not flat.size:
            return
        while step <= place:
            step *= 2
        if place:
            parent = (place - step // 2 + root) % size
            yield channel.done([channel.recv(flat, parent)])
        children = []
        while place + step < size:
            children.append(channel.send(flat, (place + step + root) % size))
            step *= 2
        yield channel.done(children)

    def all_gather(self, channel: Channel, outs: Sequence[Array], flat: Array) -> Steps:
        """None; `outs[r]` holds what rank r had in `flat`."""
        yield from self.exchange(channel, [flat] * channel.size, outs)

    def gather(self, channel: Channel, outs: Sequence[Array], flat: Array, root: int) -> Steps:
        """None; on the root `outs[r]` holds what rank r had in `flat`."""
        sends = [flat if r == root else None for r in range(channel.size)]
        recvs = outs if channel.rank == root else [None] * channel.size
        yield from self.exchange(channel, sends, recvs)

    def scatter(self, channel: Channel, flat: Array, parts: Sequence[Array], root: int) -> Steps:
        """None; `flat` holds what the root had in `parts[this rank]`."""
        sends = parts if channel.rank == root else [None] * channel.size
        recvs = [flat if r == root else None for r in range(channel.size)]
        yield from self.exchange(channel, sends, recvs)

    def reduce_scatter(self, channel: Channel, parts: Sequence[Array], op: ReduceOp) -> Steps:
        """This rank's part, reduced over all ranks in the fixed order."""
        mine = parts[channel.rank]
        recvs = [mine if r == channel.rank else np.empty_like(mine) for r in range(channel.size)]
        yield from self.exchange(channel, parts, recvs)
        return reduce_arrays(recvs, op)

    def all_reduce(self, channel: Channel, flat: Array, op: ReduceOp) -> Steps:
        """The reduction of all ranks' `flat`, an array of its own unless the group has one rank."""
        if flat.nbytes <= SMALL_BYTES or channel.size == 1:
            return (yield from self.reduce_scatter(channel, [flat] * channel.size, op))
        cuts = slices(flat.size, channel.size)
        mine = yield from self.reduce_scatter(channel, [flat[cut] for cut in cuts], op)
        out = np.empty_like(flat)
        yield from self.all_gather(channel, [out[cut] for cut in cuts], mine)
        return out

    def reduce(self, channel: Channel, flat: Array, op: ReduceOp, root: int) -> Steps:
        """The reduction of all ranks' `flat` on the root, None elsewhere; all_reduce's bits."""
        cuts = slices(flat.size, channel.size)
        mine = yield from self.reduce_scatter(channel, [flat[cut] for cut in cuts], op)
        out = np.empty_like(flat)
        yield from self.gather(channel, [out[cut] for cut in cuts], mine, root)
        return out if channel.rank == root else None

    def barrier(self, channel: Channel) -> Steps:
        """None, once every rank has come: log2(size) rounds of one byte."""
        token, step = np.zeros(1, np.uint8), 1
        while step < channel.size:
            ahead, behind = (channel.rank + step), (channel.rank - step)
            seen = np.empty(1, np.uint8)
            requests = [
                channel.recv(seen, behind % channel.size),
                channel.send(token, ahead % channel.size),
            ]
            yield channel.done(requests)
            step *= 2

    # ---- objects: pickles, only ever between the ranks of one job ----

    def exchange_objects(self, channel: Channel, objects: Sequence[Any]) -> Steps:
        """What each rank had in `objects[this rank]`, in rank order."""
        packed = [pack(value) for value in objects]
        sizes = [np.empty(1, np.int64) for _ in packed]
        yield from self.exchange(channel, [count for _, count in packed], sizes)
        recvs = [np.empty(int(n[0]), np.uint8) for n in sizes]
        yield from self.exchange(channel, [data for data, _ in packed], recvs)
        return [unpack(data) for data in recvs]

    def broadcast_object(self, channel: Channel, value: Any, root: int) -> Steps:
        """A copy of the root's `value`, on the root too, so that no two ranks share memory."""
        data, count = pack(value)
        yield from self.broadcast(channel, count, root)
        if channel.rank != root:
            data = np.empty(int(count[0]), np.uint8)
        yield from self.broadcast(channel, data, root)
        return unpack(data)

    def send_object(self, channel: Channel, value: Any, peer: int) -> Steps:
        """None, once `value` may be changed."""
        data, count = pack(value)
        yield channel.done([channel.send(count, peer), channel.send(data, peer)])

    def recv_object(self, channel: Channel, peer: int | None) -> Steps:
        """What `peer`, or whichever rank if that is None, sent by `send_object`; and the sender."""
        count = np.empty(1, np.int64)
        peer = yield from recv_from(channel, count, peer)
        data = np.empty(int(count[0]), np.uint8)
        yield channel.done([channel.recv(data, peer)])
        return unpack(data), peer


def recv_from(channel: Channel, buffer: Array, peer: int | None) -> Steps:
    """The rank whose message is in `buffer`: `peer`, or whichever came first if that is None."""
    if peer is not None:
        yield channel.done([channel.recv(buffer, peer)])
        return peer
    arrived = channel.recv_any(buffer)
    found: list[int] = []

    def came() -> bool:
        # Asked again after it was true; another look would take the next message.
        sender = None if found else arrived()
        if sender is not None:
            found.append(sender)
        return bool(found)

    yield came
    return found[0]


def pack(value: Any) -> tuple[Array, Array]:
    """The pickle of `value` as bytes, and their number."""
    data = np.frombuffer(pickle.dumps(value, protocol=5), np.uint8)
    return data, np.array([data.size], np.int64)


def unpack(data: Array) -> Any:
    """A copy of the value that was packed."""
    # From a rank of the same job, never from a file.
    return pickle.loads(data.data)
