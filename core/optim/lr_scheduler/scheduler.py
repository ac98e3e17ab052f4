"""class LRScheduler: what sets the learning rates of an optimizer's groups as training goes on."""

from __future__ import annotations

import types
import warnings
from typing import Any

from core.autograd.place import where_it_lies
from core.autograd.value import Value, wrap
from core.backend import write
from core.optim.optimizer import Optimizer, number

EPOCH_GIVEN = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where"
    " possible. Please use `scheduler.step()` to step the scheduler. During the deprecation, if"
    " epoch is different from None, the closed form is used instead of the new chainable form,"
    " where available."
)


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """One value for each group: the given ones, or the given one for all.

    Raises: ValueError where there are not as many as groups.
    """
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [_copied(value) for _ in range(groups)]
    if len(value) != groups:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has"
            f" {len(value)} values, param_groups has {groups}."
        )
    return [_copied(v) for v in value]


@where_it_lies
def _copied(value: Any) -> Any:
    return wrap(value.array.copy()) if isinstance(value, Value) else value


def values_of(optimizer: Optimizer, key: str) -> list[Any]:
    """What each group has under `key`."""
    return [_copied(group[key]) for group in optimizer.param_groups]


def set_value(group: dict[str, Any], key: str, value: Any) -> None:
    """Nothing; the group has `value` under `key`, in place where it was given as a tensor."""
    if isinstance(group[key], Value):
        write(group[key].array, number(value))
    else:
        group[key] = value


def check_optimizer(optimizer: Any) -> None:
    """Nothing; what is no optimizer raises TypeError."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


class LRScheduler:
    """What every scheduler is: `step` counts, and sets each group's `lr` to what `get_lr` says.

    Raises: KeyError where training is resumed without the groups' `initial_lr`.
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", _copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming"
                    " scheduler with last_epoch >= 0: load the optimizer's state before, or leave"
                    " last_epoch out for a new run"
                )
        self.base_lrs = values_of(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        self.start()

    def start(self) -> None:
        """Nothing; the learning rates of the first epoch are set."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_lr(self) -> list[Any]:
        """Each group's learning rate at `last_epoch`, from the one before."""
        raise NotImplementedError

    def get_last_lr(self) -> list[Any]:
        """Each group's learning rate, as the last step set it."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Nothing; one epoch further, the learning rates are set."""
        if self._step_count == 1 and not self.optimizer.steps_taken:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. You should call"
                " them in the opposite order: `optimizer.step()` before `lr_scheduler.step()`."
                " Failure to do this will skip the first value of the learning rate schedule.",
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_GIVEN, stacklevel=2)
        self.update(epoch)

    def update(self, epoch: int | None = None) -> None:
        """Nothing; the learning rates are those of the next epoch, or of the given one."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        closed = getattr(self, "_get_closed_form_lr", None)
        self.set_lrs(self.called(self.get_lr if epoch is None or closed is None else closed))

    def called(self, get_lr: Any) -> list[Any]:
        """What `get_lr` returns, as part of a step."""
        self._get_lr_called_within_step = True
        try:
            return get_lr()
        finally:
            self._get_lr_called_within_step = False

    def set_lrs(self, values: list[Any]) -> None:
        """Nothing; each group has its learning rate."""
        for group, lr in zip(self.optimizer.param_groups, values, strict=True):
            set_value(group, "lr", lr)
        self._last_lr = values_of(self.optimizer, "lr")

    def warn_outside_step(self) -> None:
        """Nothing; a warning where `get_lr` was called by hand."""
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use"
                " `get_last_lr()`.",
                stacklevel=3,
            )

    @property
    def lrs(self) -> list[Any]:
        """Each group's learning rate now."""
        return values_of(self.optimizer, "lr")

    # ---- state ----

    not_saved: tuple[str, ...] = ("optimizer",)

    def state_dict(self) -> dict[str, Any]:
        """Every attribute that says where the schedule stands."""
        return {key: value for key, value in self.__dict__.items() if key not in self.not_saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing; the schedule stands where `state_dict` says."""
        self.__dict__.update(state_dict)


def attributes_of(function: Any) -> Any:
    """What can be saved of a function: nothing of a plain one, the attributes of an object."""
    plain = function is None or isinstance(function, types.FunctionType)
    return None if plain else function.__dict__.copy()
