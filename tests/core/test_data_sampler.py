"""Laws of samplers: which indices, how often, and the same again from a saved state."""

import itertools
import json

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data import DataLoader
from core.data import sampler as S
from core.random import Generator, default_generator, using


def generator(seed=3):
    return Generator().manual_seed(seed)


SAMPLERS = {
    "random": lambda g: S.RandomSampler(range(10), generator=g),
    "more than the data": lambda g: S.RandomSampler(range(10), num_samples=25, generator=g),
    "replacement": lambda g: S.RandomSampler(range(10), True, 15, generator=g),
    "subset": lambda g: S.SubsetRandomSampler([5, 6, 7, 9], generator=g),
    "weighted": lambda g: S.WeightedRandomSampler([1, 2, 3, 0], 12, generator=g),
    "weighted once": lambda g: S.WeightedRandomSampler([1, 2, 3, 0], 3, False, generator=g),
    "batches": lambda g: S.BatchSampler(S.RandomSampler(range(10), generator=g), 3, False),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_epochs_differ_and_repeat_by_seed(name):
    first, again = SAMPLERS[name](generator()), SAMPLERS[name](generator())
    epochs = [list(first) for _ in range(4)]
    assert epochs == [list(again) for _ in range(4)]
    assert any(epoch != epochs[0] for epoch in epochs[1:])
    assert all(len(epoch) == len(first) for epoch in epochs)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_state_brings_the_epoch_back(name):
    source = generator()
    sampler = SAMPLERS[name](source)
    list(sampler)
    epoch = list(sampler)
    state, random_state = json.loads(json.dumps(sampler.state_dict())), source.get_state()
    following = list(sampler)

    resumed_source = Generator().set_state(random_state)
    resumed = SAMPLERS[name](resumed_source)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert list(resumed) == epoch
    assert list(resumed) == following


def test_the_default_generator_is_used():
    with using(generator(8)):
        orders = [list(S.RandomSampler(range(20))) for _ in range(2)]
        assert default_generator().offset == 2
    assert orders[0] == list(S.RandomSampler(range(20), generator=generator(8)))


def test_sequential_sampler_counts():
    assert list(S.SequentialSampler("abc")) == [0, 1, 2]
    assert S.SequentialSampler("abc").state_dict() == {}


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 70))
def test_without_replacement_every_pass_holds_each_index_once(size, count):
    order = list(S.RandomSampler(range(size), num_samples=count, generator=generator()))
    assert len(order) == count
    for start in range(0, count, size):
        part = order[start : start + size]
        assert len(dict.fromkeys(part)) == len(part) and 0 <= min(part) and max(part) < size


def test_an_empty_data_source_gives_an_empty_order():
    assert list(S.RandomSampler([])) == []


def test_weights_are_proportions():
    weights = [1.0, 0.0, 3.0, 6.0]
    drawn = numpy.bincount(list(S.WeightedRandomSampler(weights, 40_000, generator=generator())))
    assert drawn[1] == 0
    assert abs(drawn / 40_000 - numpy.array(weights) / 10).max() < 0.012


def test_without_replacement_the_first_place_is_in_proportion():
    sampler = S.WeightedRandomSampler([1.0, 3.0], 2, False, generator=generator())
    firsts = [next(iter(sampler)) for _ in range(4000)]
    assert abs(sum(firsts) / 4000 - 0.75) < 0.035


@given(st.integers(0, 20), st.integers(1, 7), st.booleans())
def test_batches_are_the_order_cut(size, batch_size, drop_last):
    batches = S.BatchSampler(S.SequentialSampler(range(size)), batch_size, drop_last)
    parts = list(batches)
    assert len(parts) == len(batches)
    kept = size - size % batch_size if drop_last else size
    assert list(itertools.chain(*parts)) == list(range(kept))
    assert all(len(part) == batch_size for part in parts[:-1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: S.RandomSampler([1], num_samples=0), "num_samples=0"),
        (lambda: S.BatchSampler([1], 0, False), "batch_size=0"),
        (lambda: S.BatchSampler([1], 2, 1), "drop_last=1"),
        (lambda: S.WeightedRandomSampler([1.0], -1), "num_samples=-1"),
        (lambda: S.WeightedRandomSampler([[1.0]], 1), "1d sequence"),
        (lambda: S.WeightedRandomSampler([1.0, -1.0], 1), "not negative"),
        (lambda: S.WeightedRandomSampler([0.0], 1), "1 positive weights"),
        (lambda: S.WeightedRandomSampler([1.0, 0.0], 2, False), "2 positive weights"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_state_for_a_sampler_without_one_is_refused():
    with pytest.raises(ValueError, match="list cannot take"):
        S.restore([1, 2], {"key": None})


def test_an_order_without_end_is_drawn_as_it_is_needed():
    def drawn(count):
        return S.RandomSampler(range(10), True, count, generator=generator())

    assert list(itertools.islice(drawn(10**10), 10_000)) == list(drawn(10_000))
    assert len(next(iter(DataLoader(range(10), 8, sampler=drawn(10**10))))) == 8
