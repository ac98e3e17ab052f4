"""Collectives that gradients flow through, as in torch.distributed.nn: out of place, on one tensor.

The backward of a collective is a collective, so all ranks must run it, in the same order.
"""

from __future__ import annotations

from typing import Any

from core.autograd.dispatch import primitive
from core.backend import xp
from ddp.collectives import ReduceOp
from ddp.lifecycle import default_group, get_group_rank
from ddp.staging import made_of, on_host

__all__ = [
    "all_gather",
    "all_reduce",
    "all_to_all",
    "all_to_all_single",
    "broadcast",
    "reduce",
    "reduce_scatter",
]


@primitive
def all_reduce(x: Any, op: ReduceOp = ReduceOp.SUM, group: Any = None) -> Any:
    """The sum (or mean, with AVG) over ranks of `x`.

    Raises: TypeError for other reductions, which have no gradient rule here.
    """
    _check_linear("all_reduce", op)
    out, pg = x.copy(), default_group(group)
    on_host(out, pg, lambda array: pg.all_reduce(array, op))
    return out


all_reduce.defvjp(x=lambda g, op, group: all_reduce(g, op, group), op=None, group=None)


@primitive
def broadcast(x: Any, src: int = 0, group: Any = None) -> Any:
    """What rank `src` had in `x`; the gradient is the sum of all on `src`, zero elsewhere."""
    out, pg = x.copy(), default_group(group)
    on_host(out, pg, lambda array: pg.broadcast(array, get_group_rank(group, src)))
    return out


@primitive
def reduce(x: Any, dst: int = 0, group: Any = None) -> Any:
    """The sum over ranks of `x` on rank `dst`, zeros elsewhere."""
    pg, out = default_group(group), x.copy()
    root = get_group_rank(pg, dst)
    on_host(out, pg, lambda array: pg.reduce(array, root))
    return out if pg.rank == root else xp(out).zeros_like(out)


broadcast.defvjp(x=lambda g, src, group: reduce(g, src, group), src=None, group=None)
reduce.defvjp(x=lambda g, dst, group: broadcast(g, dst, group), dst=None, group=None)


@primitive
def all_gather(x: Any, group: Any = None) -> Any:
    """The `x` of all ranks, stacked in rank order.

    Shape: (...) -> (size, ...).
    """
    pg = default_group(group)
    return made_of(x, (pg.size, *x.shape), pg, pg.all_gather_into_tensor)


@primitive
def reduce_scatter(x: Any, op: ReduceOp = ReduceOp.SUM, group: Any = None) -> Any:
    """The sum (or mean, with AVG) over ranks of their `x[this rank]`.

    Shape: (size, ...) -> (...).
    """
    _check_linear("reduce_scatter", op)
    pg = default_group(group)
    return made_of(x, x.shape[1:], pg, lambda out, x: pg.reduce_scatter_tensor(out, x, op))


@primitive
def _all_gather_mean(x: Any, op: ReduceOp, group: Any) -> Any:
    """`all_gather`, divided by the number of ranks where `op` is a mean."""
    out = all_gather(x, group)
    return out / out.shape[0] if op is ReduceOp.AVG else out


all_gather.defvjp(x=lambda g, group: reduce_scatter(g, ReduceOp.SUM, group), group=None)
reduce_scatter.defvjp(x=lambda g, op, group: _all_gather_mean(g, op, group), op=None, group=None)
_all_gather_mean.defvjp(x=lambda g, op, group: reduce_scatter(g, op, group), op=None, group=None)


@primitive
def all_to_all_single(
    x: Any, out_splits: Any = None, in_splits: Any = None, group: Any = None
) -> Any:
    """What all ranks had for this one, joined: of each `x` the rows that `in_splits` give it.

    Without splits each rank gets equally many rows. Shape: (n, ...) -> (sum of `out_splits`, ...).
    """
    pg = default_group(group)
    rows = x.shape[0] if out_splits is None else sum(out_splits)

    def fill(out: Any, x: Any) -> None:
        pg.all_to_all_single(out, x, out_splits, in_splits)

    return made_of(x, (rows, *x.shape[1:]), pg, fill)


all_to_all_single.defvjp(
    x=lambda g, out_splits, in_splits, group: all_to_all_single(g, in_splits, out_splits, group),
    out_splits=None,
    in_splits=None,
    group=None,
)


def all_to_all(x: Any, group: Any = None) -> Any:
    """Row r is what rank r had in row `this rank` of its `x`: a transposition over ranks.

    Shape: (size, ...) -> (size, ...).
    """
    return all_to_all_single(x, None, None, group)


def _check_linear(name: str, op: Any) -> None:
    if op not in (ReduceOp.SUM, ReduceOp.AVG):
        raise TypeError(f"a differentiable {name} takes SUM or AVG, got {op}")
