"""What `simulate` promises apart from the collectives: results, errors, time, threads."""

import contextlib
import sys
import threading

import numpy as np
import pytest

import core
import ddp
from core.random import default_generator
from ddp.call import RankFailedError
from ddp.current_group import current_group
from ddp.simulate import SimulationTimeoutError, simulate
from ddp.weight import when_weighted


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_results_come_in_rank_order():
    assert simulate(lambda factor: current_group().rank * factor, 5, args=(3,)) == [0, 3, 6, 9, 12]


def test_models_of_one_rank_may_come_and_go_in_other_threads_than_a_weighted_backward():
    class Model:
        def __init__(self):
            self.itself = self  # so that it goes in the midst of something else
            when_weighted(self.told)

        def told(self):
            pass

    def run():
        for _ in range(200):
            Model()
            x = core.ones((), requires_grad=True)
            ddp.backward(x * 2, weight=1)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        simulate(run, 4)
    finally:
        sys.setswitchinterval(interval)


def test_the_default_group_of_a_rank_is_its_own_and_gone_afterwards():
    assert simulate(lambda: (current_group().rank, current_group().size), 2) == [(0, 2), (1, 2)]
    assert current_group() is None


def test_the_first_failure_is_raised_with_its_rank_and_traceback():
    def breaks_on_two():
        group = current_group()
        if group.rank == 2:
            raise KeyError("broken")
        group.barrier()

    with pytest.raises(KeyError, match="broken") as caught:
        simulate(breaks_on_two, 4)
    assert caught.value.rank == 2
    assert any(entry.name == "breaks_on_two" for entry in caught.traceback)


def test_the_cause_is_raised_and_not_what_another_rank_says_of_it():
    def fails():
        if current_group().rank == 1:
            raise RankFailedError("rank 0 has failed")
        with contextlib.suppress(RankFailedError):
            current_group().barrier()
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        simulate(fails, 2)


def test_a_rank_that_never_ends_is_interrupted_and_located():
    def endless():
        spinning = current_group().rank == 1
        while spinning:
            pass

    with pytest.raises(SimulationTimeoutError, match=r"rank 1: at .*test_simulate.py:\d+"):
        simulate(endless, 2, timeout=0.3)


def test_nested_simulations_are_apart():
    def outer():
        inner = simulate(lambda: current_group().size, 3)
        return inner, current_group().size

    assert simulate(outer, 2) == [([3, 3, 3], 2)] * 2


def test_every_rank_draws_from_its_own_default_generator():
    def draw():
        generator = default_generator().manual_seed(current_group().rank)
        return generator, generator.reserve().seed

    results = simulate(draw, 3)
    assert [seed for _, seed in results] == [0, 1, 2]
    assert len({id(generator) for generator, _ in results}) == 3


def test_a_message_may_change_after_send():
    def body():
        group = current_group()
        array = np.zeros(3)
        if group.rank == 0:
            group.send(array, 1)
            array += 1
        else:
            group.recv(array, 0)
        return array.sum()

    assert simulate(body, 2) == [3, 0]


def test_a_size_below_one_is_refused():
    with pytest.raises(ValueError, match="size >= 1"):
        simulate(print, 0)
