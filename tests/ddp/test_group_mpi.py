"""The same laws on real ranks, under the mpiexec that lies beside this Python."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.mpi

PROGRAM = pathlib.Path(__file__).with_name("mpi_program.py")
BESIDE = pathlib.Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(BESIDE) if BESIDE.exists() else shutil.which("mpiexec")
# More ranks than cores, inside containers: Open MPI wants to be asked.
PERMISSIONS = {
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
}


def _started(ranks, part, environment):
    return subprocess.run(
        [MPIEXEC, "-n", str(ranks), sys.executable, "-W", "error", str(PROGRAM), part],
        env={**os.environ, **PERMISSIONS, **environment},
        capture_output=True,
        text=True,
        timeout=400,  # a hang; 120 s is what eight ranks took on two cores that ten others used
    )


def mpiexec(ranks, part, **environment):
    """What the program printed on `ranks` real ranks, in one list of lines."""
    if MPIEXEC is None:
        pytest.skip("this machine has no mpiexec")
    done = _started(ranks, part, environment)
    if "The PMIx server's listener thread failed to start" in done.stderr:
        done = _started(ranks, part, environment)  # Open MPI 5.0.11: no rank had begun
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.split()


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 8])
def test_every_law_holds(ranks):
    assert mpiexec(ranks, "run_laws") == ["ok"]


@pytest.mark.parametrize("ranks", [2, 4])
def test_a_rank_that_ended_is_named_on_all_others(ranks):
    assert mpiexec(ranks, "end_early") == ["told"] * (ranks - 1)


@pytest.mark.parametrize("ranks", [2, 4])
def test_two_elements_against_four_raise_on_all_ranks(ranks):
    assert mpiexec(ranks, "two_against_four") == ["told"] * ranks


def test_trainers_beside_a_simulation_have_the_bits_of_a_job_of_their_own():
    alone = mpiexec(4, "train_beside_a_simulation")
    assert mpiexec(6, "train_beside_a_simulation") == alone
    assert len(alone) == 1 and len(alone[0]) == 64
