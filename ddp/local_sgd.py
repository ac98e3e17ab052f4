"""Post-local SGD: gradients are averaged over few ranks, and parameters over all now and then."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from core.autograd.value import version_of
from core.optim.optimizer import Optimizer
from ddp.group import ProcessGroup
from ddp.hooks import GradBucket, Then, allreduce_hook, averaged, group_of
from ddp.lifecycle import default_group, get_rank
from ddp.reduction import ReduceOp
from ddp.staging import on_host
from ddp.subgroups import new_subgroups


class PostLocalSGDState:
    """Over which ranks `post_localSGD_hook` averages, and the number of the step.

    Over `process_group` in the first `start_localSGD_iter` steps, then over `subgroup` (by default
    the ranks of a node), or without `post_local_gradient_allreduce` over none. A pickle of it has
    the default groups.
    """

    def __init__(
        self,
        process_group: Any,
        subgroup: Any,
        start_localSGD_iter: int,
        post_local_gradient_allreduce: bool = True,
    ) -> None:
        self.process_group, self.subgroup = process_group, subgroup
        self.start_localSGD_iter = start_localSGD_iter
        self.post_local_gradient_allreduce = post_local_gradient_allreduce
        self.iter = 0

    def few(self) -> ProcessGroup:
        """The group of few ranks; where none was given all ranks make them together."""
        if self.subgroup is None:
            self.subgroup, _ = new_subgroups(group=self.process_group)
        return self.subgroup

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "process_group": None, "subgroup": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> PostLocalSGDState:
        """The state of a copied model, in the same groups."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made


def post_localSGD_hook(  # noqa: N802 - PyTorch's name
    state: PostLocalSGDState, bucket: GradBucket
) -> Any:
    """The average over all ranks in the first steps, over few ranks, or none, in those after.

    Source: Lin et al. (2020).
    """
    if state.iter < state.start_localSGD_iter:
        state.iter += bucket.is_last()
        return allreduce_hook(group_of(state), bucket)
    if not state.post_local_gradient_allreduce:
        return None
    array = bucket.buffer().array
    return Then(averaged(array, state.few()), lambda: array)


class PeriodicModelAverager:
    """What averages parameters over ranks every `period` steps, the first `warmup_steps` apart.

    Raises: ValueError for a period below 1 and a negative number of steps.
    """

    def __init__(self, period: int, warmup_steps: int = 0, process_group: Any = None) -> None:
        if period < 1 or warmup_steps < 0:
            raise ValueError(
                "PeriodicModelAverager expected period >= 1 and warmup_steps >= 0, got"
                f" {period} and {warmup_steps}"
            )
        self.period, self.warmup_steps = period, warmup_steps
        self.process_group = default_group(process_group)
        self.step = 0

    def average_parameters(self, params: Iterable[Any]) -> None:
        """Nothing; in a step whose turn it is, `params` that have gradients are the ranks' mean.

        They are parameters, or groups of an optimizer.
        """
        late, pg = self.step - self.warmup_steps, self.process_group
        self.step += 1
        if late < 0 or late % self.period or get_rank(pg) < 0:
            return
        groups = [p["params"] if isinstance(p, dict) else [p] for p in params]
        for p in [p for group in groups for p in group if p.grad is not None]:
            on_host(p.array, pg, lambda array: pg.all_reduce(array, ReduceOp.AVG))
            version_of(p)[0] += 1


class PostLocalSGDOptimizer(Optimizer):
    """`optim` whose every step ends with that of `averager`, whose count its state holds."""

    def __init__(self, optim: Optimizer, averager: PeriodicModelAverager) -> None:
        self.optim, self.averager = optim, averager
        self.__setstate__(optim.__getstate__())

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """The closure's loss, if there is a closure; a step of `optim`, perhaps an average."""
        loss = self.optim.step(closure)
        self.averager.average_parameters(self.param_groups)
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The state of `optim`, and the averager's `step`."""
        return {**self.optim.state_dict(), "step": self.averager.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state, of `optim` alone as from the averager's first step."""
        if "step" not in state_dict:
            warnings.warn("the state has no averager's step: it begins with 0", stacklevel=2)
        self.averager.step = state_dict.get("step", 0)
        self.optim.load_state_dict({k: v for k, v in state_dict.items() if k != "step"})
        self.__setstate__(self.optim.__getstate__())

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Nothing; `optim` has one more group."""
        self.optim.add_param_group(param_group)
