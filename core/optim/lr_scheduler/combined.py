"""Schedulers made of schedulers: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from core.optim.lr_scheduler.plateau import ReduceLROnPlateau
from core.optim.lr_scheduler.scheduler import LRScheduler, set_value, values_of
from core.optim.optimizer import Optimizer


class _Combined(LRScheduler):
    """What both kinds share: the checks, and a state that holds the parts' states."""

    not_saved = ("optimizer", "_schedulers")
    _schedulers: Sequence[LRScheduler]

    def _check(self, schedulers: Sequence[Any], optimizer: Any) -> None:
        name = type(self).__name__
        for i, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(f"{name} at index {i} should have `optimizer` as its attribute.")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"{name} does not support `ReduceLROnPlateau` scheduler as it requires"
                    " additional kwargs to be specified when calling `step`, but got one at index"
                    f" {i} in the given schedulers sequence."
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    f"{name} expects all schedulers to belong to the same optimizer, but got"
                    f" scheduler {type(scheduler).__name__} at index {i} has"
                    f" {scheduler.optimizer}, which is different from {type(optimizer).__name__}."
                )

    def state_dict(self) -> dict[str, Any]:
        """Every attribute, and the states of the parts."""
        return super().state_dict() | {"_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing; this schedule and its parts stand where `state_dict` says."""
        given = dict(state_dict)
        for scheduler, state in zip(self._schedulers, given.pop("_schedulers"), strict=True):
            scheduler.load_state_dict(state)
        super().load_state_dict(given)


class SequentialLR(_Combined):
    """Schedulers one after the other, the next from each milestone on.

    Raises: ValueError, TypeError for schedulers that cannot follow each other.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        if not schedulers:
            raise ValueError(
                f"{type(self).__name__} expects at least one scheduler, but got no scheduler."
            )
        self._check(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than"
                f" the number of milestone points, but got number of schedulers {len(schedulers)}"
                f" and the number of milestones to be equal to {len(milestones)}"
            )
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            set_value(group, "lr", group["initial_lr"])
        # Each scheduler set its first rate when it was made; only the first may keep it.
        for scheduler in schedulers:
            step_back(scheduler)
        first = schedulers[bisect_right(milestones, 0)]
        first.start()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """Nothing; the scheduler whose turn it is steps, or begins."""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            scheduler.update(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


def step_back(scheduler: Any) -> None:
    """Nothing; the scheduler, or each of its parts, has one epoch less behind it."""
    parts = getattr(scheduler, "_schedulers", None)
    if parts is None:
        scheduler.last_epoch -= 1
        return
    for part in parts:
        step_back(part)


class ChainedScheduler(_Combined):
    """Schedulers that all step, each from the rates that the one before has set.

    Raises: ValueError, TypeError for schedulers of different optimizers.
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        if not schedulers:
            raise ValueError(
                f"{type(self).__name__} expects at least one scheduler to be chained, but got no"
                " scheduler."
            )
        optimizer = schedulers[0].optimizer if optimizer is None else optimizer
        self._check(schedulers, optimizer)
        self._schedulers = schedulers
        self.optimizer = optimizer
        self._last_lr = values_of(optimizer, "lr")

    def start(self) -> None:
        """Nothing; every scheduler is at its first epoch, as a part of another schedule."""
        for scheduler in self._schedulers:
            if isinstance(scheduler, _Combined):
                scheduler.start()
            else:
                scheduler._step_count += 1
                scheduler.update()
        self._last_lr = values_of(self.optimizer, "lr")

    def step(self) -> None:  # type: ignore[override]
        """Nothing; every scheduler steps."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = values_of(self.optimizer, "lr")
