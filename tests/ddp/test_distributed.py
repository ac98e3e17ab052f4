"""DistributedDataParallel on simulated ranks, and the same laws on real ones."""

import weakref

import pytest

import core
import ddp
from tests.ddp.all_ddp_laws import LAWS
from tests.ddp.test_group_mpi import mpiexec


@pytest.mark.parametrize(
    "size", [1, 2, 3, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 8))]
)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law_on_simulated_ranks(law, size):
    # For a rank that computes for ever: eight ranks take 1 s, on a machine that others use 20.
    ddp.simulate(law, size, timeout=200)


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_every_law_holds_on_real_ranks(ranks):
    assert mpiexec(ranks, "run_ddp_laws") == ["ok"]


def test_one_rank_frees_a_gradient_that_is_dropped():
    def run():
        model = ddp.DistributedDataParallel(core.nn.Linear(3, 2))
        optimizer = core.optim.SGD(model.parameters())
        model(core.ones(4, 3)).sum().backward()
        gradient = weakref.ref(model.weight.grad.array)
        optimizer.step()
        optimizer.zero_grad()
        return gradient()

    assert ddp.simulate(run, 1) == [None]


def test_gradients_are_reduced_at_the_line_of_the_backward():
    def run():
        model = ddp.DistributedDataParallel(core.nn.Linear(3, 2))
        if ddp.get_rank() == 0:
            ddp.barrier()
        model(core.ones(4, 3)).sum().backward()

    with pytest.raises(ddp.CollectiveMismatchError, match=r"\[model 1\] at test_distributed.py:"):
        ddp.simulate(run, 2)
