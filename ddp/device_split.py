"""Nested inputs spread over devices, and nested outputs gathered from them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from core.autograd.value import Value
from core.ops.join import cat, stack
from ddp.nested import columns, cut, has_dim, remade, size_along


def chunk_sizes(count: int, parts: int) -> list[int]:
    """`count` cut in at most `parts` sizes that differ by at most one; empty ones left out.

    Example:
        >>> chunk_sizes(9, 4), chunk_sizes(2, 4)
        ([3, 2, 2, 2], [1, 1])
    """
    sizes = [(count + parts - 1 - i) // parts for i in range(parts)]
    return [n for n in sizes if n]


def scatter(inputs: Any, target_gpus: Sequence[Any], dim: int = 0) -> list[Any]:
    """`inputs`, tensors cut along `dim` and everything else repeated, one entry per device in use.

    Chunks differ by at most one; with fewer samples than devices the last devices stay idle.
    """
    count = size_along(inputs, dim)
    parts = len(target_gpus)
    # A batch without samples is one chunk, for one device.
    sizes = [0] * parts if count is None else chunk_sizes(count, parts) or [0]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    places = zip(target_gpus, starts, sizes)  # idle devices have no chunk
    return [
        cut(inputs, functools.partial(_chunk, device, start, n, dim, count))
        for device, start, n in places
    ]


def _chunk(device: Any, start: int, n: int, dim: int, count: int | None, x: Any) -> Any:
    if count is not None and has_dim(x, dim) and x.array.shape[dim] == count:
        x = x.narrow(dim, start, n)
    return x.to(device)


def gather(outputs: Sequence[Any], target_device: Any, dim: int = 0) -> Any:
    """The devices' outputs as one: tensors joined along `dim`, zero-dim tensors as a vector.

    Dicts, lists, tuples and dataclasses are gathered entry by entry; None stays None; other values
    must be equal on all devices.
    Raises: TypeError for other values that differ; ValueError for dicts of other sizes.
    """
    first = outputs[0]
    if isinstance(first, Value):
        here = [out.to(target_device) for out in outputs]
        return stack(here) if not here[0].ndim else cat(here, dim)
    if first is None:
        return None
    if isinstance(first, dict):
        if any(len(out) != len(first) for out in outputs):
            raise ValueError("All dicts must have the same number of keys")
    found = columns(outputs)
    if found is not None:
        return remade(first, [gather(column, target_device, dim) for column in found])
    if any(out != first for out in outputs):
        raise TypeError(f"cannot gather the devices' outputs {list(outputs)!r:.80}: they differ")
    return first
