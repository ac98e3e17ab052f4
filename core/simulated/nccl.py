"""`cupy.cuda.nccl` for simulated GPUs whose ranks are threads of one process.

A collective is over once every rank has called it, in the same order; until then it stays on its
stream. What NCCL leaves undefined (ranks that call different things) is an asynchronous error.
"""

from __future__ import annotations

import secrets
import threading
from typing import Any, NamedTuple

import ml_dtypes
import numpy

from core.simulated.device import Task, current_id, stream_at

available = True
NCCL_SUM, NCCL_PROD, NCCL_MAX, NCCL_MIN, NCCL_AVG = range(5)
(
    NCCL_INT8, NCCL_UINT8, NCCL_INT32, NCCL_UINT32, NCCL_INT64, NCCL_UINT64,
    NCCL_FLOAT16, NCCL_FLOAT32, NCCL_FLOAT64, NCCL_BFLOAT16,
) = range(10)  # fmt: skip
_DTYPES = [
    numpy.dtype(d)
    for d in ("i1", "u1", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ml_dtypes.bfloat16)
]
_ERRORS = {
    4: "NCCL_ERROR_INVALID_ARGUMENT",
    5: "NCCL_ERROR_INVALID_USAGE",
    6: "NCCL_ERROR_REMOTE_ERROR",
}


class NcclError(RuntimeError):
    """What CuPy raises where NCCL returns an error."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"{_ERRORS.get(status, status)}: simulated")


class _World:
    """The communicators with one id, and what they have under way."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.lock = threading.Condition()
        self.calls: dict[int, dict[int, tuple[Any, ...]]] = {}
        self.joined: dict[int, int] = {}  # rank -> device
        self.posted: dict[tuple[str, int, int], list[tuple[numpy.ndarray, Batch]]] = {}
        self.error = 0


_worlds: dict[bytes, _World] = {}
_worlds_lock = threading.Lock()


def get_version() -> int:
    """The version of NCCL, as a number."""
    return 23000


def get_build_version() -> int:
    """The version of NCCL that this module was built with."""
    return 23000


def get_unique_id() -> bytes:
    """The id of a new communicator: one rank makes it and gives it to the others."""
    return secrets.token_bytes(128)


class _Group(threading.local):
    depth = 0

    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.messages: list[Message] = []


class Message(NamedTuple):
    """One side of a message: who calls, which way, its memory, the other rank, the stream."""

    communicator: NcclCommunicator
    way: str
    memory: numpy.ndarray
    peer: int
    stream: int


_group = _Group()


def groupStart() -> None:  # noqa: N802 - NCCL's name
    """What follows is started together at groupEnd."""
    _group.depth += 1


def groupEnd() -> None:  # noqa: N802 - NCCL's name
    """Start what was called since groupStart."""
    _group.depth -= 1
    if not _group.depth:
        waiting, _group.waiting = _group.waiting, []
        for start in waiting:
            start()
        _post_messages()


class NcclCommunicator:
    """One rank's end of a communicator. Made by all ranks at once: returns when all have come."""

    def __init__(self, ndev: int, commId: bytes, rank: int, config: Any = None) -> None:
        if not isinstance(commId, bytes) or len(commId) != 128 or not 0 <= rank < ndev:
            raise NcclError(4)
        with _worlds_lock:
            self._world = world = _worlds.setdefault(commId, _World(ndev))
        self._rank, self._id, self._device = rank, commId, current_id()
        self._seq = 0
        self._aborted = False
        self._open: list[Task] = []
        self._peers: dict[Any, int] = {}
        with world.lock:
            world.joined[rank] = self._device
            world.lock.notify_all()
            world.lock.wait_for(lambda: len(world.joined) == ndev or world.error)
        if len(dict.fromkeys(world.joined.values())) != ndev:
            raise NcclError(5)  # two ranks on one GPU

    # ---- what it is ----

    def device_id(self) -> int:
        """The index of this rank's GPU."""
        return self._device

    def rank_id(self) -> int:
        """This rank."""
        return self._rank

    def size(self) -> int:
        """The number of ranks."""
        return self._world.size

    def check_async_error(self) -> None:
        """Raise NcclError if something went wrong after a call had returned."""
        if self._world.error:
            raise NcclError(self._world.error)

    def abort(self) -> None:
        """Give up: what is under way ends, with whatever is in the buffers."""
        self._aborted = True
        with self._world.lock:
            self._world.error = self._world.error or 6
            self._world.lock.notify_all()
        for task in self._open:
            task.finish()

    def destroy(self) -> None:
        """Give everything back."""
        with _worlds_lock:
            _worlds.pop(self._id, None)

    # ---- collectives ----

    def _call(self, kind: tuple[Any, ...], work: Any, stream: int) -> None:
        task = Task()
        self._open = [t for t in self._open if not t.done] + [task]
        start = lambda: self._start(kind, work, stream_at(stream), task)  # noqa: E731
        if _group.depth:
            _group.waiting.append(start)
        else:
            start()

    def _start(self, kind: tuple[Any, ...], work: Any, stream: Any, task: Task) -> None:
        before = [t for t in stream.tasks if not t.done]
        stream.add(task)
        self._seq += 1
        world, seq = self._world, self._seq
        with world.lock:
            calls = world.calls.setdefault(seq, {})
            calls[self._rank] = (kind, work, before, task)
            if len(calls) < world.size:
                return
            del world.calls[seq]
        self._finish([calls[r] for r in range(world.size)])

    def _finish(self, calls: list[tuple[Any, ...]]) -> None:
        kinds = list(dict.fromkeys(kind for kind, _, _, _ in calls))
        if len(kinds) > 1:
            self._world.error = 5
            return
        earlier = [task for _, _, before, _ in calls for task in before if not task.done]
        if earlier:  # the caller goes on, as a CPU does
            threading.Thread(target=self._later, args=(earlier, calls), daemon=True).start()
        else:
            self._later([], calls)

    def _later(self, earlier: list[Task], calls: list[tuple[Any, ...]]) -> None:
        """Do a collective once the streams of all ranks have come to it."""
        for task in earlier:
            task.wait()
        if not self._world.error:
            run(calls[0][0], [work for _, work, _, _ in calls])
        for _, _, _, task in calls:
            task.finish()

    def allReduce(  # noqa: N802
        self, sendbuf: int, recvbuf: int, count: int, datatype: int, op: int, stream: int
    ) -> None:
        """Every rank's recvbuf holds the reduction of all sendbufs."""
        sent, got = at(sendbuf, count, datatype), at(recvbuf, count, datatype)
        self._call(("all_reduce", count, datatype, op), (sent, got), stream)

    def reduce(
        self,
        sendbuf: int,
        recvbuf: int,
        count: int,
        datatype: int,
        op: int,
        root: int,
        stream: int,
    ) -> None:
        """The root's recvbuf holds the reduction of all sendbufs."""
        got = at(recvbuf, count, datatype) if self._rank == root else None
        self._call(("reduce", count, datatype, op), (at(sendbuf, count, datatype), got), stream)

    def broadcast(
        self, sendbuff: int, recvbuff: int, count: int, datatype: int, root: int, stream: int
    ) -> None:
        """Every rank's recvbuff holds the root's sendbuff."""
        sent = at(sendbuff, count, datatype) if self._rank == root else None
        got = at(recvbuff, count, datatype)
        self._call(("broadcast", count, datatype, root), (sent, got), stream)

    def reduceScatter(  # noqa: N802
        self, sendbuf: int, recvbuf: int, recvcount: int, datatype: int, op: int, stream: int
    ) -> None:
        """Rank r's recvbuf holds part r of the reduction of all sendbufs."""
        sent = at(sendbuf, recvcount * self._world.size, datatype)
        got = at(recvbuf, recvcount, datatype)
        self._call(("reduce_scatter", recvcount, datatype, op), (sent, got), stream)

    def allGather(  # noqa: N802
        self, sendbuf: int, recvbuf: int, count: int, datatype: int, stream: int
    ) -> None:
        """Every rank's recvbuf holds all sendbufs one after the other."""
        got = at(recvbuf, count * self._world.size, datatype)
        self._call(("all_gather", count, datatype), (at(sendbuf, count, datatype), got), stream)

    # ---- two ranks ----

    def send(self, sendbuf: int, count: int, datatype: int, peer: int, stream: int) -> None:
        """The peer's recvbuf holds this sendbuf; waits on the stream for the peer."""
        self._message("send", at(sendbuf, count, datatype), peer, stream)

    def recv(self, recvbuf: int, count: int, datatype: int, peer: int, stream: int) -> None:
        """This recvbuf holds the peer's sendbuf; waits on the stream for the peer."""
        self._message("recv", at(recvbuf, count, datatype), peer, stream)

    def _message(self, way: str, memory: numpy.ndarray, peer: int, stream: int) -> None:
        if not 0 <= peer < self._world.size:
            raise NcclError(4)
        _group.messages.append(Message(self, way, memory, peer, stream))
        if not _group.depth:
            _post_messages()

    def post(self, messages: list[Message]) -> None:
        """Put messages that were called together on their stream, as one piece of work."""
        task, stream = Task(), stream_at(messages[0].stream)
        self._open = [t for t in self._open if not t.done] + [task]
        before = [t for t in stream.tasks if not t.done]
        stream.add(task)
        batch = Batch(task, len(messages))
        if before:  # the caller goes on, as a CPU does
            work = (before, messages, batch)
            threading.Thread(target=self._meet_later, args=work, daemon=True).start()
        else:
            self._meet(messages, batch)

    def _meet_later(self, before: list[Task], messages: list[Message], batch: Batch) -> None:
        for task in before:
            task.wait()
        self._meet(messages, batch)

    def _meet(self, messages: list[Message], batch: Batch) -> None:
        """Copy what both ends have come to; the rest waits for its other end."""
        world = self._world
        with world.lock:
            for _, way, memory, peer, _ in messages:
                ends = (self._rank, peer) if way == "send" else (peer, self._rank)
                others = world.posted.get(("recv" if way == "send" else "send", *ends))
                if not others:
                    world.posted.setdefault((way, *ends), []).append((memory, batch))
                    continue
                theirs, other = others.pop(0)
                source, target = (memory, theirs) if way == "send" else (theirs, memory)
                if source.size != target.size or source.dtype != target.dtype:
                    world.error = 5
                    return
                target[...] = source
                batch.over()
                other.over()


class Batch:
    """Messages called together: their work is over when all of them are."""

    def __init__(self, task: Task, count: int) -> None:
        self.task, self.left = task, count

    def over(self) -> None:
        """One message more has arrived."""
        self.left -= 1
        if not self.left:
            self.task.finish()


def _post_messages() -> None:
    """Hand over the messages called since the group began, those of one stream as one."""
    messages, _group.messages = _group.messages, []
    together: dict[tuple[int, int], list[Message]] = {}
    for message in messages:
        together.setdefault((id(message.communicator), message.stream), []).append(message)
    for part in together.values():
        part[0].communicator.post(part)


def at(pointer: int, count: int, datatype: int) -> numpy.ndarray:
    """The memory behind a pointer, which the caller keeps alive until the call is over."""
    return numpy.asarray(_Raw(pointer, count * _DTYPES[datatype].itemsize)).view(_DTYPES[datatype])


class _Raw:
    def __init__(self, pointer: int, count: int) -> None:
        self.__array_interface__ = {
            "version": 3, "typestr": "|u1", "shape": (count,), "data": (pointer, False),
        }  # fmt: skip


_OPS: dict[int, Any] = {
    NCCL_SUM: numpy.add, NCCL_AVG: numpy.add, NCCL_PROD: numpy.multiply,
    NCCL_MAX: numpy.maximum, NCCL_MIN: numpy.minimum,
}  # fmt: skip


def reduced(sent: list[numpy.ndarray], op: int) -> numpy.ndarray:
    """The reduction of every rank's array, narrow floats added in float32.

    NCCL adds in an order of its own; here it is that of the CPU's groups, so that results can be
    compared bit by bit: of n arrays left, i and i + ceil(n / 2) are combined.
    """
    dtype = sent[0].dtype
    narrow = dtype.itemsize == 2 and dtype.kind in "fV"
    parts = [x.astype(numpy.float32) if narrow else x for x in sent]
    while len(parts) > 1:
        half = (len(parts) + 1) // 2
        pairs = [_OPS[op](a, b) for a, b in zip(parts, parts[half:])]
        parts = pairs + parts[len(pairs) : half]
    total = parts[0]
    if op == NCCL_AVG:
        total = total / total.dtype.type(len(sent))
    return total.astype(dtype)


def run(kind: tuple[Any, ...], works: list[Any]) -> None:
    """Do a collective that all ranks have called."""
    verb, count = kind[0], kind[1]
    sent, got = [s for s, _ in works], [r for _, r in works]
    with numpy.errstate(all="ignore"):
        if verb == "broadcast":
            results = [sent[kind[3]].copy()] * len(got)
        elif verb == "all_gather":
            results = [numpy.concatenate(sent)] * len(got)
        else:
            total = reduced(sent, kind[3])
            results = [total] * len(got)
            if verb == "reduce_scatter":
                results = [total[r * count : (r + 1) * count] for r in range(len(got))]
    for place, result in zip(got, results):
        if place is not None:
            place[...] = result
