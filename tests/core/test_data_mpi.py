"""The law of workers under MPI: ranks keep running while their workers import MPI as well."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MPIEXEC = Path(sys.executable).with_name("mpiexec")

SCRIPT = """
from mpi4py import MPI

from core.data import DataLoader, Dataset


class Sizes(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        from mpi4py import MPI as inner
        return inner.COMM_WORLD.Get_size()


if __name__ == "__main__":
    for _ in range(2):
        seen = [batch.tolist() for batch in DataLoader(Sizes(), 4, num_workers=2)]
        MPI.COMM_WORLD.Barrier()
    if MPI.COMM_WORLD.rank == 0:
        print(MPI.COMM_WORLD.size, seen)
"""


@pytest.mark.mpi
def test_workers_of_a_rank_are_not_ranks(tmp_path):
    if not MPIEXEC.exists():
        pytest.skip("there is no mpiexec beside this Python")
    (tmp_path / "train.py").write_text(SCRIPT)
    # Open MPI refuses root and more ranks than cores unless told; MPICH ignores these.
    allowed = {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    done = subprocess.run(
        [str(MPIEXEC), "-n", "2", sys.executable, str(tmp_path / "train.py")],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **allowed, "PYTHONPATH": str(ROOT)},
    )
    assert (done.stdout, done.returncode) == ("2 [[1, 1, 1, 1], [1, 1, 1, 1]]\n", 0), done.stderr
