"""An optimizer whose state is shared out: each rank keeps, and steps, some of the parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from core.autograd.value import version_of
from core.optim.optimizer import Optimizer, with_grad
from ddp.join import Join
from ddp.joinable import Joinable, JoinHook
from ddp.lifecycle import default_group
from ddp.plan import broadcast_all


class ZeroRedundancyOptimizer(Optimizer, Joinable):
    """`optimizer_class` with its state divided over the ranks: the same steps, bit for bit.

    Each rank steps its share of the parameters and sends it to the others; all ranks call `step`
    together, with reduced gradients. `overlap_with_ddp` and `parameters_as_bucket_view` are
    accepted; nothing depends on them.
    Source: Rajbhandari et al. (2020), its first stage.
    """

    def __init__(
        self,
        params: Any,
        optimizer_class: Callable[..., Optimizer],
        process_group: Any = None,
        parameters_as_bucket_view: bool = False,
        overlap_with_ddp: bool = False,
        **defaults: Any,
    ) -> None:
        self.process_group = default_group(process_group)
        self.optim = optimizer_class(params, **defaults)
        self.whole: dict[str, Any] | None = None
        self.__setstate__(self.optim.__getstate__())
        self._share_out()

    def _share_out(self) -> None:
        """Decide who owns what: the largest parameter first, to the rank that has least so far."""
        params = [p for group in self.param_groups for p in group["params"]]
        loads = [0] * self.process_group.size
        self.owners: dict[int, int] = {}
        for p in sorted(params, key=lambda p: -p.array.size):  # sorted() keeps the order of equals
            owner = loads.index(min(loads))
            loads[owner] += p.array.size
            self.owners[id(p)] = owner
        self.shares: list[list[Any]] = [[] for _ in loads]
        for p in params:
            self.shares[self.owners[id(p)]].append(p)
            if not self._is_own(p):
                self.state.pop(p, None)

    def _is_own(self, p: Any) -> bool:
        return self.owners[id(p)] == self.process_group.rank

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Nothing; one more group, and all parameters shared out anew before the first step.

        Raises: RuntimeError after a step, when each rank has the state of its share only.
        """
        if self.steps_taken and self.process_group.size > 1:
            raise RuntimeError("add_param_group: expected before the first step, the state is out")
        self.optim.add_param_group(param_group)
        self._share_out()

    # ---- stepping ----

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        """The closure's loss, if there is a closure; all parameters moved by one step."""
        loss = with_grad(closure)
        Join.notify_join_context(self)
        self.whole = None
        with self._only_own():
            self.optim.step(**kwargs)
        for owner, share in enumerate(self.shares):
            if share and self.process_group.size > 1:
                broadcast_all(share, self.process_group, owner)
                if owner != self.process_group.rank:
                    for p in share:
                        version_of(p)[0] += 1
        return loss

    @contextlib.contextmanager
    def _only_own(self) -> Iterator[None]:
        """A context in which the groups hold this rank's share of the parameters."""
        kept = [dict(group) for group in self.param_groups]
        for group in self.param_groups:
            own = [i for i, p in enumerate(group["params"]) if self._is_own(p)]
            for key in ("params", "param_names"):
                if key in group:
                    group[key] = [group[key][i] for i in own]
        try:
            yield
        finally:
            for group, before in zip(self.param_groups, kept, strict=True):
                group |= {key: before[key] for key in ("params", "param_names") if key in before}

    # ---- state_dict ----

    def consolidate_state_dict(self, to: int | None = 0) -> None:
        """Nothing; rank `to` (every rank, with None) has the whole state. All ranks call it."""
        group = self.process_group
        mine = self.optim.state_dict()
        parts: list[Any] = [None] * group.size
        if to is None:
            group.all_gather_object(parts, mine["state"])
        else:
            group.gather_object(mine["state"], parts if group.rank == to else None, to)
        self.whole = None
        if to in (None, group.rank):
            states = {i: state for part in parts for i, state in part.items()}
            self.whole = {**mine, "state": dict(sorted(states.items()))}

    def state_dict(self) -> dict[str, Any]:
        """What the plain optimizer's would be.

        Raises: RuntimeError unless this rank has got it by `consolidate_state_dict` since the last
            step.
        """
        if self.process_group.size == 1:
            return self.optim.state_dict()
        if self.whole is None:
            raise RuntimeError(
                "Optimizer state has not been consolidated on this rank. Please call"
                " `consolidate_state_dict(to=...)` on all ranks beforehand, after the last step, if"
                " you meant to save the global state."
            )
        return self.whole

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take this rank's share of a state of the plain optimizer, saved on any number of ranks.

        Raises: ValueError where the groups do not have the same sizes.
        """
        params = [p for group in self.param_groups for p in group["params"]]
        own = {
            i: state
            for i, state in state_dict["state"].items()
            if i < len(params) and self._is_own(params[i])
        }
        self.optim.load_state_dict({**state_dict, "state": own})
        self.__setstate__(self.optim.__getstate__())
        self.whole = None

    # ---- ranks that ran out of data ----

    def join_hook(self, **kwargs: Any) -> JoinHook:
        """Ranks without data go on to step their share, with the others' gradients."""
        return _Steps(self)

    @property
    def join_process_group(self) -> Any:
        """The group over which the state is divided."""
        return self.process_group


class _Steps(JoinHook):
    def __init__(self, optimizer: ZeroRedundancyOptimizer) -> None:
        self.optimizer = optimizer

    def main_hook(self) -> None:
        """Nothing; this rank's share has been stepped, too."""
        self.optimizer.step()
