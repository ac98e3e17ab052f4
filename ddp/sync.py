"""Whether the ranks still hold the same model."""

from __future__ import annotations

import hashlib
import weakref
from typing import Any

import numpy

from core.autograd.value import version_of
from core.backend import to_host
from ddp.group import ReduceOp
from ddp.lifecycle import default_group
from ddp.staging import on_host


def digest(x: Any) -> str:
    """The sha256 of a tensor's dtype, shape and bytes."""
    array = to_host(x.array)
    head = f"{array.dtype} {array.shape} ".encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()


_calls: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def checksum(x: Any) -> int:
    """64 bits of a tensor's dtype, shape and bytes."""
    array = to_host(x.array)
    head = f"{array.dtype} {array.shape} ".encode()
    made = hashlib.blake2b(head, digest_size=8)
    made.update(numpy.ascontiguousarray(array).view(numpy.uint8).data if array.size else b"")
    return int.from_bytes(made.digest(), "little")


def check_sync(module: Any, group: Any = None, every: int | None = None) -> str | None:
    """The sha256 of a module's parameters and buffers, which all ranks hold bit for bit.

    With `every=k`, in a training loop, each k-th call compares 64-bit checksums in one message, and
    the result is None.
    Raises: RuntimeError, on every rank, naming the first tensor that differs and its ranks.
    """
    pg = default_group(group)
    named = [*module.named_parameters(), *module.named_buffers()]
    if every is not None:
        if type(every) is not int or every < 1:
            raise ValueError(f"rank {pg.rank}: every: expected a number of calls, got {every!r}")
        _calls[module] = _calls.get(module, 0) + 1
        if _calls[module] % every == 0:
            _compare_checksums(named, pg)
        return None
    mine = [(name, digest(x)) for name, x in named]
    found: list[Any] = [None] * pg.size
    pg.all_gather_object(found, mine)
    for i, (name, first) in enumerate(found[0]):
        odd = [r for r, other in enumerate(found) if len(other) <= i or other[i][1] != first]
        if odd:
            raise RuntimeError(_drifted(pg.rank, name, odd))
    return hashlib.sha256("".join(one for _, one in mine).encode()).hexdigest()


def _compare_checksums(named: list[tuple[str, Any]], pg: Any) -> None:
    mine = numpy.array([checksum(x) for _, x in named], numpy.uint64)
    every = numpy.empty((pg.size, len(named)), numpy.uint64)
    pg.all_gather_into_tensor(every, mine)
    for i, (name, _) in enumerate(named):
        odd = numpy.flatnonzero(every[:, i] != every[0, i])
        if odd.size:
            raise RuntimeError(_drifted(pg.rank, name, odd.tolist()))


def _drifted(rank: int, name: str, odd: list[int]) -> str:
    return (
        f"rank {rank}: {name} on ranks {odd} differs from that on rank 0: the ranks have drifted"
        " apart"
    )


def sync_buffers(module: Any, how: str = "mean", group: Any = None) -> None:
    """Give every rank the mean over ranks of a module's floating buffers, or rank 0's buffers.

    Buffers of whole numbers, such as counts of batches, become rank 0's either way.
    """
    if how not in ("mean", "rank0"):
        raise ValueError(f"how: expected 'mean' or 'rank0', got {how!r}")
    pg = default_group(group)
    for buffer in module.buffers():
        if how == "mean" and buffer.is_floating_point():
            on_host(buffer.array, pg, lambda array: pg.all_reduce(array, ReduceOp.AVG))
        else:
            on_host(buffer.array, pg, lambda array: pg.broadcast(array, 0))
        version_of(buffer)[0] += 1
