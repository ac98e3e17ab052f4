"""The roll call of a job that hangs: where each rank stands, from the board and from stacks."""

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ddp.board import Board, Record, State
from launch import stacks
from launch.agreement import Peer

# The roll call and the headline together stay below 20 lines.
LONGEST = 16


@dataclass(frozen=True, slots=True)
class Standing:
    """What a rank did at the moment of the finding, and for how long."""

    peer: Peer
    record: Record
    seconds: float

    def __str__(self) -> str:
        seq = self.record.seq
        where = f" at {self.record.site}" if self.record.site else ""
        call = f"{self.record.label or 'a collective'} #{seq}{where}"
        doing = {
            State.ABSENT: "has not started",
            State.STARTING: "starts",
            State.COMPUTING: f"computes after collective #{seq}",
            State.IN_COLLECTIVE: f"waits in {call}",
            State.PATIENT: f"waits in {call}",
            State.FINISHED: f"has ended its script after {seq} collectives",
            State.FAILED: f"failed after collective #{seq}",
        }[self.record.state]
        return f"rank {self.peer.rank} {doing} (for {self.seconds:.1f} s)"


def standing(board: Board, peers: Sequence[Peer]) -> list[Standing]:
    """What each rank does now."""
    now = time.monotonic()
    records = [board.read(peer.rank) for peer in peers]
    return [Standing(peer, found, now - found.since) for peer, found in zip(peers, records)]


def roll_call(ranks: Sequence[Standing], where: Sequence[str] = ()) -> str:
    """At most `LONGEST` lines: what each rank does, since when, and (if given) at which line."""
    lines = [f"{rank}{place}" for rank, place in zip(ranks, where or [""] * len(ranks))]
    more = len(lines) - LONGEST
    if more > 0:
        # The rank that makes the others wait has come least far.
        order = sorted(range(len(ranks)), key=lambda i: ranks[i].record.seq)
        lines = [lines[i] for i in sorted(order[: LONGEST - 1])]
        lines.append(f"... and {more + 1} more ranks, further on")
    return "".join(f"launch:   {line}\n" for line in lines)


def diagnosis(ranks: Sequence[Standing], folder: str) -> str:
    """The roll call with the line each rank stands at; all stacks go to a file that it names."""
    dumps = stacks.collect([(rank.peer.pid, rank.peer.stacks) for rank in ranks])
    where = []
    for dump in dumps:
        found = stacks.place(stacks.frames(dump))
        where.append(f", {found}" if found else ", gave no stack (stopped?)")
    path = _save([rank.peer for rank in ranks], dumps, folder)
    note = f"launch: the stacks of all ranks are in {path}\n" if path else ""
    return roll_call(ranks, where) + note


def _save(peers: Sequence[Peer], dumps: Sequence[str], folder: str) -> str:
    parts = [
        f"==== rank {peer.rank} (pid {peer.pid}) ====\n{dump}\n" for peer, dump in zip(peers, dumps)
    ]
    name = f"unison-stacks-{os.getpid()}.txt"
    for place in (folder or os.getcwd(), tempfile.gettempdir()):
        path = os.path.join(place, name)
        try:
            with open(path, "x", encoding="utf-8") as file:
                file.write("\n".join(parts))
        except OSError:
            # Not writable or full: the next place.
            continue
        return path
    return ""
