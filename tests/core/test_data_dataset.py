"""Laws of datasets: indexing, combining, splitting."""

import itertools

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data import dataset as D
from core.random import Generator


class Squares(D.Dataset):
    def __init__(self, n):
        self.n = n

    def __getitem__(self, index):
        return index**2

    def __len__(self):
        return self.n


class Stream(D.IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))

    def __len__(self):
        return self.n


ARRAYS = (numpy.arange(12.0).reshape(6, 2), numpy.arange(6))


def test_tensor_dataset_reads_in_step():
    data = D.TensorDataset(*ARRAYS)
    assert len(data) == 6
    x, y = data[4]
    assert x.tolist() == [8.0, 9.0] and y == 4
    xs, ys = data.__getbatch__([5, 0])
    assert xs.tolist() == [[10.0, 11.0], [0.0, 1.0]] and ys.tolist() == [5, 0]


def test_tensor_dataset_refuses_unequal_lengths():
    with pytest.raises(ValueError, match=r"Size mismatch between tensors.*\[6, 3\]"):
        D.TensorDataset(ARRAYS[0], numpy.arange(3))


def test_the_batch_shortcut_ends_where_getitem_is_overridden():
    class Negated(D.TensorDataset):
        def __getitem__(self, index):
            return tuple(-value for value in super().__getitem__(index))

    assert D.batch_getter(D.TensorDataset(*ARRAYS)) is not None
    assert D.batch_getter(Negated(*ARRAYS)) is None
    assert D.batch_getter(D.Subset(Negated(*ARRAYS), [1])) is None
    assert D.batch_getter(Squares(3)) is None
    subset = D.Subset(D.Subset(D.TensorDataset(*ARRAYS), [5, 3, 1]), [2, 0])
    assert D.batch_getter(subset)([0, 1])[1].tolist() == [1, 5]


def test_stack_dataset_keeps_positions_or_names():
    assert D.StackDataset(Squares(4), range(4))[3] == (9, 3)
    named = D.StackDataset(a=Squares(4), b=range(4))
    assert named[2] == {"a": 4, "b": 2} and len(named) == 4
    assert named.__getitems__([0, 3]) == [{"a": 0, "b": 0}, {"a": 9, "b": 3}]
    with pytest.raises(ValueError, match="Size mismatch"):
        D.StackDataset(Squares(4), Squares(3))
    with pytest.raises(ValueError, match="one of the two"):
        D.StackDataset()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(-20, 20))
def test_concat_dataset_is_the_list_of_all_samples(sizes, index):
    parts = [[(i, j) for j in range(size)] for i, size in enumerate(sizes)]
    data, whole = D.ConcatDataset(parts), list(itertools.chain(*parts))
    assert len(data) == len(whole)
    if -len(whole) <= index < len(whole):
        assert data[index] == whole[index]
    else:
        with pytest.raises((ValueError, IndexError)):
            data[index]


def test_plus_concatenates_and_chains():
    joined = Squares(2) + Squares(3)
    assert [joined[i] for i in range(5)] == [0, 1, 0, 1, 4]
    chained = Stream(2) + Stream(3)
    assert list(chained) == [0, 1, 0, 1, 2] and len(chained) == 5
    with pytest.raises(TypeError, match="IterableDataset"):
        D.ConcatDataset([Stream(2)])
    with pytest.raises(TypeError, match="only supports"):
        list(D.ChainDataset([Squares(2)]))
    with pytest.raises(ValueError, match="empty"):
        D.ConcatDataset([])


def test_subset_indexes_through():
    subset = D.Subset(Squares(10), [7, 2])
    assert [subset[0], subset[1], len(subset)] == [49, 4, 2]
    assert subset.__getitems__([1, 0]) == [4, 49]


def test_fetch_checks_what_getitems_returns():
    class Short(Squares):
        def __getitems__(self, indices):
            return [0]

    with pytest.raises(RuntimeError, match="returned 1 samples for 2 indices"):
        D.fetch(Short(3), [0, 1])


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(0, 2**64 - 1))
def test_random_split_puts_every_sample_in_one_part(counts, seed):
    parts = D.random_split(range(sum(counts)), counts, Generator().manual_seed(seed))
    assert [len(part) for part in parts] == counts
    assert sorted(i for part in parts for i in part.indices) == list(range(sum(counts)))


@pytest.mark.parametrize(
    ("size", "fractions", "counts"),
    [(10, [0.75, 0.25], [8, 2]), (10, [1 / 3] * 3, [4, 3, 3]), (7, [0.5, 0.5], [4, 3])],
)
def test_random_split_takes_fractions(size, fractions, counts):
    torch = pytest.importorskip("torch")
    assert [len(part) for part in D.random_split(range(size), fractions)] == counts
    theirs = torch.utils.data.random_split(range(size), fractions)
    assert [len(part) for part in theirs] == counts


def test_random_split_refuses_wrong_lengths():
    with pytest.raises(ValueError, match="Sum of input lengths"):
        D.random_split(range(10), [3, 3])
    with pytest.raises(ValueError, match="not between 0 and 1"):
        D.random_split(range(10), [1.5, -0.5])


def test_unfinished_subclasses_say_so():
    with pytest.raises(NotImplementedError, match="__getitem__"):
        D.Dataset()[0]
    with pytest.raises(NotImplementedError, match="__iter__"):
        iter(D.IterableDataset())
