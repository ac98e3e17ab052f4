"""The collectives as functions of tensors or arrays, with the signatures of torch.distributed.

`src` and `dst` count in the default group, as in PyTorch; `group_src` and `group_dst` in the group
that is spoken to, as the methods of a group do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.autograd.value import Value, version_of
from ddp.group import ReduceOp, Timeout, Work
from ddp.lifecycle import member_of, place_in

Tensor = Any
Group = Any


def array_of(tensor: Tensor) -> Any:
    """The memory of a tensor; an array is its own."""
    return tensor.array if isinstance(tensor, Value) else tensor


def written(tensor: Tensor) -> Any:
    """The memory of a tensor that a collective changes: backward refuses what was saved before."""
    if isinstance(tensor, Value):
        version_of(tensor)[0] += 1
    return array_of(tensor)


def _of(work: Work | None, tensors: Sequence[Tensor]) -> Work | None:
    """The started work, which says what tensors it writes to."""
    if work is not None:
        work.tensors = tensors
    return work


def _arrays(tensors: Sequence[Tensor] | None) -> list[Any] | None:
    return None if tensors is None else [array_of(tensor) for tensor in tensors]


def _all_written(tensors: Sequence[Tensor] | None) -> list[Any] | None:
    return None if tensors is None else [written(tensor) for tensor in tensors]


def broadcast(
    tensor: Tensor,
    src: int | None = None,
    group: Group = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Nothing; `tensor` holds what rank `src` had, 0 unless said."""
    if (pg := member_of(group)) is None:
        return None
    return _of(pg.broadcast(written(tensor), place_in(pg, src, group_src, 0), async_op), [tensor])


def all_reduce(
    tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group: Group = None, async_op: bool = False
) -> Work | None:
    """Nothing; `tensor` holds the reduction over ranks, the same bits on every rank.

    Example:
        >>> import ddp, numpy
        >>> def total():
        ...     array = numpy.array([1.0 + ddp.get_rank()])
        ...     all_reduce(array)
        ...     return array.item()
        >>> ddp.simulate(total, size=3)
        [6.0, 6.0, 6.0]
    """
    if (pg := member_of(group)) is None:
        return None
    return _of(pg.all_reduce(written(tensor), op, async_op), [tensor])


def reduce(
    tensor: Tensor,
    dst: int | None = None,
    op: ReduceOp = ReduceOp.SUM,
    group: Group = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """Nothing; on rank `dst` `tensor` holds the reduction over ranks."""
    if (pg := member_of(group)) is None:
        return None
    root = place_in(pg, dst, group_dst)
    array = written(tensor) if pg.rank == root else array_of(tensor)
    return _of(pg.reduce(array, root, op, async_op), [tensor])


def all_gather(
    tensor_list: Sequence[Tensor], tensor: Tensor, group: Group = None, async_op: bool = False
) -> Work | None:
    """Nothing; `tensor_list[r]` holds what rank r had in `tensor`."""
    if (pg := member_of(group)) is None:
        return None
    return _of(
        pg.all_gather([written(out) for out in tensor_list], array_of(tensor), async_op),
        tensor_list,
    )


def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: Group = None, async_op: bool = False
) -> Work | None:
    """Nothing; `output_tensor` holds the inputs of all ranks, joined or stacked along dim 0."""
    if (pg := member_of(group)) is None:
        return None
    return _of(
        pg.all_gather_into_tensor(written(output_tensor), array_of(input_tensor), async_op),
        [output_tensor],
    )


# PyTorch 2.13's name of the same.
all_gather_single = all_gather_into_tensor


def gather(
    tensor: Tensor,
    gather_list: Sequence[Tensor] | None = None,
    dst: int | None = None,
    group: Group = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """Nothing; on rank `dst` `gather_list[r]` holds what rank r had in `tensor`."""
    if (pg := member_of(group)) is None:
        return None
    root = place_in(pg, dst, group_dst, 0)
    work = pg.gather(array_of(tensor), _all_written(gather_list), root, async_op)
    return _of(work, gather_list or [])


def scatter(
    tensor: Tensor,
    scatter_list: Sequence[Tensor] | None = None,
    src: int | None = None,
    group: Group = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Nothing; `tensor` holds what rank `src` had in `scatter_list[this rank]`."""
    if (pg := member_of(group)) is None:
        return None
    root = place_in(pg, src, group_src, 0)
    return _of(pg.scatter(written(tensor), _arrays(scatter_list), root, async_op), [tensor])


def reduce_scatter(
    output: Tensor,
    input_list: Sequence[Tensor],
    op: ReduceOp = ReduceOp.SUM,
    group: Group = None,
    async_op: bool = False,
) -> Work | None:
    """Nothing; `output` holds the reduction over ranks of their `input_list[this rank]`."""
    if (pg := member_of(group)) is None:
        return None
    return _of(
        pg.reduce_scatter(written(output), [array_of(t) for t in input_list], op, async_op),
        [output],
    )


def reduce_scatter_tensor(
    output: Tensor,
    input: Tensor,
    op: ReduceOp = ReduceOp.SUM,
    group: Group = None,
    async_op: bool = False,
) -> Work | None:
    """Nothing; `output` holds this rank's share, along dim 0, of the reduction of `input`."""
    if (pg := member_of(group)) is None:
        return None
    return _of(pg.reduce_scatter_tensor(written(output), array_of(input), op, async_op), [output])


# PyTorch 2.13's name of the same.
reduce_scatter_single = reduce_scatter_tensor


def all_to_all(
    output_tensor_list: Sequence[Tensor],
    input_tensor_list: Sequence[Tensor],
    group: Group = None,
    async_op: bool = False,
) -> Work | None:
    """Nothing; `output_tensor_list[r]` holds what rank r had in `input_tensor_list[this rank]`."""
    if (pg := member_of(group)) is None:
        return None
    outs = [written(out) for out in output_tensor_list]
    return _of(
        pg.all_to_all(outs, [array_of(t) for t in input_tensor_list], async_op), output_tensor_list
    )


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: Sequence[int] | None = None,
    input_split_sizes: Sequence[int] | None = None,
    group: Group = None,
    async_op: bool = False,
) -> Work | None:
    """Nothing; `output` holds what all ranks had for this one, cut along dim 0."""
    if (pg := member_of(group)) is None:
        return None
    splits = (output_split_sizes or None, input_split_sizes or None)
    return _of(pg.all_to_all_single(written(output), array_of(input), *splits, async_op), [output])


def all_reduce_coalesced(
    tensors: Sequence[Tensor],
    op: ReduceOp = ReduceOp.SUM,
    group: Group = None,
    async_op: bool = False,
) -> Work | None:
    """Nothing; each tensor holds its reduction over ranks, in one collective. One dtype."""
    if (pg := member_of(group)) is None:
        return None
    return _of(
        pg.all_reduce_coalesced([written(tensor) for tensor in tensors], op, async_op), tensors
    )


def all_gather_coalesced(
    output_tensor_lists: Sequence[Sequence[Tensor]],
    input_tensor_list: Sequence[Tensor],
    group: Group = None,
    async_op: bool = False,
) -> Work | None:
    """Nothing; `output_tensor_lists[r][i]` holds rank r's `input_tensor_list[i]`. One dtype."""
    if (pg := member_of(group)) is None:
        return None
    outs = [[written(out) for out in outs] for outs in output_tensor_lists]
    return pg.all_gather_coalesced(outs, [array_of(t) for t in input_tensor_list], async_op)


def barrier(
    group: Group = None, async_op: bool = False, device_ids: Any = None, timeout: Timeout = None
) -> Work | None:
    """Nothing, once every rank of the group has come here; `device_ids` is not needed."""
    if (pg := member_of(group)) is None:
        return None
    return pg.barrier(async_op, timeout)


# ---- objects ----


def all_gather_object(object_list: list[Any], obj: Any, group: Group = None) -> None:
    """Nothing; `object_list[r]` is a copy of rank r's `obj`."""
    if (pg := member_of(group)) is not None:
        pg.all_gather_object(object_list, obj)


def gather_object(
    obj: Any,
    object_gather_list: list[Any] | None = None,
    dst: int | None = None,
    group: Group = None,
    group_dst: int | None = None,
) -> None:
    """Nothing; on rank `dst` `object_gather_list[r]` is a copy of rank r's `obj`."""
    if (pg := member_of(group)) is not None:
        pg.gather_object(obj, object_gather_list, place_in(pg, dst, group_dst, 0))


def broadcast_object_list(
    object_list: list[Any],
    src: int | None = None,
    group: Group = None,
    device: Any = None,
    group_src: int | None = None,
) -> None:
    """Nothing; the entries of `object_list` are copies of rank `src`'s. `device` is not needed."""
    if (pg := member_of(group)) is not None:
        pg.broadcast_object_list(object_list, place_in(pg, src, group_src, 0))


def scatter_object_list(
    scatter_object_output_list: list[Any],
    scatter_object_input_list: Sequence[Any] | None = None,
    src: int | None = None,
    group: Group = None,
    group_src: int | None = None,
) -> None:
    """Nothing; the first output is a copy of rank `src`'s input for this rank."""
    if (pg := member_of(group)) is not None:
        root = place_in(pg, src, group_src, 0)
        pg.scatter_object_list(scatter_object_output_list, scatter_object_input_list, root)
