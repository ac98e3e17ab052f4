"""The mean over all ranks' samples of a value per sample, the same bits on any number of ranks."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.backend import device_of, to_device, to_host, xp
from core.ops.promotion import accumulates_in
from core.ops.reduce import spread
from ddp.current_group import current_group
from ddp.reduction import tree_sum


def mean(values: Any) -> Any:
    """The mean of the `values` of all ranks, such as losses per sample: one zero-dim tensor.

    On logical shards each shard's values are added first, then the shards in their tree, so a
    reported loss has the same bits on any number of ranks. Its gradient is that of this rank's own
    mean, which DistributedDataParallel averages: `ddp.mean(losses).backward()`.
    Raises: ValueError where the ranks' values, on shards, cannot be shared out evenly.
    """
    group = current_group()
    parts = 1 if group is None else (group.shards or group.size) // group.size
    if values.ndim and values.shape[0] % parts:
        rank = 0 if group is None else group.rank
        raise ValueError(
            f"rank {rank}: the mean of {values.shape[0]} values cannot be taken on {parts} shards"
            " per rank"
        )
    return mean_over_ranks(values, parts, group)


@primitive
def mean_over_ranks(values: Any, parts: int, group: Any) -> Any:
    """The mean over all ranks, each with `parts` shards."""
    wide = values.astype(accumulates_in(values.dtype), copy=False)
    total = numpy.array([_local_sum(wide, parts), values.size], numpy.float64)
    if group is not None and group.size > 1:
        every = numpy.empty((group.size, 2))
        group.all_gather_into_tensor(every, total)
        total = tree_sum([row.copy() for row in every])
    made = numpy.asarray(total[0] / max(total[1], 1.0), values.dtype)
    return to_device(made, device_of(values))


mean_over_ranks.defvjp(
    values=lambda g, values_shape: spread(
        g / max(math.prod(values_shape), 1), values_shape, None, False
    ),
    parts=None,
    group=None,
)


def _local_sum(wide: Any, parts: int) -> float:
    cut = [wide[i::parts] for i in range(parts)] if wide.ndim else [wide]
    # In float64 and from memory without gaps, where NumPy adds in one order only.
    sums = [to_host(xp(part).ascontiguousarray(part)).astype(numpy.float64).sum() for part in cut]
    return float(tree_sum([numpy.array([s]) for s in sums])[0])
