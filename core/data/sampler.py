"""Samplers: in which order the indices of a dataset are visited.

The order of an epoch is a function of one random key, so a sampler's state is that key. How far an
epoch has got is known by the loader, which sees what was handed out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy

from core.random import (
    Generator,
    Key,
    default_generator,
    exponential,
    integers,
    permutation,
    uniform,
)

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """An order of indices: a subclass defines `__iter__`, and `__len__` where it is known."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError("Subclasses of Sampler should implement __iter__.")

    def state_dict(self) -> dict[str, Any]:
        """What the order of the running epoch depends on."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Makes the next epoch the one that `state` was taken in."""


class SequentialSampler(Sampler[int]):
    """The indices in their order."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomOrder(Sampler[int]):
    """An order that depends on a random key, taken from a generator when an epoch begins.

    A subclass defines `order(keys)`, and `draws` if it uses more than one key.
    """

    draws = 1

    def __init__(self, generator: Generator | None) -> None:
        self.generator = generator
        self._key: Key | None = None
        self._resumed: Key | None = None

    def order(self, keys: list[Key]) -> Iterable[int]:
        """The indices of an epoch."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        return iter(self.order(self._epoch_keys()))

    def _epoch_keys(self) -> list[Key]:
        first, self._resumed = self._resumed, None
        if first is None:
            generator = self.generator or default_generator()
            keys = [generator.reserve() for _ in range(self.draws)]
        else:
            keys = [first._replace(offset=first.offset + i) for i in range(self.draws)]
        self._key = keys[0] if keys else None
        return keys

    def state_dict(self) -> dict[str, Any]:
        """The key of the running epoch, as a list of three numbers; None before the first."""
        return self.order_state()

    def order_state(self, running: bool = True) -> dict[str, Any]:
        """That key, if an epoch is running, and what the sampler's own generator has drawn."""
        key = self._resumed or (self._key if running else None)
        place = place_of(self.generator)
        return {"key": None if key is None else list(key), "generator": place}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Makes the next epoch the one that `state` was taken in."""
        self._resumed = None if state["key"] is None else Key(*map(int, state["key"]))
        set_place(self.generator, state["generator"])


class RandomSampler(RandomOrder):
    """The indices in random order, or drawn with replacement.

    Raises: ValueError if `num_samples` is not a positive whole number.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(generator)
        if not isinstance(replacement, bool):
            raise TypeError(
                f"replacement should be a boolean value, but got replacement={replacement}"
            )
        if num_samples is not None and (not isinstance(num_samples, int) or num_samples <= 0):
            raise ValueError(
                f"num_samples should be a positive integer value, but got num_samples={num_samples}"
            )
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples

    @property
    def num_samples(self) -> int:
        """How many indices an epoch has; the size of the data unless given."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    @property
    def draws(self) -> int:  # type: ignore[override]
        """How many keys an epoch uses: one, or one per pass over the data."""
        size = len(self.data_source)
        return 1 if self.replacement or not size else max(1, -(-self.num_samples // size))

    def order(self, keys: list[Key]) -> Iterable[int]:
        """The indices of an epoch."""
        size, count = len(self.data_source), self.num_samples
        if self.replacement:
            return _drawn(keys[0], size, count)
        passes = (permutation(key, size).tolist() for key in keys)
        return itertools.islice(itertools.chain.from_iterable(passes), count)

    def __len__(self) -> int:
        return self.num_samples


def _drawn(key: Key, size: int, count: int) -> Iterator[int]:
    """`count` numbers below `size`, drawn as they are needed: programs ask for 10 ** 10."""
    step = 4096
    for first in range(0, count, step):
        yield from integers(key, min(step, count - first), 0, size, first=first).tolist()


class SubsetRandomSampler(RandomOrder):
    """The given indices in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        super().__init__(generator)
        self.indices = indices

    def order(self, keys: list[Key]) -> Iterable[int]:
        """The indices of an epoch."""
        return [self.indices[i] for i in permutation(keys[0], len(self.indices)).tolist()]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(RandomOrder):
    """Indices drawn with probability in proportion to their weights.

    Raises: ValueError if a weight is negative, all are zero, or too few are positive.
    Source: without replacement, the order of exponential arrivals, Efraimidis & Spirakis (2006).
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(generator)
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ValueError(
                f"num_samples should be a positive integer value, but got num_samples={num_samples}"
            )
        self.weights = numpy.asarray(weights, dtype=numpy.float64)
        self.num_samples = num_samples
        self.replacement = replacement
        self._check_weights()

    def _check_weights(self) -> None:
        if self.weights.ndim != 1:
            raise ValueError(
                f"weights should be a 1d sequence but given weights have shape {self.weights.shape}"
            )
        if not (self.weights >= 0).all() or not numpy.isfinite(self.weights).all():
            raise ValueError("weights should be finite and not negative")
        positive = int(numpy.count_nonzero(self.weights))
        needed = 1 if self.replacement else self.num_samples
        if positive < needed:
            raise ValueError(f"{needed} positive weights are needed, but there are {positive}")

    def order(self, keys: list[Key]) -> Iterable[int]:
        """The indices of an epoch."""
        if self.replacement:
            ends = numpy.cumsum(self.weights)
            places = uniform(keys[0], self.num_samples, numpy.float64) * ends[-1]
            # A place can round up to the very end, which belongs to the last positive weight.
            last = int(numpy.flatnonzero(self.weights)[-1])
            return numpy.minimum(numpy.searchsorted(ends, places, side="right"), last).tolist()
        arrivals = exponential(keys[0], len(self.weights), numpy.float64)
        times = numpy.full(len(self.weights), numpy.inf)
        numpy.divide(arrivals, self.weights, out=times, where=self.weights > 0)
        return numpy.argsort(times, kind="stable")[: self.num_samples].tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """The indices of another sampler in lists of `batch_size`; the last may be shorter.

    Example:
        >>> list(BatchSampler(SequentialSampler(range(5)), batch_size=2, drop_last=False))
        [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(
                f"batch_size should be a positive integer value, but got batch_size={batch_size}"
            )
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        # Not a generator: the epoch of the sampler inside begins here, so its state is known.
        return self._cut(iter(self.sampler))

    def _cut(self, indices: Iterator[int]) -> Iterator[list[int]]:
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        size = len(self.sampler)  # type: ignore[arg-type]
        return size // self.batch_size if self.drop_last else -(-size // self.batch_size)

    def state_dict(self) -> dict[str, Any]:
        """The state of the sampler inside, where it has one."""
        return self.order_state()

    def order_state(self, running: bool = True) -> dict[str, Any]:
        """That state in the running epoch, or between two of them."""
        return {"sampler": state_of(self.sampler, running)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Makes the next epoch the one that `state` was taken in."""
        restore(self.sampler, state["sampler"])


def place_of(generator: Generator | None) -> list[int] | None:
    """Seed and offset of a generator that was given; the default one's are saved apart."""
    return None if generator is None else [generator.initial_seed(), generator.offset]


def set_place(generator: Generator | None, place: Sequence[int] | None) -> None:
    """Nothing; the generator, whose stream stays, is where `place_of` found one."""
    if generator is not None and place is not None:
        generator.manual_seed(int(place[0])).offset = int(place[1])


def state_of(sampler: Any, running: bool = True) -> dict[str, Any] | None:
    """The state of a sampler's order; None if it has none, as plain iterables have.

    A sampler that counts epochs, or what it gave out, has `order_state(running)`: of the running
    epoch, without that count, for the loader counts; or of the next one, while none is running.
    """
    if hasattr(sampler, "order_state"):
        return sampler.order_state(running)
    return sampler.state_dict() if running and hasattr(sampler, "state_dict") else None


def restore(sampler: Any, state: dict[str, Any] | None) -> None:
    """Gives a sampler the state that state_of() took.

    Raises: ValueError if there is a state and the sampler cannot take one.
    """
    if state is None:
        return
    if hasattr(sampler, "load_order_state"):
        sampler.load_order_state(state)
    elif hasattr(sampler, "load_state_dict"):
        sampler.load_state_dict(state)
    else:
        raise ValueError(f"a {type(sampler).__name__} cannot take the saved state of a sampler")
