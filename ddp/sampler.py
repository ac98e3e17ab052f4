"""Samplers for many ranks: each rank's share of an order of indices that all ranks agree on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from core import random
from core.data.sampler import Sampler, WeightedRandomSampler, restore, state_of
from ddp.current_group import place


class DistributedSampler(Sampler[int]):
    """The indices rank, rank + size, ... of a dataset, or of its order in this epoch.

    `sampler` gives another order (any iterable of indices, the same on all ranks). Each iteration
    is a new epoch; `set_epoch` says which. With `pad` (the default when shuffling) ranks have
    equally many indices, some repeated; without, every index comes exactly once.
    Raises: ValueError for a rank outside the group, RuntimeError where there is no group yet.
    Example:
        >>> [list(DistributedSampler(range(5), 2, r, shuffle=False)) for r in range(2)]
        [[0, 2, 4], [1, 3]]
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        pad: bool | None = None,
        sampler: Iterable[int] | None = None,
    ) -> None:
        if num_replicas is None or rank is None:
            here, size = place(f"this {type(self).__name__}")
            rank = here if rank is None else rank
            num_replicas = size if num_replicas is None else num_replicas
        self.num_replicas, self.rank = num_replicas, rank
        if self.num_replicas < 1:
            raise ValueError(f"num_replicas: expected at least one rank, got {num_replicas}")
        if not 0 <= self.rank < self.num_replicas:
            raise ValueError(
                f"Invalid rank {self.rank}, rank should be in the interval"
                f" [0, {self.num_replicas - 1}]"
            )
        self.dataset, self.shuffle, self.seed = dataset, shuffle, seed
        self.drop_last, self.sampler = drop_last, sampler
        self.pad = (shuffle if pad is None else pad) and not drop_last
        self.epoch = 0
        self.start = 0  # how many indices of the epoch's order were used before this iteration
        self.yielded = 0
        self._advance = False
        self._ended = False
        self._iteration = 0
        self._inner: Any = None  # the state that `sampler` is to take when the epoch begins

    def __len__(self) -> int:
        n, size = self.count(), self.num_replicas
        if self.drop_last:
            return n // size
        return math.ceil(n / size) if self.pad else len(range(self.rank, n, size))

    @property
    def num_samples(self) -> int:
        """How many indices this rank has in an epoch."""
        return len(self)

    @property
    def total_size(self) -> int:
        """How many indices all ranks together have in an epoch."""
        even = self.drop_last or self.pad
        return len(self) * self.num_replicas if even else self.count()

    def count(self) -> int:
        """How many indices the order has."""
        return len(self._source)

    def _known_count(self) -> int | None:
        return self.count() if hasattr(self._source, "__len__") else None

    @property
    def _source(self) -> Any:
        return self.dataset if self.sampler is None else self.sampler

    def __iter__(self) -> Iterator[int]:
        self.begin()
        return self._counted(self.indices(), self._iteration)

    def begin(self) -> None:
        """Nothing; this epoch is a new one, or that which was set or resumed."""
        if self._advance:
            self.epoch += 1
            self.start = 0
        self._advance = True
        self._ended = False
        self._iteration += 1
        self.yielded = 0
        inner, self._inner = self._inner, None
        restore(self.sampler, inner)

    def _counted(self, indices: list[int], iteration: int) -> Iterator[int]:
        for index in indices:
            self.yielded += iteration == self._iteration  # else it is not this one's any more
            yield index
        self._ended |= iteration == self._iteration

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of `epoch`, from its beginning."""
        if epoch != self.epoch or self._advance:
            self.epoch, self.start, self.yielded = epoch, 0, 0
            self._inner = None
        self._advance = self._ended = False
        inner: Any = self.sampler
        if hasattr(inner, "set_epoch"):
            inner.set_epoch(epoch)

    def order(self) -> list[int]:
        """All indices in this epoch's order, the same on every rank."""
        generator = random.Generator().manual_seed(self.seed + self.epoch)
        if self.sampler is not None:
            with random.using(generator):
                return list(self.sampler)
        n = len(self.dataset)
        return random.permutation(generator.reserve(), n).tolist() if self.shuffle else [*range(n)]

    def indices(self) -> list[int]:
        """This rank's indices of this epoch, less those that were used before a resumption."""
        order, size = self.order(), self.num_replicas
        left = order[self.start :]
        if self.drop_last:
            left = left[: len(left) // size * size]
        elif self.pad and left:
            left = padded(left, order, size)
        return left[self.rank :: size]

    # ---- resuming ----

    def state_dict(self) -> dict[str, Any]:
        """The epoch, and how many indices of its order all ranks together have used.

        After the last index it is the next epoch, of whose order nothing was used.
        """
        if self._ended:
            return self.order_state(running=False)
        return {**self.order_state(), "start": self.start + self.yielded * self.num_replicas}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make the next iteration the rest of the epoch that `state` was taken in.

        The number of ranks may have changed since: what no rank has used comes, and nothing else.
        Raises: ValueError where the order has another length than it had.
        """
        n = self._known_count()
        if state["length"] != n:
            raise ValueError(
                f"rank {self.rank}: the sampler's state was saved in an order of"
                f" {state['length']} samples, and cannot be continued in one of {n}"
            )
        self.epoch, self.start, self.seed = state["epoch"], state["start"], state["seed"]
        self.yielded = 0
        self._advance = self._ended = False
        self._inner = state["sampler"]

    def order_state(self, running: bool = True) -> dict[str, Any]:
        """The epoch and where in its order it began, for who counts batches itself.

        While none is running, the next epoch.
        """
        fresh = self._advance and not running
        return {
            "epoch": self.epoch + fresh,
            "start": 0 if fresh else self.start,
            "seed": self.seed,
            "length": self._known_count(),
            "num_replicas": self.num_replicas if running else None,
            "sampler": self._inner or state_of(self.sampler, running),
        }

    def load_order_state(self, state: dict[str, Any]) -> None:
        """Make the next iteration begin where that of `order_state` did.

        Raises: ValueError on another number of ranks, which a count of one rank's batches cannot
            be carried over to.
        """
        if state["num_replicas"] not in (None, self.num_replicas):
            raise ValueError(
                f"rank {self.rank}: the loader's state was saved on {state['num_replicas']} ranks"
                f" and is loaded on {self.num_replicas}: its batches of one rank mean other samples"
                " here; use ddp.DataLoader, which counts global batches"
            )
        self.load_state_dict(state)


class DistributedWeightedSampler(DistributedSampler):
    """This rank's share of indices drawn with probability in proportion to their weights.

    All ranks draw the same `num_samples` (default: one per weight) and take turns.
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int | None = None,
        replacement: bool = True,
        num_replicas: int | None = None,
        rank: int | None = None,
        seed: int = 0,
        drop_last: bool = False,
        pad: bool = True,
    ) -> None:
        count = len(weights) if num_samples is None else num_samples
        drawn = WeightedRandomSampler(weights, count, replacement)
        super().__init__(weights, num_replicas, rank, True, seed, drop_last, pad, drawn)


def padded(left: list[int], order: list[int], multiple: int) -> list[int]:
    """`left` followed by as many of the first of `order`, again and again, as a multiple needs.

    Example:
        >>> padded([7, 8], [5, 6, 7, 8], 4), padded([1], [1], 3)
        ([7, 8, 5, 6], [1, 1, 1])
    """
    missing = -len(left) % multiple
    return left + (order * math.ceil(missing / len(order)))[:missing]
