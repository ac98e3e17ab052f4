"""Collectives that gradients flow through, with the signatures of torch.distributed.nn.

They are those of `ddp.functional`, for tensors in lists: what contrastive losses are written with.
The backward of a collective is a collective, so all ranks must run it, in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import core
from ddp import functional
from ddp.functional import all_reduce, broadcast
from ddp.lifecycle import default_group, get_group_rank
from ddp.reduction import ReduceOp

__all__ = [
    "all_gather",
    "all_reduce",
    "all_to_all",
    "all_to_all_single",
    "broadcast",
    "gather",
    "reduce",
    "reduce_scatter",
    "scatter",
]

Tensor = Any


def all_gather(tensor: Tensor, group: Any = None) -> tuple[Tensor, ...]:
    """The tensors of all ranks, in rank order.

    Example:
        >>> import ddp
        >>> def slope():
        ...     x = core.ones(1, requires_grad=True)
        ...     (core.cat(all_gather(x)).sum() * (1 + ddp.get_rank())).backward()
        ...     return x.grad.item()
        >>> ddp.simulate(slope, size=2)
        [3.0, 3.0]
    """
    return tuple(functional.all_gather(tensor, group).unbind(0))


def gather(tensor: Tensor, dst: int = 0, group: Any = None) -> tuple[Tensor, ...]:
    """The tensors of all ranks on rank `dst`, as many zeros elsewhere."""
    pg = default_group(group)
    every = functional.all_gather(tensor, group)
    if pg.rank != get_group_rank(pg, dst):
        every = every.masked_fill(core.ones_like(every, dtype=core.bool), 0)
    return tuple(every.unbind(0))


def scatter(tensors: Sequence[Tensor], src: int = 0, group: Any = None) -> Tensor:
    """What rank `src` has for this one in `tensors`; the others' only tell the shape."""
    return broadcast(core.stack(list(tensors)), src, group)[default_group(group).rank]


def reduce(tensor: Tensor, dst: int, op: ReduceOp = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The sum over ranks of `tensor` on rank `dst`, zeros elsewhere.

    Raises: TypeError for other reductions.
    """
    if op is not ReduceOp.SUM:
        raise TypeError(f"a differentiable reduce takes SUM, got {op}")
    return functional.reduce(tensor, dst, group)


def reduce_scatter(
    output: Tensor, input_list: Sequence[Tensor], op: ReduceOp = ReduceOp.SUM, group: Any = None
) -> Tensor:
    """`output`, which holds the sum (or mean) over ranks of their `input_list[this rank]`."""
    return output.copy_(functional.reduce_scatter(core.stack(list(input_list)), op, group))


def all_to_all(
    output_tensor_list: Sequence[Tensor], input_tensor_list: Sequence[Tensor], group: Any = None
) -> tuple[Tensor, ...]:
    """The outputs; the r-th holds what rank r had in `input_tensor_list[this rank]`."""
    flat = core.cat([tensor.reshape(-1) for tensor in input_tensor_list])
    counts = [tensor.numel() for tensor in input_tensor_list]
    places = [tensor.numel() for tensor in output_tensor_list]
    parts = functional.all_to_all_single(flat, places, counts, group).split(places)
    pairs = zip(output_tensor_list, parts, strict=True)
    return tuple(out.copy_(part.reshape(out.shape)) for out, part in pairs)


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: Sequence[int] | None = None,
    input_split_sizes: Sequence[int] | None = None,
    group: Any = None,
) -> Tensor:
    """`output`, which holds what all ranks had for this one, cut along dim 0."""
    splits = (output_split_sizes or None, input_split_sizes or None)
    return output.copy_(functional.all_to_all_single(input, *splits, group))
