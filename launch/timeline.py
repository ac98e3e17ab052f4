"""`--trace` and `--stats`: what all ranks did, as one timeline and as a table of steps."""

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ddp.trace import DATA, OPTIMIZER, WAIT, Recorder, Recording, Span, Talk
from launch.mpi import Team
from launch.options import Options

# A collective is told from others by the ranks of its group, which of the groups of these ranks it
# is, and its number in the group.
Key = tuple[tuple[int, ...], int, int]
_MAIN, _TALKS = 0, 1


class Timeline:
    """Records the script of this rank; at the end rank 0 writes and says what all ranks did."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._recorder = Recorder()

    def start(self) -> None:
        """Nothing; the script begins."""
        self._recorder.start()

    def stop(self) -> None:
        """Nothing; the script of this rank has ended."""
        self._recording = self._recorder.stop()

    def finish(self, team: Team) -> str:
        """The table of steps, on rank 0 if it was asked for; the timeline is in its file."""
        team.barrier()
        clocks = team.gather((os.uname().nodename, time.monotonic_ns()))
        ranks = team.collect(self._recording)
        ranks = [shifted(*pair) for pair in zip(ranks, offsets(clocks))]
        if ranks and self._options.trace:
            write(self._options.trace, ranks)
        return table(ranks) if ranks and self._options.stats else ""


class Step(NamedTuple):
    """Milliseconds of a rank's mean step, by what they went to."""

    steps: int
    total: float
    compute: float
    data: float
    optimizer: float
    exposed: float
    hidden: float
    early: float


def shifted(recording: Recording, offset: int) -> Recording:
    """The recording with another clock's times, `offset` nanoseconds later."""
    return recording._replace(
        begin=recording.begin + offset,
        end=recording.end + offset,
        spans=[s._replace(start=s.start + offset, end=s.end + offset) for s in recording.spans],
        talks=[t._replace(start=t.start + offset, end=t.end + offset) for t in recording.talks],
        steps=[step + offset for step in recording.steps],
    )


def write(path: str, ranks: Sequence[Recording]) -> None:
    """Write the timeline in Chrome's trace format, which Perfetto and chrome://tracing show."""
    lost = sum(recording.lost for recording in ranks)
    text = {
        "traceEvents": events(ranks),
        "displayTimeUnit": "ms",
        "otherData": {"ranks": len(ranks), "events lost for want of memory": lost},
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(text, file, separators=(",", ":"))


def events(ranks: Sequence[Recording]) -> list[dict[str, Any]]:
    """The events of all ranks: a process per rank, its main thread, and its collectives."""
    zero = min(recording.begin for recording in ranks)
    last = _arrivals(ranks)
    found: list[dict[str, Any]] = []
    for rank, recording in enumerate(ranks):
        found += _names(rank)
        for span in [*recording.spans, *computing(recording)]:
            found.append(_complete(rank, span, zero))
        # Written down in the order of their ends, which differs between ranks.
        pairs = zip(_keys(recording), recording.talks)
        for key, talk in sorted(pairs, key=lambda pair: pair[1].start):
            found += _pair(rank, key, talk, last[key], zero)
    return found


def computing(recording: Recording) -> list[Span]:
    """What is left of the main thread's time: forward passes and whatever else the script does."""
    left: list[Span] = []
    at = recording.begin
    for span in sorted(recording.spans, key=lambda span: span.start):
        if span.start > at:
            left.append(Span("compute", "compute", at, span.start))
        at = max(at, span.end)
    if recording.end > at:
        left.append(Span("compute", "compute", at, recording.end))
    return left


def table(ranks: Sequence[Recording]) -> str:
    """The mean step of each rank in milliseconds, one line per rank, and what makes it slow."""
    last = _arrivals(ranks)
    rows = [_step(recording, last) for recording in ranks]
    head = f"{'rank':>4} {'steps':>6} " + " ".join(f"{name:>10}" for name in Step._fields[1:])
    lines = [head]
    for rank, row in enumerate(rows):
        numbers = " ".join(f"{value:10.3f}" for value in row[1:])
        lines.append(f"{rank:>4} {row.steps:>6} {numbers}")
    lines.append("ms per step; exposed: waits in collectives, of which early: for ranks that came")
    lines.append("later; hidden: collectives while something else was done")
    if len(rows) > 1 and (late := Counter(rank for rank, _ in last.values())):
        (slow, times), *_ = late.most_common(1)
        lines.append(f"rank {slow} came last to {times} of {len(last)} collectives")
    return "\n".join(lines) + "\n"


def _step(recording: Recording, last: dict[Key, tuple[int, int]]) -> Step:
    # The first step warms up: it is left out where there are others.
    marks = recording.steps
    begin, end = (marks[0], marks[-1]) if len(marks) > 1 else (recording.begin, recording.end)
    count = max(1, len(marks) - 1)
    inside = [span for span in recording.spans if begin <= span.start and span.end <= end]
    pairs = zip(_keys(recording), recording.talks)
    talks = [(k, t) for k, t in pairs if begin <= t.start and t.end <= end]

    def per_step(times: Iterable[int]) -> float:
        return sum(times) / count / 1e6

    data, optimizer, exposed = (
        per_step(s.end - s.start for s in inside if s.kind == kind)
        for kind in (DATA, OPTIMIZER, WAIT)
    )
    total = (end - begin) / count / 1e6
    early = per_step(min(t.exposed, max(0, last[k][1] - t.start)) for k, t in talks)
    hidden = per_step(t.end - t.start - t.exposed for _, t in talks if t.end - t.start > t.exposed)
    compute = total - data - optimizer - exposed
    return Step(len(marks), total, compute, data, optimizer, exposed, hidden, early)


def offsets(readings: Sequence[tuple[str, int]]) -> list[int]:
    """What to add to each rank's clock, given (host, clock at one moment); one host has one clock.

    Example:
        >>> offsets([("a", 100), ("a", 103), ("b", 7), ("b", 9)])
        [0, 0, 93, 93]
    """
    first: dict[str, int] = {}
    for host, clock in readings:
        first[host] = min(clock, first.get(host, clock))
    return [first[readings[0][0]] - first[host] for host, _ in readings]


def _keys(recording: Recording) -> list[Key]:
    seen: Counter[tuple[int, ...]] = Counter()
    places: list[tuple[tuple[int, ...], int]] = []
    for ranks in recording.groups:
        places.append((ranks, seen[ranks]))
        seen[ranks] += 1
    return [(*places[talk.group], talk.number) for talk in recording.talks]


def _arrivals(ranks: Sequence[Recording]) -> dict[Key, tuple[int, int]]:
    """For each collective the rank that came last, and when."""
    last: dict[Key, tuple[int, int]] = {}
    for rank, recording in enumerate(ranks):
        for key, talk in zip(_keys(recording), recording.talks):
            if key not in last or talk.start > last[key][1]:
                last[key] = rank, talk.start
    return last


def _names(rank: int) -> list[dict[str, Any]]:
    named = [("process_name", _MAIN, f"rank {rank}"), ("thread_name", _MAIN, "main thread")]
    found: list[dict[str, Any]] = [
        {"ph": "M", "name": what, "pid": rank, "tid": thread, "args": {"name": name}}
        for what, thread, name in named
    ]
    order = {"ph": "M", "name": "process_sort_index", "pid": rank, "args": {"sort_index": rank}}
    return [*found, order]


def _complete(rank: int, span: Span, zero: int) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": span.name,
        "cat": span.kind,
        "pid": rank,
        "tid": _MAIN,
        "ts": (span.start - zero) / 1e3,
        "dur": (span.end - span.start) / 1e3,
    }


def _pair(
    rank: int, key: Key, talk: Talk, last: tuple[int, int], zero: int
) -> list[dict[str, Any]]:
    """The begin and the end of a collective, which may overlap others."""
    both = {
        "name": talk.name,
        "cat": "collective",
        "id": f"{rank}.{talk.group}.{talk.number}",
        "pid": rank,
        "tid": _TALKS,
    }
    said = {
        "number": talk.number,
        "ranks": list(key[0]),
        "bytes": talk.nbytes,
        "exposed_us": talk.exposed / 1e3,
        "last_rank": last[0],
        "before_last_us": (last[1] - talk.start) / 1e3,
    }
    start, end = (talk.start - zero) / 1e3, (max(talk.end, talk.start) - zero) / 1e3
    return [{"ph": "b", "ts": start, "args": said, **both}, {"ph": "e", "ts": end, **both}]
