"""Samplers: every sample once, on any number of ranks, resumed."""

import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import core
import ddp
from core.data import DataLoader as LocalLoader
from core.data import TensorDataset
from ddp import DistributedSampler

sizes = st.integers(1, 50)
worlds = st.integers(1, 8)


def shares(n, world, **options):
    return [list(DistributedSampler(range(n), world, r, **options)) for r in range(world)]


@pytest.mark.parametrize("shuffle", [False, True])
def test_without_padding_every_index_comes_exactly_once(shuffle):
    for n, world in itertools.product(range(1, 51), range(1, 9)):
        found = shares(n, world, shuffle=shuffle, pad=False)
        assert sorted(itertools.chain(*found)) == list(range(n))
        lengths = [len(share) for share in found]
        assert max(lengths) - min(lengths) <= 1
        for r, share in enumerate(found):
            sampler = DistributedSampler(range(n), world, r, shuffle=shuffle, pad=False)
            assert len(sampler) == len(share)


@hypothesis.given(sizes, worlds)
def test_with_padding_ranks_have_as_many_and_every_index_comes(n, world):
    found = shares(n, world)
    assert {len(share) for share in found} == {-(-n // world)}
    assert set(itertools.chain(*found)) == set(range(n))


@hypothesis.given(sizes, worlds)
def test_dropping_the_last_leaves_out_less_than_one_per_rank(n, world):
    found = shares(n, world, drop_last=True)
    together = list(itertools.chain(*found))
    assert len(together) == n // world * world == len(set(together))


@hypothesis.given(sizes, worlds)
def test_the_strided_order_is_pytorchs(n, world):
    torch_data = pytest.importorskip("torch.utils.data")
    for r, drop in itertools.product(range(world), (False, True)):
        other = torch_data.DistributedSampler(range(n), world, r, shuffle=False, drop_last=drop)
        mine = DistributedSampler(range(n), world, r, shuffle=False, drop_last=drop, pad=True)
        assert list(mine) == list(other)
        assert (mine.num_samples, mine.total_size) == (other.num_samples, other.total_size)
        exact = DistributedSampler(range(n), world, r, shuffle=False)
        assert exact.total_size == n


def test_each_iteration_is_a_new_epoch_and_set_epoch_wins():
    sampler = DistributedSampler(range(20), 2, 0)
    first, second = list(sampler), list(sampler)
    assert first != second
    sampler.set_epoch(0)
    assert list(sampler) == first
    assert list(sampler) == second


def test_it_wraps_any_order_of_indices():
    order = [5, 3, 1, 0]
    found = [list(DistributedSampler(range(9), 2, r, pad=False, sampler=order)) for r in range(2)]
    assert found == [[5, 1], [3, 0]]
    inner = core.data.RandomSampler(range(10))
    found = [list(DistributedSampler(range(10), 3, r, pad=False, sampler=inner)) for r in range(3)]
    assert sorted(itertools.chain(*found)) == list(range(10))


def test_weighted_draws_are_shared_out():
    weights = [0.0, 1.0, 3.0]
    found = [list(ddp.DistributedWeightedSampler(weights, 400, num_replicas=4, rank=r))
             for r in range(4)]  # fmt: skip
    counts = np.bincount(list(itertools.chain(*found)), minlength=3)
    assert counts[0] == 0 and counts.sum() == 400
    assert abs(counts[2] - 300) < 5 * np.sqrt(400 * 0.75 * 0.25)
    assert found[0] != found[1]


@hypothesis.given(sizes, worlds, worlds, st.integers(0, 10), st.booleans())
def test_an_epoch_goes_on_with_the_unused_samples_on_another_number_of_ranks(
    n, world, later, steps, shuffle
):
    used, state = [], None
    steps = min(steps, n // world)
    for r in range(world):
        sampler = DistributedSampler(range(n), world, r, shuffle=shuffle, pad=False)
        used += itertools.islice(iter(sampler), steps)
        state = sampler.state_dict()
    rest = []
    for r in range(later):
        sampler = DistributedSampler(range(n), later, r, shuffle=shuffle, pad=False)
        sampler.load_state_dict(state)
        rest += list(sampler)
        assert len(list(sampler)) == len(sampler)  # the epoch after it is whole again
    assert sorted(used + rest) == list(range(n))


def test_a_local_loader_counts_batches_itself():
    """State of core.data.DataLoader around a sampler: no batch twice; other worlds are refused."""
    data = TensorDataset(core.arange(24))

    def loader(world):
        return LocalLoader(data, 2, sampler=DistributedSampler(data, world, 0))

    one = loader(2)
    batches = iter(one)
    seen = [next(batches)[0].tolist() for _ in range(2)]
    state = one.state_dict()
    rest = [b[0].tolist() for b in batches]
    two = loader(2)
    two.load_state_dict(state)
    assert [b[0].tolist() for b in two] == rest
    assert len(seen + rest) == 6
    with pytest.raises(ValueError, match=r"ddp\.DataLoader"):
        other = loader(3)
        other.load_state_dict(state)
        iter(other)


def test_a_rank_outside_is_refused():
    with pytest.raises(ValueError, match="at least one rank, got 0"):
        DistributedSampler(range(4), 0)
    with pytest.raises(ValueError, match="num_samples=0"):
        ddp.DistributedWeightedSampler([1.0], 0)
    with pytest.raises(ValueError, match="Invalid rank 2"):
        DistributedSampler(range(4), 2, 2)


def test_a_sampler_that_came_to_its_end_goes_on_with_the_next_epoch():
    first, second = DistributedSampler(range(9), 2, 1), DistributedSampler(range(9), 3, 2)
    list(first)
    second.load_state_dict(first.state_dict())
    third = DistributedSampler(range(9), 3, 2)
    third.set_epoch(1)
    assert list(second) == list(third)


def test_an_iterator_that_was_left_counts_no_more():
    sampler = DistributedSampler(range(6), 1, 0)
    left, running = iter(sampler), iter(sampler)
    next(running)
    assert len(list(left)) == 6
    state = sampler.state_dict()
    assert (state["epoch"], state["start"]) == (1, 1)


def test_an_order_of_another_length_is_not_continued():
    sampler = DistributedSampler(range(9), 2, 1)
    iter(sampler)
    with pytest.raises(ValueError, match=r"rank 0: .* of 9 samples, .* in one of 8"):
        DistributedSampler(range(8), 2, 0).load_state_dict(sampler.state_dict())
