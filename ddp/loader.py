"""DataLoader by the global batch: a script says how many samples a step has, whatever the ranks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from core.data.dataset import Dataset, IterableDataset, batch_getter
from core.data.loader import DataLoader as LocalLoader
from core.data.sampler import Sampler
from core.data.worker import get_worker_info
from core.random import Generator, default_generator
from ddp.current_group import current_group, place
from ddp.group import ProcessGroup
from ddp.join import stop_together
from ddp.sampler import DistributedSampler, padded

# Above the streams of logical shards, below those of workers that read a stream of samples.
_SAMPLE_STREAMS = 2**62


class Sample(NamedTuple):
    """An index, the number that the sample has in the epoch of all ranks, and the epoch's seed."""

    key: int
    place: int
    seed: int


class GlobalBatches(Sampler[list[Any]]):
    """This rank's part of each global batch: batch[rank::size] of the order that all ranks share.

    So a run on logical shards sees the same samples in each shard on any number of ranks, and an
    epoch goes on, on any number of ranks, after the global batch where it was left. Its length is
    that of rank `counted`.
    """

    def __init__(
        self, order: DistributedSampler, batch_size: int, multiple: int, counted: int | None = None
    ) -> None:
        self.order, self.batch_size, self.multiple = order, batch_size, multiple
        self.rank, self.size = order.rank, order.num_replicas
        self.counted = self.rank if counted is None else counted

    def __len__(self) -> int:
        full, rest = divmod(self.order.count(), self.batch_size)
        if self.order.drop_last or not rest:
            return full
        return full + (self.order.pad or rest > self.counted)

    def __iter__(self) -> Iterator[list[Any]]:
        self.order.begin()
        seed = self.order.seed + self.order.epoch
        return self._parts(self.order.order(), seed)

    def _parts(self, order: list[int], seed: int) -> Iterator[list[Any]]:
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            if len(batch) < self.batch_size:
                if self.order.drop_last:
                    return
                if self.order.pad:
                    batch = padded(batch, order, self.multiple)
            mine = [
                Sample(batch[i], start + i, seed) for i in range(self.rank, len(batch), self.size)
            ]
            if mine:
                yield mine

    def state_dict(self) -> dict[str, Any]:
        """The epoch's order; how many batches were taken is known by the loader."""
        return self.order_state()

    def order_state(self, running: bool = True) -> dict[str, Any]:
        """The order of the running epoch, or of the next one."""
        return {**self.order.order_state(running), "batch_size": self.batch_size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make the next iteration that of the epoch in which `state` was taken.

        Raises: ValueError for another global batch size.
        """
        if state["batch_size"] != self.batch_size:
            raise ValueError(
                f"the state was saved with global batches of {state['batch_size']} samples, and"
                f" cannot be continued with {self.batch_size}"
            )
        self.order.load_state_dict({**state, "start": 0})


class PlacedSamples(Dataset[Any]):
    """A dataset whose random numbers for a sample depend on its place in the epoch alone.

    So they differ between ranks, and are the same on any number of ranks and of workers.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, sample: Sample) -> Any:
        generator = default_generator()
        before = generator.get_state()
        generator.manual_seed(sample.seed)
        generator.stream = _SAMPLE_STREAMS + sample.place
        try:
            return self.dataset[sample.key]
        finally:
            generator.set_state(before)


class PlacedBatches(PlacedSamples):
    """The same for a dataset that makes whole batches, and so draws nothing for a sample."""

    def __getbatch__(self, samples: list[Sample]) -> Any:
        getter = batch_getter(self.dataset)
        assert getter is not None
        return getter([sample.key for sample in samples])


class StreamPart(IterableDataset[Any]):
    """The samples of a stream that fall to this rank and this worker.

    A stream with a method `set_part(rank, world, worker, workers)` is told, and gives what it
    thinks fit; of any other one every (world * workers)-th sample is taken. Its length is that of
    rank `counted`.
    """

    def __init__(self, dataset: Any, rank: int, world: int, counted: int) -> None:
        self.dataset, self.rank, self.world, self.counted = dataset, rank, world, counted

    def __len__(self) -> int:
        return len(range(self.counted, len(self.dataset), self.world))

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        if hasattr(self.dataset, "set_part"):
            self.dataset.set_part(self.rank, self.world, worker, workers)
            return iter(self.dataset)
        first = self.rank * workers + worker
        return itertools.islice(iter(self.dataset), first, None, self.world * workers)


class DataLoader(LocalLoader):
    """This rank's parts of the global batches of a dataset: `batch_size` counts all ranks' samples.

    Arguments are those of `core.data.DataLoader`; `sampler` gives the order of all ranks together.
    With `pad` (the default when shuffling) the last batch is filled up with samples of the first,
    so that ranks, or shards, have equally many. `uneven="stop"` ends the epoch where the first rank
    has no more batches. The ranks are those of `group`: of the default one, unless others share the
    batch, as where some ranks hold parts of one layer.
    Raises: ValueError for a batch that does not divide into the ranks or shards, RuntimeError where
        there are other ranks and no group yet.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        *,
        drop_last: bool = False,
        pad: bool | None = None,
        seed: int = 0,
        uneven: str = "error",
        group: ProcessGroup | None = None,
        **options: Any,
    ) -> None:
        self.group = group = group or current_group()
        rank, world = (group.rank, group.size) if group else place("this DataLoader")
        parts = (group.shards if group else None) or world
        _check_arguments(dataset, batch_size, shuffle, sampler, pad, uneven, options)
        if batch_size % parts:
            what = "logical shards" if parts != world else "ranks"
            raise ValueError(
                f"rank {rank}: a global batch of {batch_size} does not divide into {parts} {what}:"
                f" expected a multiple of {parts}"
            )
        self.global_batch_size, self.uneven, self.rank = batch_size, uneven, rank
        if options.get("generator") is None:
            # Random numbers that belong to no sample differ between ranks.
            options["generator"] = Generator().manual_seed(seed)
            options["generator"].stream = rank + 1
        counted = world - 1 if uneven == "stop" else rank  # the last rank has the fewest
        if isinstance(dataset, IterableDataset):
            part, local = StreamPart(dataset, rank, world, counted), batch_size // world
            super().__init__(part, local, drop_last=drop_last, **options)
            return
        order = DistributedSampler(dataset, world, rank, shuffle, seed, drop_last, pad, sampler)
        batches = GlobalBatches(order, batch_size, parts, counted)
        kind = PlacedSamples if batch_getter(dataset) is None else PlacedBatches
        super().__init__(kind(dataset), batch_sampler=batches, **options)

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of `epoch`; what is left of it, where it was resumed."""
        if isinstance(self.batch_sampler, GlobalBatches):
            if self._resumed is not None and self._resumed["sampler"]["epoch"] != epoch:
                self._resumed = None
            self.batch_sampler.order.set_epoch(epoch)

    def __iter__(self) -> Iterator[Any]:
        batches = super().__iter__()
        together = self.uneven == "stop" and self.group is not None
        return self._up_to_the_first_end(batches) if together else batches

    def _up_to_the_first_end(self, batches: Iterator[Any]) -> Iterator[Any]:
        position = self._position
        yield from stop_together(batches, self.group)
        self._end(position)  # also on a rank that has batches left

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state`, of any rank, was taken; the number of ranks may have changed."""
        key, generator = state["key"], self.generator
        if key is not None and generator is not None:
            state = {**state, "key": [key[0], generator.stream, key[2]]}
        super().load_state_dict(state)


def _check_arguments(
    dataset: Any, batch_size: Any, shuffle: bool, sampler: Any, pad: Any, uneven: str, options: Any
) -> None:
    if type(batch_size) is not int or batch_size < 1:
        raise ValueError(
            "batch_size: expected how many samples a step of all ranks has, a positive whole"
            f" number, got {batch_size!r}"
        )
    if uneven not in ("error", "stop"):
        raise ValueError(f"uneven: expected 'error' or 'stop', got {uneven!r}")
    if "batch_sampler" in options:
        raise ValueError("batch_sampler: expected none, for batches are shared out over ranks")
    if shuffle and sampler is not None:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if isinstance(dataset, IterableDataset) and (shuffle or sampler is not None or pad):
        raise ValueError(
            "DataLoader with IterableDataset: the dataset decides the order, so shuffle, sampler"
            f" and pad must be left out, got shuffle={shuffle}, sampler={sampler}, pad={pad}"
        )
