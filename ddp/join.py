"""Uneven inputs: what ranks do that have no more batches while others still train.

Ranks that train announce each forward and each backward with one small reduction. A rank that has
run out listens, and does the same with the last batch it had, counted as no samples at all: so it
takes part in every collective of the model, in the same order, and adds zeros of weight zero.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy

from core import random
from core.autograd.accumulate import Session, queue_callback
from core.autograd.mode import enable_grad
from core.autograd.place import where_it_lies
from core.backend import device_of, on
from ddp.absence import absent, is_absent
from ddp.group import ProcessGroup, ReduceOp
from ddp.joinable import Joinable
from ddp.lifecycle import default_group
from ddp.nested import map_tensors, size_along, tensors_of
from ddp.weight import current_weight

# What ranks with data announce: the end of a backward, or something that one of the models does.
_BACKWARD_ENDED = 1
_FORWARD, _SYNCED, _LOCAL = range(2, 5)
_WEIGHTED = 2  # added to a backward that says what its loss weighs
_KINDS = 5
_NOBODY = numpy.iinfo(numpy.int64).min
_END = object()


class Join:
    """A context in which ranks may run out of batches: the others go on as if they were alone.

    Gradients are summed over the ranks that still have batches and divided by the number of all
    ranks; with `divide_by_initial_world_size=False` by that of those ranks; with None they are the
    mean over their samples. At the end every rank has the parameters, the buffers (where they are
    broadcast), and of optimizers the state, of a rank that was last. With
    `throw_on_early_termination` all ranks raise RuntimeError as soon as one has run out.
    Raises: ValueError for a model on several logical shards per rank.
    """

    def __init__(
        self,
        joinables: Iterable[Any],
        enable: bool = True,
        throw_on_early_termination: bool = False,
        *,
        divide_by_initial_world_size: bool | None = True,
        **kwargs: Any,
    ) -> None:
        given = list(joinables)
        self.models = [j for j in given if hasattr(j, "reducer")]
        self.guests = [j for j in given if isinstance(j, Joinable)]
        self.hooks = [guest.join_hook(**kwargs) for guest in self.guests]
        self.optimizers = [j for j in given if j not in self.models and j not in self.guests]
        self.enable, self.throw = enable, throw_on_early_termination
        self.by_initial_size = divide_by_initial_world_size is True
        self.by_samples = divide_by_initial_world_size is None
        groups = [model.process_group for model in self.models]
        groups += [default_group(guest.join_process_group) for guest in self.guests]
        if not groups:
            raise ValueError("Join expects at least one DistributedDataParallel or Joinable")
        self.group: ProcessGroup = groups[0]
        if any(group is not self.group for group in groups):
            raise ValueError("Join expects members of one process group")
        if any(model.lanes is not None for model in self.models):
            raise ValueError("Join: logical shards need batches of equal size on all ranks")
        self.root = 0
        self.is_last = True
        self.in_backward = False

    def __enter__(self) -> Join:
        if self.enable and self.group.size > 1:
            for i, model in enumerate(self.models):
                model.company = Company(self, i, model)
        for guest in self.guests if self.enable else ():
            guest.joined_by = self
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        companies = [m.company for m in self.models if m.company is not None]
        try:
            if kind is None and self.enable and (companies or self.guests):
                with absent():
                    self._keep_company(companies)
                self._share_the_last_state()
        finally:
            for model in self.models:
                model.company = None
                model.reducer.weights.share = None
            for guest in self.guests:
                guest.joined_by = None

    @staticmethod
    def notify_join_context(joinable: Joinable) -> None:
        """Nothing; ranks without data run the main hook of `joinable`, whose step begins."""
        join = joinable.joined_by
        if join is not None and not is_absent():
            number = len(join.models) + join.guests.index(joinable)
            join.tell(_KINDS * number + _FORWARD)

    def tell(self, code: int, needs_input: bool = False) -> tuple[int, bool]:
        """What the ranks with data do now (0: there are none), and whether a rank needs an input.

        Raises: RuntimeError where ranks with data do different things, or where one has run out and
            that is to be an error.
        """
        rank = self.group.rank
        word = numpy.array([code, -code, -rank, 0, needs_input], numpy.int64)
        if not code:
            word[1:4] = _NOBODY, _NOBODY, 1
        self.group.all_reduce(word, ReduceOp.MAX, label="join")
        found = int(word[0])
        if found and found != -word[1]:
            raise RuntimeError(
                f"rank {rank}: inside Join the ranks with data differ: some run"
                f" {self._words(found)}, others {self._words(-int(word[1]))}"
            )
        if found:
            self.root = -int(word[2])
        if self.throw and found and word[3]:
            raise RuntimeError(_ran_out(rank, not code))
        return found, bool(word[4])

    def announce_backward(self, code: int) -> None:
        """Tell ranks without data of a backward, which another one may have led to."""
        if not self.in_backward:
            self.in_backward = True
            queue_callback(self._backward_ended)  # before those that wait for gradients
        self.tell(code)

    def _backward_ended(self) -> None:
        self.in_backward = False
        for model in self.models:
            model.company.announced = False
        self.tell(_BACKWARD_ENDED)

    def _words(self, code: int) -> str:
        if code == _BACKWARD_ENDED:
            return "the end of a backward"
        i, kind = _decoded(code)
        if i >= len(self.models):
            return f"a step of {type(self.guests[i - len(self.models)]).__name__}"
        return f"a {'forward' if kind == _FORWARD else 'backward'} of model {i}"

    def _keep_company(self, companies: list[Company]) -> None:
        """Do as the ranks with data do, until there are none; or until their backward has ended."""
        while True:
            code, wanted = self.tell(0, any(c.model.last_input is None for c in companies))
            if code in (0, _BACKWARD_ENDED):
                return
            self.is_last = False
            i, kind = _decoded(code)
            if i >= len(self.models):
                self.hooks[i - len(self.models)].main_hook()
            elif kind == _FORWARD:
                companies[i].follow_forward(wanted)
            elif self.in_backward:
                companies[i].follow_backward(kind)
            else:
                self._follow_backwards(companies, companies[i], kind)

    def _follow_backwards(self, companies: list[Company], first: Company, kind: int) -> None:
        self.in_backward = True
        with Session():  # nothing is waited for before the end of the outermost backward
            first.follow_backward(kind)
            self._keep_company(companies)
        self.in_backward = False

    def _share_the_last_state(self) -> None:
        for model in self.models:
            model.broadcast_state(self.root, model.broadcast_buffers)
        for hook in self.hooks:
            hook.post_hook(self.is_last)
        states = [o.state_dict() if self.group.rank == self.root else None for o in self.optimizers]
        if states:
            self.group.broadcast_object_list(states, self.root)
        for optimizer, state in zip(self.optimizers, states, strict=True):
            if self.group.rank != self.root:
                optimizer.load_state_dict(state)


class Company:
    """One model inside a Join: what it announces, and what it does for ranks with data."""

    def __init__(self, join: Join, index: int, model: Any) -> None:
        self.join, self.model = join, model
        self.codes = _KINDS * index
        self.announced = False
        self.kept: list[Any] = []
        self.used = False
        whole = [m for m in model.module.modules() if getattr(m, "needs_whole_batch", False)]
        self.shared = {id(b) for m in whole for b in m.buffers()}
        self.share(0.0)

    def share(self, weight: float) -> None:
        """Let what a backward gives weigh this much, where it does not say so itself."""
        self.model.reducer.weights.share = None if self.join.by_initial_size else weight

    # ---- on a rank with data ----

    def forward(self, inputs: Any, kwargs: Any) -> Any:
        """The module's output, announced to ranks without data; its backward will be, too."""
        model = self.model
        _, wanted = self.join.tell(self.codes + _FORWARD)
        model.last_input = detached((inputs, kwargs))
        if wanted:
            self.pass_input()
        if not self.join.by_samples:
            self.share(1.0)
            out = model.module(*inputs, **kwargs)
        else:
            out = self._weighted_by_samples(inputs, kwargs)
        for x in tracked(out):
            x.register_hook(self._announce)
        return out

    def _weighted_by_samples(self, inputs: Any, kwargs: Any) -> Any:
        count = size_along((inputs, kwargs)) or 0
        self.share(float(count))
        # The loss is a mean: inside the model gradients are those of the sum, outside they are as
        # they were. Statistics over ranks need that already; a later factor would come too late.
        inputs, kwargs = map_tensors((inputs, kwargs), lambda x: weighted(x, 1 / max(count, 1)))
        out = self.model.module(*inputs, **kwargs)
        for x in tracked(out):
            x.register_hook(lambda g: _times(g, count))
        return out

    def pass_input(self) -> None:
        """Give the inputs of a rank with data to those that never had any."""
        group, root = self.join.group, self.join.root
        box = [self.model.last_input if group.rank == root else None]
        group.broadcast_object_list(box, root)
        if self.model.last_input is None:
            self.model.last_input = box[0]

    def _announce(self, _: Any) -> None:
        if not self.announced:
            self.announced = True
            kind = _SYNCED if self.model.reducer.syncing else _LOCAL
            kind += 0 if current_weight() is None else _WEIGHTED
            self.join.announce_backward(self.codes + kind)

    # ---- on a rank without ----

    def follow_forward(self, wanted: bool) -> None:
        """Do as the others, with the last batch; random numbers and buffers stay as they were."""
        if wanted:
            self.pass_input()
        if self.used:
            self.kept, self.used = [], False
        inputs, kwargs = self.model.last_input
        own = [b for b in self.model.module.buffers() if id(b) not in self.shared]
        before = [_copy_of(b.array) for b in own]
        with enable_grad(), random.fork_rng():
            self.kept += tracked(self.model.module(*inputs, **kwargs))
        for b, array in zip(own, before, strict=True):
            with on(device_of(b.array)):
                b.array[...] = array

    def follow_backward(self, kind: int) -> None:
        """Do as the others, with gradients that are zero."""
        reducer = self.model.reducer
        self.share(0.0)
        if kind >= _SYNCED + _WEIGHTED:
            reducer.weights.share = 0.0
        synced = kind in (_SYNCED, _SYNCED + _WEIGHTED)
        self.used = True
        for p in reducer.parameters:
            p.grad = None
        with contextlib.nullcontext() if synced else self.model.no_sync():
            total = self.kept[0].sum()
            for x in self.kept[1:]:
                total = total + x.sum()
            total.backward(retain_graph=True)


def _ran_out(rank: int, here: bool) -> str:
    if here:
        return f"Rank {rank} exhausted all inputs, so all ranks stop"
    return f"rank {rank}: Detected at least one rank that exhausted inputs, so all ranks stop"


@where_it_lies
def _copy_of(array: Any) -> Any:
    return array.copy()


def _decoded(code: int) -> tuple[int, int]:
    i, kind = divmod(code - _FORWARD, _KINDS)
    return i, kind + _FORWARD


def tracked(out: Any) -> list[Any]:
    """The tensors in nested `out` through which gradients can come."""
    return [x for x in tensors_of(out) if x.needs_grad]


def detached(x: Any) -> Any:
    """Nested `x` with its tensors cut from the graph that they come from."""
    return map_tensors(x, lambda t: t.detach().requires_grad_(t.needs_grad))


def weighted(x: Any, factor: float) -> Any:
    """A tensor equal to `x` whose gradient becomes `factor` times as large on its way to `x`."""
    if not x.needs_grad:
        return x
    out = x.clone()
    out.register_hook(lambda g: _times(g, factor))
    return out


def _times(g: Any, factor: float) -> Any:
    return g * factor if current_weight() is None else None


# ---- around a loop ----------------------------------------------------------------------------


def stop_together(batches: Iterable[Any], group: Any = None) -> Iterator[Any]:
    """The batches of this rank up to where the first rank has no more: as many on every rank."""
    pg = default_group(group)
    source = iter(batches)
    while True:
        batch = next(source, _END)
        more = numpy.array([batch is not _END], numpy.uint8)
        pg.all_reduce(more, ReduceOp.MIN, label="another batch on every rank")
        if not more[0]:
            return
        yield batch


def uneven(
    batches: Iterable[Any], how: str = "error", *joinables: Any, group: Any = None
) -> Iterator[Any]:
    """The batches of this rank, of which ranks may have different numbers.

    With "stop" all end when the first rank has no more; with "join" (which takes the models, and
    optimizers if their state matters) the others go on alone; with "error" they raise.
    """
    if how not in ("error", "stop", "join"):
        raise ValueError(f"how: expected 'error', 'stop' or 'join', got {how!r}")
    if how == "stop":
        return stop_together(batches, group)
    return _joined(batches, joinables) if how == "join" else iter(batches)


def _joined(batches: Iterable[Any], joinables: Any) -> Iterator[Any]:
    with Join(joinables, divide_by_initial_world_size=None):
        yield from batches
