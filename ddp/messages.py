"""The verbs of a group that are not collectives of arrays: messages between two ranks, and objects.

A message carries its dtype and shape, so a receiver that expected something else says so.
Objects are pickled, and travel only between the ranks of one job.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ddp.call import Call, CollectiveMismatchError
from ddp.group_core import GroupCore, Timeout
from ddp.reduction import Array
from ddp.schedule import Channel, recv_from
from ddp.work import Steps, Work

HEADER_BYTES = 256
MAX_TAG = 2**14


def flat_view(array: Array) -> Array:
    """The elements in C order: a view of a C-contiguous array, a copy of any other."""
    return (array if array.flags.c_contiguous else np.ascontiguousarray(array)).reshape(-1)


def store(array: Array, flat: Array) -> None:
    """Nothing; `array` holds the elements of `flat`, unless `flat` is a view of it already."""
    if not (array.flags.c_contiguous and np.may_share_memory(array, flat)):
        array[...] = flat.reshape(array.shape)


@dataclass(frozen=True)
class P2POp:
    """One entry of `batch_isend_irecv`: `op` is "isend" or "irecv"."""

    op: str
    array: Array
    peer: int
    tag: int = 0


class Messages(GroupCore):
    """Sends, receives and the object forms."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The sources of the receives of each tag that are not over, in the order of their calls.
        self._receiving: dict[int, list[list[int | None]]] = {}

    # ---- two ranks ----

    def isend(self, array: Array, dst: int, tag: int = 0, timeout: Timeout = None) -> Work:
        """The started send; `array` must not change before it is done."""
        call = self.message_call("send", "to", array, dst, tag)
        return self.start_unguarded(call, self._send(call, array, dst, tag), True, timeout)

    def irecv(
        self, array: Array, src: int | None = None, tag: int = 0, timeout: Timeout = None
    ) -> Work:
        """The started receive into `array` from `src`, or from whichever rank sends first.

        Its `source_rank()` is the sender's.
        Raises: (from `wait`) CollectiveMismatchError if a dtype or shape was sent that differs.
        """
        call = self.message_call("recv", "from", array, src, tag)
        self.check_output("recv", array, array.dtype, array.shape)
        steps = self._in_turn(src, tag, self._recv(call, array, src, tag))
        return self.start_unguarded(call, steps, True, timeout)

    def send(self, array: Array, dst: int, tag: int = 0, timeout: Timeout = None) -> None:
        """Nothing, once `array` is on its way and may be changed."""
        self.isend(array, dst, tag, timeout).wait()

    def recv(
        self, array: Array, src: int | None = None, tag: int = 0, timeout: Timeout = None
    ) -> int:
        """The sender's rank, once its message is in `array`; None is whichever rank sends first."""
        work = self.irecv(array, src, tag, timeout)
        work.wait()
        return work.source_rank()

    def batch_isend_irecv(self, ops: Sequence[P2POp]) -> list[Work]:
        """The started sends and receives, one work each, in the order given."""
        starts: dict[str, Callable[..., Work]] = {"isend": self.isend, "irecv": self.irecv}
        unknown = [entry.op for entry in ops if entry.op not in starts]
        if unknown:
            raise ValueError(f"rank {self.rank}: expected 'isend' or 'irecv', got {unknown[0]!r}")
        return [starts[entry.op](entry.array, entry.peer, entry.tag) for entry in ops]

    def send_object(self, value: Any, dst: int, tag: int = 0) -> None:
        """Nothing, once the pickled `value` is on its way."""
        call = self.message_call("send_object", "to", None, dst, tag)
        self.start_unguarded(call, self.schedule.send_object(self.peer_channel(tag), value, dst))

    def recv_object(self, src: int | None = None, tag: int = 0) -> Any:
        """What `src`, or whichever rank sends first, sent with `send_object`."""
        return self.recv_object_from(src, tag)[0]

    def recv_object_from(self, src: int | None = None, tag: int = 0) -> tuple[Any, int]:
        """What `recv_object` gives, and the rank that sent it."""
        call = self.message_call("recv_object", "from", None, src, tag)
        steps = self.schedule.recv_object(self.peer_channel(tag), src)
        return self.start_unguarded(call, self._in_turn(src, tag, steps)).value

    def message_call(
        self, op: str, way: str, array: Array | None, peer: int | None, tag: int
    ) -> Call:
        """The record of a message between two ranks with these arguments."""
        if peer is not None:
            self.check_rank(op, "a peer", peer)
        if not 0 <= tag < MAX_TAG:
            raise ValueError(f"rank {self.rank}: {op} expected tag in 0..{MAX_TAG - 1}, got {tag}")
        if peer == self.rank or self.size == 1:
            raise ValueError(f"rank {self.rank}: {op} expected another rank, got its own")
        label = f"{way} {'any rank' if peer is None else f'rank {peer}'} tag {tag}"
        return self.call(op, array, label=label)

    def _send(self, call: Call, array: Array, dst: int, tag: int) -> Steps:
        channel, flat = self.peer_channel(tag), flat_view(array)
        requests = [channel.send(header_of(call, flat.nbytes), dst)]
        if flat.size:
            requests.append(channel.send(flat, dst))
        yield channel.done(requests)

    def _in_turn(self, src: int | None, tag: int, steps: Steps) -> Steps:
        """What `steps` gives, after the receives called before that may be meant by one message.

        A message is a header and what it announces: two receives from one rank, both at their
        header, would take one message apart.
        """
        queue, mine = self._receiving.setdefault(tag, []), [src]

        def first() -> bool:
            before = queue[: next(i for i, entry in enumerate(queue) if entry is mine)]
            return not any(src is None or entry[0] in (None, src) for entry in before)

        queue.append(mine)
        try:
            yield first
            return (yield from steps)
        finally:
            del queue[next(i for i, entry in enumerate(queue) if entry is mine)]

    def _recv(self, call: Call, array: Array, src: int | None, tag: int) -> Steps:
        channel = self.peer_channel(tag)
        header = np.empty(HEADER_BYTES, np.uint8)
        sender = yield from recv_from(channel, header, src)
        nbytes, sent = int(header[:8].view(np.int64)[0]), header_text(header)
        expected = header_text(header_of(call, 0))
        matches = sent.split(" at ")[0] == expected.split(" at ")[0]
        flat = flat_view(array) if matches else np.empty(nbytes, np.uint8)
        if flat.size:
            yield channel.done([channel.recv(flat, sender)])
        if not matches:
            raise CollectiveMismatchError(
                f"rank {self.rank}: {call}: expected {expected}, but rank {sender} sent {sent}"
            )
        store(array, flat)
        return sender

    # ---- objects ----

    def all_gather_object(self, outs: list[Any], value: Any, timeout: Timeout = None) -> None:
        """Nothing; `outs[r]` is a copy of rank r's `value`."""
        self.check_count("all_gather_object", "places", outs)
        objects = [value] * self.size
        outs[:] = self._objects("all_gather_object", objects, -1, timeout)

    def gather_object(
        self, value: Any, outs: list[Any] | None = None, root: int = 0, timeout: Timeout = None
    ) -> None:
        """Nothing; on the root `outs[r]` is a copy of rank r's `value`."""
        self.check_only_root("gather_object", "places", outs, root)
        if self.rank == root:
            self.check_count("gather_object", "places", outs or [])
        objects = [value if r == root else None for r in range(self.size)]
        gathered = self._objects("gather_object", objects, root, timeout)
        if outs is not None and self.rank == root:
            outs[:] = gathered

    def scatter_object_list(
        self,
        outs: list[Any],
        values: Sequence[Any] | None = None,
        root: int = 0,
        timeout: Timeout = None,
    ) -> None:
        """Nothing; `outs[0]` is a copy of the root's `values[this rank]`."""
        if not outs:
            raise ValueError(
                f"rank {self.rank}: scatter_object_list expected a list with a place for the"
                f" object, got {outs!r}"
            )
        if self.rank == root:
            self.check_count("scatter_object_list", "objects", values or [])
        mine = self.rank == root and values is not None
        objects = list(values) if mine and values is not None else [None] * self.size
        outs[:1] = [self._objects("scatter_object_list", objects, root, timeout)[root]]

    def broadcast_object_list(
        self, values: list[Any], root: int = 0, timeout: Timeout = None
    ) -> None:
        """Nothing; the entries of `values` are copies of the root's."""
        call = self.call("broadcast_object_list", root=root, label=f"{len(values)} objects")
        received = self.start(call, self._broadcast_plan(list(values), root), False, timeout).value
        if self.rank != root:
            values[:] = received

    def _broadcast_plan(self, value: Any, root: int) -> Callable[[Channel], Steps]:
        return lambda channel: self.schedule.broadcast_object(channel, value, root)

    def _objects(self, op: str, objects: Sequence[Any], root: int, timeout: Timeout) -> Any:
        call = self.call(op, root=root)
        plan = lambda channel: self.schedule.exchange_objects(channel, objects)  # noqa: E731
        return self.start(call, plan, False, timeout).value


def header_of(call: Call, nbytes: int) -> Array:
    """What travels before a message: its length, and what it is in words."""
    header = np.zeros(HEADER_BYTES, np.uint8)
    header[:8] = np.array([nbytes], np.int64).view(np.uint8)
    text = f"{call.kind} at {call.site}".encode()[: HEADER_BYTES - 8]
    header[8 : 8 + len(text)] = np.frombuffer(text, np.uint8)
    return header


def header_text(header: Array) -> str:
    """The words of a header."""
    return header[8:].tobytes().rstrip(b"\0").decode(errors="replace")
