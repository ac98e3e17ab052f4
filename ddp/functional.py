"""Collectives that gradients flow through, as in torch.distributed.nn: out of place, on one tensor.

The backward of a collective is a collective, so all ranks must run it, in the same order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from core.autograd.dispatch import primitive
from ddp.collectives import ReduceOp
from ddp.lifecycle import default_group, get_group_rank

__all__ = ["all_gather", "all_reduce", "all_to_all", "broadcast", "reduce", "reduce_scatter"]


@primitive
def all_reduce(x: Any, op: ReduceOp = ReduceOp.SUM, group: Any = None) -> Any:
    """The sum (or mean, with AVG) over ranks of `x`.

    Raises: TypeError for other reductions, which have no gradient rule here.
    """
    _check_linear("all_reduce", op)
    out = x.copy()
    default_group(group).all_reduce(out, op)
    return out


all_reduce.defvjp(x=lambda g, op, group: all_reduce(g, op, group), op=None, group=None)


@primitive
def broadcast(x: Any, src: int = 0, group: Any = None) -> Any:
    """What rank `src` had in `x`; the gradient is the sum of all on `src`, zero elsewhere."""
    out = x.copy()
    default_group(group).broadcast(out, get_group_rank(group, src))
    return out


@primitive
def reduce(x: Any, dst: int = 0, group: Any = None) -> Any:
    """The sum over ranks of `x` on rank `dst`, zeros elsewhere."""
    group, out = default_group(group), x.copy()
    root = get_group_rank(group, dst)
    group.reduce(out, root)
    return out if group.rank == root else np.zeros_like(out)


broadcast.defvjp(x=lambda g, src, group: reduce(g, src, group), src=None, group=None)
reduce.defvjp(x=lambda g, dst, group: broadcast(g, dst, group), dst=None, group=None)


@primitive
def all_gather(x: Any, group: Any = None) -> Any:
    """The `x` of all ranks, stacked in rank order.

    Shape: (...) -> (size, ...).
    """
    group = default_group(group)
    out = np.empty((group.size, *x.shape), x.dtype)
    group.all_gather_into_tensor(out, x)
    return out


@primitive
def reduce_scatter(x: Any, op: ReduceOp = ReduceOp.SUM, group: Any = None) -> Any:
    """The sum (or mean, with AVG) over ranks of their `x[this rank]`.

    Shape: (size, ...) -> (...).
    """
    _check_linear("reduce_scatter", op)
    group = default_group(group)
    out = np.empty(x.shape[1:], x.dtype)
    group.reduce_scatter_tensor(out, x, op)
    return out


@primitive
def _all_gather_mean(x: Any, op: ReduceOp, group: Any) -> Any:
    """`all_gather`, divided by the number of ranks where `op` is a mean."""
    out = all_gather(x, group)
    return out / out.shape[0] if op is ReduceOp.AVG else out


all_gather.defvjp(x=lambda g, group: reduce_scatter(g, ReduceOp.SUM, group), group=None)
reduce_scatter.defvjp(x=lambda g, op, group: _all_gather_mean(g, op, group), op=None, group=None)
_all_gather_mean.defvjp(x=lambda g, op, group: reduce_scatter(g, op, group), op=None, group=None)


@primitive
def all_to_all(x: Any, group: Any = None) -> Any:
    """Row r is what rank r had in row `this rank` of its `x`: a transposition over ranks.

    Shape: (size, ...) -> (size, ...).
    """
    out = np.empty_like(x)
    default_group(group).all_to_all_single(out, x)
    return out


all_to_all.defvjp(x=lambda g, group: all_to_all(g, group), group=None)


def _check_linear(name: str, op: Any) -> None:
    if op not in (ReduceOp.SUM, ReduceOp.AVG):
        raise TypeError(f"a differentiable {name} takes SUM or AVG, got {op}")
