"""Learning rates that are multiplied by a factor: of the epoch, at milestones, or at every step."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from core.optim.lr_scheduler.scheduler import LRScheduler, attributes_of
from core.optim.optimizer import Optimizer

Factor = Callable[[int], float]


class LambdaLR(LRScheduler):
    """The initial learning rate times a function of the epoch.

    Raises: ValueError where there are not as many functions as groups.
    """

    not_saved = ("optimizer", "lr_lambdas")

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Factor | list[Factor], last_epoch: int = -1
    ) -> None:
        self.optimizer = optimizer
        groups = len(optimizer.param_groups)
        if not isinstance(lr_lambda, (list, tuple)):
            lr_lambda = [lr_lambda] * groups
        if len(lr_lambda) != groups:
            raise ValueError(f"Expected {groups} lr_lambdas, but got {len(lr_lambda)}")
        self.lr_lambdas = list(lr_lambda)
        self._check_lambdas()
        super().__init__(optimizer, last_epoch)

    def _check_lambdas(self) -> None:
        pass

    def get_lr(self) -> list[Any]:
        """The initial rates times the functions at this epoch."""
        self.warn_outside_step()
        return [lr * f(self.last_epoch) for f, lr in zip(self.lr_lambdas, self.base_lrs)]

    def state_dict(self) -> dict[str, Any]:
        """Every attribute; of the functions only what objects carry."""
        return super().state_dict() | {"lr_lambdas": [attributes_of(f) for f in self.lr_lambdas]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing; the schedule stands where `state_dict` says."""
        given = dict(state_dict)
        for function, attributes in zip(self.lr_lambdas, given.pop("lr_lambdas")):
            if attributes is not None:
                function.__dict__.update(attributes)
        super().load_state_dict(given)


class MultiplicativeLR(LambdaLR):
    """The learning rate times a function of the epoch, at every step.

    Raises: TypeError for what is no function.
    """

    def _check_lambdas(self) -> None:
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(
                    f"lr_lambda should be a function, but got {type(function).__name__}"
                )

    def get_lr(self) -> list[Any]:
        """The rates before times the functions at this epoch."""
        self.warn_outside_step()
        if self._is_initial:
            return self.lrs
        return [lr * f(self.last_epoch) for f, lr in zip(self.lr_lambdas, self.lrs)]


class StepLR(LRScheduler):
    """The learning rate times `gamma` every `step_size` epochs."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates before, decayed where a period ends."""
        self.warn_outside_step()
        if self.last_epoch == 0 or self.last_epoch % self.step_size:
            return self.lrs
        return [lr * self.gamma for lr in self.lrs]

    def _get_closed_form_lr(self) -> list[Any]:
        return [lr * self.gamma ** (self.last_epoch // self.step_size) for lr in self.base_lrs]


class MultiStepLR(LRScheduler):
    """The learning rate times `gamma` at each of the milestones."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates before, decayed at a milestone."""
        self.warn_outside_step()
        if self.last_epoch not in self.milestones:
            return self.lrs
        return [lr * self.gamma ** self.milestones[self.last_epoch] for lr in self.lrs]

    def _get_closed_form_lr(self) -> list[Any]:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return [lr * self.gamma**passed for lr in self.base_lrs]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing; the schedule stands where `state_dict` says."""
        super().load_state_dict(state_dict)
        self.milestones = Counter(self.milestones)  # a file gives a plain dict back


class ConstantLR(LRScheduler):
    """The learning rate times `factor` until `total_iters`.

    Raises: ValueError for a factor outside [0, 1].
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= factor <= 1.0:
            raise ValueError("Constant multiplicative factor expected to be between 0 and 1.")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates before, made small at first and restored at the end."""
        self.warn_outside_step()
        if self.last_epoch == 0:
            return [lr * self.factor for lr in self.lrs]
        if self.last_epoch != self.total_iters:
            return self.lrs
        return [lr * (1.0 / self.factor) for lr in self.lrs]

    def _get_closed_form_lr(self) -> list[Any]:
        over = self.last_epoch >= self.total_iters
        return [lr * (self.factor + over * (1 - self.factor)) for lr in self.base_lrs]


class LinearLR(LRScheduler):
    """The learning rate times a factor that goes straight from one value to another.

    Raises: ValueError for factors out of range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1.0:
            raise ValueError(
                "Starting multiplicative factor expected to be greater than 0 and less or equal"
                " to 1."
            )
        if not 0 <= end_factor <= 1.0:
            raise ValueError("Ending multiplicative factor expected to be between 0 and 1.")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates before times the ratio of this factor to the last."""
        self.warn_outside_step()
        if self.last_epoch == 0:
            return [lr * self.start_factor for lr in self.lrs]
        if self._is_initial or self.last_epoch > self.total_iters:
            return self.lrs
        way = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * way
        return [lr * (1.0 + way / before) for lr in self.lrs]

    def _get_closed_form_lr(self) -> list[Any]:
        way = self.end_factor - self.start_factor
        done = min(self.total_iters, self.last_epoch)
        return [lr * (self.start_factor + way * done / self.total_iters) for lr in self.base_lrs]


class ExponentialLR(LRScheduler):
    """The learning rate times `gamma` at every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates before, decayed."""
        self.warn_outside_step()
        return self.lrs if self._is_initial else [lr * self.gamma for lr in self.lrs]

    def _get_closed_form_lr(self) -> list[Any]:
        return [lr * self.gamma**self.last_epoch for lr in self.base_lrs]


class PolynomialLR(LRScheduler):
    """The learning rate times a power of the share of epochs that are left."""

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates before times the ratio of this factor to the last."""
        self.warn_outside_step()
        if self._is_initial or self.last_epoch > self.total_iters:
            return self.lrs
        left = 1.0 - self.last_epoch / self.total_iters
        before = 1.0 - (self.last_epoch - 1) / self.total_iters
        return [lr * (left / before) ** self.power for lr in self.lrs]

    def _get_closed_form_lr(self) -> list[Any]:
        left = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [lr * left**self.power for lr in self.base_lrs]
