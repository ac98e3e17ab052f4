"""Simulated ranks: threads of one process that talk through mailboxes, with deadlocks seen at once.

A rank that has nothing to do until another one acts is blocked, and says for what. When every rank
that still runs is blocked, nobody will ever act: that is a deadlock, and it is reported without
waiting for a deadline.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ddp.board import SLOTS, Record, State
from ddp.call import DeadlockError, RankFailedError
from ddp.group import ProcessGroup, Timeout
from ddp.guard import BoardGuard
from ddp.reduction import Array
from ddp.schedule import Channel
from ddp.work import Engine, Work

# How often a blocked rank looks at conditions that time alone changes (the grace of a mismatch).
LOOK_SECONDS = 0.25


class ThreadWorld:
    """What the simulated ranks of one run share.

    A rank that is about to wait enters `blocked` before it looks a last time, and whoever changes
    something looks at `blocked` after the change: no wake-up is lost although changes take no lock.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.lock = threading.RLock()
        self.mailboxes: dict[tuple, Array] = {}
        self.boards: dict[str, list[dict[str, Any]]] = {}
        self.running = set(range(size))
        self.blocked: dict[int, Engine] = {}
        self.wakeups = [threading.Condition(self.lock) for _ in range(size)]
        self.first_failure: tuple[int, BaseException] | None = None
        self.stopped = False

    def group(self, rank: int, timeout: Timeout = None) -> ThreadGroup:
        """The group of all ranks, as `rank` sees it."""
        engine = ThreadEngine(self, rank)
        return ThreadGroup(self, engine, list(range(self.size)), rank, "world", timeout)

    def board(self, key: str, size: int) -> list[dict[str, Any]]:
        """The records that the ranks of the group `key` share."""
        with self.lock:
            return self.boards.setdefault(key, [_blank() for _ in range(size)])

    def changed(self, only: int | None = None) -> None:
        """Nothing; ranks (or just one) whose condition now holds go on. With the lock."""
        for rank in tuple(self.blocked) if only is None else (only,):
            engine = self.blocked.get(rank)
            if engine is not None and any(work.ready for work in engine.works):
                del self.blocked[rank]
                self.wakeups[rank].notify()

    def tell(self, only: int | None = None) -> None:
        """Nothing; if ranks (or this one) wait, they look at what has just been changed."""
        if self.blocked if only is None else only in self.blocked:
            with self.lock:
                self.changed(only)

    def end(self, rank: int, error: BaseException | None) -> None:
        """Nothing; `rank` runs no more, and the others learn how it ended."""
        with self.lock:
            self.running.discard(rank)
            first = self.first_failure
            if error is not None and (first is None or _is_echo(first[1]) > _is_echo(error)):
                self.first_failure = (rank, error)
            state = State.FINISHED if error is None else State.FAILED
            for key, records in self.boards.items():
                place = _place(key, rank)
                if place is not None and records[place]["state"] is not State.FAILED:
                    records[place]["state"] = state
            self.changed()
            self.check_deadlock()

    def stop(self) -> None:
        """Nothing; every rank that waits, or will wait, raises."""
        with self.lock:
            self.stopped = True
            self._wake_all()

    def check_deadlock(self) -> None:
        """Nothing; if every running rank is blocked, each wakes and raises. With the lock."""
        if self.running and set(self.blocked) == self.running:
            roll = [f"  rank {r}: waits in {_calls(e)}" for r, e in sorted(self.blocked.items())]
            roll += [f"  rank {r}: has ended" for r in range(self.size) if r not in self.running]
            text = "\n".join(["no rank can go on: every one that runs waits for another", *roll])
            for rank, engine in tuple(self.blocked.items()):
                for work in tuple(engine.works):
                    work.fail_soon(DeadlockError(f"rank {rank}: {text}"))
            self._wake_all()

    def _wake_all(self) -> None:
        for rank in tuple(self.blocked):
            del self.blocked[rank]
            self.wakeups[rank].notify()


class ThreadEngine(Engine):
    """Waits on a condition variable; a rank that waits is counted as blocked."""

    def __init__(self, world: ThreadWorld, rank: int) -> None:
        super().__init__()
        self.world, self.rank = world, rank

    def wait_until(self, work: Work) -> None:
        """Nothing, once `work` is done or has failed."""
        while not work.done:
            self.progress()
            if work.done:
                return
            if work.remaining() <= 0:
                work.expire()
                return
            self._block(work)

    def _block(self, work: Work) -> None:
        world = self.world
        with world.lock:
            if world.stopped:
                work.fail(RankFailedError(f"rank {self.rank}: the run was stopped"))
                return
            world.blocked[self.rank] = self
            if not any(other.ready for other in self.works):
                world.check_deadlock()
                if self.rank in world.blocked:
                    world.wakeups[self.rank].wait(max(0, min(work.remaining(), LOOK_SECONDS)))
            world.blocked.pop(self.rank, None)


class ThreadBoard:
    """The board of `ddp.board`, between threads."""

    def __init__(self, world: ThreadWorld, records: list[dict[str, Any]], place: int) -> None:
        self._world, self._records, self._mine = world, records, records[place]

    def post(self, seq: int, fingerprint: int, label: str, site: str = "") -> None:
        """Nothing; this rank is about to enter collective `seq`."""
        self._mine.update(seq=seq, label=label, site=site, state=State.IN_COLLECTIVE)
        # Last: who sees the fingerprint also sees the texts.
        self._mine["ring"][seq % SLOTS] = (seq, fingerprint)
        self._world.tell()

    def fingerprint_at(self, rank: int, seq: int) -> int | None:
        """What `rank` posted for `seq`, None if it has not."""
        posted, fingerprint = self._records[rank]["ring"][seq % SLOTS]
        return fingerprint if posted == seq else None

    def all_posted(self) -> bool:
        """Whether every rank of the board has posted what this one last did."""
        slot = self._mine["seq"] % SLOTS
        return all(record["ring"][slot] == self._mine["ring"][slot] for record in self._records)

    def read(self, rank: int) -> Record:
        """What `rank` last said."""
        record = self._records[rank]
        return Record(
            0, record["state"], record["seq"], record["since"], record["label"], record["site"]
        )

    def state(self, rank: int) -> State:
        """The state in `read(rank)`."""
        return self._records[rank]["state"]

    def leave(self) -> None:
        """Nothing; this rank has left its collective."""
        self.set_state(State.COMPUTING)

    def set_state(self, state: State) -> None:
        """Nothing; this rank does `state`, and those who wait for it look again."""
        self._mine.update(state=state, since=time.monotonic())
        if state in (State.FAILED, State.FINISHED):
            self._world.tell()


class ThreadChannel(Channel):
    """Mailboxes, one per message: `kind`, sender, receiver, and the number among those of the pair.

    `counts` holds how many were sent to and received from each peer so far.
    """

    def __init__(self, group: ThreadGroup, kind: tuple, counts: dict[tuple, int]) -> None:
        self.rank, self.size = group.rank, group.size
        self._world, self._ranks, self._kind = group.world, group.ranks, (group.key, *kind)
        self._counts = counts

    def send(self, buffer: Array, peer: int) -> None:
        """Nothing; a copy of `buffer` lies in a mailbox of `peer`."""
        self._world.mailboxes[self._box(self.rank, peer)] = buffer.copy()
        self._world.tell(self._ranks[peer])

    def recv(self, buffer: Array, peer: int) -> Callable[[], bool]:
        """A test that takes the message once it is there."""
        box = self._box(peer, self.rank)
        return lambda: self._take(box, buffer)

    def recv_any(self, buffer: Array) -> Callable[[], int | None]:
        """The sender, once its message is there; the lowest of those whose messages are."""

        def take() -> int | None:
            for peer in range(self.size):
                key = (peer, self.rank)
                number = self._counts.get(key, 0) + 1
                if self._take((*self._kind, *key, number), buffer):
                    self._counts[key] = number
                    return peer
            return None

        return take

    def _take(self, box: tuple, buffer: Array) -> bool:
        message = self._world.mailboxes.pop(box, None)
        if message is not None:
            buffer.view(np.uint8)[...] = message.view(np.uint8)
        return message is not None

    def done(self, requests: list[Any]) -> Callable[[], bool]:
        """The condition that all messages are there."""
        left = [request for request in requests if request is not None]

        def arrived() -> bool:
            # Each message is looked for until it is there, and never again.
            while left and left[-1]():
                left.pop()
            return not left

        return arrived

    def _box(self, sender: int, receiver: int) -> tuple:
        number = self._counts[sender, receiver] = self._counts.get((sender, receiver), 0) + 1
        return (*self._kind, sender, receiver, number)


class ThreadGroup(ProcessGroup):
    """A group of simulated ranks; `ranks[r]` is the rank in the world of group rank r."""

    name = "thread"

    def __init__(
        self,
        world: ThreadWorld,
        engine: Engine,
        ranks: list[int],
        world_rank: int,
        key: str,
        timeout: Timeout,
    ) -> None:
        rank, size = ranks.index(world_rank), len(ranks)
        self.world, self.key = world, f"{key}|{','.join(map(str, ranks))}"
        board = ThreadBoard(world, world.board(self.key, size), rank)
        guard = BoardGuard(rank, board, range(size))
        super().__init__(rank, size, rank, size, engine, guard, timeout)
        self.ranks = ranks
        self._user_counts: dict[int, dict[tuple, int]] = {}

    def channel(self, seq: int) -> Channel:
        """The messages of collective number `seq`."""
        return ThreadChannel(self, ("collective", seq), {})

    def peer_channel(self, tag: int) -> Channel:
        """The messages that users send with `tag`."""
        return ThreadChannel(self, ("user", tag), self._user_counts.setdefault(tag, {}))

    def subgroup(self, ranks: Sequence[int], key: str, timeout: Timeout) -> ThreadGroup:
        """A group of these ranks of this group, in this order."""
        members = [self.ranks[r] for r in ranks]
        me = self.ranks[self.rank]
        return ThreadGroup(self.world, self.engine, members, me, f"{self.key}/{key}", timeout)


def _is_echo(error: BaseException) -> bool:
    return getattr(error, "is_echo", False)


def _blank() -> dict[str, Any]:
    ring = [(0, 0)] * SLOTS
    return {"ring": ring, "seq": 0, "label": "", "site": "", "state": State.COMPUTING, "since": 0.0}


def _place(key: str, world_rank: int) -> int | None:
    ranks = [int(r) for r in key.rpartition("|")[2].split(",")]
    return ranks.index(world_rank) if world_rank in ranks else None


def _calls(engine: Engine) -> str:
    return ", ".join(str(work.call) for work in engine.works)
