"""Samplers for many ranks: each rank's share of an order of indices that all ranks agree on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from core import random
from core.data.sampler import Sampler, WeightedRandomSampler
from ddp.current_group import current_group


class DistributedSampler(Sampler[int]):
    """The indices rank, rank + size, ... of a dataset, or of its order in this epoch.

    `sampler` gives another order (any iterable of indices, the same on all ranks). Each iteration
    is a new epoch; `set_epoch` says which. With `pad` (the default when shuffling) ranks have
    equally many indices, some repeated; without, every index comes exactly once.
    Raises: ValueError for a rank outside the group.
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
        group = current_group()
        self.num_replicas = num_replicas or (group.size if group else 1)
        self.rank = rank if rank is not None else (group.rank if group else 0)
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

    def __len__(self) -> int:
        source: Any = self.dataset if self.sampler is None else self.sampler
        n, size = len(source), self.num_replicas
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
        source: Any = self.dataset if self.sampler is None else self.sampler
        n, size = len(source), self.num_replicas
        return len(self) * size if self.drop_last or self.pad else n

    def __iter__(self) -> Iterator[int]:
        if self._advance:
            self.epoch += 1
            self.start = 0
        self._advance = True
        self.yielded = 0
        return self._counted(self.indices())

    def _counted(self, indices: list[int]) -> Iterator[int]:
        for index in indices:
            self.yielded += 1
            yield index

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of `epoch`, from its beginning."""
        if epoch != self.epoch or self._advance:
            self.epoch, self.start, self.yielded = epoch, 0, 0
        self._advance = False
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
        """The epoch, and how many indices of its order all ranks together have used."""
        return {**self.order_state(), "start": self.start + self.yielded * self.num_replicas}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make the next iteration the rest of the epoch that `state` was taken in.

        The number of ranks may have changed since: what no rank has used comes, and nothing else.
        """
        self._resume(state)

    def order_state(self) -> dict[str, Any]:
        """The epoch and where in its order this iteration began, for who counts batches itself."""
        return {
            "epoch": self.epoch,
            "start": self.start,
            "seed": self.seed,
            "num_replicas": self.num_replicas,
        }

    def load_order_state(self, state: dict[str, Any]) -> None:
        """Make the next iteration begin where that of `order_state` did.

        Raises: ValueError on another number of ranks, which a count of one rank's batches cannot
            be carried over to.
        """
        if state["num_replicas"] != self.num_replicas:
            raise ValueError(
                f"the loader's state was saved on {state['num_replicas']} ranks and is loaded on"
                f" {self.num_replicas}: its batches of one rank mean other samples here; use"
                " ddp.DataLoader, which counts global batches"
            )
        self._resume(state)

    def _resume(self, state: dict[str, Any]) -> None:
        self.epoch, self.start, self.seed = state["epoch"], state["start"], state["seed"]
        self.yielded = 0
        self._advance = False


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
        drawn = WeightedRandomSampler(weights, num_samples or len(weights), replacement)
        super().__init__(weights, num_replicas, rank, True, seed, drop_last, pad, drawn)


def padded(left: list[int], order: list[int], multiple: int) -> list[int]:
    """`left` followed by as many of the first of `order`, again and again, as a multiple needs.

    Example:
        >>> padded([7, 8], [5, 6, 7, 8], 4), padded([1], [1], 3)
        ([7, 8, 5, 6], [1, 1, 1])
    """
    missing = -len(left) % multiple
    return left + (order * math.ceil(missing / len(order)))[:missing]
