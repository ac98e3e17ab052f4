"""The loader of global batches: every sample once, on any number of ranks, resumed."""

import itertools

import hypothesis
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


generator = core.Generator().manual_seed(5).clone_state


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
    "local": lambda data, f: LocalLoader(data, 4, True, generator=generator(), collate_fn=f),
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


class SharesItself(IterableDataset):
    """A stream that asks which rank it is read for, as PyTorch's programs write them."""

    def __iter__(self):
        rank, world = (ddp.get_rank(), ddp.get_world_size()) if ddp.is_initialized() else (0, 1)
        yield from ((i, ddp.get_local_rank()) for i in range(rank, 6, world))


@pytest.mark.slow
def test_a_stream_in_a_data_worker_knows_the_rank_that_it_is_read_for():
    def read():
        return [tuple(b) for b in LocalLoader(SharesItself(), None, num_workers=1)]

    assert ddp.simulate(read, 2) == [[(i, rank) for i in range(rank, 6, 2)] for rank in range(2)]


def test_seeds_of_workers_differ_between_ranks():
    def run():
        loader = ddp.DataLoader(Noisy(), 4)
        iter(loader)
        return tuple(loader.state_dict()["key"])

    assert len(set(ddp.simulate(run, 4))) == 4


class Numbers(IterableDataset):
    """A stream of ten numbers."""

    def __len__(self):
        return 10

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
        counts = [len(loader), len(list(loader))]
        other.load_state_dict(loader.state_dict())
        stream = ddp.DataLoader(Numbers(), 8, uneven="stop")
        return [*counts, len(list(other)), len(list(loader)), len(stream), len(list(stream))]

    assert ddp.simulate(run, 4) == [[1, 1, 1, 1, 1, 1]] * 4


def test_ranks_of_another_group_may_share_the_batch():
    """Ranks that hold parts of one layer get the same samples."""

    def run():
        world = ddp.init_process_group()
        loader = ddp.DataLoader(range(7), 4, uneven="stop", group=world.split(world.rank % 2))
        return [batch.tolist() for batch in loader]

    assert ddp.simulate(run, 4) == [[[0, 2], [4, 6]]] * 2 + [[[1, 3], [5]]] * 2


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
