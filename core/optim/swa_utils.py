"""Averages of a model's parameters over training: SWA, EMA, and what goes with them."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

from core.autograd.mode import no_grad
from core.nn.module import Module
from core.nn.normalization import (
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    NormWithStatistics,
)
from core.ops.creation import tensor
from core.optim.lr_scheduler.scheduler import LRScheduler, per_group
from core.optim.optimizer import Optimizer

Average = Callable[[Any, Any, Any], Any]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """A function of the average, the model's value and the count: the exponential moving average.

    Raises: ValueError for a decay outside [0, 1].
    """
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Average:
    """A function of the average, the model's value and the count: the mean of all so far."""

    @no_grad()
    def swa_update(averaged_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Average:
    """A function of lists of averages and values, and the count: averages moved by the EMA.

    Raises: ValueError for a decay outside [0, 1].
    """
    return _of_lists(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Average:
    """A function of lists of averages and values, and the count: averages moved to the mean."""
    return _of_lists(get_swa_avg_fn())


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )


def _of_lists(average: Average) -> Average:
    @no_grad()
    def update(averaged: Any, current: Any, num_averaged: Any) -> None:
        for kept, new in zip(averaged, current, strict=True):
            kept.copy_(average(kept, new, num_averaged))

    return update


class AveragedModel(Module):
    """A copy of a model whose parameters are the average of those it was updated with.

    Raises: AssertionError for two ways of averaging at once.
    Source: Izmailov et al. (2018), Averaging Weights Leads to Wider Optima.
    """

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Average | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model computes."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Nothing; the average takes in the model's parameters as they are now."""
        averaged = [p.detach() for p in self._averaged(self.module)]
        current = [p.detach() for p in self._averaged(model)]
        current = [new.to(kept.device) for kept, new in zip(averaged, current, strict=True)]
        if not int(self.n_averaged):
            for kept, new in zip(averaged, current):
                kept.copy_(new)
        else:
            self._average(averaged, current)
        if not self.use_buffers:
            for kept, new in zip(self.module.buffers(), model.buffers(), strict=True):
                kept.detach().copy_(new.detach().to(kept.device))
        self.n_averaged += 1

    def _averaged(self, model: Module) -> Iterable[Any]:
        buffers = model.buffers() if self.use_buffers else ()
        return itertools.chain(model.parameters(), buffers)

    def _average(self, averaged: list[Any], current: list[Any]) -> None:
        count = self.n_averaged
        if self.multi_avg_fn is None:
            _of_lists(self.avg_fn or get_swa_avg_fn())(averaged, current, count)
            return
        alike: dict[Any, tuple[list[Any], list[Any]]] = {}
        for kept, new in zip(averaged, current):
            lists = alike.setdefault((kept.device, kept.dtype), ([], []))
            lists[0].append(kept)
            lists[1].append(new)
        for (device, _), (kept_ones, new_ones) in alike.items():
            self.multi_avg_fn(kept_ones, new_ones, count.to(device))


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Nothing; the model's batch norms have the statistics of the loader's inputs.

    An item of the loader is an input, or a tuple or list whose first element is one.
    """
    norms = [module for module in model.modules() if _is_batch_norm(module)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    training = model.training
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches, none forgotten
    for batch in loader:
        x = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(x if device is None else x.to(device))
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    model.train(training)


def _is_batch_norm(module: Module) -> bool:
    instances = (InstanceNorm1d, InstanceNorm2d, InstanceNorm3d)
    return isinstance(module, NormWithStatistics) and not isinstance(module, instances)


class SWALR(LRScheduler):
    """A learning rate that goes to `swa_lr` within some epochs, and stays there.

    Raises: ValueError for an unknown strategy, or a length below zero.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        for lr, group in zip(per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups):
            group["swa_lr"] = lr
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates before, moved on towards the groups' `swa_lr`."""
        self.warn_outside_step()
        step = self._step_count - 1
        if not self.anneal_epochs:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        out = []
        for group in self.optimizer.param_groups:
            target = group["swa_lr"]
            start = target if before == 1 else (group["lr"] - before * target) / (1 - before)
            out.append(target * now + start * (1 - now))
        return out

    def _share(self, step: int) -> float:
        t = max(0, min(1, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t
