"""Jobs that train: the launcher, the process groups and the engine together."""

import re
import subprocess
import sys

import pytest

from tests.launch.jobs import needs_mpi, run

pytestmark = needs_mpi

USES = """
import sys, time
import core, ddp
ddp.init_process_group()
rank, kind = ddp.get_rank(), sys.argv[1]
x = core.ones(10)
for step in range(5):
    ddp.all_reduce(x)
if kind == "save":
    ddp.save({}, "no/such/folder.ckpt")
if rank == 1:
    if kind == "shape": x = core.ones(12)
    if kind == "early": sys.exit(0)
    if kind == "sleep": time.sleep(600)
    if kind == "op":
        ddp.broadcast(x, 0)
ddp.all_reduce(x)
time.sleep(600)
"""

ENDS = {
    "shape": (66, "CollectiveMismatchError"),
    "op": (66, "CollectiveMismatchError"),
    "early": (67, "rank 1"),
    "sleep": (68, "rank 1"),
    "save": (1, "rank 0 of 2 .*No such file or directory: '.*no/such/folder.ckpt'"),
}


@pytest.mark.parametrize("kind", ENDS)
def test_a_collective_that_cannot_be_has_its_status_and_one_report(kind, tmp_path):
    code, says = ENDS[kind]
    (tmp_path / "uses.py").write_text(USES)
    ended = run(tmp_path, 2, "uses.py", kind, options=["--timeout", "2"])
    assert ended.code == code, ended.err
    assert len(ended.reports) == 1, ended.err
    assert ended.tracebacks <= 1
    assert re.search(says, ended.err), ended.err
    assert "uses.py" in ended.err
    assert ended.alive == [] and ended.litter == []


WHERE = "import core; print(core.cuda.is_available() and core.ones(1, device='cuda').device)\n"


@pytest.mark.parametrize(
    ("device", "found"), [("auto", ["cuda:0", "cuda:1"]), ("cpu", ["False", "False"])]
)
def test_a_script_that_asks_for_a_gpu_finds_that_of_its_rank(device, found, tmp_path):
    (tmp_path / "where.py").write_text(WHERE)
    gpus = {"UNISON_SIMULATED_GPUS": "2"}
    ended = run(tmp_path, 2, "where.py", options=["--device", device], env=gpus)
    assert sorted(ended.out.split()) == found, ended.err


@pytest.mark.slow
def test_the_selftest_gives_one_curve_on_1_2_and_4_ranks(tmp_path):
    command = [sys.executable, "-m", "launch", "--selftest"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"^selftest: +OK 0\.\d+$", ended.stdout, re.MULTILINE)


@pytest.mark.slow
def test_the_doctor_names_the_mpi_and_measures_three_sizes(tmp_path):
    command = [sys.executable, "-m", "launch", "--doctor"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"^MPI: +(MPICH|Open MPI) \d", ended.stdout, re.MULTILINE)
    assert ended.stdout.count("GB/s") == 3
