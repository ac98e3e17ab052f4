"""All-reduce in one meeting, where every rank is on this node: what training does most often.

The general way (`GroupCore.start`) builds a generator and a record per call: 25 us. Here each kind
of call is checked and put into words once. A rank that has to wait for long goes on in the general
way, with its deadline, its progress of other operations and its roll call.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ddp.backends.arena import SMALL_BYTES, Arena
from ddp.backends.shared import Piece, SharedSchedule
from ddp.call import Call, call_site
from ddp.group_core import GroupCore, Timeout
from ddp.guard import BoardGuard
from ddp.reduction import (
    COMBINE,
    Array,
    ReduceOp,
    exact_factor,
    is_narrow_float,
    reduce_into,
)
from ddp.work import Steps

# About 100 us: a collective without messages is over by then, or waits for a rank that is late.
_LOOKS = 500
# Where ranks share cores: how often the others are let run in place of a look.
_YIELDS = 100
_KINDS = 1024


class _Kind:
    """What all calls with one dtype, shape, op and label share."""

    __slots__ = ("areas", "calls", "combine", "described", "factor")

    def __init__(self, described: tuple[str, int, str], areas: list[list[Array]] | None) -> None:
        self.described, self.areas = described, areas
        self.calls: dict[str, Call] = {}  # by file and line
        self.combine: Callable[..., Array] | None = None
        self.factor: Array | None = None

    def call(self, site: str) -> Call:
        found = self.calls.get(site)
        if found is None:
            found = self.calls[site] = Call(*self.described, site)
        return found

    def reduce(self, out: Array, inputs: list[Array], op: ReduceOp) -> None:
        if self.combine is None:
            reduce_into(out, inputs, op)
        else:
            self.combine(inputs[0], inputs[1], out=out)
            if self.factor is not None:
                np.multiply(out, self.factor, out=out)


class _Located(NamedTuple):
    """Where an array lies in shared memory, and what this rank reduces of it."""

    array: weakref.ref[Array]
    where: int
    every: list[Array]
    pieces: list[Piece]


class QuickReduce:
    """The all-reduces of `group` that need no messages; `guard` sees all its ranks."""

    def __init__(
        self, group: GroupCore, schedule: SharedSchedule, guard: BoardGuard, crowded: bool
    ) -> None:
        self._group, self._schedule, self._guard = group, schedule, guard
        self._arena: Arena = schedule.arena
        self._crowded = crowded
        self._kinds: dict[Any, _Kind] = {}
        self._located: dict[int, _Located] = {}  # by id: a loop reduces the same arrays for ever

    def all_reduce(self, array: Array, op: ReduceOp, timeout: Timeout, label: str) -> bool:
        """Whether it was done; not for other layouts, nor while another collective is under way."""
        arena = self._arena
        if type(array) is not np.ndarray or not array.flags.carray or not arena.idle():
            return False
        kind = self._kinds.get((array.dtype, array.shape, op, label))
        if kind is None:
            kind = self._new_kind(array, op, label)
        if kind.areas is not None:
            self._small(kind, array, op, timeout)
            return True
        located = self._located.get(id(array))
        if located is None or located.array() is not array:
            located = self._locate(array)
        self._large(kind, located, array, op, timeout)
        return True

    def _large(
        self, kind: _Kind, located: _Located, array: Array, op: ReduceOp, timeout: Timeout
    ) -> None:
        arena, guard, call = self._arena, self._guard, self._checked(kind)
        arena.say(located.where)
        seq = guard.post(call)
        self._meet(call, seq, arena.take_step(), timeout)
        if arena.same_place():
            for mine, inputs, others in located.pieces:
                kind.reduce(mine, inputs, op)
                for other in others:
                    other[...] = mine
            self._meet(call, None, arena.take_step(), timeout)
        else:
            channel, flat = self._group.channel(seq), array.reshape(-1)
            self._drive(
                call, self._schedule.reduce_large(channel, flat, located.every, op), timeout
            )
        guard.leave()

    def _drive(self, call: Call, steps: Steps, timeout: Timeout) -> None:
        """Nothing, once `steps` are over: in the general way from where they wait for long."""
        for condition in steps:
            for _ in range(_YIELDS if self._crowded else _LOOKS):
                if condition():
                    break
                if self._crowded:
                    os.sched_yield()
            else:
                self._group.start_unguarded(call, _resumed(condition, steps), False, timeout)
                return

    def _small(self, kind: _Kind, array: Array, op: ReduceOp, timeout: Timeout) -> None:
        arena, guard, call = self._arena, self._guard, self._checked(kind)
        assert kind.areas is not None
        areas = kind.areas[arena.next_flip()]
        out = array if array.ndim else array.reshape(1)
        areas[arena.rank][...] = out
        self._meet(call, guard.post(call), arena.take_step(), timeout)
        kind.reduce(out, areas, op)
        guard.leave()

    def _locate(self, array: Array) -> _Located:
        where, every = self._arena.locate(array.reshape(-1))
        pieces = self._schedule.pieces_of_mine(every) if where else []
        located = _Located(weakref.ref(array), where, every, pieces)
        if where and len(self._located) < _KINDS:
            self._located[id(array)] = located
        return located

    def _checked(self, kind: _Kind) -> Call:
        call = kind.call(call_site())
        self._group.check_usable(call)
        return call

    def _new_kind(self, array: Array, op: ReduceOp, label: str) -> _Kind:
        call = self._group.call("all_reduce", array, op, label=label)
        small = array.nbytes <= SMALL_BYTES
        like = array if array.ndim else array.reshape(1)
        kind = _Kind(call[:3], self._arena.small_areas(like) if small else None)
        factor = exact_factor(array.dtype, 2) if op is ReduceOp.AVG else None
        exact = op is not ReduceOp.AVG or factor is not None
        if self._arena.size == 2 and exact and not is_narrow_float(array.dtype):
            kind.combine, kind.factor = COMBINE[op], factor
        if len(self._kinds) < _KINDS:
            self._kinds[array.dtype, array.shape, op, label] = kind
        return kind

    def _meet(self, call: Call, seq: int | None, step: int, timeout: Timeout) -> None:
        """Nothing, once all ranks have taken `step` and agree on call `seq`, if one is given."""
        others, agreed, crowded = self._arena.others, self._guard.agreed, self._crowded
        for _ in range(_YIELDS if crowded else _LOOKS):
            for word in others:
                if word[0] < step:
                    break
            else:
                if seq is None or agreed(seq):
                    return
            if crowded:
                os.sched_yield()
        self._wait(call, seq, step, timeout)

    def _wait(self, call: Call, seq: int | None, step: int, timeout: Timeout) -> None:
        others, group = self._arena.others, self._group

        def steps() -> Steps:
            if seq is not None:
                yield from self._guard.agree(seq, call, group.channel(seq))
            yield lambda: all(word[0] >= step for word in others)

        group.note_patience(timeout)
        group.start_unguarded(call, steps(), False, timeout)


def _resumed(condition: Callable[[], bool], steps: Steps) -> Steps:
    yield condition
    yield from steps
