"""Logical shards: one step computed as S equal parts, with the same results whoever computes them.

Rank r of W computes shards r, r + W, r + 2W, ...; each has its slice `x[i::S/W]` of the local
batch, its own random stream, its own copy of the buffers as they were before the step, and its own
gradients, which the reducer adds up in one fixed tree.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core import random
from core.autograd.value import Value, leaf_of, version_of
from core.backend import device_of, on
from core.nn.stateless import stand_ins
from core.ops.join import stack
from core.recompute import again_in
from ddp.abreast import Meeting, NoMeeting, abreast, at
from ddp.nested import columns, cut, remade, size_along


def check_shards(shards: int, size: int) -> int:
    """The number of shards per rank.

    Raises: ValueError unless `shards` is a power of two and a multiple of the number of ranks.
    """
    if type(shards) is not int or shards < 1 or shards & (shards - 1):
        raise ValueError(f"shards: expected a power of two, got {shards!r}")
    if shards % size:
        raise ValueError(
            f"shards: expected a multiple of the {size} ranks, got {shards}, so that every rank"
            " computes equally many"
        )
    return shards // size


def warn_of_threads(environ: Mapping[str, str]) -> None:
    """Nothing; a warning where the BLAS may use several threads, which may change bits."""
    limits = [environ.get(f"{library}_NUM_THREADS") for library in ("OMP", "OPENBLAS", "MKL")]
    if "1" not in limits:
        warnings.warn(
            "logical shards give the same bits on any number of ranks only if each rank has one"
            " BLAS thread: start with `python -m launch --shards S`, or set OMP_NUM_THREADS=1",
            stacklevel=2,
        )


# ---- inputs and outputs -----------------------------------------------------------------------


def split(inputs: Any, parts: int, rank: int = 0) -> list[Any]:
    """`inputs` cut in `parts`: every tensor of the batch's size gives `x[i::parts]` to part i.

    The batch's size is the first size of the first tensor; anything else goes to every part whole.
    Raises: ValueError where the batch does not divide evenly.
    """
    batch = size_along(inputs)
    if batch is not None and batch % parts:
        raise ValueError(
            f"rank {rank}: a batch of {batch} samples cannot be cut in {parts} equal shards; use a"
            f" batch that is a multiple of {parts} (drop_last=True leaves the odd one out)"
        )
    return [cut(inputs, functools.partial(_part, batch, parts, i)) for i in range(parts)]


def _part(batch: int | None, parts: int, i: int, x: Any) -> Any:
    return x[i::parts] if x.array.ndim and x.array.shape[0] == batch else x


def interleave(outs: Sequence[Any], samples: int | None = None, rank: int = 0) -> Any:
    """The parts' outputs as one, in the order of the samples before `split`.

    Zero-dim tensors, such as losses, become their mean; what is no tensor must be equal in all.
    Raises: TypeError for outputs that cannot be joined; ValueError for a tensor whose first size is
        not the number of `samples` of a part, if that is given.
    """
    first = outs[0]
    if len(outs) == 1:
        return first
    if isinstance(first, Value):
        return _interleave_tensors(outs, samples, rank)
    found = columns(outs)
    if found is not None:
        return remade(first, [interleave(column, samples, rank) for column in found])
    if any(out != first for out in outs):
        raise TypeError(f"cannot join the shards' outputs {list(outs)!r:.80}: they differ")
    return first


def _interleave_tensors(outs: Sequence[Any], samples: int | None, rank: int) -> Any:
    first = outs[0]
    if not first.ndim:
        return tree_mean(list(outs))
    odd = next((out for out in outs if samples not in (None, len(out))), None)
    if odd is not None:
        raise ValueError(
            f"rank {rank}: an output of shape {tuple(odd.shape)} of a logical shard of {samples}"
            " samples cannot be joined with the others': return the samples in the first dim, or a"
            " loss without dims"
        )
    joined = stack(list(outs), 1)
    return joined.reshape(first.shape[0] * len(outs), *first.shape[1:])


def tree_mean(values: list[Any]) -> Any:
    """The mean of 1, 2, 4, ... tensors, added in the order of the shards' tree."""
    count = len(values)
    while len(values) > 1:
        half = len(values) // 2
        values = [values[i] + values[i + half] for i in range(half)]
    return values[0] / count


# ---- one shard at a time ----------------------------------------------------------------------


class _Inside:
    """A context in which a module's parameters are their stand-ins of one lane."""

    # A class, made once, where a generator would be made for every forward: 1 us against 2.4.
    __slots__ = ("pairs", "swaps")

    def __init__(self, parameters: list[Any], aliases: list[Any], places: list[Any]) -> None:
        self.pairs = list(zip(aliases, parameters, strict=True))
        self.swaps = [(table, name, aliases[i], parameters[i]) for table, name, i in places]

    def __enter__(self) -> None:
        for alias, p in self.pairs:
            alias.array, alias.needs_grad = p.array, p.needs_grad
            alias.version = p.version or version_of(p)
        for table, name, alias, _ in self.swaps:
            table[name] = alias
        stand_ins.depth += 1

    def __exit__(self, *_: Any) -> None:
        stand_ins.depth -= 1
        for table, name, _, p in self.swaps:
            table[name] = p


class Lanes:
    """Stand-ins for a module's parameters, one set per local shard: same memory, own gradients."""

    def __init__(
        self,
        module: Any,
        parameters: Sequence[Any],
        count: int,
        group: Any,
        before: Lanes | None = None,
    ) -> None:
        self.module, self.group = module, group
        self.parameters = list(parameters)
        number = {id(p): i for i, p in enumerate(self.parameters)}
        places = [
            (owner._parameters, name, number[id(p)])
            for owner in module.modules()
            for name, p in owner._parameters.items()
            if p is not None and id(p) in number
        ]
        # Those that there are stay: a forward may have used them whose backward is to come.
        known = before.by_parameter() if before is not None else {}
        self.aliases = [
            [known[id(p)][lane] if id(p) in known else alias_of(p) for p in self.parameters]
            for lane in range(count)
        ]
        for p, column in zip(self.parameters, zip(*self.aliases, strict=True), strict=True):
            leaf_of(p).stand_ins = column
        self.inside = [_Inside(self.parameters, aliases, places) for aliases in self.aliases]
        self.first_again = functools.partial(self.again, 0)
        known_buffers = before.buffers if before is not None else None
        self.buffers: LaneBuffers = known_buffers or LaneBuffers(module, count)
        # Some layer wants what all shards have there.
        self.meets = any(getattr(m, "needs_whole_batch", False) for m in module.modules())

    def by_parameter(self) -> dict[int, Sequence[Any]]:
        """The stand-ins of each parameter, by its id."""
        columns = zip(*self.aliases, strict=True)
        return {id(p): column for p, column in zip(self.parameters, columns, strict=True)}

    def entered(self, lane: int) -> _Inside:
        """A context in which the module's parameters are the stand-ins of one lane."""
        return self.inside[lane]

    @contextlib.contextmanager
    def again(self, lane: int) -> Iterator[None]:
        """A context in which backward computes a part of one lane's forward again."""
        kind = Meeting if len(self.aliases) == 1 else NoMeeting
        place = at(kind(self.group) if self.meets else None)
        with self.buffers.entered(lane), self.entered(lane), place:
            yield
        self.buffers.note()

    def run(self, inputs: Any, kwargs: Any) -> Any:
        """The module's output for the local batch, computed shard after shard."""
        count, rank = len(self.aliases), self.group.rank
        if count == 1:
            with self.inside[0], random.stream(rank), again_in(self.first_again):
                if not self.meets:
                    return self.module(*inputs, **kwargs)
                with at(Meeting(self.group)):
                    return self.module(*inputs, **kwargs)
        parts = split((inputs, kwargs), count, rank)
        samples = size_along(parts[0])
        self.buffers.begin()
        outs = self._abreast(parts) if self.meets else self._in_turn(parts)
        self.buffers.note()
        return interleave(outs, samples, rank)

    def _in_turn(self, parts: Sequence[Any]) -> list[Any]:
        rank, size = self.group.rank, self.group.size
        generator = random.default_generator()
        start = end = generator.offset
        outs = []
        for lane, (args, options) in enumerate(parts):
            generator.offset = start
            inside = functools.partial(self.again, lane)
            with self._around(lane), random.stream(rank + lane * size), again_in(inside):
                outs.append(self.module(*args, **options))
            end = max(end, generator.offset)
        generator.offset = end
        return outs

    @contextlib.contextmanager
    def _around(self, lane: int) -> Iterator[None]:
        with self.buffers.entered(lane), self.entered(lane):
            yield

    def _abreast(self, parts: Sequence[Any]) -> list[Any]:
        """The outputs of all parts, whose computations meet in layers that need the whole batch."""
        generator = random.default_generator()
        offsets = [generator.offset] * len(parts)

        @contextlib.contextmanager
        def around(lane: int) -> Iterator[None]:
            generator.offset = offsets[lane]
            try:
                with (
                    self._around(lane),
                    random.stream(self.group.rank + lane * self.group.size),
                ):
                    yield
            finally:
                offsets[lane] = generator.offset

        def computed(lane: int) -> Any:
            args, options = parts[lane]
            with again_in(functools.partial(self.again, lane)):
                return self.module(*args, **options)

        try:
            calls = [functools.partial(computed, lane) for lane in range(len(parts))]
            return abreast(self.group, calls, around)
        finally:
            generator.offset = max(offsets)


class LaneBuffers:
    """A module's buffers as each local shard has them: the first one's are the module's own.

    Each has tensors of its own, for its graph may hold them. The others begin with copies, and keep
    what they make of them until the module's own are renewed: as ranks do, from one broadcast to
    the next.
    """

    def __init__(self, module: Any, count: int) -> None:
        self.owners = [m for m in module.modules() if m._buffers]
        self.count = count
        self.own: list[list[dict[str, Any]]] = []
        self.seen: list[tuple[Any, int]] = []

    def begin(self) -> None:
        """Nothing; every shard has its buffers: new copies, if somebody has written the first."""
        found = self._now()
        same = len(found) == len(self.seen) and all(
            b is known and count == written
            for (b, count), (known, written) in zip(found, self.seen, strict=True)
        )
        if not (self.own and same):
            self.own = [[_copied(m._buffers) for m in self.owners] for _ in range(1, self.count)]

    def note(self) -> None:
        """Nothing; what the first shard's buffers are now is its own doing."""
        self.seen = self._now()

    def renew(self) -> None:
        """Nothing; the next forward begins with the first shard's buffers in all of them."""
        self.own = []

    def _now(self) -> list[tuple[Any, int]]:
        return [
            (b, 0 if b is None or b.version is None else b.version[0])
            for m in self.owners
            for b in m._buffers.values()
        ]

    @contextlib.contextmanager
    def entered(self, lane: int) -> Iterator[None]:
        """A context in which the module has the buffers of one shard."""
        if not lane:
            yield
            return
        if not self.own:
            self.begin()
        first = [m._buffers for m in self.owners]
        self._put(self.own[lane - 1])
        try:
            yield
        finally:
            self._put(first)

    def _put(self, tables: list[dict[str, Any]]) -> None:
        for m, table in zip(self.owners, tables, strict=True):
            m.__dict__["_buffers"] = table


def _copied(table: dict[str, Any]) -> dict[str, Any]:
    return {name: None if b is None else _copy_of(b) for name, b in table.items()}


def _copy_of(b: Any) -> Any:
    copied = object.__new__(type(b))
    with on(device_of(b.array)):
        copied.array = b.array.copy()
    copied.node = copied.base = copied.leaf = copied.version = None
    copied.needs_grad = False
    copied.__dict__ = dict(vars(b))
    return copied


def alias_of(p: Any) -> Any:
    """A leaf with the memory and the attributes of `p`, and a gradient of its own."""
    alias = object.__new__(type(p))
    alias.array, alias.version = p.array, version_of(p)
    alias.node = alias.base = alias.leaf = None
    alias.needs_grad = True
    alias.__dict__ = p.__dict__
    return alias
