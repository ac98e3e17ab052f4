"""DistributedDataParallel on simulated ranks, and the same laws on real ones."""

import pytest

import ddp
from tests.ddp.all_ddp_laws import LAWS
from tests.ddp.test_group_mpi import mpiexec


@pytest.mark.parametrize(
    "size", [1, 2, 3, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 8))]
)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law_on_simulated_ranks(law, size):
    ddp.simulate(law, size)


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_every_law_holds_on_real_ranks(ranks):
    assert mpiexec(ranks, "run_ddp_laws") == ["ok"]
