"""`--trace` and `--stats`: one timeline of all ranks, whose numbers add up; nothing when off."""

import json
import re

import pytest

import core
import ddp
from core import nn, optim
from core.data import DataLoader
from ddp.current_group import set_group
from ddp.trace import Recorder, Recording, Span, Talk
from launch import timeline
from tests.launch.jobs import alone, needs_mpi, run

MS = 1_000_000
GROUP = [(0, 1)]


def recording(talks, spans=(), steps=(), begin=0, end=100 * MS):
    """A recording with times given in milliseconds."""
    return Recording(
        begin,
        end,
        [Span(kind, kind, start * MS, stop * MS) for kind, start, stop in spans],
        [
            Talk("all_reduce", 0, n, start * MS, stop * MS, exposed * MS, 4)
            for n, (start, stop, exposed) in enumerate(talks)
        ],
        GROUP,
        [step * MS for step in steps],
        0,
    )


# Rank 0 comes to both collectives early and waits; rank 1 comes last.
EARLY = recording(
    talks=[(20, 50, 30), (60, 90, 10)],
    spans=[("data", 10, 15), ("wait", 20, 50), ("wait", 80, 90), ("optimizer", 90, 95)],
    steps=[10, 95],
)
LATE = recording(talks=[(45, 50, 5), (70, 90, 20)], steps=[10, 95])


def test_compute_is_what_is_left_of_the_main_threads_time():
    left = [(span.start // MS, span.end // MS) for span in timeline.computing(EARLY)]
    assert left == [(0, 10), (15, 20), (50, 80), (95, 100)]


def test_a_step_is_the_sum_of_its_parts_and_early_is_the_wait_for_the_last():
    rows = timeline.table([EARLY, LATE]).splitlines()
    names = rows[0].split()
    numbers = dict(zip(names, map(float, rows[1].split())))
    parts = ("compute", "data", "optimizer", "exposed")
    assert numbers["total"] == 85 == sum(numbers[name] for name in parts)
    assert numbers["exposed"] == 40
    assert numbers["hidden"] == 20  # of the second collective, which began before it was waited for
    assert numbers["early"] == 25 + 10
    assert "rank 1 came last to 2 of 2 collectives" in rows[-1]


def test_collectives_of_different_groups_are_not_taken_for_one():
    # Rank 1 has made another group of the same ranks first: the second of rank 0 is its first.
    one = recording([(0, 1, 1)])._replace(groups=[(0, 1), (1, 2)])
    two = recording([(5, 6, 1)])._replace(groups=[(1, 2), (0, 1)])
    found = [e["args"] for e in timeline.events([one, two]) if e["ph"] == "b"]
    assert [args["before_last_us"] for args in found] == [0, 0]


def test_clocks_of_other_hosts_are_shifted():
    late = timeline.shifted(EARLY, 7)
    assert late.begin == EARLY.begin + 7 and late.talks[0].end == EARLY.talks[0].end + 7
    assert late.spans[0].start == EARLY.spans[0].start + 7


def test_hooks_are_there_while_it_records_and_gone_after():
    before = (DataLoader.__iter__, core.Tensor.backward)
    model = nn.Linear(3, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    recorder = Recorder()
    recorder.start()
    try:
        group = ddp.init_process_group("single")
        for x in DataLoader(core.ones(8, 3), batch_size=4):
            model(x).sum().backward()
            optimizer.step()
        ddp.all_reduce(core.ones(5))
        ddp.barrier()
    finally:
        found = recorder.stop()
        set_group(None)
    assert (DataLoader.__iter__, core.Tensor.backward) == before
    assert not [name for name in vars(group) if name in ("all_reduce", "barrier", "subgroup")]
    kinds = [span.kind for span in found.spans]
    assert kinds == ["data", "backward", "optimizer"] * 2 + ["wait"] * 2
    assert [(talk.name, talk.number) for talk in found.talks] == [
        ("all_reduce float32 (5,)", 0),
        ("barrier", 1),
    ]
    assert len(found.steps) == 2 and found.lost == 0
    assert all(a.end <= b.start for a, b in zip(found.spans, found.spans[1:]))


TRAINS = """
import core, ddp
from core import nn, optim
ddp.init_process_group()
model = ddp.DistributedDataParallel(nn.Linear(64, 64))
optimizer = optim.SGD(model.parameters(), lr=0.01)
loader = ddp.DataLoader(core.randn(64, 64), batch_size=8)
for x in loader:
    optimizer.zero_grad()
    model(x).sum().backward()
    optimizer.step()
"""


@pytest.mark.mpi
class TestJobs:
    pytestmark = needs_mpi

    def test_a_trace_holds_all_ranks_and_matches_their_collectives(self, tmp_path):
        (tmp_path / "train.py").write_text(TRAINS)
        ended = run(tmp_path, 2, "train.py", options=["--trace", "out.json", "--stats"])
        assert ended.code == 0, ended.err
        events = json.loads((tmp_path / "out.json").read_text())["traceEvents"]
        for rank in range(2):
            mine = [event for event in events if event["pid"] == rank]
            count = {
                kind: sum(e.get("cat") == kind for e in mine) for kind in ("data", "optimizer")
            }
            assert count == {"data": 8, "optimizer": 8}
            begun = {e["id"]: e for e in mine if e["ph"] == "b"}
            ended_at = {e["id"]: e["ts"] for e in mine if e["ph"] == "e"}
            assert begun.keys() == ended_at.keys()
            assert all(ended_at[key] >= event["ts"] >= 0 for key, event in begun.items())
        starts = [[e for e in events if e["ph"] == "b" and e["pid"] == rank] for rank in range(2)]
        names = [[(e["name"], e["args"]["last_rank"]) for e in part] for part in starts]
        assert names[0] == names[1] and len(names[0]) >= 16
        for one, two in zip(*starts):
            waits = sorted(e["args"]["before_last_us"] for e in (one, two))
            assert waits[0] == 0 and waits[1] == pytest.approx(abs(one["ts"] - two["ts"]), abs=0.01)
        rows = [line for line in ended.err.splitlines() if re.match(r" +\d +8 ", line)]
        assert len(rows) == 2

    def test_a_trace_that_cannot_be_written_is_refused_before_the_script(self, tmp_path):
        (tmp_path / "train.py").write_text("print('ran')\n")
        ended = run(tmp_path, 2, "train.py", options=["--trace", "train.py/out.json"])
        assert ended.code == 2 and ended.out == ""
        assert "cannot write the trace 'train.py/out.json'" in ended.err


def test_one_rank_has_a_timeline_too(tmp_path):
    (tmp_path / "train.py").write_text(TRAINS)
    ended = alone(tmp_path, "-m", "launch", "-q", "--trace", "out.json", "train.py")
    assert ended.returncode == 0 and ended.stderr == "", ended.stderr
    assert json.loads((tmp_path / "out.json").read_text())["otherData"]["ranks"] == 1
