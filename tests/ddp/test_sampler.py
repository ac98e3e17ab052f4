"""Samplers and the loader of global batches: every sample once, on any number of ranks, resumed."""

import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import core
import ddp
from core.data import DataLoader as LocalLoader
from core.data import (
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    TensorDataset,
)
from ddp import DistributedSampler

sizes = st.integers(1, 50)
worlds = st.integers(1, 8)


def shares(n, world, **options):
    return [list(DistributedSampler(range(n), world, r, **options)) for r in range(world)]


# ---- samplers ---------------------------------------------------------------------------------


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
    with pytest.raises(ValueError, match="Invalid rank 2"):
        DistributedSampler(range(4), 2, 2)


# ---- the loader of global batches -------------------------------------------------------------


def batches_of_all(world, n, batch, shards=None, steps=None, state=None, **options):
    """The batches of each rank as lists of numbers, and the state after `steps` of them."""

    def run():
        ddp.init_process_group(shards=shards)
        loader = ddp.DataLoader(TensorDataset(core.arange(n)), batch, **options)
        if state is not None:
            loader.load_state_dict(state)
        found = [b[0].tolist() for b in itertools.islice(iter(loader), steps)]
        return found, loader.state_dict(), len(loader)

    return ddp.simulate(run, world)


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("shuffle", [False, True])
def test_each_shard_sees_the_same_samples_on_any_number_of_ranks(world, shuffle):
    expected = batches_of_all(4, 30, 8, 4, shuffle=shuffle, pad=True)
    found = batches_of_all(world, 30, 8, 4, shuffle=shuffle, pad=True)
    for r, (batches, _, length) in enumerate(found):
        assert len(batches) == length == 4
        for i in range(4 // world):
            theirs = expected[r + i * world][0]
            assert [b[i :: 4 // world] for b in batches] == theirs


@hypothesis.given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 4))
@hypothesis.settings(max_examples=20)
def test_every_sample_comes_once_without_padding(n, world, per_rank):
    found = batches_of_all(world, n, per_rank * world)
    assert sorted(x for batches, _, _ in found for b in batches for x in b) == list(range(n))
    assert all(len(batches) == length for batches, _, length in found)


@pytest.mark.parametrize("world, later", [(1, 4), (2, 3), (4, 2), (3, 1)])
def test_a_loader_goes_on_on_another_number_of_ranks(world, later):
    options = {"shuffle": True, "pad": False}
    first = batches_of_all(world, 50, 12, steps=2, **options)
    used = [x for batches, _, _ in first for b in batches for x in b]
    for keeper in range(world):
        second = batches_of_all(later, 50, 12, state=first[keeper][1], **options)
        rest = [x for batches, _, _ in second for b in batches for x in b]
        assert sorted(used + rest) == list(range(50))


def numbers_and_noise(samples):
    """What a collate_fn makes that draws random numbers of its own."""
    return [int(x[0]) for x in samples], float(core.rand(()))


def generator():
    return core.Generator().manual_seed(5)


class Turning(Sampler):
    """Another order at each iteration, without a state."""

    def __init__(self):
        self.epoch = -1

    def __len__(self):
        return 8

    def __iter__(self):
        self.epoch += 1
        return iter([(i + self.epoch) % 8 for i in range(8)])


LOADERS = {
    "shuffled": lambda data, f: ddp.DataLoader(data, 4, shuffle=True, collate_fn=f),
    "a generator": lambda data, f: ddp.DataLoader(data, 4, generator=generator(), collate_fn=f),
    "weighted": lambda data, f: ddp.DataLoader(
        data, 4, sampler=ddp.DistributedWeightedSampler([1.0] * 10, num_replicas=1), collate_fn=f
    ),
    "wrapped": lambda data, f: ddp.DataLoader(
        data, 4, sampler=RandomSampler(data, generator=generator()), collate_fn=f
    ),
    "local": lambda data, f: LocalLoader(
        data, 4, shuffle=True, generator=generator(), collate_fn=f
    ),
    "local, shared out": lambda data, f: LocalLoader(
        data, 2, sampler=DistributedSampler(data, 2, 1), generator=generator(), collate_fn=f
    ),
}


@pytest.mark.parametrize("make", LOADERS.values(), ids=LOADERS)
@pytest.mark.parametrize("stop", [(0, 0), (1, 0), (1, 2), (2, 3)])
def test_epochs_that_follow_are_those_of_a_run_that_did_not_stop(make, stop):
    """Between epochs and within them: the order, and every random number."""
    done, more = stop
    whole, first, second = (make(TensorDataset(core.arange(10)), numbers_and_noise) for _ in "abc")
    expected = [list(whole) for _ in range(4)]
    for _ in range(done):
        list(first)
    head = list(itertools.islice(iter(first), more)) if more else []
    second.load_state_dict(first.state_dict())
    found = [list(second) for _ in range(4 - done)]
    found[0] = head + found[0]
    assert found == expected[done:]


def test_a_sampler_that_came_to_its_end_goes_on_with_the_next_epoch():
    first, second = DistributedSampler(range(9), 2, 1), DistributedSampler(range(9), 3, 2)
    list(first)
    second.load_state_dict(first.state_dict())
    third = DistributedSampler(range(9), 3, 2)
    third.set_epoch(1)
    assert list(second) == list(third)


def test_an_epoch_that_is_set_wins_over_one_that_was_resumed():
    first, second, third = (ddp.DataLoader(range(9), 3, shuffle=True) for _ in "abc")
    next(iter(first))
    second.load_state_dict(first.state_dict())
    for loader in (second, third):
        loader.set_epoch(4)
    assert [b.tolist() for b in second] == [b.tolist() for b in third]


def test_an_order_is_asked_for_once_per_epoch():
    loader = ddp.DataLoader(range(8), 8, sampler=Turning())
    assert [[b.tolist()[0] for b in loader] for _ in range(3)] == [[0], [1], [2]]


def test_an_order_of_another_length_is_not_continued():
    sampler = DistributedSampler(range(9), 2, 1)
    iter(sampler)
    with pytest.raises(ValueError, match=r"rank 0: .* of 9 samples, .* in one of 8"):
        DistributedSampler(range(8), 2, 0).load_state_dict(sampler.state_dict())


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"batch_size": None},
        {"batch_size": 2.0},
        {"shuffle": True, "sampler": [0, 1]},
        {"batch_sampler": [[0]]},
        {"uneven": "go on"},
    ],
    ids=str,
)
def test_arguments_that_mean_nothing_are_refused(options):
    with pytest.raises(ValueError, match=next(reversed(options))):
        ddp.DataLoader(range(8), **options)


def test_a_batch_that_does_not_divide_or_changed_is_refused():
    with pytest.raises(ValueError, match="does not divide into 2 ranks"):
        batches_of_all(2, 10, 3)
    with pytest.raises(ValueError, match="does not divide into 8 logical shards"):
        batches_of_all(2, 10, 4, 8)
    state = batches_of_all(1, 10, 4, steps=1)[0][1]
    with pytest.raises(ValueError, match="global batches of 4"):
        batches_of_all(1, 10, 5, state=state)


class Noisy(Dataset):
    """A sample is a number and a random one."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return index, core.rand(())


def drawn(world, workers=0):
    """{sample: its random number}."""

    def run():
        loader = ddp.DataLoader(Noisy(), 4, shuffle=True, num_workers=workers)
        return {int(i): float(x) for batch in loader for i, x in zip(*batch, strict=True)}

    return {k: v for part in ddp.simulate(run, world) for k, v in part.items()}


def test_random_numbers_of_samples_differ_and_do_not_depend_on_ranks_or_workers():
    expected = drawn(1)
    assert len(set(expected.values())) == 12
    assert drawn(2) == drawn(4) == expected


@pytest.mark.slow
def test_random_numbers_of_samples_do_not_depend_on_workers():
    assert drawn(1, workers=2) == drawn(1)


def test_seeds_of_workers_differ_between_ranks():
    def run():
        loader = ddp.DataLoader(Noisy(), 4)
        iter(loader)
        return tuple(loader.state_dict()["key"])

    assert len(set(ddp.simulate(run, 4))) == 4


class Numbers(IterableDataset):
    """A stream of ten numbers."""

    def __iter__(self):
        return iter(range(10))


class Told(Numbers):
    """A stream that wants to know its part."""

    def set_part(self, rank, world, worker, workers):
        self.part = (rank, world, worker, workers)

    def __iter__(self):
        return iter([self.part])


@pytest.mark.parametrize("world", [1, 2, 3])
def test_streams_are_shared_out_or_told(world):
    def numbers(data):
        return [x for b in ddp.DataLoader(data(), world, collate_fn=list) for x in b]

    found = ddp.simulate(numbers, world, (Numbers,))
    assert sorted(itertools.chain(*found)) == list(range(10))
    assert ddp.simulate(numbers, world, (Told,)) == [[(r, world, 0, 1)] for r in range(world)]


def test_epochs_can_stop_together():
    """And are over then on every rank: what is saved is the beginning of the next one."""

    def run():
        loader, other = (ddp.DataLoader(range(5), 4, uneven="stop") for _ in "ab")
        counts = [len(list(loader))]
        other.load_state_dict(loader.state_dict())
        return [*counts, len(list(other)), len(list(loader))]

    assert ddp.simulate(run, 4) == [[1, 1, 1]] * 4


def test_streams_decide_on_their_order_themselves():
    for options in ({"shuffle": True}, {"sampler": [1]}, {"pad": True}):
        with pytest.raises(ValueError, match="the dataset decides the order"):
            ddp.DataLoader(Numbers(), 2, **options)


def test_it_is_a_loader_of_one_process_without_a_group():
    for uneven in ("error", "stop"):
        loader = ddp.DataLoader(range(5), 2, uneven=uneven)
        assert [b.tolist() for b in loader] == [[0, 1], [2, 3], [4]]
    loader = ddp.DataLoader(range(5), 5, sampler=SequentialSampler(range(5)))
    loader.set_epoch(3)
    assert [b.tolist() for b in loader] == [[0, 1, 2, 3, 4]]
