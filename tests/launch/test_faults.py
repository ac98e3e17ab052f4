"""Whatever one rank does, the job ends: the right status, one report, nothing left behind."""

import functools
import os
import re
import signal

import pytest

from tests.launch.jobs import FAULTS, ROOT, Job, is_open_mpi, needs_mpi, run

pytestmark = needs_mpi

# Kind of fault: status, what the one report says, number of tracebacks.
ENDS = {
    "raise": (1, "rank BAD of N .*ValueError: boom", 1),
    "memory": (1, "rank BAD of N .*MemoryError", 1),
    "mpi_error": (1, "rank BAD of N .*MPI_ERR_RANK|rank BAD of N .*Exception", 1),
    "thread": (1, "rank BAD of N .*ZeroDivisionError.*in thread loader", 1),
    "worker": (1, "rank BAD of N .*ValueError: boom", 1),
    "exit3": (3, r"rank BAD of N .*sys.exit\(3\)", 0),
    "exit_text": (1, "rank BAD of N .*no data", 0),
    "exit0": (67, "waits in all_reduce .* but rank BAD has ended its script after 2 coll", 0),
    "_exit3": (3, "rank BAD of N .*status 3 before the end of its script", 0),
    "_exit0": (70, "rank BAD of N .*status 0 before the end of its script", 0),
    "kill": (137, r"rank BAD of N .*killed by signal 9 \(out of memory\?\)", 0),
    "segv": (139, r"rank BAD of N .*signal 11 \(segmentation fault\) in <lambda> at faults.py", 0),
    "abort": (134, r"rank BAD of N .*killed by signal 6 \(abort\) in <module> at faults.py", 0),
    "int": (130, r"rank BAD of N .*interrupted \(SIGINT\)", 0),
    "term": (143, r"rank BAD of N .*terminated \(SIGTERM", 0),
    "sleep": (68, "all_reduce .*limit 1 s.*: rank BAD never reached it", 0),
    "stop": (68, "all_reduce .*limit 1 s.*: rank BAD never reached it", 0),
    "gil": (68, "all_reduce .*limit 1 s.*: rank BAD never reached it", 0),
    "mismatch": (66, "as #3", 0),
}
FOUR = ("raise", "exit0", "_exit0", "kill", "sleep")
# Each has a near relative that is always run.
SLOW = (("memory", 2), ("mpi_error", 2), ("exit_text", 2), ("abort", 2), ("raise", 4), ("exit0", 4))
CASES = [
    pytest.param(kind, ranks, marks=pytest.mark.slow if (kind, ranks) in SLOW else ())
    for ranks, kinds in ((2, ENDS), (4, FOUR))
    for kind in kinds
]


TOKEN = "8f14e45fceea167a"


@pytest.fixture(scope="module")
def end_of(tmp_path_factory):
    """The end of a job whose last rank fails so, and its folder: one job for all who ask."""

    @functools.cache
    def end(kind, ranks):
        folder = tmp_path_factory.mktemp(f"{kind}-{ranks}")
        options = ["--timeout", "1"] if ENDS[kind][0] == 68 else []
        words = (FAULTS, kind, ranks - 1, 2)
        return run(folder, ranks, *words, options=options, env={"API_TOKEN": TOKEN}), folder

    return end


@pytest.mark.parametrize(("kind", "ranks"), CASES)
def test_one_rank_fails_and_the_job_ends_with_one_report(kind, ranks, end_of):
    code, says, tracebacks = ENDS[kind]
    bad = ranks - 1
    ended, _ = end_of(kind, ranks)
    assert ended.code == code, ended.err
    assert len(ended.reports) == 1, ended.err
    pattern = says.replace("BAD", str(bad)).replace("of N", f"of {ranks}")
    assert re.search(pattern, ended.reports[0]), ended.err
    assert ended.tracebacks == tracebacks, ended.err
    # MPICH's banner about a killed rank would be there.
    assert ended.out == ""
    assert ended.alive == []
    assert ended.litter == []


@pytest.mark.parametrize(("kind", "ranks"), CASES)
def test_no_report_shows_the_environment(kind, ranks, end_of):
    ended, folder = end_of(kind, ranks)
    saved = [path.read_text() for path in folder.glob("unison-stacks-*.txt")]
    assert len(saved) == (ENDS[kind][0] == 68)
    assert all(TOKEN not in text for text in (ended.err, ended.out, *saved))


def test_the_traceback_is_short_and_near_the_end(end_of):
    ended, _ = end_of("raise", 2)
    assert str(ROOT / "launch") + "/" not in ended.err
    assert "frozen" not in ended.err
    last = ended.err.splitlines()[-15:]
    assert any(re.match(r"\[rank 1/2 \S+ \d+\] Traceback", line) for line in last), ended.err
    assert ended.out == ""


def test_ranks_that_fail_alike_are_reported_once(tmp_path):
    ended = run(tmp_path, 4, FAULTS, "all", 0, 2)
    assert ended.code == 1
    assert ended.tracebacks == 1, ended.err
    assert "ranks 0-3 of 4" in ended.reports[0]


@pytest.mark.parametrize(
    ("before", "alone", "says"),
    [
        ("", "ddp.init_process_group()", "waits in init_process_group .* but rank 1 has ended"),
        ("group = ddp.init_process_group()", "group.allocate(9, 'f4')", "rank 1 has ended"),
    ],
    ids=["group", "memory"],
)
def test_what_mpi_makes_with_all_ranks_is_not_awaited_for_ever(before, alone, says, tmp_path):
    script = tmp_path / "alone.py"
    lines = ["import os", "import ddp", before, f"if os.environ['RANK'] == '0': {alone}"]
    script.write_text("\n".join(lines))
    ended = run(tmp_path, 2, script)
    assert ended.code == 67 and re.search(says, ended.reports[0]), ended.err


@pytest.mark.slow
def test_a_rank_0_that_vanishes_with_status_0_is_never_a_success(tmp_path):
    assert run(tmp_path, 4, FAULTS, "_exit0", 0, 2).code == 70


def test_a_hang_is_told_by_rank_and_line(end_of):
    ended, folder = end_of("sleep", 4)
    lines = [line for line in ended.err.splitlines() if line.startswith("launch:")]
    assert len(lines) <= 20
    assert any(re.search(r"rank 3 computes .*<lambda> at faults.py:\d+", line) for line in lines)
    (saved,) = folder.glob("unison-stacks-*.txt")
    text = saved.read_text()
    assert all(f"==== rank {rank} " in text for rank in range(4))
    assert str(saved) in ended.err


def test_a_killed_supervisor_ends_the_job(tmp_path):
    ended = run(tmp_path, 2, FAULTS, "supervisor", 1, 2)
    assert ended.code != 0
    assert ended.alive == []
    assert ended.litter == []


def test_a_forked_child_that_exits_does_not_end_the_job(tmp_path):
    ended = run(tmp_path, 2, FAULTS, "fork", 1, 2, 6)
    assert ended.code == 0, ended.err
    assert ended.out.count("has ended") == 2
    assert ended.err == ""


def test_a_full_stderr_does_not_stop_the_end(tmp_path):
    with open("/dev/full", "wb") as full:
        ended = run(tmp_path, 2, FAULTS, "raise", 1, 2, stderr=full)
    assert ended.code != 0
    assert ended.alive == []


# ---- signals to mpirun ----


def signalled(folder, number, to_group=False):
    """A job of two ranks started by mpiexec itself, which then gets a signal."""
    job = Job(folder, 2, FAULTS, "none", 0, 0, direct=True)
    job.wait_for("ready.0")
    job.wait_for("ready.1")
    (os.killpg if to_group else os.kill)(job.process.pid, number)
    return job.end()


@pytest.mark.parametrize("to_group", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_ended_mpirun_ends_all_ranks(number, to_group, tmp_path):
    ended = signalled(tmp_path, number, to_group)
    # Open MPI kills its ranks after 0.24 s, loses their output and says 1.
    assert ended.code == (1 if is_open_mpi() else 128 + number), ended.err
    assert ended.tracebacks == 0, ended.err
    assert len(ended.reports) <= 1 and len(ended.err.splitlines()) <= 10, ended.err
    assert ended.alive == []
    assert ended.litter == []


def test_a_killed_mpirun_leaves_no_rank(tmp_path):
    ended = signalled(tmp_path, signal.SIGKILL)
    assert ended.code == -signal.SIGKILL
    assert ended.alive == []
    assert ended.litter == []


# Each two ranks take themselves for a host, as far as ddp sees.
TWO_HOSTS = """
import sys
import numpy as np
import ddp
from ddp.backends.mpi import MpiGroup

class TwoHosts(MpiGroup):
    def ranks_of_this_node(self, mpi):
        return self.comm.Split(self.comm.Get_rank() // 2)

group = TwoHosts()
for step in range(5):
    group.all_reduce(np.ones(3))
    if step == 2 and group.rank == 2:
        sys.exit(0)
"""


def test_across_hosts_the_launcher_sees_who_has_ended(tmp_path):
    (tmp_path / "train.py").write_text(TWO_HOSTS)
    ended = run(tmp_path, 4, "train.py", options=["--timeout", "30"])
    assert ended.code == 67, ended.err
    assert "rank 2 has ended" in ended.err and ended.alive == []
