"""Several ranks: they know their place, refuse to differ, keep their lines whole, start again."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.launch.jobs import LIMIT, MPIEXEC, ROOT, alone, is_open_mpi, mpiexec, needs_mpi, run

pytestmark = needs_mpi

WORLD = """
import json, os, sys
names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
         "GROUP_RANK", "GROUP_WORLD_SIZE",
         "UNISON_SHARDS", "UNISON_DEVICE", "UNISON_CHECK", "OMP_NUM_THREADS")
found = {name: os.environ.get(name) for name in names}
found["left"] = [n for n in os.environ if n.startswith(("PMI", "OMPI_", "PRTE_", "HYDI_"))]
print(json.dumps({**found, "argv": sys.argv}))
"""


@pytest.mark.parametrize("direct", [False, True])
def test_ranks_know_their_place_and_workers_are_no_ranks(direct, tmp_path):
    (tmp_path / "world.py").write_text(WORLD)
    options = ["--shards", "4", "--check"]
    ended = run(tmp_path, 2, "world.py", "a b", options=options, direct=direct)
    assert ended.code == 0 and ended.err == "", ended.err
    ranks = sorted((json.loads(line) for line in ended.out.splitlines()), key=lambda r: r["RANK"])
    assert [rank["RANK"] for rank in ranks] == ["0", "1"] == [rank["LOCAL_RANK"] for rank in ranks]
    for rank in ranks:
        assert rank["WORLD_SIZE"] == rank["LOCAL_WORLD_SIZE"] == "2"
        assert (rank["GROUP_RANK"], rank["GROUP_WORLD_SIZE"]) == ("0", "1")
        assert (rank["UNISON_SHARDS"], rank["UNISON_CHECK"]) == ("4", "1")
        assert rank["argv"] == ["world.py", "a b"]
        assert rank["left"] == []
        assert rank["MASTER_ADDR"] == "127.0.0.1"
    assert ranks[0]["MASTER_PORT"] == ranks[1]["MASTER_PORT"]


def test_the_start_prints_the_command_and_one_line(tmp_path):
    (tmp_path / "train.py").write_text("pass\n")
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "launch", "-n", "2", "train.py"]
    ended = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
    first, second = ended.stderr.splitlines()
    assert str(MPIEXEC) in first and "train.py" in first
    assert ("--oversubscribe" in first) == is_open_mpi()
    assert second.startswith("launch: 2 ranks on 1 host, ")
    assert ", cpu, " in second and "thread" in second


def direct(folder, *ranks, env=None):
    """A job with another command line on each rank (mpiexec's colons), started by mpiexec."""
    words = []
    for number, rank in enumerate(ranks):
        program = [sys.executable, "-m", "launch", "-q", *rank]
        words += [":", "-n", "1", *program] if number else program
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    return subprocess.run(
        [*mpiexec(1), *words],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


ODD = {
    "missing script": (("train.py",), ("nothere.py",), "cannot find .*'nothere.py' on rank 1"),
    "other arguments": (("train.py",), ("train.py", "x"), "ranks differ: arguments is"),
    "other script": (("train.py",), ("other.py",), "ranks differ: script is"),
    "other options": (("train.py",), ("--timeout", "5", "train.py"), "options of launch is"),
    "unknown option": (("--nope", "train.py"),) * 2 + ("unknown option '--nope'",),
    "no place for logs": (("--log-dir", "train.py/logs", "train.py"),) * 2 + ("cannot write log",),
    "bad shards": (("--shards", "1", "train.py"),) * 2 + ("--shards 1 cannot be shared by 2",),
}


@pytest.mark.parametrize("kind", ODD)
def test_ranks_that_differ_are_refused_with_one_sentence(kind, tmp_path):
    (tmp_path / "train.py").write_text("print('ran')\n")
    (tmp_path / "other.py").write_text("print('ran too')\n")
    one, two, says = ODD[kind]
    ended = direct(tmp_path, one, two)
    assert ended.returncode == 2
    said = [line for line in ended.stderr.splitlines() if line.startswith("launch: ")]
    assert len(said) == 1, ended.stderr
    assert re.search(says, said[0])
    assert "ran" not in ended.stdout and "Traceback" not in ended.stderr


def test_another_numpy_on_one_rank_is_named(tmp_path):
    # The metadata of a rank is that of its path: one rank gets a NumPy that says it is older.
    (tmp_path / "train.py").write_text("print('ran')\n")
    fake = tmp_path / "fake" / "numpy-0.0.1.dist-info"
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.0.1\n")
    shim = f"import runpy, sys; sys.path.insert(0, {str(fake.parent)!r}); "
    shim += "sys.argv[1:] = ['-q', 'train.py']; runpy.run_module('launch', run_name='__main__')"
    words = [*mpiexec(1), sys.executable, "-m", "launch", "-q", "train.py"]
    words += [":", "-n", "1", sys.executable, "-c", shim]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert ended.returncode == 2, ended.stderr
    assert "numpy is 0.0.1 on rank 1" in ended.stderr
    assert ended.stdout == ""


def test_a_rank_that_cannot_load_mpi_ends_the_job(tmp_path):
    # The others wait in MPI's start, where MPICH would leave them for ever.
    (tmp_path / "train.py").write_text("print('ran')\n")
    (tmp_path / "fake" / "mpi4py").mkdir(parents=True)
    (tmp_path / "fake" / "mpi4py" / "__init__.py").write_text(
        "raise RuntimeError('no library\\nbroken')\n"
    )
    shim = f"import runpy, sys; sys.path.insert(0, {str(tmp_path / 'fake')!r}); "
    shim += "sys.argv[1:] = ['-q', 'train.py']; runpy.run_module('launch', run_name='__main__')"
    words = [*mpiexec(1), sys.executable, "-m", "launch", "-q", "train.py"]
    words += [":", "-n", "1", sys.executable, "-c", shim]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=LIMIT
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.count("mpi4py cannot load an MPI (broken)") == 1
    assert "(on rank 1, host " in ended.stderr
    assert "ran" not in ended.stdout


def test_a_rank_that_fails_as_it_starts_ends_the_job(tmp_path):
    # Leaving by way of MPI's end it would wait there for the others, which wait for it.
    (tmp_path / "train.py").write_text("print('ran')\n")
    shim = "import runpy, sys, ddp.board as b; b.Board.__init__ = lambda *a, **k: 1 / 0; "
    shim += "sys.argv[1:] = ['-q', 'train.py']; runpy.run_module('launch', run_name='__main__')"
    words = [*mpiexec(1), sys.executable, "-m", "launch", "-q", "train.py"]
    words += [":", "-n", "1", sys.executable, "-c", shim]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=LIMIT
    )
    assert ended.returncode == 1, ended.stderr
    assert len(re.findall("rank 1 of 2 .*ZeroDivisionError", ended.stderr)) == 1
    assert ended.stdout == ""


def test_ranks_of_another_mpi_are_refused(tmp_path):
    (tmp_path / "train.py").write_text("print('ran')\n")
    claim = {"PMI_FD": "99", "PMI_RANK": "0", "PMI_SIZE": "4"}
    if not is_open_mpi():
        claim = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "4"}
    ended = alone(tmp_path, "-m", "launch", "train.py", env=claim)
    assert ended.returncode == 2
    assert "the ranks were started by" in ended.stderr and ended.stderr.count("\n") == 1
    assert "MPICH" in ended.stderr and "Open MPI" in ended.stderr
    assert ended.stdout == ""


def test_a_rank_of_one_where_slurm_claims_four_is_refused(tmp_path):
    (tmp_path / "train.py").write_text("print('ran')\n")
    claim = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    ended = alone(tmp_path, "-m", "launch", "train.py", env=claim)
    assert ended.returncode == 2
    assert "Slurm started 4 ranks, but" in ended.stderr and "sees 1" in ended.stderr
    assert f"srun: --mpi={'pmix' if is_open_mpi() else 'pmi2'}" in ended.stderr
    assert ended.stdout == ""


SHELL = {
    **{"SLURM_JOB_ID": "77", "SLURM_JOB_NUM_NODES": "1", "SLURM_NNODES": "1"},
    **{"SLURM_JOB_NODELIST": os.uname().nodename, "SLURM_NODELIST": os.uname().nodename},
    **{"SLURM_NTASKS": "1", "SLURM_TASKS_PER_NODE": "1", "SLURM_PROCID": "0"},
    **{"SLURM_STEP_NUM_TASKS": "1", "SLURM_LOCALID": "0"},
    **{"PMIX_RANK": "0", "PMIX_NAMESPACE": "slurm.pmix.77.0"},
}


def test_a_shell_of_slurms_starts_ranks(tmp_path):
    # `srun --pty bash`: the shell has a place in a step, and its ranks have others.
    (tmp_path / "talk.py").write_text("import os; print('rank', os.environ['RANK'])\n")
    ended = run(tmp_path, 2, "talk.py", env=SHELL)
    assert ended.code == 0, ended.err
    assert sorted(ended.out.splitlines()) == ["rank 0", "rank 1"]


# ---- input and output ----


def test_only_rank_0_waits_for_what_is_typed(tmp_path):
    text = "import os, sys\nif os.environ['RANK'] != '0': print(repr(sys.stdin.read()))\n"
    (tmp_path / "reads.py").write_text(text)
    ended = run(tmp_path, 3, "reads.py")
    assert (ended.code, ended.out.splitlines()) == (0, ["''", "''"]), ended.err


def test_lines_of_ranks_are_whole_and_carry_the_rank(tmp_path):
    text = "import os\nfor i in range(2000): print(os.environ['RANK'], 'x' * (i % 90), 'end')\n"
    (tmp_path / "talk.py").write_text(text)
    ended = run(tmp_path, 2, "talk.py", options=["--prefix"])
    lines = ended.out.splitlines()
    assert len(lines) == 4000
    for rank in "01":
        mine = [line for line in lines if line.startswith(f"r{rank} {rank} ")]
        assert [len(line) for line in mine] == [9 + i % 90 for i in range(2000)]


def test_a_last_line_without_an_end_is_not_lost(tmp_path):
    (tmp_path / "talk.py").write_text("import sys; sys.stdout.write('no end;')\n")
    assert run(tmp_path, 2, "talk.py").out == "no end;no end;"


def test_a_report_of_megabytes_has_its_head_and_its_end(tmp_path):
    text = "import os\nif os.environ['RANK'] == '1': raise ValueError('long ' * 400_000 + 'end')\n"
    (tmp_path / "talk.py").write_text(text)
    ended = run(tmp_path, 2, "talk.py")
    assert ended.code == 1 and len(ended.reports) == 1
    assert "ValueError: long long" in ended.reports[0] and "long end\n" in ended.err
    assert "bytes are left out" in ended.err and len(ended.err) < 70_000


def test_log_files_hold_each_rank_and_the_terminal_rank_0(tmp_path):
    text = "import os\nprint('rank', os.environ['RANK'])\nif os.environ['RANK'] == '1': 1 / 0\n"
    (tmp_path / "talk.py").write_text(text)
    ended = run(tmp_path, 2, "talk.py", options=["--log-dir", "logs/a"])
    assert ended.code == 1
    assert ended.out == "rank 0\n"
    assert ended.tracebacks == 1 and len(ended.reports) == 1
    log = (tmp_path / "logs" / "a" / "rank1.log").read_text()
    assert log.startswith("rank 1\n") and "ZeroDivisionError" in log
    assert (tmp_path / "logs" / "a" / "rank0.log").read_text() == "rank 0\n"


# ---- restarts ----


def test_restarts_are_counted_and_the_last_status_is_the_jobs(tmp_path):
    (tmp_path / "train.py").write_text("import sys\nsys.exit(9)\n")
    ended = run(tmp_path, 2, "train.py", options=["--max-restarts", "1"])
    assert ended.code == 9
    assert ended.err.count("restart 1 of 1") == 1 and len(ended.reports) == 2
