"""DataLoader: a dataset in batches, made here or by worker processes, resumable anywhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from core.data.collate import default_collate, default_convert
from core.data.dataset import IterableDataset
from core.data.fetch import END, Fetcher
from core.data.pin import can_pin, pinned_batch
from core.data.pool import WorkerPool
from core.data.sampler import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    place_of,
    restore,
    set_place,
    state_of,
)
from core.data.worker import packed
from core.random import Generator, Key, bits, default_generator

# What a loader is made from: changed later it would change nothing.
_FIXED = ("batch_sampler", "batch_size", "dataset", "drop_last", "persistent_workers", "sampler")


class DataLoader:
    """The batches of a dataset, with PyTorch's arguments.

    Random numbers that a map-style dataset draws for a batch depend on the epoch's seed and the
    number of the batch, so they are the same for every `num_workers`. With `pin_memory` batches
    lie in pinned memory where there is a GPU, so that `.to("cuda", non_blocking=True)` copies them
    while the CPU goes on; `pin_memory_device` is accepted and not needed.
    Raises: ValueError if two arguments contradict each other.
    Example:
        >>> [len(batch) for batch in DataLoader([1.0, 2.0, 3.0], batch_size=2)]
        [2, 1]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        streaming = isinstance(dataset, IterableDataset)
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        _check_context(multiprocessing_context)
        _check_order(streaming, shuffle, sampler, batch_sampler)
        _check_batches(batch_size, bool(shuffle) or sampler is not None, batch_sampler, drop_last)
        self.dataset, self._streaming, self.num_workers = dataset, streaming, num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.worker_init_fn, self.persistent_workers = worker_init_fn, persistent_workers
        self.multiprocessing_context, self.in_order = multiprocessing_context, in_order
        self.timeout, self.generator = timeout, generator
        given = batch_sampler is not None
        self.batch_size, self.drop_last = (None, False) if given else (batch_size, drop_last)
        self.sampler = sampler if sampler is not None else self._default_sampler(bool(shuffle))
        self.batch_sampler = batch_sampler if given else self._in_batches()
        self._batched = given or batch_size is not None
        self.collate_fn = collate_fn or (default_collate if self._batched else default_convert)
        self._begin_nowhere()

    def _begin_nowhere(self) -> None:
        self._pool: WorkerPool | None = None
        self._position: dict[str, Any] = _no_position()
        self._resumed: dict[str, Any] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and "_resumed" in self.__dict__:
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized"
            )
        object.__setattr__(self, name, value)

    def _default_sampler(self, shuffle: bool) -> Any:
        if self._streaming:
            return None
        if shuffle:
            return RandomSampler(self.dataset, generator=self.generator)
        return SequentialSampler(self.dataset)

    def _in_batches(self) -> BatchSampler | None:
        if self.batch_size is None or self._streaming:
            return None
        return BatchSampler(self.sampler, self.batch_size, self.drop_last)

    @property
    def _order(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __len__(self) -> int:
        if not self._streaming:
            return len(self._order)
        size = len(self.dataset)
        if self.batch_size is None:
            return size
        return size // self.batch_size if self.drop_last else -(-size // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        return Epoch(self)

    # ---- resuming ----

    def state_dict(self) -> dict[str, Any]:
        """How far the running epoch has got, and what its order and random numbers depend on."""
        if self._resumed is not None:
            return dict(self._resumed)
        running = self._position["key"] is not None
        order, place = state_of(self._order, running), place_of(self.generator)
        return {**self._position, "sampler": order, "generator": place}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Makes the next epoch the rest of the one that `state` was taken in."""
        self._resumed = dict(state) if state["key"] is not None else None
        self._position = _no_position()
        if self._resumed is None:
            restore(self._order, state["sampler"])
        set_place(self.generator, state["generator"])

    # ---- what an epoch is made of ----

    def _begin(self) -> int:
        """The seed of the epoch that begins."""
        resumed, self._resumed = self._resumed, None
        if resumed is None:
            key = (self.generator or default_generator()).reserve()
        else:
            key = Key(*map(int, resumed["key"]))
            restore(self._order, resumed["sampler"])
        done = resumed["batches"] if resumed else 0
        self._position = {"batches": done, "key": list(key)}
        return int(bits(key, 1)[0])

    def _end(self, position: dict[str, Any]) -> None:
        """Nothing; the epoch at `position` is over, if it is the running one."""
        if self._position is position:
            self._position = _no_position()

    def _tasks(self) -> Iterator[Any]:
        if self._streaming and self.batch_sampler is None:
            return itertools.repeat(self.batch_size)
        return iter(self._order)

    def _fetcher(self) -> Fetcher:
        plain = self.collate_fn is default_collate
        return Fetcher(self.dataset, self.collate_fn, self._batched, self.drop_last, plain)

    def _workers(self) -> WorkerPool:
        if self._pool is not None and self._pool.close.alive:
            return self._pool
        job = (self._fetcher(), self.worker_init_fn, self.num_workers)
        pool = WorkerPool(packed(job), self.num_workers, self.timeout)
        self._pool = pool if self.persistent_workers else None
        return pool

    def _batches(self, position: dict[str, Any], seed: int) -> Iterator[Any]:
        tasks = self._tasks()
        done = position["batches"]
        # A stream has to be read up to where it was left; indices are just passed over.
        skipped, first = (done, 0) if self._streaming else (0, done)
        tasks = itertools.islice(tasks, first, None)
        made = self._from_workers if self.num_workers else self._made_here
        batches = itertools.islice(made(seed, tasks, first), skipped, None)
        return map(pinned_batch, batches) if self.pin_memory and can_pin() else batches

    def _made_here(self, seed: int, tasks: Iterator[Any], first: int) -> Iterator[Any]:
        fetcher = self._fetcher()
        fetcher.begin(seed, 0)
        for index, task in zip(itertools.count(first), tasks):
            batch = fetcher(index, task)
            if batch is END:
                return
            yield batch

    def _from_workers(self, seed: int, tasks: Iterator[Any], first: int) -> Iterator[Any]:
        pool = self._workers()
        ahead = (self.prefetch_factor or 1) * self.num_workers
        try:
            yield from pool.run(seed, tasks, first, ahead, self.in_order)
        finally:
            if not self.persistent_workers:
                pool.close()


class Epoch:
    """One pass over a loader."""

    def __init__(self, loader: DataLoader) -> None:
        self.loader = loader
        seed = loader._begin()
        self._position = loader._position
        self._batches = loader._batches(self._position, seed)

    def __iter__(self) -> Epoch:
        return self

    def __len__(self) -> int:
        return len(self.loader)

    def __next__(self) -> Any:
        try:
            batch = next(self._batches)
        except StopIteration:
            self.loader._end(self._position)
            raise
        self._position["batches"] += 1
        return batch


def _no_position() -> dict[str, Any]:
    return {"batches": 0, "key": None}


# ---- which arguments go together ----


def _check_workers(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent: bool
) -> None:
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError("prefetch_factor option could only be specified with num_workers > 0")
    if prefetch_factor is not None and prefetch_factor < 1:
        raise ValueError(f"prefetch_factor should be positive, got {prefetch_factor}")
    if persistent and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_context(context: Any) -> None:
    name = getattr(context, "get_start_method", lambda: context)()
    if name not in (None, "spawn", "forkserver"):
        raise ValueError(
            f"multiprocessing_context={name!r}: workers are always fresh processes ('spawn'), since"
            " MPI, CUDA and threads do not survive a fork"
        )


def _check_order(streaming: bool, shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
    if streaming and (shuffle or sampler is not None or batch_sampler is not None):
        raise ValueError(
            "DataLoader with IterableDataset: the dataset decides the order, so shuffle, sampler"
            f" and batch_sampler must be left out, got shuffle={shuffle}, sampler={sampler},"
            f" batch_sampler={batch_sampler}"
        )
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")


def _check_batches(
    batch_size: int | None, ordered: bool, batch_sampler: Any, drop_last: bool
) -> None:
    if batch_sampler is not None and (batch_size != 1 or ordered or drop_last):
        raise ValueError(
            "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and"
            " drop_last"
        )
    if batch_size is None and drop_last:
        raise ValueError(
            "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
        )
    if batch_size is not None and batch_size <= 0:
        raise ValueError(f"batch_size should be a positive integer value, got {batch_size}")
