"""From what a sampler says to a batch: the step that runs in the loader or in a worker."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from core.data.dataset import IterableDataset, batch_getter, fetch
from core.random import Generator, Key, bits, using


class Stream(enum.Enum):
    """What is handed over instead of a batch."""

    END = "end of the stream"


END = Stream.END
# Streams of workers that read an IterableDataset lie above those of batches.
_WORKER_STREAMS = 2**63


class Fetcher:
    """Makes the batches of one epoch of a dataset.

    Random numbers drawn while batch `index` of a map-style dataset is made depend on the seed and
    the index alone: neither on the number of workers nor on where a run was resumed.
    """

    def __init__(
        self,
        dataset: Any,
        collate: Callable[[Any], Any],
        batched: bool,
        drop_last: bool,
        whole_batches: bool,
    ) -> None:
        self.dataset = dataset
        self.collate = collate
        self.batched = batched
        self.drop_last = drop_last
        self.whole_batches = whole_batches
        self._whole: Callable[[Any], Any] | None = None
        self._streaming = isinstance(dataset, IterableDataset)
        self._samples: Iterator[Any] = iter(())
        self._generator = Generator()

    def begin(self, seed: int, worker: int) -> None:
        """Starts an epoch."""
        self._generator.manual_seed(seed)
        self._generator.stream = _WORKER_STREAMS + worker
        # Found here and not kept in the pickle that goes to workers: it may be a lambda.
        self._whole = batch_getter(self.dataset) if self.whole_batches else None
        if self._streaming:
            with using(self._generator):
                self._samples = iter(self.dataset)

    def seed_of(self, index: int) -> Key:
        """The key that tells this batch (of a stream: this worker) from all others."""
        stream = self._generator.stream if self._streaming else index
        return Key(self._generator.initial_seed(), stream, 2**64 - 1)

    def __call__(self, index: int, task: Any) -> Any:
        """Batch number `index`; END where a stream has no more."""
        with using(self._generator):
            if self._streaming:
                return self._next(task)
            self._generator.stream, self._generator.offset = index, 0
            return self._load(task)

    def _load(self, task: Any) -> Any:
        if not self.batched:
            return self.collate(self.dataset[task])
        if self._whole is not None:
            return self._whole(task)
        return self.collate(fetch(self.dataset, task))

    def _next(self, size: int) -> Any:
        if not self.batched:
            sample = next(self._samples, END)
            return END if sample is END else self.collate(sample)
        samples = list(itertools.islice(self._samples, size))
        if not samples or (self.drop_last and len(samples) < size):
            return END
        return self.collate(samples)


def seed_globals(key: Key, python: Any, numpy_random: Any) -> None:
    """Seeds the generators of Python and of NumPy, which a worker's transforms may use."""
    words = bits(key, 2)
    python.seed(int(words[0]))
    numpy_random.seed(words.view(numpy.uint32))
