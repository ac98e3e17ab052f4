"""SyncBatchNorm: batch norm by the mean and variance of the batches of all ranks together."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy

from core import nn
from core.autograd.dispatch import primitive
from core.autograd.value import version_of
from core.backend import device_of, on, to_device, to_host, xp
from core.nn.functional.normalization import batch_norm
from core.nn.lazy import is_lazy
from core.nn.normalization import NormWithStatistics
from core.ops.join import stack
from core.ops.norm import affine
from core.ops.parts import unbind
from core.ops.promotion import accumulates_in
from core.ops.shape import reshape_array
from ddp.abreast import current_meeting
from ddp.absence import is_absent
from ddp.current_group import current_group
from ddp.group import ProcessGroup
from ddp.reduction import tree_sum


class SyncBatchNorm(NormWithStatistics):
    """Batch norm whose statistics, and their gradients, are those of the batches of all ranks.

    Ranks may have different numbers of samples, one or none included. Where there is no group of
    several ranks, and in eval mode, it is plain batch norm, without any collective.
    Shape: (N, C, ...) -> the same.
    Raises: ValueError where all ranks together have only one value per channel.
    """

    # A logical shard waits here for the others (see `ddp.abreast`).
    needs_whole_batch = True

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: ProcessGroup | None = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        where = (device, dtype)
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, *where, bias=bias
        )
        self.process_group = process_group

    def forward(self, input: Any) -> Any:
        """The normalised input."""
        if len(input.shape) < 2:
            raise ValueError(f"expected at least 2D input (got {len(input.shape)}D input)")
        channels = None if self.running_mean is None else len(self.running_mean)
        if channels not in (None, input.shape[1]):
            raise RuntimeError(
                f"running_mean should contain {input.shape[1]} elements not {channels}"
            )
        with on(device_of(input.array)):
            return self._normalised(input)

    def _normalised(self, input: Any) -> Any:
        meeting = current_meeting()
        group = self.process_group or (meeting.group if meeting else current_group())
        momentum = self._count_batch()
        tracked = not self.training or self.track_running_stats
        means = self.running_mean if tracked else None
        variances = self.running_var if tracked else None
        if group is None or (group.size == 1 and meeting is None) or not self.training:
            by_batch = self.training or self.running_mean is None
            w, b = self.weight, self.bias
            return batch_norm(input, means, variances, w, b, by_batch, momentum, self.eps)
        if meeting is None:
            out, mean, variance, count = synchronised(input, group, self.eps)
        else:
            shards = functools.partial(synchronised_shards, group=group, eps=self.eps)
            out, mean, variance, count = meeting.meet(input, shards)
        if means is not None:
            _follow(means, mean, momentum)
            _follow(variances, variance * (count / (count - 1)), momentum)
        if self.weight is None:
            return out
        shape = _channel_shape(len(input.shape))
        b = None if self.bias is None else reshape_array(self.bias, shape)
        return affine(out, reshape_array(self.weight, shape), b)

    def _count_batch(self) -> float:
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.array += 1
            if self.momentum is None:
                return 1.0 / float(self.num_batches_tracked)
        return 0.0 if self.momentum is None else self.momentum

    @classmethod
    def convert_sync_batchnorm(cls, module: Any, process_group: ProcessGroup | None = None) -> Any:
        """`module` with each batch norm in it made a SyncBatchNorm of the same parameters.

        One that is in several places stays one.
        Raises: RuntimeError for one that has no sizes yet.
        """
        made: dict[int, Any] = {}
        for m in module.modules():
            if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
                made[id(m)] = _converted(m, cls, process_group)
        for m in [*module.modules()]:
            for name, child in m._modules.items():
                m._modules[name] = made.get(id(child), child)
        return made.get(id(module), module)


def convert_sync_batchnorm(module: Any, process_group: ProcessGroup | None = None) -> Any:
    """`module` with each batch norm in it made a SyncBatchNorm of the same parameters.

    Example:
        >>> convert_sync_batchnorm(nn.Sequential(nn.BatchNorm1d(3)))[0]
        SyncBatchNorm(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """
    return SyncBatchNorm.convert_sync_batchnorm(module, process_group)


def _converted(old: Any, cls: Any, group: ProcessGroup | None) -> Any:
    if any(is_lazy(p) for p in (*old.parameters(), *old.buffers())):
        raise RuntimeError(
            f"a {type(old).__name__} has no sizes before its first forward: run one, then convert"
        )
    tracked = old.track_running_stats
    bias = old.bias is not None
    new = cls(old.num_features, old.eps, old.momentum, old.affine, tracked, group, bias=bias)
    for name in ("weight", "bias"):
        new.register_parameter(name, getattr(old, name))
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        new.register_buffer(name, getattr(old, name))
    return new.train(old.training)


def _channel_shape(ndim: int) -> tuple[int, ...]:
    return (1, -1) + (1,) * (ndim - 2)


def _follow(running: Any, value: Any, momentum: float) -> None:
    array = running.array
    array *= array.dtype.type(1 - momentum)
    array += (value.reshape(-1) * momentum).astype(array.dtype)
    version_of(running)[0] += 1


# ---- statistics over ranks --------------------------------------------------------------------


def synchronised_shards(xs: list[Any], group: ProcessGroup, eps: float) -> list[Any]:
    """What `synchronised` gives for each shard of this rank, over all shards of all ranks."""
    out, *rest = synchronised(stack(xs), group, eps, shards=True)
    return [(part, *rest) for part in unbind(out)]


def synchronised(
    x: Any, group: ProcessGroup, eps: float, shards: bool = False
) -> tuple[Any, Any, Any, int]:
    """A tensor normalised over all ranks; and the mean, the variance and the count, as arrays.

    With `shards` its first dim counts the shards of this rank.
    Raises: ValueError for a single value per channel.
    """
    shape = tuple(x.shape)[shards:]
    axes = (0, *range(2, len(shape)))
    array = x.array
    mean, variance, count = global_moments(parts_of(array, shards), axes, group)
    if count <= 1:
        raise ValueError(
            f"rank {group.rank}: Expected more than 1 value per channel when training, got"
            f" {count} on all ranks together (here: input size {list(shape)})"
        )
    scale = 1 / xp(array).sqrt(variance + eps)
    out = standardise_over_ranks(x, mean, scale, axes, count, group, shards)
    return out, mean, variance, count


def parts_of(x: Any, shards: bool) -> list[Any]:
    """The array of each shard, in one order of memory, for sums follow it; else the whole."""
    return [xp(x).ascontiguousarray(part) for part in x] if shards else [x]


def global_moments(
    parts: list[Any], axes: tuple[int, ...], group: ProcessGroup
) -> tuple[Any, Any, int]:
    """The mean and variance of the arrays of all ranks, and how many values of a channel there are.

    Each part's own mean and squared deviations travel, not sums of squares, which cancel. All ranks
    add them in the order of the ranks, or of the shards, so they get the same bits.
    """
    kept = numpy.stack([_own_moments(part, axes) for part in parts])
    every = numpy.empty((group.size, *kept.shape))
    gathered = _travelling(every, group)
    group.all_gather_into_tensor(gathered, _travelling(kept, group))
    # Shard r + lane * size is that lane of rank r.
    rows = to_host(gathered).swapaxes(0, 1).reshape(-1, kept.shape[1])
    return (*_combined(rows, parts[0], axes), int(rows[:, 0].sum()))


def _own_moments(x: Any, axes: tuple[int, ...]) -> Any:
    """The count, the means and the sums of squared deviations of one array, in a row."""
    wide = x.astype(accumulates_in(x.dtype), copy=False)
    count = 0 if is_absent() else math.prod(x.shape[i] for i in axes)
    mean = wide.sum(axes, keepdims=True) / max(count, 1)
    centred = wide - mean
    deviations = (centred * centred).sum(axes)
    kept = numpy.zeros(2 * deviations.size + 1)
    if count:
        kept[0] = count
        kept[1:] = to_host(xp(x).concatenate([mean.reshape(-1), deviations]))
    return kept


def _travelling(array: Any, group: ProcessGroup) -> Any:
    """A host array as the kind of array that the group moves."""
    if group.array_type is numpy.ndarray:
        return array
    return to_device(array, device_of(group.array_type(0)))


def _combined(every: Any, x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    counts, (means, deviations) = every[:, :1], numpy.split(every[:, 1:], 2, axis=1)
    total = max(counts.sum(), 1.0)
    mean = (counts * means).sum(0) / total
    variance = (deviations + counts * (means - mean) ** 2).sum(0) / total
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    both = [part.reshape(shape).astype(accumulates_in(x.dtype)) for part in (mean, variance)]
    device = device_of(x)
    return to_device(both[0], device), to_device(both[1], device)


_CONSTANT = dict.fromkeys(("mean", "scale", "axes", "count", "group", "shards"))


@primitive(label="SyncBatchNormBackward0")
def standardise_over_ranks(  # type: ignore[no-untyped-def]
    x, mean, scale, axes, count, group, shards
):
    """(x - mean) * scale, where these are statistics over axes and ranks of `x`."""
    out = (xp(x).ascontiguousarray(x) if shards else x) - mean
    out *= scale
    return out.astype(x.dtype, copy=False)


standardise_over_ranks.defvjp(
    x=lambda g, x, mean, scale, axes, count, group, shards: pull_over_ranks(
        g, x, mean, scale, axes, count, group, shards
    ),
    **_CONSTANT,
)


@primitive
def pull_over_ranks(  # type: ignore[no-untyped-def]
    slope, x, mean, scale, axes, count, group, shards
):
    """The gradient that `slope` gives the argument `x`, of which all ranks' means are functions."""
    if shards:
        slope, x = xp(x).ascontiguousarray(slope), xp(x).ascontiguousarray(x)
    out = x - mean
    out *= scale
    means = _means_over_ranks([slope, slope * out], out, axes, count, group, shards)
    out *= means[1]
    out += means[0]
    return ((slope - out) * scale).astype(x.dtype, copy=False)


@primitive
def bend_over_ranks(  # type: ignore[no-untyped-def]
    g, slope, x, mean, scale, axes, count, group, shards
):
    """The gradient that `g` gives the argument `x` of `pull_over_ranks`."""
    if shards:
        g, slope, x = (xp(x).ascontiguousarray(each) for each in (g, slope, x))
    out = (x - mean) * scale
    products = [g, slope, g * out, slope * out, g * slope]
    mg, ms, mgo, mso, mgs = _means_over_ranks(products, out, axes, count, group, shards)
    both = (g - mg - out * mgo) * mso + (slope - ms - out * mso) * mgo
    return (-(both + out * (mgs - mg * ms - mgo * mso)) * scale * scale).astype(x.dtype, copy=False)


pull_over_ranks.defvjp(
    slope=lambda g, x, mean, scale, axes, count, group, shards: pull_over_ranks(
        g, x, mean, scale, axes, count, group, shards
    ),
    x=lambda g, slope, x, mean, scale, axes, count, group, shards: bend_over_ranks(
        g, slope, x, mean, scale, axes, count, group, shards
    ),
    **_CONSTANT,
)


def _means_over_ranks(
    arrays: list[Any], like: Any, axes: Any, count: int, group: ProcessGroup, shards: bool
) -> list[Any]:
    """The mean of each array over `axes` and ranks, shaped to go with `like`."""
    kept = [
        xp(like).stack([array.sum(axes, dtype=like.dtype) for array in part])
        for part in (zip(*arrays, strict=True) if shards else [arrays])
    ]
    sums = kept[0] if len(kept) == 1 else tree_sum(kept)  # of several shards in their tree
    if is_absent():
        sums *= 0
    travelling = sums if type(sums) is group.array_type else _travelling(to_host(sums), group)
    group.all_reduce(travelling)
    with on(device_of(like)):
        means = to_device(to_host(travelling), device_of(like)) / sums.dtype.type(count)
    shape = _channel_shape(like.ndim - shards)
    return [row.reshape(shape) for row in means]
