"""Real ranks that share one (simulated) GPU: their arrays travel through pinned host memory."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.ddp.test_group_mpi import MPIEXEC, PERMISSIONS

pytestmark = pytest.mark.mpi
PROGRAM = pathlib.Path(__file__).with_name("share_a_gpu.py")


@pytest.mark.parametrize(
    "backend, ranks, gpus", [("nccl", 2, 1), ("nccl", 3, 1), ("nccl", 2, 2), ("gloo", 2, 1)]
)
def test_ranks_on_one_gpu_or_simulated_ones_use_mpi_and_say_so_once(backend, ranks, gpus):
    if MPIEXEC is None:
        pytest.skip("this machine has no mpiexec")
    done = subprocess.run(
        [MPIEXEC, "-n", str(ranks), sys.executable, "-W", "error", str(PROGRAM), backend],
        env={
            **os.environ,
            **PERMISSIONS,
            "UNISON_SIMULATED_GPUS": str(gpus),
            "UNISON_DEVICE": "cuda:0",
        },
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.split() == ["ok"]
    assert done.stderr.count(f"several of {ranks} ranks have one GPU") == (backend == "nccl")
