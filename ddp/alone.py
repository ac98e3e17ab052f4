"""Gradients of one rank, which are their own average."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from core.autograd.accumulate import WhenFinal, added_first, queue_callback
from core.autograd.value import Leaf
from ddp.reducer import Reducer, has_any
from ddp.weight import when_weighted


class LoneReducer(Reducer):
    """The reducer of one rank: gradients stay where they are.

    It hears of the first parameter only, for `stats()`, until it matters which gradients have
    grown: in a backward without sync, or with a weight. To hear of all takes 5 us of a step of 150.
    """

    listening = False

    def attach(self) -> None:
        """Nothing; from now on this reducer is told of gradients that have grown."""
        if self.hook is not None:
            super().attach()
            return
        self.detach()
        if self.listening:
            for i, slot in enumerate(self.slots):
                self.handles.append(added_first(slot.after, self._noted(i, slot)))
        elif self.slots:
            self.handles.append(added_first(self.slots[0].after, self._passed))
            when_weighted(self.listen)

    def sync(self, wanted: bool) -> None:
        """Let the next backwards reduce gradients, or leave them local."""
        super().sync(wanted)
        if not wanted:
            self.listen()

    def listen(self) -> None:
        """Nothing; from now on this reducer is told of each gradient that has grown."""
        if self.listening:
            return
        self.listening = True
        for slot in self.slots:
            g = slot.gradient
            if g is not None and has_any(g.array):  # zeros owe nothing to former backwards
                slot.reduced = weakref.ref(g)
        self.attach()

    def take_over(self, old: Reducer) -> None:
        """Go on with what another reducer of the module has counted."""
        super().take_over(old)
        if isinstance(old, LoneReducer) and old.listening:
            self.listen()

    def _passed(self, _: Any) -> None:
        self.recorder.kept()
        self.steps += 1

    def _noted(self, i: int, slot: Leaf) -> Callable[[Any], None]:
        """What is called when the gradient of a parameter has grown."""

        def grown(_: Any) -> None:
            if not self.entered:
                self.entered = True
                queue_callback(self._keep, self.abandon)
                self.weights.begin()
            if self.weights.total is not None:
                self.check_weighable(i, slot)
            slot.local = True

        return grown

    def _keep(self) -> None:
        """Leave the gradients of one rank, which are reduced as they are."""
        self.entered = False
        if not self.syncing:
            return
        weights = self.weights
        weights.plain = False
        scale = 1.0 if weights.total is None else weights.scale(self.group)
        used = [slot.local for slot in self.slots] if WhenFinal.made else []
        for slot in self.slots:
            if slot.local:
                slot.local = False
                if scale != 1 and slot.gradient is not None:
                    slot.gradient.mul_(scale)
                slot.reduced = None if slot.gradient is None else weakref.ref(slot.gradient)
        self.recorder.kept()
        self.steps += 1
        if used:
            self.run_final(used)
