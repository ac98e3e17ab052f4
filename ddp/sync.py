"""Whether the ranks still hold the same model."""

from __future__ import annotations

import hashlib
from typing import Any

from core.autograd.value import version_of
from core.backend import to_host
from ddp.group import ReduceOp
from ddp.lifecycle import default_group


def digest(x: Any) -> str:
    """The sha256 of a tensor's dtype, shape and bytes."""
    array = to_host(x.array)
    head = f"{array.dtype} {array.shape} ".encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()


def check_sync(module: Any, group: Any = None) -> str:
    """The sha256 of a module's parameters and buffers, which all ranks hold bit for bit.

    Raises: RuntimeError, on every rank, naming the first tensor that differs and its ranks.
    """
    pg = default_group(group)
    named = [*module.named_parameters(), *module.named_buffers()]
    mine = [(name, digest(x)) for name, x in named]
    every: list[Any] = [None] * pg.size
    pg.all_gather_object(every, mine)
    for i, (name, found) in enumerate(every[0]):
        odd = [r for r, other in enumerate(every) if len(other) <= i or other[i][1] != found]
        if odd:
            raise RuntimeError(
                f"rank {pg.rank}: {name} on ranks {odd} differs from that on rank 0: the ranks have"
                " drifted apart"
            )
    return hashlib.sha256("".join(found for _, found in mine).encode()).hexdigest()


def sync_buffers(module: Any, how: str = "mean", group: Any = None) -> None:
    """Give every rank the mean over ranks of a module's floating buffers, or rank 0's buffers.

    Buffers of whole numbers, such as counts of batches, become rank 0's either way.
    """
    if how not in ("mean", "rank0"):
        raise ValueError(f"how: expected 'mean' or 'rank0', got {how!r}")
    pg = default_group(group)
    for buffer in module.buffers():
        if how == "mean" and buffer.is_floating_point():
            pg.all_reduce(buffer.array, ReduceOp.AVG)
        else:
            pg.broadcast(buffer.array, 0)
        version_of(buffer)[0] += 1
