"""A rank that ends its loop before the others: what they are told, and what Join refuses."""

import pytest

import core
import ddp
from core import nn
from tests.ddp.test_group_mpi import mpiexec


def loop(steps, after=lambda: None):
    """Rank 1 takes two steps, the others as many as given."""
    model = ddp.DistributedDataParallel(nn.Linear(2, 1))
    for _ in range(2 if ddp.get_rank() == 1 else steps):
        model(core.ones(1, 2)).sum().backward()
    if ddp.get_rank() == 1:
        after()


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_rank_that_ended_and_the_step_are_named(size):
    with pytest.raises(ddp.RankFailedError) as caught:
        ddp.simulate(loop, size, (5,))
    text = str(caught.value)
    assert "rank 1 has ended" in text and "waits in step 3" in text and "uneven" in text


@pytest.mark.parametrize("size", [2, 3])
def test_a_rank_that_went_on_to_something_else_is_named_with_it(size):
    with pytest.raises(ddp.CollectiveMismatchError) as caught:
        ddp.simulate(loop, size, (5, ddp.barrier))
    text = str(caught.value)
    assert "rank 1: barrier" in text
    waiting = [r for r in range(size) if r != 1]
    if caught.value.rank in waiting:
        assert "waits in step 3" in text


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [2, 4])
def test_real_ranks_are_told_the_same(ranks):
    assert mpiexec(ranks, "run_out") == ["told"] * (ranks - 1)


def test_shards_and_models_of_no_use_are_refused():
    def sharded():
        model = ddp.DistributedDataParallel(nn.Linear(2, 1), shards=2)
        with pytest.raises(ValueError, match="shards"):
            ddp.Join([model])

    ddp.simulate(sharded, 2)
    with pytest.raises(ValueError, match="at least one"):
        ddp.Join([])


def test_disabled_is_as_if_it_were_not_there():
    def run():
        model = ddp.DistributedDataParallel(nn.Linear(2, 1))
        with model.join(enable=False):
            model(core.ones(1, 2)).sum().backward()
            assert model.company is None

    ddp.simulate(run, 2)


def test_ranks_with_data_must_do_the_same():
    def run():
        a, b = (ddp.DistributedDataParallel(nn.Linear(2, 1)) for _ in range(2))
        with ddp.Join([a, b]):
            (a if ddp.get_rank() else b)(core.ones(1, 2))

    with pytest.raises(RuntimeError, match=r"a forward of model \d, others a forward of model"):
        ddp.simulate(run, 2)


def test_an_unknown_way_is_refused():
    with pytest.raises(ValueError, match="'error', 'stop' or 'join'"):
        ddp.uneven([], "wait")
