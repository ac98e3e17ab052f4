"""What a rank does when: batches, backward, optimizer steps, collectives, and how long it waits.

Nothing is measured before `Recorder.start`, and nothing of it costs a rank that does not record:
the hooks are put in then.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import core
from core.data import DataLoader
from core.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from ddp.current_group import current_group, when_set
from ddp.group import ProcessGroup
from ddp.work import Work

DATA, BACKWARD, OPTIMIZER, WAIT = "data", "backward", "optimizer", "wait"
# What all ranks of a group call in one order, so that the n-th call of each is one collective.
_VERBS = """
broadcast all_reduce reduce all_gather all_gather_into_tensor gather scatter reduce_scatter
reduce_scatter_tensor all_to_all all_to_all_single barrier all_reduce_coalesced broadcast_coalesced
all_gather_object gather_object scatter_object_list broadcast_object_list
""".split()
# Bounds the memory of a long run: about 100 bytes each.
MOST = 1_000_000

now = time.monotonic_ns


class Span(NamedTuple):
    """A piece of the main thread's time, in nanoseconds of the monotonic clock."""

    kind: str
    name: str
    start: int
    end: int


class Talk(NamedTuple):
    """One collective on one rank: from its call to its result, and how long the rank waited."""

    name: str
    group: int
    number: int
    start: int
    end: int
    exposed: int
    nbytes: int


class Recording(NamedTuple):
    """All that one rank did; a group's index in `groups` is `Talk.group`."""

    begin: int
    end: int
    spans: list[Span]
    talks: list[Talk]
    groups: list[tuple[int, ...]]
    steps: list[int]
    lost: int


class Recorder:
    """Records this rank between `start` and `stop`."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._talks: list[Talk] = []
        self._groups: list[ProcessGroup] = []
        self._steps: list[int] = []
        self._undo: list[Callable[[], None]] = []
        self._begin = self._end = 0
        self._busy = False
        self._lost = 0
        self._stepping: tuple[int, int] | None = None  # the optimizer and the start of its step
        self._counted: int | None = None  # the optimizer whose steps are the steps
        self._main = threading.get_ident()

    def start(self) -> None:
        """Nothing; from now on what this rank does is recorded."""
        self._begin = now()
        before, after = self._step_begins, self._step_ended
        hooks = register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)
        self._undo = [hook.remove for hook in hooks]
        self._replace(DataLoader, "__iter__", self._timed_batches(DataLoader.__iter__))
        self._replace(core.Tensor, "backward", self._timed_backward(core.Tensor.backward))
        self._undo.append(when_set(self._attach))
        group = current_group()
        if group is not None:
            self._attach(group)

    def stop(self) -> Recording:
        """What was recorded; the hooks are taken away."""
        self._end = now()
        while self._undo:
            self._undo.pop()()
        groups = [tuple(group.ranks) for group in self._groups]
        return Recording(
            self._begin, self._end, self._spans, self._talks, groups, self._steps, self._lost
        )

    # ---- what is written down ----

    def _add(self, kind: str, name: str, start: int, end: int) -> None:
        if len(self._spans) < MOST and threading.get_ident() == self._main:
            self._spans.append(Span(kind, name, start, end))
        else:
            self._lost += 1

    def _replace(self, owner: Any, name: str, value: Any) -> None:
        before = vars(owner).get(name)
        setattr(owner, name, value)
        if before is None:
            self._undo.append(lambda: delattr(owner, name))
        else:
            self._undo.append(lambda: setattr(owner, name, before))

    def _timed_batches(self, begin: Callable[[Any], Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        @functools.wraps(begin)
        def timed(loader: Any) -> Iterator[Any]:
            return _Batches(begin(loader), self._add)

        return timed

    def _timed_backward(self, backward: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(backward)
        def timed(*args: Any, **kwargs: Any) -> None:
            start = now()
            backward(*args, **kwargs)
            self._add(BACKWARD, "backward", start, now())

        return timed

    def _step_begins(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._stepping = id(optimizer), now()

    def _step_ended(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if self._stepping is None or self._stepping[0] != id(optimizer):
            return
        end = now()
        self._add(OPTIMIZER, f"{type(optimizer).__name__}.step", self._stepping[1], end)
        if self._counted in (None, id(optimizer)):
            self._counted = id(optimizer)
            self._steps.append(end)

    # ---- groups ----

    def _attach(self, group: ProcessGroup) -> None:
        index = len(self._groups)
        self._groups.append(group)
        count = iter(range(1 << 62))
        for verb in _VERBS:
            self._watch(group, verb, index, count)
        make = group.subgroup

        def subgroup(*args: Any, **kwargs: Any) -> Any:
            part = make(*args, **kwargs)
            self._attach(part)
            return part

        self._replace(group, "subgroup", subgroup)

    def _watch(self, group: ProcessGroup, verb: str, index: int, count: Iterator[int]) -> None:
        call = getattr(group, verb)

        @functools.wraps(call)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._busy:  # one verb in terms of another
                return call(*args, **kwargs)
            number, start = next(count), now()
            self._busy = True
            try:
                work = call(*args, **kwargs)
            finally:
                self._busy = False
            name, nbytes = _described(verb, args)
            talk = Talk(name, index, number, start, 0, 0, nbytes)
            if isinstance(work, Work) and not work.done:
                self._follow(work, talk)
            else:
                end = now()
                self._add(WAIT, name, start, end)
                self._over(talk, end, end - start)
            return work

        self._replace(group, verb, timed)

    def _follow(self, work: Work, talk: Talk) -> None:
        """Write an asynchronous collective down when it is done, with the time of its `wait`."""
        ended: list[int] = []
        wait = work.wait

        def timed(timeout: float | timedelta | None = None) -> bool:
            start = now()
            done = wait(timeout)
            end = now()
            self._add(WAIT, f"wait for {talk.name}", start, end)
            self._over(talk, ended[0] if ended else end, end - start)
            work.wait = wait  # type: ignore[method-assign]
            return done

        work.at_end = lambda: ended.append(now())
        work.wait = timed  # type: ignore[method-assign]

    def _over(self, talk: Talk, end: int, exposed: int) -> None:
        if len(self._talks) < MOST:
            self._talks.append(talk._replace(end=end, exposed=exposed))
        else:
            self._lost += 1


class _Batches:
    """An iterator over batches that says how long each took."""

    def __init__(self, batches: Iterator[Any], add: Callable[[str, str, int, int], None]) -> None:
        self._batches, self._add = batches, add

    def __iter__(self) -> Iterator[Any]:
        return self

    def __len__(self) -> int:
        return len(self._batches)  # type: ignore[arg-type]

    def __next__(self) -> Any:
        start = now()
        batch = next(self._batches)
        self._add(DATA, "next batch", start, now())
        return batch


def _described(verb: str, args: tuple[Any, ...]) -> tuple[str, int]:
    """A verb with the dtype and shape of its first array, and that array's size in bytes."""
    array: Any = args[0] if args else None
    if isinstance(array, list) and array:
        array = array[0]
    if not hasattr(array, "nbytes"):
        return verb, 0
    return f"{verb} {array.dtype} {tuple(array.shape)}", int(array.nbytes)
