"""A thread per rank that reads the board ten times a second and ends a job that cannot go on.

It works while the main thread is blocked inside MPI. What it finds it hands on.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ddp.board import Board, Record, State
from launch import status

PERIOD = 0.1
# Time for the rank itself to say it better (a mismatch is raised by the group with both records).
GRACE = 1.0
_WAITING = (State.IN_COLLECTIVE, State.PATIENT)


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a job cannot go on: the status and one sentence."""

    code: int
    text: str


def examine(board: Board, peers: Sequence[int], timeout: float, now: float) -> Finding | None:
    """What is wrong with the collective that this rank waits in, None if nothing is."""
    mine = board.read(board.rank)
    if mine.state not in _WAITING:
        return None
    waited = now - mine.since
    for rank in peers:
        theirs = board.read(rank)
        finding = _mismatch(board, mine, rank, theirs, waited) or _uneven(
            mine, rank, theirs, min(waited, now - theirs.since)
        )
        if finding:
            return finding
    if mine.state is State.IN_COLLECTIVE and 0 < timeout < waited:
        late = [rank for rank in peers if board.read(rank).seq < mine.seq]
        here = " of this host" if len(peers) + 1 < board.size else ""
        who = f"rank {late[0]} never reached it" if late else f"all ranks{here} are in it"
        text = f"waited {waited:.0f} s in {_call(mine)} (limit {timeout:g} s): {who}"
        return Finding(status.DEADLINE, text)
    return None


class Watchdog:
    """The thread; `found` is called once with what it finds, in the thread."""

    def __init__(
        self,
        board: Board,
        peers: Sequence[int],
        timeout: float,
        found: Callable[[Finding], None],
        signalled: Callable[[], Finding | None],
    ) -> None:
        self._board = board
        self._others = [rank for rank in peers if rank != board.rank]
        self._timeout = timeout
        self._found = found
        self._signalled = signalled
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="launch-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(PERIOD):
            found = self._signalled() or examine(
                self._board, self._others, self._timeout, time.monotonic()
            )
            if found:
                self._found(found)
                return


def _mismatch(
    board: Board, mine: Record, rank: int, theirs: Record, waited: float
) -> Finding | None:
    other = board.fingerprint_at(rank, mine.seq)
    if waited < GRACE or other in (None, board.fingerprint_at(board.rank, mine.seq)):
        return None
    text = f"runs {_call(mine)}, rank {rank} ran {theirs.label or 'another collective'}"
    return Finding(status.MISMATCH, f"{text} as #{mine.seq}")


def _uneven(mine: Record, rank: int, theirs: Record, waited: float) -> Finding | None:
    if waited < GRACE or theirs.state is not State.FINISHED or theirs.seq >= mine.seq:
        return None
    text = (
        f"waits in {_call(mine)}, but rank {rank} has ended its script after {theirs.seq} "
        "collectives (uneven number of steps?)"
    )
    return Finding(status.UNEVEN, text)


def _call(record: Record) -> str:
    where = f" at {record.site}" if record.site else ""
    return f"{record.label or 'a collective'} #{record.seq}{where}"
