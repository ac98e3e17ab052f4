"""Datasets: things with samples by index or in a stream, and how they are combined and split."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy

from core.random import Generator, default_generator, permutation

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Samples by index: a subclass defines `__getitem__`, and `__len__` for most samplers.

    Two more methods are used where a subclass has them: `__getitems__(indices)` gives a list of
    samples, `__getbatch__(indices)` what `default_collate` would make of that list.
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset[Any]) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Samples in a stream: a subclass defines `__iter__`."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError("Subclasses of IterableDataset should implement __iter__.")

    def __add__(self, other: Dataset[Any]) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Any, ...]]):
    """Tensors read in step along their first dimension.

    Raises: ValueError if their first dimensions differ.
    """

    def __init__(self, *tensors: Any) -> None:
        sizes = [len(tensor) for tensor in tensors]
        if len(dict.fromkeys(sizes)) > 1:
            raise ValueError(f"Size mismatch between tensors: the first dimensions are {sizes}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __getbatch__(self, indices: Sequence[int]) -> list[Any]:
        # One gather per tensor; a batch of 64 costs 64 gathers and a stack otherwise.
        places = numpy.asarray(indices)
        return [tensor[places] for tensor in self.tensors]

    def __len__(self) -> int:
        return len(self.tensors[0])


class StackDataset(Dataset[Any]):
    """Datasets read in step: a sample is the tuple, or the dict, of their samples.

    Raises: ValueError if their lengths differ or there is none.
    """

    def __init__(self, *args: Dataset[Any], **kwargs: Dataset[Any]) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset takes datasets by position or by name, one of the two")
        self.datasets: Any = args or kwargs
        sizes = [len(dataset) for dataset in self._members()]  # type: ignore[arg-type]
        if len(dict.fromkeys(sizes)) > 1:
            raise ValueError(f"Size mismatch between datasets: their lengths are {sizes}")
        self._length = sizes[0]

    def _members(self) -> list[Dataset[Any]]:
        return list(self.datasets.values() if isinstance(self.datasets, dict) else self.datasets)

    def __getitem__(self, index: int) -> Any:
        samples = [dataset[index] for dataset in self._members()]
        return self._like(samples)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        columns = [fetch(dataset, indices) for dataset in self._members()]
        return [self._like(row) for row in zip(*columns)]

    def _like(self, samples: Iterable[Any]) -> Any:
        if isinstance(self.datasets, dict):
            return dict(zip(self.datasets, samples))
        return tuple(samples)

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[Any]):
    """Datasets one after the other.

    Raises: ValueError if there is none; TypeError if one is a stream.
    """

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("datasets should not be an empty iterable")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise TypeError("ConcatDataset does not support IterableDataset; use ChainDataset")
        lengths = [len(dataset) for dataset in self.datasets]  # type: ignore[arg-type]
        self.cumulative_sizes = list(itertools.accumulate(lengths))

    def __getitem__(self, index: int) -> Any:
        if index < 0:
            if -index > len(self):
                raise ValueError("absolute value of index should not exceed dataset length")
            index += len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        if which == len(self.datasets):
            raise IndexError(f"index {index} is out of range for {len(self)} samples")
        start = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - start]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class ChainDataset(IterableDataset[Any]):
    """Streams one after the other."""

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets = datasets

    def __iter__(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise TypeError("ChainDataset only supports IterableDataset")
            yield from dataset

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)  # type: ignore[arg-type,misc]


class Subset(Dataset[T_co]):
    """The samples of a dataset at the given indices."""

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T_co:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[int]) -> list[T_co]:
        return fetch(self.dataset, [self.indices[i] for i in indices])

    @property
    def __getbatch__(self) -> Any:
        # A property: a subset can fetch a batch at once exactly when its dataset can.
        whole = batch_getter(self.dataset)
        if whole is None:
            raise AttributeError(f"{type(self.dataset).__name__} has no __getbatch__")
        return lambda indices: whole([self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)


def fetch(dataset: Dataset[T_co], indices: Sequence[int]) -> list[T_co]:
    """The samples at `indices`, through `__getitems__` where the dataset has it."""
    getitems = getattr(dataset, "__getitems__", None)
    if getitems is None:
        return [dataset[i] for i in indices]
    samples = getitems(indices)
    if len(samples) != len(indices):
        raise RuntimeError(
            f"{type(dataset).__name__}.__getitems__ returned {len(samples)} samples "
            f"for {len(indices)} indices"
        )
    return samples


def batch_getter(dataset: Any) -> Callable[[Sequence[int]], Any] | None:
    """The dataset's `__getbatch__`, unless a subclass of its class changed `__getitem__`."""
    definers = {
        name: next((i for i, kind in enumerate(type(dataset).__mro__) if name in vars(kind)), None)
        for name in ("__getbatch__", "__getitem__", "__getitems__")
    }
    batch = definers.pop("__getbatch__")
    if batch is None or any(other is not None and other < batch for other in definers.values()):
        return None
    return getattr(dataset, "__getbatch__", None)


def random_split(
    dataset: Dataset[T_co], lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset[T_co]]:
    """Disjoint random subsets of the given lengths, or of the given fractions of the whole.

    Raises: ValueError if the lengths do not add up to the dataset, or the fractions not to 1.
    Example:
        >>> [len(part) for part in random_split(range(10), [0.75, 0.25])]
        [8, 2]
    """
    size = len(dataset)  # type: ignore[arg-type]
    counts = _counts(size, lengths)
    if sum(counts) != size:
        raise ValueError(
            "Sum of input lengths does not equal the length of the input dataset: "
            f"{counts} for {size} samples"
        )
    order = permutation((generator or default_generator()).reserve(), size).tolist()
    ends = itertools.accumulate(counts)
    return [Subset(dataset, order[end - count : end]) for count, end in zip(counts, ends)]


def _counts(size: int, lengths: Sequence[int | float]) -> list[int]:
    """Whole numbers from lengths that may be fractions; what rounding leaves goes round-robin."""
    if not (math.isclose(sum(lengths), 1) and sum(lengths) <= 1):
        return [int(length) for length in lengths]
    for i, fraction in enumerate(lengths):
        if not 0 <= fraction <= 1:
            raise ValueError(f"Fraction at index {i} is not between 0 and 1: {fraction}")
    counts = [math.floor(size * fraction) for fraction in lengths]
    for i in range(size - sum(counts)):
        counts[i % len(counts)] += 1
    return counts
