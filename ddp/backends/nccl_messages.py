"""What NCCL makes of sends and receives: gather, scatter, all-to-all, and messages of two ranks.

All sends and receives of one call are handed to NCCL as one, so none waits for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ddp.backends.nccl_launch import Launching
from ddp.backends.nccl_work import NcclWork
from ddp.call import Call, CollectiveMismatchError
from ddp.group import P2POp, Timeout
from ddp.messages import HEADER_BYTES, header_of, header_text
from ddp.reduction import Array
from ddp.schedule import Channel
from ddp.work import Steps


class GpuMessages(Launching):
    """The verbs; arrays of the CPU take the way of the group underneath, `control`."""

    def gather(
        self,
        array: Array,
        outs: Sequence[Array] | None = None,
        root: int = 0,
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Any:
        """Nothing; on the root `outs[r]` holds rank r's `array`."""
        if type(array) is np.ndarray:
            return super().gather(array, outs, root, async_op, timeout)
        call = self.call("gather", array, root=root)
        self.check_only_root("gather", "outputs", outs, root)
        if self.rank == root:
            self.check_outs("gather", outs, array)
        recvs = list(enumerate(outs or [])) if self.rank == root else []
        return self._exchange(call, [(root, array)], recvs, async_op, timeout)

    def scatter(
        self,
        array: Array,
        parts: Sequence[Array] | None = None,
        root: int = 0,
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Any:
        """Nothing; `array` holds the root's `parts[this rank]`."""
        if type(array) is np.ndarray:
            return super().scatter(array, parts, root, async_op, timeout)
        call = self.call("scatter", array, root=root)
        self.check_only_root("scatter", "inputs", parts, root)
        if self.rank == root:
            self.check_parts("scatter", parts, array)
        sends = list(enumerate(parts or [])) if self.rank == root else []
        return self._exchange(call, sends, [(root, array)], async_op, timeout)

    def all_to_all(
        self,
        outs: Sequence[Array],
        arrays: Sequence[Array],
        async_op: bool = False,
        timeout: Timeout = None,
        label: str = "all_to_all",
    ) -> Any:
        """Nothing; `outs[r]` holds rank r's `arrays[this rank]`. Sizes may differ, also 0."""
        self.check_exchange(label, outs, arrays)
        if type(arrays[0]) is np.ndarray:
            return super().all_to_all(outs, arrays, async_op, timeout, label)
        call = self.call(label, label=f"{arrays[0].dtype.name} on GPUs")

        def agree(channel: Channel) -> Steps:
            yield from self.agree_on_sizes(channel, label, outs, arrays)

        sends, recvs = list(enumerate(arrays)), list(enumerate(outs))
        return self._exchange(call, sends, recvs, async_op, timeout, agree)

    def _exchange(
        self,
        call: Call,
        sends: Sequence[tuple[int, Array]],
        recvs: Sequence[tuple[int, Array]],
        async_op: bool,
        timeout: Timeout,
        before: Any = None,
    ) -> Any:
        """The started messages to and from ranks, one call of NCCL."""
        flats, launch, store = self._messages(sends, recvs)
        return self.run_on_gpu(call, flats, launch, async_op, timeout, store, before)

    def _messages(
        self, sends: Sequence[tuple[int, Array]], recvs: Sequence[tuple[int, Array]]
    ) -> tuple[list[Array], Any, Any]:
        """The flat arrays, what hands their messages to NCCL, and what stores the results."""
        out_flats, _ = self.flats_on_gpu([array for _, array in sends])
        in_flats, store = self.flats_on_gpu([array for _, array in recvs])
        kind = self.nccl.NCCL_UINT8

        def calls(stream: int) -> None:
            for (peer, _), flat in zip(sends, out_flats):
                if flat.size:
                    self.communicator.send(flat.data.ptr, flat.nbytes, kind, peer, stream)
            for (peer, _), flat in zip(recvs, in_flats):
                if flat.size:
                    self.communicator.recv(flat.data.ptr, flat.nbytes, kind, peer, stream)

        return out_flats + in_flats, self.grouped(calls), store

    # ---- two ranks ----

    def isend(self, array: Array, dst: int, tag: int = 0, timeout: Timeout = None) -> Any:
        """The started send; `array` must not change before it is done.

        A message alone goes by the host: on NCCL's stream, which works in order, two that cross, or
        one that crosses a collective, would wait for ever.
        """
        if type(array) is np.ndarray:
            return super().isend(array, dst, tag, timeout)
        self.check_array("send", array)
        return self.by_host("isend", array, dst, tag, timeout)

    def irecv(
        self, array: Array, src: int | None = None, tag: int = 0, timeout: Timeout = None
    ) -> Any:
        """The started receive into `array` from `src`, or from whichever rank sends first.

        Raises: (from `wait`) CollectiveMismatchError if a dtype or shape was sent that differs.
        """
        if type(array) is np.ndarray:
            return super().irecv(array, src, tag, timeout)
        self.check_array("recv", array)
        return self.by_host("irecv", array, src, tag, timeout)

    def batch_isend_irecv(self, ops: Sequence[P2POp]) -> list[Any]:
        """The started sends and receives, by NCCL; one work each, in the order given.

        All ranks make one batch of the messages that belong together.
        """
        if any(type(entry.array) is np.ndarray for entry in ops):
            return super().batch_isend_irecv(ops)
        unknown = [entry.op for entry in ops if entry.op not in ("isend", "irecv")]
        if unknown:
            raise ValueError(f"rank {self.rank}: expected 'isend' or 'irecv', got {unknown[0]!r}")
        return [self._batch(ops, None)] * len(ops) if ops else []

    def _batch(self, ops: Sequence[P2POp], timeout: Timeout) -> NcclWork:
        calls = [self._call_of(entry) for entry in ops]
        sends = [(entry.peer, entry.array) for entry in ops if entry.op == "isend"]
        recvs = [(entry.peer, entry.array) for entry in ops if entry.op == "irecv"]
        flats, launch, store = self._messages(sends, recvs)
        work = NcclWork(self, calls[0])
        work.after = store
        launching = self.in_order(work, flats, launch, timeout)

        def steps() -> Steps:
            yield from self._announced(ops, calls)
            yield from launching

        work.agreed = self.started(calls[0], steps(), timeout)
        return work

    def _call_of(self, entry: P2POp) -> Call:
        if entry.op == "isend":
            return self.message_call("send", "to", entry.array, entry.peer, entry.tag)
        return self.message_call("recv", "from", entry.array, entry.peer, entry.tag)

    def _announced(self, ops: Sequence[P2POp], calls: Sequence[Call]) -> Steps:
        """None, once every receive has heard that what it expects was sent."""
        notes = [np.empty(HEADER_BYTES, np.uint8) for _ in ops]
        requests, channels = [], [self.peer_channel(entry.tag) for entry in ops]
        for entry, call, note, channel in zip(ops, calls, notes, channels):
            if entry.op == "isend":
                note[:] = _note_of(call)
                requests.append(channel.send(note, entry.peer))
            else:
                requests.append(channel.recv(note, entry.peer))
        for channel, request in zip(channels, requests):
            yield channel.done([request])
        for entry, call, note in zip(ops, calls, notes):
            sent, expected = header_text(note), header_text(_note_of(call))
            if entry.op == "irecv" and sent.split(" at ")[0] != expected.split(" at ")[0]:
                raise CollectiveMismatchError(
                    f"rank {self.rank}: {call}: expected {expected}, but rank {entry.peer} sent"
                    f" {sent}"
                )


def _note_of(call: Call) -> Array:
    """What is said of a message before it; who receives one alone sees the difference."""
    return header_of(call._replace(kind=f"{call.kind} in a batch on GPUs"), 0)
