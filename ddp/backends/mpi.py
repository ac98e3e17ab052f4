"""Groups over MPI: any intra-communicator, on a duplicate of it, polled so that deadlines hold.

MPI only moves bytes; sums are made here, in the fixed order, so the bits are those of simulated
ranks. mpi4py is imported when a group is made; MPI is finalized by whoever started it.
"""

from __future__ import annotations

import atexit
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ddp.backends.arena import Arena, made_together
from ddp.backends.nodes import Nodes
from ddp.backends.polling import PollEngine, more_ranks_than_cores
from ddp.backends.quick import QuickReduce
from ddp.backends.shared import SharedSchedule
from ddp.board import SLOTS, Board, State, installed
from ddp.call import call_site
from ddp.group import ProcessGroup, Timeout
from ddp.guard import BoardGuard, check_mode
from ddp.messages import MAX_TAG
from ddp.reduction import Array, ReduceOp
from ddp.schedule import Channel
from launch.world import no_mpi

if TYPE_CHECKING:
    from mpi4py import MPI

# MPI counts are 32-bit in many builds: longer messages travel in pieces.
CHUNK_BYTES = 2**30

# One engine for all groups of the process: see Engine.
_engine = PollEngine()
_open_guards: list[BoardGuard] = []
# The launcher's board holds one sequence of calls, so one group at a time uses it.
_launcher_board_used = False


class MpiChannel(Channel):
    """Messages with one tag on one communicator; it has tags for `kinds` of calls at a time."""

    def __init__(self, comm: MPI.Intracomm, seq: int, kinds: int = 1) -> None:
        self._kinds = kinds
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self._comm, self._tag = comm, seq % MAX_TAG
        self._testall = _mpi().Request.Testall

    def only_for(self, fingerprint: int) -> None:
        """Nothing; in the bits of the tag that are left: 14 with MPICH, 17 with Open MPI.

        Ranks of several nodes that call different things then wait until their deadline, where
        without `--check` nobody compares; they never take each other's messages for their own.
        """
        self._tag += fingerprint % self._kinds * MAX_TAG

    def send(self, buffer: Array, peer: int) -> list[Any]:
        """The requests of the pieces."""
        isend, tag = self._comm.Isend, self._tag
        return [isend(piece, peer, tag) for piece in _pieces(buffer)]

    def recv(self, buffer: Array, peer: int) -> list[Any]:
        """The requests of the pieces."""
        irecv, tag = self._comm.Irecv, self._tag
        return [irecv(piece, peer, tag) for piece in _pieces(buffer)]

    def recv_any(self, buffer: Array) -> Callable[[], int | None]:
        """The sender, once its message has come; a header or a length, which is never cut."""
        mpi = _mpi()
        status = mpi.Status()
        request = self._comm.Irecv(buffer, mpi.ANY_SOURCE, self._tag)
        return lambda: status.Get_source() if request.Test(status) else None

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
        awaited = _await_all(comm) if board else None
        self.comm = comm.Dup()
        self._user_comm = comm.Dup()
        self._kinds = ((self.comm.Get_attr(mpi.TAG_UB) or MAX_TAG) + 1) // MAX_TAG
        rank, size = self.comm.Get_rank(), self.comm.Get_size()
        node = self.ranks_of_this_node(mpi)
        nodes = _nodes(self.comm, node)
        crowded = more_ranks_than_cores(node)
        _engine.crowded = _engine.crowded or crowded
        guard = self._board_guard = self._make_guard(mpi, node, nodes)
        self.arena = Arena(node, nodes) if share and len(nodes.nodes) < size else None
        if awaited is not None:
            awaited.leave()
        shared = None if self.arena is None else SharedSchedule(self.arena)
        here = nodes.local, len(nodes.here)
        super().__init__(rank, size, *here, _engine, guard, timeout, shared)
        self._quick = None
        if shared is None:
            node.Free()
        elif guard.sees_all:
            self._quick = QuickReduce(self, shared, guard, crowded)

    def _make_guard(self, mpi: Any, node: MPI.Intracomm, nodes: Nodes) -> BoardGuard:
        self._board: Board | None = None
        first_seq = 0
        places: list[int | None] = [None] * nodes.size
        if self.has_board:
            self._board, first_seq = _open_board(mpi, self.comm, node)
        if self._board is not None:
            # On the launcher's board every rank of the job has its place, whatever its node.
            place = nodes.here.index if self._board is not installed() else int
            places = [place(r) if r in nodes.here else None for r in range(nodes.size)]
        guard = BoardGuard(nodes.rank, self._board, places, first_seq, check_mode())
        _open_guards.append(guard)
        return guard

    def ranks_of_this_node(self, mpi: Any) -> MPI.Intracomm:
        """The communicator of those ranks that share memory with this one."""
        return self.comm.Split_type(mpi.COMM_TYPE_SHARED)

    def channel(self, seq: int) -> Channel:
        """The messages of collective number `seq`."""
        channel = MpiChannel(self.comm, seq, self._kinds)
        if self.arena is not None:
            self.arena.enter(seq, channel)
        return channel

    def reduces_at_once(self, array: Array, op: ReduceOp, timeout: Timeout, label: str) -> bool:
        """Whether the all-reduce has been made, without a message."""
        return self._quick is not None and self._quick.all_reduce(array, op, timeout, label)

    def allocate(self, count: int, dtype: Any) -> Array:
        """Zeros that are reduced where they are, shared in the node; all ranks call together."""
        if self.arena is None:
            return np.zeros(count, dtype)
        # A rank that does not come is told here; the memory itself is made by MPI, which waits.
        call = self.call("allocate", label=f"{count} {np.dtype(dtype)}")
        self.start(call, self.schedule.barrier)
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


def _mpi() -> Any:
    """mpi4py's MPI module, started if nobody has."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise RuntimeError(no_mpi(str(error))) from None
    if MPI.Is_finalized():
        raise RuntimeError("MPI has already been finalized in this process")
    return MPI


def _pieces(buffer: Array) -> list[Array]:
    data = buffer.view(np.uint8)
    if data.nbytes <= CHUNK_BYTES:
        return [data]
    return [data[start : start + CHUNK_BYTES] for start in range(0, data.nbytes, CHUNK_BYTES)]


def _nodes(comm: MPI.Intracomm, node: MPI.Intracomm) -> Nodes:
    """Which ranks of `comm` share memory; `node` holds those that do so with this one."""
    firsts = comm.allgather(node.bcast(comm.Get_rank() if node.Get_rank() == 0 else None))
    nodes: dict[int, list[int]] = {}
    for rank, first in enumerate(firsts):
        nodes.setdefault(first, []).append(rank)
    return Nodes(comm.Get_rank(), list(nodes.values()))


def _board_for(comm: MPI.Intracomm) -> Board | None:
    """The launcher's board, if it is free and this rank's place in `comm` is that in the job."""
    launcher = installed()
    if launcher is None or _launcher_board_used:
        return None
    here = comm.Get_rank(), comm.Get_size()
    return launcher if (launcher.rank, launcher.size) == here else None


def _await_all(comm: MPI.Intracomm) -> Board | None:
    """The launcher's board, which says that this rank waits for all to make a group.

    MPI would wait for ever for a rank that has ended its script; the launcher's watchdog does not.
    """
    board = _board_for(comm)
    if board is not None:
        verb = "init_process_group"
        # Further than the ring is long: what an earlier group left there is never taken for ours.
        seq = board.read(board.rank).seq + SLOTS
        board.post(seq, zlib.crc32(verb.encode()), verb, call_site())
        board.set_state(State.PATIENT)  # the others may have data to prepare
    return board


def _open_board(mpi: Any, comm: MPI.Intracomm, node: MPI.Intracomm) -> tuple[Board | None, int]:
    """The board of this node's ranks of `comm`, and its first free number.

    The launcher's where `comm` is the whole job: its watchdog reads that one.
    """
    global _launcher_board_used
    launcher = _board_for(comm)
    if comm.allreduce(launcher is not None, op=mpi.LAND) and launcher is not None:
        _launcher_board_used = True
        return launcher, comm.allreduce(launcher.read(launcher.rank).seq, op=mpi.MAX)
    return _private_board(node), 0


def _private_board(node: MPI.Intracomm) -> Board | None:
    """A board that only the ranks of `node` have open."""
    rank, size = node.Get_rank(), node.Get_size()
    if size == 1:
        return None
    return made_together(node, "a board", lambda path, new: Board(path, rank, size, create=new))


@atexit.register
def _say_goodbye() -> None:
    """Nothing; ranks that still wait for this process learn that it will not come."""
    for guard in _open_guards:
        guard.finish()
