"""Linear layers whose weight is shared out over the ranks of a group (Megatron's pair).

A column-parallel layer followed by a row-parallel one needs one reduction in forward and one in
backward. Data-parallel ranks that hold the same slice form the orthogonal group.
Source: Shoeybi et al. (2019).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from core import nn, random
from core.autograd.dispatch import primitive
from core.backend import device_of, on, xp
from core.ops.creation import empty
from ddp.functional import all_gather, all_reduce
from ddp.group import ProcessGroup
from ddp.lifecycle import default_group


@primitive
def copied_to_ranks(x: Any, group: Any) -> Any:
    """`x`, which all ranks have; its gradient is the sum of theirs."""
    return x.copy()


@primitive
def summed_over_ranks(x: Any, group: Any) -> Any:
    """The sum over ranks of `x`, of which every rank has one use: the gradient passes as is."""
    return all_reduce(x, group=group)


# Each is the other's gradient, so gradients of gradients count every rank's use once, too.
copied_to_ranks.defvjp(x=lambda g, group: summed_over_ranks(g, group), group=None)
summed_over_ranks.defvjp(x=lambda g, group: copied_to_ranks(g, group), group=None)


@primitive
def own_part(x: Any, group: Any) -> Any:
    """This rank's slice of the last dim of `x`, which all ranks have."""
    width = x.shape[-1] // group.size
    return x[..., group.rank * width : (group.rank + 1) * width].copy()


@primitive
def joined_parts(x: Any, group: Any) -> Any:
    """The slices of all ranks side by side in the last dim; the gradient is this rank's slice."""
    every = all_gather(x, group)
    return xp(every).moveaxis(every, 0, -2).reshape(*x.shape[:-1], -1)


own_part.defvjp(x=lambda g, group: joined_parts(g, group), group=None)
joined_parts.defvjp(x=lambda g, group: own_part(g, group), group=None)


def slice_of(count: int, group: ProcessGroup, what: str) -> int:
    """How many of `count` features one rank has.

    Raises: ValueError where they do not divide.
    """
    if count % group.size:
        raise ValueError(
            f"rank {group.rank}: {what}={count} does not divide into {group.size} ranks"
        )
    return count // group.size


@contextlib.contextmanager
def one_generator(group: ProcessGroup) -> Iterator[None]:
    """A context in which all ranks draw what rank 0 would; each draws on from its own afterwards.

    For what is the same on all ranks, and for slices of one whole, whatever seeds they have.
    """
    own, common = random.default_generator(), random.Generator()
    state = own.get_state()
    group.broadcast(state)
    start = common.set_state(state).offset
    with random.using(common):
        yield
    own.offset += common.offset - start


class ColumnParallelLinear(nn.Module):
    """A linear layer of which each rank computes `out_features / size` outputs.

    With `gather_output` every rank gets all of them, else its own. Every rank's weight starts as
    its slice of the one weight that `Linear` would start with.
    Shape: (..., in_features) -> (..., out_features) or (..., out_features / size).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        gather_output: bool = True,
        process_group: ProcessGroup | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.process_group: ProcessGroup = default_group(process_group)
        self.in_features, self.out_features = in_features, out_features
        self.gather_output = gather_output
        width = slice_of(out_features, self.process_group, "out_features")
        with one_generator(self.process_group):
            whole = nn.Linear(in_features, out_features, bias, device=device, dtype=dtype)
        start = self.process_group.rank * width
        self.weight = _own(whole.weight, (slice(start, start + width),))
        self.bias = None if whole.bias is None else _own(whole.bias, (slice(start, start + width),))

    def forward(self, input: Any) -> Any:
        """This rank's outputs, or all."""
        x = copied_to_ranks(input, self.process_group)
        out = nn.functional.linear(x, self.weight, self.bias)
        return joined_parts(out, self.process_group) if self.gather_output else out

    def extra_repr(self) -> str:
        """Settings."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features},"
            f" bias={self.bias is not None}, ranks={self.process_group.size}"
        )


class RowParallelLinear(nn.Module):
    """A linear layer of which each rank takes `in_features / size` inputs; their sums are added.

    With `input_is_parallel` each rank is given its own inputs, else all and takes its own.
    Shape: (..., in_features) or (..., in_features / size) -> (..., out_features).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        input_is_parallel: bool = False,
        process_group: ProcessGroup | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.process_group: ProcessGroup = default_group(process_group)
        self.in_features, self.out_features = in_features, out_features
        self.input_is_parallel = input_is_parallel
        width = slice_of(in_features, self.process_group, "in_features")
        with one_generator(self.process_group):
            whole = nn.Linear(in_features, out_features, bias, device=device, dtype=dtype)
        start = self.process_group.rank * width
        self.weight = _own(whole.weight, (slice(None), slice(start, start + width)))
        self.bias = whole.bias

    def forward(self, input: Any) -> Any:
        """The outputs, the same on all ranks."""
        x = input if self.input_is_parallel else own_part(input, self.process_group)
        out = nn.functional.linear(x, self.weight)
        out = summed_over_ranks(out, self.process_group)
        return out if self.bias is None else out + self.bias

    def extra_repr(self) -> str:
        """Settings."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features},"
            f" bias={self.bias is not None}, ranks={self.process_group.size}"
        )


def _own(whole: Any, key: tuple[slice, ...]) -> nn.Parameter:
    part = whole.array[key]
    made = empty(part.shape, device=whole.device, dtype=whole.dtype)
    with on(device_of(part)):
        made.array[...] = part
    return nn.Parameter(made)
