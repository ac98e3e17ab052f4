"""What ranks must have in common before they train: the same module, with the same numbers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from core.nn.stateless import stand_ins
from core.pinned import from_pinned, to_pinned
from ddp.group import ProcessGroup
from ddp.staging import needs_host


class Plan:
    """Which objects of a module were wrapped, so that what replaces or joins them is noticed.

    What is `ignored`, by name, is each rank's own affair.
    """

    def __init__(self, module: Any, rank: int, ignored: Collection[str] = ()) -> None:
        self.module, self.rank, self.ignored = module, rank, ignored
        self.places: list[tuple[dict[str, Any], str, Any, str]] = []
        self.parameters: list[tuple[dict[str, Any], str, Any, str]] = []
        self.arrays: list[Any] = []
        self.frozen: list[Any] = []
        self.tables: list[dict[str, Any]] = []
        self.known: list[tuple[frozenset[str], str]] = []
        self.buffer_tables: list[tuple[dict[str, Any], str]] = []
        for prefix, owner in module.named_modules():
            dotted = f"{prefix}." if prefix else ""
            self.buffer_tables.append((owner._buffers, dotted))
            for table in (owner._parameters, owner._modules):
                self.tables.append(table)
                self.known.append((frozenset(table), dotted))
            for name, x in owner._modules.items():
                if not self._is_ignored(x, f"{dotted}{name}."):
                    self.places.append((owner._modules, name, x, f"module {dotted}{name}"))
            for name, x in owner._parameters.items():
                if f"{dotted}{name}" not in ignored:
                    self._note(owner._parameters, name, x, f"parameter {dotted}{name}")
        self.count = sum(map(len, self.tables))
        self.looked = False  # since the last backward
        self.kind = type(self.parameters[0][2].array) if self.parameters else None

    def _is_ignored(self, module: Any, prefix: str) -> bool:
        """Whether nothing of a module is reduced, so that it may become another one."""
        if module is None or not self.ignored:
            return False
        named = [*module.named_parameters(prefix[:-1]), *module.named_buffers(prefix[:-1])]
        return bool(named) and all(name in self.ignored for name, _ in named)

    def _note(self, table: dict[str, Any], name: str, x: Any, full: str) -> None:
        if x is None:
            self.places.append((table, name, x, full))
            return
        self.parameters.append((table, name, x, full))
        self.arrays.append(x.array)
        if not x.needs_grad:
            self.frozen.append(x)

    def changed(self) -> bool:
        """Whether a parameter that was frozen requires a gradient now, or one has a new form.

        Raises: RuntimeError naming a parameter or layer that was replaced, taken away or added.
        """
        for table, name, x, full in self.places:
            if table.get(name) is not x:
                raise self._replaced(full)
        self.looked = True
        if sum(map(len, self.tables)) != self.count:
            self._refuse_what_was_added()
        converted = bool(self.parameters) and type(self.parameters[0][2].array) is not self.kind
        for i, (table, name, p, full) in enumerate(self.parameters):
            array = p.array
            if table.get(name) is not p:
                if stand_ins.depth:
                    return False
                raise self._replaced(full)
            if array is not self.arrays[i]:
                if _is_alike(array, self.arrays[i]):
                    self.arrays[i] = array  # the other one may be free
                else:
                    converted = True
        return converted or (bool(self.frozen) and any(x.needs_grad for x in self.frozen))

    def _refuse_what_was_added(self) -> None:
        for table, (known, dotted) in zip(self.tables, self.known, strict=True):
            for name in table:
                if name not in known:
                    raise RuntimeError(
                        f"rank {self.rank}: {dotted}{name} was added after the module was wrapped:"
                        " its gradient would not be reduced. Add it before wrapping, or wrap again"
                    )

    def _replaced(self, full: str) -> RuntimeError:
        return RuntimeError(
            f"rank {self.rank}: {full} was replaced after the module was wrapped: its gradient"
            " would not be reduced. Change it before wrapping, wrap again, or write into the one"
            " that is there"
        )

    def buffers(self) -> list[Any]:
        """The module's buffers, those assigned since included."""
        found: dict[int, Any] = {}
        for table, dotted in self.buffer_tables:
            for name, b in table.items():
                if b is not None and not (self.ignored and f"{dotted}{name}" in self.ignored):
                    found[id(b)] = b
        return list(found.values())


def _is_alike(a: Any, b: Any) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape


def broadcast_all(tensors: list[Any], group: Any, root: int) -> None:
    """Give every rank the root's values of these tensors, in one message per dtype."""
    by_dtype: dict[str, list[Any]] = {}
    for x in tensors:
        by_dtype.setdefault(str(x.array.dtype), []).append(x.array)
    for arrays in by_dtype.values():
        staged = [to_pinned(x) if needs_host(x, group) else x for x in arrays]
        group.broadcast_coalesced(staged, root)
        for x, host in zip(arrays, staged, strict=True):
            if x is not host:
                from_pinned(host, x)


def describe(module: Any, ignored: Collection[str] = ()) -> list[tuple[Any, ...]]:
    """What must be equal on all ranks: parameters and buffers by name, shape, dtype, place, flag.

    The place is the kind of device: which of its GPUs a rank uses is its own affair.
    """
    named = [("parameter", *found) for found in module.named_parameters()]
    named += [("buffer", *found) for found in module.named_buffers()]
    out: list[tuple[Any, ...]] = []
    for kind, name, x in named:
        flag = kind == "parameter" and x.requires_grad
        out.append((kind, name, tuple(x.shape), str(x.dtype), x.device.type, flag))
    return [entry for entry in out if entry[1] not in ignored]


def compare_modules(
    module: Any, group: ProcessGroup, ignored: Collection[str], options: dict[str, Any]
) -> None:
    """Nothing; the ranks' modules, and the options with which they are wrapped, are the same.

    Raises: ValueError, on every rank, naming the first difference.
    """
    gathered: list[Any] = [None] * group.size
    group.all_gather_object(gathered, (options, describe(module, ignored)))
    first = gathered[0][0]
    for rank, (theirs, _) in enumerate(gathered):
        for name in first:
            if theirs[name] != first[name]:
                raise ValueError(
                    f"rank {group.rank}: the ranks' arguments differ: rank 0 has"
                    f" {name}={first[name]}, rank {rank} has {name}={theirs[name]}"
                )
    every = [module for _, module in gathered]
    for rank, other in enumerate(every):
        if other != every[0]:
            raise ValueError(
                f"rank {group.rank}: the ranks' modules differ: {first_difference(every, rank)}"
            )


def first_difference(every: list[Any], rank: int) -> str:
    """The first entry in which `rank` differs from rank 0, in words."""
    mine, theirs = every[rank], every[0]
    for a, b in zip(theirs, mine, strict=False):
        if a != b:
            return f"rank 0 has {_words(a)}, rank {rank} has {_words(b)}"
    longer, who = (theirs, 0) if len(theirs) > len(mine) else (mine, rank)
    extra = longer[min(len(mine), len(theirs))]
    return f"rank {who} has {_words(extra)}, which rank {rank if who == 0 else 0} has not"


def _words(entry: tuple[Any, ...]) -> str:
    kind, name, shape, dtype, device, requires_grad = entry
    flag = ", requires_grad" if requires_grad else ""
    return f"{kind} {name} {dtype} {shape} on {device}{flag}"
