"""Messages between two ranks, with the signatures of torch.distributed.

`src` and `dst` count in the default group; `group_src`, `group_dst` and `group_peer` in the group
that is spoken to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ddp.collectives import array_of, written
from ddp.group import P2POp as Message
from ddp.group import Work
from ddp.lifecycle import default_group, get_global_rank, member_of, place_in

Tensor = Any
Group = Any


def send(
    tensor: Tensor,
    dst: int | None = None,
    group: Group = None,
    tag: int = 0,
    group_dst: int | None = None,
) -> None:
    """Nothing, once `tensor` is on its way to rank `dst` and may be changed."""
    if (pg := member_of(group)) is not None:
        pg.send(array_of(tensor), place_in(pg, dst, group_dst), tag)


def recv(
    tensor: Tensor,
    src: int | None = None,
    group: Group = None,
    tag: int = 0,
    group_src: int | None = None,
) -> int:
    """The sender's rank, once its message is in `tensor`; -1 outside the group.

    Without `src` it is the message of whichever rank sends first.
    """
    if (pg := member_of(group)) is None:
        return -1
    return pg.ranks[pg.recv(written(tensor), _source(pg, src, group_src), tag)]


def isend(
    tensor: Tensor,
    dst: int | None = None,
    group: Group = None,
    tag: int = 0,
    group_dst: int | None = None,
) -> Work | None:
    """The started send to rank `dst`; `tensor` must not change before it is done."""
    if (pg := member_of(group)) is None:
        return None
    return pg.isend(array_of(tensor), place_in(pg, dst, group_dst), tag)


def irecv(
    tensor: Tensor,
    src: int | None = None,
    group: Group = None,
    tag: int = 0,
    group_src: int | None = None,
) -> Work | None:
    """The started receive into `tensor` from rank `src`, else from whichever sends first."""
    if (pg := member_of(group)) is None:
        return None
    return pg.irecv(written(tensor), _source(pg, src, group_src), tag)


def _source(group: Any, src: int | None, group_src: int | None) -> int | None:
    return None if src is None and group_src is None else place_in(group, src, group_src)


class P2POp:
    """One entry of `batch_isend_irecv`: `op` is the function `isend` or `irecv`."""

    def __init__(
        self,
        op: Callable[..., Any],
        tensor: Tensor,
        peer: int | None = None,
        group: Group = None,
        tag: int = 0,
        group_peer: int | None = None,
    ) -> None:
        if op not in (isend, irecv):
            raise ValueError(f"expected ddp.isend or ddp.irecv, got {op!r}")
        self.op, self.tensor, self.group, self.tag = op, tensor, default_group(group), tag
        self.group_peer = place_in(self.group, peer, group_peer)
        self.peer = get_global_rank(self.group, self.group_peer)

    def message(self) -> Message:
        """What the group is to send or receive."""
        if self.op is isend:
            return Message("isend", array_of(self.tensor), self.group_peer, self.tag)
        return Message("irecv", written(self.tensor), self.group_peer, self.tag)


def batch_isend_irecv(p2p_op_list: Sequence[P2POp]) -> list[Any]:
    """The started sends and receives, one work each, in the order given; one call of NCCL.

    Raises: ValueError unless they are `P2POp`s of one group.
    """
    listed = isinstance(p2p_op_list, Sequence)
    if not listed or not all(isinstance(op, P2POp) for op in p2p_op_list):
        raise ValueError(f"batch_isend_irecv: expected a list of P2POp, got {p2p_op_list!r:.80}")
    if not p2p_op_list:
        return []
    group = p2p_op_list[0].group
    if any(op.group is not group for op in p2p_op_list):
        raise ValueError(f"rank {group.rank}: batch_isend_irecv: all must be of one group")
    return list(group.batch_isend_irecv([op.message() for op in p2p_op_list]))


def send_object_list(
    object_list: Sequence[Any],
    dst: int | None = None,
    group: Group = None,
    device: Any = None,
    group_dst: int | None = None,
    use_batch: bool = False,
    tag: int = 0,
) -> None:
    """Nothing, once copies of the objects are on their way to rank `dst`.

    `device` and `use_batch` are not needed.
    """
    if (pg := member_of(group)) is not None:
        pg.send_object(list(object_list), place_in(pg, dst, group_dst), tag)


def recv_object_list(
    object_list: list[Any],
    src: int | None = None,
    group: Group = None,
    device: Any = None,
    group_src: int | None = None,
    use_batch: bool = False,
    tag: int = 0,
) -> int:
    """The sender's rank, once the objects of its `send_object_list` are in `object_list`.

    -1 outside the group. Raises: ValueError if their number is not that of `object_list`.
    """
    if (pg := member_of(group)) is None:
        return -1
    values, sender = pg.recv_object_from(_source(pg, src, group_src), tag)
    if len(values) != len(object_list):
        raise ValueError(
            f"rank {pg.rank}: expected {len(object_list)} objects, rank {sender} sent {len(values)}"
        )
    object_list[:] = values
    return pg.ranks[sender]
