"""DistributedSampler: each rank's share of a dataset's indices."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized
from typing import Any

from core import random
from ddp.current_group import current_group


class DistributedSampler:
    """The indices rank, rank + size, rank + 2 size, ... of a dataset, or of its order of this epoch.

    Each new iteration is a new epoch; `set_epoch` says which. With `pad` (the default when shuffling)
    every rank has the same number of indices, some repeated; without, every index comes exactly once.
    Raises: ValueError for a rank outside the group.
    Example:
        >>> [list(DistributedSampler(range(5), 2, r, shuffle=False)) for r in range(2)]
        [[0, 2, 4], [1, 3]]
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        pad: bool | None = None,
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
        self.drop_last = drop_last
        self.pad = (shuffle if pad is None else pad) and not drop_last
        self.epoch = 0
        self._advance = False

    def __len__(self) -> int:
        n, size = len(self.dataset), self.num_replicas
        if self.drop_last:
            return n // size
        return math.ceil(n / size) if self.pad else len(range(self.rank, n, size))

    def __iter__(self) -> Iterator[int]:
        if self._advance:
            self.epoch += 1
        self._advance = True
        return iter(self.indices())

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of `epoch`."""
        self.epoch = epoch
        self._advance = False

    def order(self) -> list[int]:
        """The whole dataset's indices in this epoch's order, the same on every rank."""
        n = len(self.dataset)
        if not self.shuffle:
            return list(range(n))
        generator = random.Generator().manual_seed(self.seed + self.epoch)
        return random.permutation(generator.reserve(), n).tolist()

    def indices(self) -> list[int]:
        """This rank's indices of this epoch."""
        order: list[Any] = self.order()
        size = self.num_replicas
        if self.drop_last:
            order = order[: len(order) // size * size]
        elif self.pad and order:
            total = math.ceil(len(order) / size) * size
            order = (order * math.ceil(total / len(order)))[:total]
        return order[self.rank :: size]
