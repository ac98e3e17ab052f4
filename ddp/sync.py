"""Whether the ranks still hold the same model."""

from __future__ import annotations

import hashlib
from typing import Any

from core.backend import to_host
from ddp.lifecycle import default_group


def digest(x: Any) -> str:
    """The sha256 of a tensor's dtype, shape and bytes."""
    array = to_host(x.array)
    head = f"{array.dtype} {array.shape} ".encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()


def check_sync(module: Any, group: Any = None) -> str:
    """The sha256 of a module's parameters and buffers, which all ranks hold bit for bit.

    Raises: RuntimeError, on every rank, naming the first tensor that differs and the ranks it does on.
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
