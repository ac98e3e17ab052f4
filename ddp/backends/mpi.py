"""Groups over MPI: any intra-communicator, on a duplicate of it, polled so that deadlines hold.

MPI only moves bytes; sums are made here, in the fixed order, so the bits are those of simulated
ranks. mpi4py is imported when a group is made; MPI is finalized by whoever started it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ddp.backends.shared import SMALL_BYTES, Arena, SharedSchedule
from ddp.board import SLOTS, Board, installed
from ddp.call import Call, CollectiveError, call_site
from ddp.group import ProcessGroup, Timeout
from ddp.guard import BoardGuard, check_mode
from ddp.messages import MAX_TAG
from ddp.reduction import Array, ReduceOp, reduce_into
from ddp.schedule import Channel
from ddp.work import Engine, Steps, Work

if TYPE_CHECKING:
    from mpi4py import MPI

# MPI counts are 32-bit in many builds: longer messages travel in pieces.
CHUNK_BYTES = 2**30
# Twenty looks, then let others run, then sleep: an 8-byte all-reduce of 4 ranks on 2 cores took
# 9.2 ms with looks alone and 59 us so. sched_yield costs 0.6 us, sleep(0) 81 us.
_LOOKS = 20
# A collective without messages is over within a few looks, or waits for a rank that is late.
_SPINS = 50
_YIELD_SECONDS = 1e-3
_SLEEP_SECONDS = 1e-4
# Now and then a rank that waits looks whether the others still live.
_PEERS_SECONDS = 0.1


class PollEngine(Engine):
    """Looks again and again, without holding the processor for long."""

    def wait_until(self, work: Work) -> None:
        """Nothing, once `work` is done or has failed."""
        for _ in range(_LOOKS):
            self.progress()
            if work.done:
                return
        start = time.monotonic()
        next_check, suspected = start + _PEERS_SECONDS, False
        while not work.done:
            now = time.monotonic()
            if work.remaining() <= 0:
                work.expire()
                return
            if now > next_check:
                next_check = now + _PEERS_SECONDS
                suspected = _check_peers(work, suspected)
            if now - start < _YIELD_SECONDS:
                os.sched_yield()
            else:
                time.sleep(_SLEEP_SECONDS)
            self.progress()


def _check_peers(work: Work, suspected: bool) -> bool:
    """Whether another rank has failed; the second time in a row `work` fails as well.

    The other may have failed after it sent its part, which then arrives in between.
    """
    try:
        work.owner.check_peers()
    except CollectiveError as error:
        if suspected:
            work.fail(error)
        return True
    return False


# One engine for all groups of the process: see Engine.
_engine = PollEngine()
_open_guards: list[BoardGuard] = []
# The launcher's board holds one sequence of calls, so one group at a time uses it.
_launcher_board_used = False


class MpiChannel(Channel):
    """Messages with one tag on one communicator."""

    def __init__(self, comm: MPI.Intracomm, seq: int) -> None:
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self._comm, self._tag = comm, seq % MAX_TAG
        self._testall = _mpi().Request.Testall

    def send(self, buffer: Array, peer: int) -> list[Any]:
        """The requests of the pieces."""
        isend, tag = self._comm.Isend, self._tag
        return [isend(piece, peer, tag) for piece in _pieces(buffer)]

    def recv(self, buffer: Array, peer: int) -> list[Any]:
        """The requests of the pieces."""
        irecv, tag = self._comm.Irecv, self._tag
        return [irecv(piece, peer, tag) for piece in _pieces(buffer)]

    def done(self, requests: list[Any]) -> Callable[[], bool]:
        """The condition that all pieces have arrived or may be changed."""
        flat = [request for pieces in requests for request in pieces]
        testall = self._testall
        return lambda: testall(flat)


class MpiGroup(ProcessGroup):
    """A group over a duplicate of `comm`; every rank of `comm` makes one at the same time.

    Without `board` ranks of one node see each other's calls only in check mode, as across nodes;
    without `share` they also reduce by messages.
    Raises: RuntimeError if mpi4py is missing or MPI is over; TypeError for an inter-communicator.
    """

    name = "mpi"

    def __init__(
        self,
        comm: MPI.Intracomm | None = None,
        timeout: Timeout = None,
        board: bool = True,
        share: bool = True,
    ) -> None:
        mpi = _mpi()
        if comm is None:
            comm = mpi.COMM_WORLD
        if not isinstance(comm, mpi.Intracomm) or comm.Is_inter():
            raise TypeError(f"expected an intra-communicator of mpi4py, got {type(comm).__name__}")
        self.has_board, self.shares = board, share
        self.comm = comm.Dup()
        self._user_comm = comm.Dup()
        rank, size = self.comm.Get_rank(), self.comm.Get_size()
        node = self.ranks_of_this_node(mpi)
        local_rank, local_size = node.Get_rank(), node.Get_size()
        self._board: Board | None = None
        first_seq = 0
        places: list[int | None] = [None] * size
        if board:
            self._board, first_seq, places = _open_board(mpi, self.comm, node)
        self.arena: Arena | None = None
        if share and local_size == size > 1:
            self.arena = Arena(node)
        else:
            node.Free()
        guard = BoardGuard(rank, self._board, places, first_seq, check_mode())
        _open_guards.append(guard)
        self._shared = None if self.arena is None else SharedSchedule(self.arena)
        super().__init__(rank, size, local_rank, local_size, _engine, guard, timeout, self._shared)
        self._board_guard = guard
        self._known_calls: dict[Any, tuple[str, int, str]] = {}

    def ranks_of_this_node(self, mpi: Any) -> MPI.Intracomm:
        """The communicator of those ranks that share memory with this one."""
        return self.comm.Split_type(mpi.COMM_TYPE_SHARED)

    def channel(self, seq: int) -> Channel:
        """The messages of collective number `seq`."""
        channel = MpiChannel(self.comm, seq)
        if self.arena is not None:
            self.arena.enter(seq, channel)
        return channel

    # ---- what needs no messages at all ----

    def all_reduce(
        self,
        array: Array,
        op: ReduceOp = ReduceOp.SUM,
        async_op: bool = False,
        timeout: Timeout = None,
        label: str = "",
    ) -> Work | None:
        """Nothing; `array` holds the reduction over ranks, the same bits on every rank."""
        arena = self.arena
        shared = self._shared
        if async_op or arena is None or shared is None or not _plain(array) or not arena.idle():
            return super().all_reduce(array, op, async_op, timeout, label)
        flat = array.reshape(-1)
        every = arena.shared(flat) if flat.nbytes > SMALL_BYTES else None
        if every is None and flat.nbytes > SMALL_BYTES:
            return super().all_reduce(array, op, async_op, timeout, label)
        call = self._checked_call(array, op, label)
        self.check_usable(call)
        areas = arena.put_small(flat) if every is None else every
        arrived = arena.done()
        seq = self.guard.post(call)
        self._meet(call, seq, arrived, timeout)
        if every is None:
            reduce_into(flat, areas, op)
        else:
            shared.reduce_mine(every, op)
            self._meet(call, None, arena.done(), timeout)
        self.guard.leave()
        return None

    def _checked_call(self, array: Array, op: ReduceOp, label: str) -> Call:
        """The record of an all_reduce; a training loop makes few kinds, checked once each."""
        key = array.dtype, array.shape, op, label
        known = self._known_calls.get(key)
        if known is not None and array.flags.writeable:
            return Call(*known, call_site())
        call = self.call("all_reduce", array, op, label=label)
        self.check_output("all_reduce", array, array.dtype, array.shape)
        if len(self._known_calls) < 1024:
            self._known_calls[key] = call[:3]
        return call

    def _meet(
        self, call: Call, seq: int | None, arrived: Callable[[], bool], timeout: Timeout
    ) -> None:
        """Wait until all ranks have come, and agree on call `seq` where it is not settled yet."""
        guard = self._board_guard
        for _ in range(_SPINS):
            if arrived() and (seq is None or guard.agreed(seq)):
                return

        def steps() -> Steps:
            if seq is not None:
                yield from guard.agree(seq, call, self.channel(seq))
            yield arrived

        self.start_unguarded(call, steps(), False, timeout)

    def allocate(self, count: int, dtype: Any) -> Array:
        """Zeros that are reduced where they are, shared in the node; all ranks call together."""
        if self.arena is None:
            return np.zeros(count, dtype)
        return self.arena.allocate(count, dtype)

    def peer_channel(self, tag: int) -> Channel:
        """The messages that users send with `tag`, on a communicator of their own."""
        return MpiChannel(self._user_comm, tag)

    def subgroup(self, ranks: Sequence[int], key: str, timeout: Timeout) -> MpiGroup:
        """A group of these ranks of this group, in this order."""
        whole = self.comm.Get_group()
        part = whole.Incl(list(ranks))
        comm = self.comm.Create_group(part, self.subgroups % MAX_TAG)
        try:
            return type(self)(comm, timeout, self.has_board, self.shares)
        finally:
            comm.Free()
            part.Free()
            whole.Free()

    def release(self) -> None:
        """Nothing; the communicators and the board are given back."""
        global _launcher_board_used
        if self.arena is not None:
            self.arena.close()
            self.arena.node.Free()
        self.comm.Free()
        self._user_comm.Free()
        _open_guards.remove(self._board_guard)
        if self._board is installed():
            _launcher_board_used = False
        elif self._board is not None:
            self._board.close()


def _plain(array: Any) -> bool:
    return type(array) is np.ndarray and array.flags.c_contiguous


def _mpi() -> Any:
    """mpi4py's MPI module, started if nobody has."""
    from mpi4py import MPI

    if MPI.Is_finalized():
        raise RuntimeError("MPI has already been finalized in this process")
    return MPI


def _pieces(buffer: Array) -> list[Array]:
    data = buffer.view(np.uint8)
    if data.nbytes <= CHUNK_BYTES:
        return [data]
    return [data[start : start + CHUNK_BYTES] for start in range(0, data.nbytes, CHUNK_BYTES)]


def _open_board(
    mpi: Any, comm: MPI.Intracomm, node: MPI.Intracomm
) -> tuple[Board | None, int, list[int | None]]:
    """The board of this node's ranks of `comm`, its first free number, and each rank's place."""
    global _launcher_board_used
    hosts = comm.allgather(node.bcast(secrets.token_hex(8) if node.Get_rank() == 0 else None))
    here = [r for r, host in enumerate(hosts) if host == hosts[comm.Get_rank()]]
    places: list[int | None] = [here.index(r) if r in here else None for r in range(len(hosts))]
    launcher = installed()
    shared = (
        launcher is not None
        and not _launcher_board_used
        and (launcher.rank, launcher.size) == (node.Get_rank(), node.Get_size())
    )
    if comm.allreduce(shared, op=mpi.LAND) and launcher is not None:
        _launcher_board_used = True
        # Further than the ring is long: what an earlier group left there is never taken for ours.
        return (
            launcher,
            comm.allreduce(launcher.read(launcher.rank).seq, op=mpi.MAX) + SLOTS,
            places,
        )
    return _private_board(node, hosts[comm.Get_rank()]), 0, places


def _private_board(node: MPI.Intracomm, name: str) -> Board | None:
    """A board that only the ranks of `node` have open: its file is gone before anyone uses it."""
    if node.Get_size() == 1:
        return None
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
    path, rank, board = os.path.join(folder, f"unison-{name}"), node.Get_rank(), None
    problem = ""
    for first in (True, False):
        if (rank == 0) == first and not problem:
            try:
                board = Board(path, rank, node.Get_size(), create=first)
            except OSError as error:
                problem = f"rank {rank} of this node cannot share {path}: {error}"
        problem = next((text for text in node.allgather(problem) if text), "")
    if rank == 0:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    if problem:
        raise OSError(problem)
    return board


@atexit.register
def _say_goodbye() -> None:
    """Nothing; ranks that still wait for this process learn that it will not come."""
    for guard in _open_guards:
        guard.finish()
