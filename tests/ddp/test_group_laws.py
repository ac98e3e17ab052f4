"""The laws of process groups on simulated ranks, with drawn inputs."""

import time

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from ddp.backends.single import SingleGroup
from ddp.call import (
    CollectiveMismatchError,
    CollectiveTimeoutError,
    DeadlockError,
    RankFailedError,
)
from ddp.current_group import current_group
from ddp.group import ReduceOp
from ddp.simulate import simulate
from tests.ddp import group_laws, laws, mismatches

# Ranks that wait for each other are found at once; this is for one that computes for ever.
LIMIT = 200
SIZES = [1, 2, 3, 4, pytest.param(8, marks=pytest.mark.slow)]

cases = st.builds(
    laws.Case,
    dtype=st.sampled_from(laws.DTYPES),
    shape=st.one_of(
        st.lists(st.integers(0, 5), max_size=3).map(tuple), st.sampled_from([(4099,), (70, 61)])
    ),
    layout=st.sampled_from(laws.LAYOUTS),
    op=st.sampled_from(list(ReduceOp)),
    seed=st.integers(0, 2**16),
).filter(lambda case: laws.is_defined(case.dtype, case.op))


def on_ranks(law, size, *args):
    """Nothing; the law holds on `size` simulated ranks."""
    simulate(lambda: law(current_group(), *args), size, timeout=LIMIT)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("law", laws.CASE_LAWS, ids=lambda law: law.__name__)
@hypothesis.given(case=cases)
@hypothesis.settings(max_examples=12)
def test_law_of_cases(law, size, case):
    on_ranks(law, size, case)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("law", group_laws.GROUP_LAWS, ids=lambda law: law.__name__)
def test_law(law, size):
    on_ranks(law, size)


@hypothesis.given(seed=st.integers(0, 2**16), size=st.integers(2, 5))
@hypothesis.settings(max_examples=20)
def test_any_mixture_of_calls_is_right(seed, size):
    on_ranks(group_laws.any_mixture_of_calls_is_right, size, seed)


@pytest.mark.parametrize("law", laws.CASE_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("case", laws.fixed_cases(8), ids=str)
def test_law_on_a_single_rank(law, case):
    law(SingleGroup(), case)


@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize("name", mismatches.MISMATCHES)
def test_a_mismatch_raises_on_every_rank(name, size):
    on_ranks(mismatches.a_mismatch_raises_on_every_rank, size, name)


@pytest.mark.parametrize("size", [2, 3, 8])
def test_a_missing_rank_is_named(size):
    with pytest.raises(DeadlockError, match=f"rank {size - 1}: waits in barrier"):
        simulate(_one_elsewhere, size)


def _one_elsewhere():
    group = current_group()
    part = group.new_group()
    if group.rank == group.size - 1:
        group.barrier()
    part.all_reduce(np.ones(4))


def test_a_message_of_another_shape_is_refused():
    on_ranks(mismatches.a_message_of_another_shape_is_refused, 2)


def test_a_rank_that_ended_is_named():
    def uneven():
        group = current_group()
        for _ in range(3 if group.rank == 1 else 5):
            group.all_reduce(np.ones(2))

    with pytest.raises(RankFailedError, match="rank 1 has ended after all_reduce"):
        simulate(uneven, 4)


def test_a_rank_that_comes_too_late_is_named():
    def late():
        group = current_group()
        if group.rank == 1:
            # Longer than the others wait: they must give up while this rank still computes.
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                pass
        group.all_reduce(np.ones(2), timeout=0.1)

    with pytest.raises(CollectiveTimeoutError, match="rank 1: computing"):
        simulate(late, 3)


def test_everyone_who_waits_for_nobody_is_a_deadlock():
    def crossed():
        group = current_group()
        group.recv(np.ones(1), (group.rank + 1) % group.size)

    with pytest.raises(DeadlockError, match=r"rank 2: waits in recv float64 \(1,\)"):
        simulate(crossed, 3)


def test_a_mismatch_lists_each_call_with_its_ranks_and_lines():
    def mixed():
        group = current_group()
        group.all_reduce(np.ones(3 if group.rank == 2 else 4))

    with pytest.raises(CollectiveMismatchError) as caught:
        simulate(mixed, 4)
    text = str(caught.value)
    assert "ranks 0-1, 3: all_reduce float64 (4,) sum at test_group_laws.py:" in text
    assert "rank 2: all_reduce float64 (3,) sum at test_group_laws.py:" in text


@pytest.mark.parametrize("size", [2, 4, 8])
@pytest.mark.parametrize("dtype", laws.FLOATS, ids=str)
def test_shards_summed_on_their_rank_first_give_the_same_bits(size, dtype):
    """Values r, r+W, ... may be added on rank r before ranks meet: what logical shards rely on."""
    rng = np.random.default_rng(5)
    shards = [rng.normal(0, 100, 37).astype(dtype).astype(np.float64) for _ in range(8)]
    whole = laws.definition(shards, ReduceOp.SUM)

    def body():
        group = current_group()
        mine = laws.definition(shards[group.rank :: group.size], ReduceOp.SUM)
        group.all_reduce(mine)
        return mine

    for result in simulate(body, size):
        laws.same_bits(result, whole)
