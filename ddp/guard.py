"""The guard of a group: no data moves before all ranks that can be seen are about to do the same.

Each rank posts the fingerprint of its call under a sequence number, then waits until the others
have posted theirs and compares. Ranks see each other through a board (shared memory of a node, or
of a process whose threads are ranks); where a board does not reach, fingerprints can travel as
messages (UNISON_CHECK=1). The call site is reported, never compared.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from ddp.board import SLOTS, Record, State
from ddp.call import (
    Call,
    CollectiveMismatchError,
    RankFailedError,
    ranks_text,
)
from ddp.schedule import Channel, Schedule
from ddp.work import Steps

# After a mismatch was seen: how long to wait for ranks that have not come yet, to name them all.
GRACE_SECONDS = 0.3
# While call u is unsettled here this rank posts up to u + M, so another up to u + 1 + 2M: less than
# u + SLOTS, or it would overwrite its record of u before it was read.
MAX_AHEAD = SLOTS // 2 - 1
_LABEL_BYTES = 192
# How many texts a rank remembers, to put a fingerprint of another rank into words.
MAX_TEXTS = 4096
_GONE = (State.FAILED, State.FINISHED)


class BoardLike(Protocol):
    """What the guard needs of a board (see `ddp.board`)."""

    def post(self, seq: int, fingerprint: int, label: str, site: str = "") -> None:
        """Nothing; this rank is about to enter collective `seq`."""

    def fingerprint_at(self, rank: int, seq: int) -> int | None:
        """What `rank` posted for `seq`, None if it has not."""

    def all_posted(self) -> bool:
        """Whether every rank of the board has posted what this one last did."""

    def state(self, rank: int) -> State:
        """The state in `read(rank)`."""

    def read(self, rank: int) -> Record:
        """What `rank` last said."""

    def leave(self) -> None:
        """Nothing; this rank has left its collective."""

    def set_state(self, state: State) -> None:
        """Nothing; this rank does `state`."""


def check_mode() -> bool:
    """Whether fingerprints also travel as messages (UNISON_CHECK=1)."""
    return os.environ.get("UNISON_CHECK", "0") not in ("", "0")


class BoardGuard:
    """A guard over the ranks of one board.

    `places[r]` is the board's rank of group rank r, None where the board does not reach. With
    `messages` fingerprints also travel as messages, unless the board reaches every rank.
    """

    def __init__(
        self,
        rank: int,
        board: BoardLike | None,
        places: Sequence[int | None],
        first_seq: int = 0,
        messages: bool = False,
    ) -> None:
        self.rank, self.size = rank, len(places)
        self._board = board
        self._places = [(r, p) for r, p in enumerate(places) if p is not None] if board else []
        self._seq = first_seq
        # Calls posted and not agreed on, oldest first.
        self._unsettled: dict[int, None] = {}
        self.sees_all = len(self._places) == self.size
        self._messages = messages and not self.sees_all
        self._open = 0
        self._texts: dict[int, str] = {}

    # ---- the protocol of ddp.group_core.Guard ----

    def post(self, call: Call) -> int:
        """The sequence number of `call`; from now on the other ranks can see it."""
        self._seq += 1
        self._open += 1
        self._unsettled[self._seq] = None
        if self._board is not None:
            text, fingerprint, _, site = call
            if len(self._texts) < MAX_TEXTS:
                self._texts[fingerprint] = text
            self._board.post(self._seq, fingerprint, text, site)
        return self._seq

    def full(self) -> bool:
        """Whether so many calls await agreement that another one could not be posted safely."""
        # From the oldest: later ones may be agreed on first, and its records are still needed.
        return self._seq - next(iter(self._unsettled), self._seq) >= MAX_AHEAD

    def agree(self, seq: int, call: Call, channel: Channel) -> Steps:
        """None, once every rank that can be seen has posted the same call.

        Raises: CollectiveMismatchError with every call, its ranks and its file and line.
            RankFailedError if a rank ended or gave up before it came here.
        """
        if self._messages:
            # First: ranks that the board does not reach must hear of a mismatch that it shows.
            for arrived in self._agree_by_messages(call, channel):
                yield lambda: arrived() or self._any_gone(self._places, seq)  # noqa: B023
                if not arrived():
                    break
        if self._board is not None:
            yield from self._agree_by_board(seq, call)
        self._unsettled.pop(seq, None)

    def agreed(self, seq: int) -> bool:
        """Whether all ranks are seen to have posted the call last posted here; then it is settled.

        Only where `sees_all`; `agree` finds out what is wrong where not.
        """
        assert self._board is not None
        if not self._board.all_posted():
            return False
        self._unsettled.pop(seq, None)
        return True

    def wait_patiently(self) -> None:
        """Nothing; the call just posted has no deadline, and says so to those who watch."""
        if self._board is not None:
            self._board.set_state(State.PATIENT)

    def leave(self) -> None:
        """Nothing; the call is over."""
        self._open -= 1
        if self._board is not None and not self._open:
            self._board.leave()

    def fail(self, error: BaseException) -> None:
        """Nothing; the other ranks learn that this one has given up."""
        if self._board is not None:
            self._board.set_state(State.FAILED)

    def finish(self) -> None:
        """Nothing; the other ranks learn that this one will not come again."""
        if self._board is not None:
            self._board.set_state(State.FINISHED)

    def check_peers(self) -> None:
        """None, if no other rank has given up.

        Raises: RankFailedError with that rank and where it was.
        """
        for rank, record in self._others():
            # A rank that ended has sent all its messages, so only one that failed is a reason.
            if record.state is State.FAILED:
                raise RankFailedError(f"rank {self.rank}: {_gone(rank, record)}")

    def explain(self, text: str) -> str:
        """`text` followed by a roll call: which rank is where."""
        lines = [text]
        if self._board is not None:
            lines += self.roll_call()
        return "\n".join(lines)

    def roll_call(self) -> list[str]:
        """One line per place: the ranks that are there, what they call, since when."""
        places: dict[str, list[int]] = {}
        for rank, place in self._places:
            assert self._board is not None
            places.setdefault(_whereabouts(self._board.read(place)), []).append(rank)
        return [f"  {ranks_text(ranks)}: {where}" for where, ranks in places.items()]

    # ---- by board ----

    def _agree_by_board(self, seq: int, call: Call) -> Steps:
        assert self._board is not None
        board, fingerprint, missing = self._board, call.fingerprint, list(self._places)
        deadline = float("inf")

        def settled() -> bool:
            nonlocal missing, deadline
            still = []
            for rank, place in missing:
                posted = board.fingerprint_at(place, seq)
                if posted is None:
                    still.append((rank, place))
                elif posted != fingerprint:
                    deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
            missing = still
            return not still or time.monotonic() > deadline or self._any_gone(still, seq)

        if not settled():
            yield settled
        posted = {rank: board.fingerprint_at(place, seq) for rank, place in self._places}
        if any(word not in (None, fingerprint) for word in posted.values()):
            raise CollectiveMismatchError(self._mismatch_text(seq, call, posted))
        if missing:
            gone = [(r, board.read(p)) for r, p in missing if _is_gone(board.read(p))]
            text = "; ".join(_gone(rank, record) for rank, record in gone)
            raise RankFailedError(f"rank {self.rank}: {call} cannot finish: {text}")

    def _any_gone(self, places: Iterable[tuple[int, int]], seq: int) -> bool:
        for _, place in places:
            assert self._board is not None
            # The state is read before the record: a rank that posted and then ended is not missing.
            if self._board.state(place) in _GONE and not self._board.fingerprint_at(place, seq):
                return True
        return False

    def _others(self) -> Iterable[tuple[int, Record]]:
        for rank, place in self._places:
            if rank != self.rank and self._board is not None:
                yield rank, self._board.read(place)

    def _mismatch_text(self, seq: int, call: Call, posted: dict[int, int | None]) -> str:
        assert self._board is not None
        calls: dict[str, list[int]] = {}
        for rank, place in self._places:
            record = self._board.read(place)
            if rank == self.rank:
                text = str(call)
            elif posted[rank] is None:
                text = f"not there yet ({_whereabouts(record)})"
            elif record.seq == seq:
                text = f"{record.label} at {record.site}"
            else:
                # It has posted more since: its text is known only if this rank made that call too.
                name = self._texts.get(
                    posted[rank] or 0, f"a call unknown here ({posted[rank]:08x})"
                )
                text = f"{name}; since then {_whereabouts(record)}"
            calls.setdefault(text, []).append(rank)
        return mismatch_text(self.rank, seq, calls)

    # ---- by messages ----

    def _agree_by_messages(self, call: Call, channel: Channel) -> Steps:
        schedule = Schedule()
        mine = np.array([call.fingerprint], np.int64)
        prints = [np.empty(1, np.int64) for _ in range(self.size)]
        yield from schedule.all_gather(channel, prints, mine)
        if all(word[0] == mine[0] for word in prints):
            return
        # Every rank saw the same fingerprints, so every rank comes here and tells its call.
        label = np.zeros(_LABEL_BYTES, np.uint8)
        text = str(call).encode()[:_LABEL_BYTES]
        label[: len(text)] = np.frombuffer(text, np.uint8)
        labels = [np.empty(_LABEL_BYTES, np.uint8) for _ in range(self.size)]
        yield from schedule.all_gather(channel, labels, label)
        calls: dict[str, list[int]] = {}
        for rank, other in enumerate(labels):
            calls.setdefault(other.tobytes().rstrip(b"\0").decode(errors="replace"), []).append(
                rank
            )
        raise CollectiveMismatchError(mismatch_text(self.rank, self._seq, calls))


def mismatch_text(rank: int, seq: int, calls: dict[str, list[int]]) -> str:
    """The report of a mismatch: each distinct call with its ranks."""
    lines = [f"rank {rank}: the ranks disagree about collective #{seq}"]
    return "\n".join(lines + [f"  {ranks_text(ranks)}: {text}" for text, ranks in calls.items()])


def _is_gone(record: Record) -> bool:
    return record.state in _GONE


def _gone(rank: int, record: Record) -> str:
    what = "failed" if record.state is State.FAILED else "ended"
    last = f" after {record.label} at {record.site}" if record.label else ""
    return f"rank {rank} has {what}{last}"


def _whereabouts(record: Record) -> str:
    where = f"{record.label} at {record.site} (#{record.seq})"
    if record.state in (State.IN_COLLECTIVE, State.PATIENT):
        return f"waits in {where}"
    state = record.state.name.lower().replace("_", " ")
    return f"{state}, last call {where}" if record.label else state
