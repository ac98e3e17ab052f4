"""DistributedDataParallel: a module whose gradients are averaged over the ranks of a group."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import itertools
import math
import os
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

from core import nn
from core.autograd.mode import is_grad_enabled
from core.backend import CPU, device_of, on
from core.nn.stateless import stand_ins
from ddp.alone import LoneReducer
from ddp.current_group import current_group
from ddp.group import ProcessGroup
from ddp.hooks import ErrorFeedback, GradBucket, Hook, contents, hooked
from ddp.join import Company, Join
from ddp.nested import map_tensors
from ddp.plan import Plan, broadcast_all, compare_modules
from ddp.reducer import Reducer
from ddp.sharded import ShardedReducer
from ddp.shards import Lanes, check_shards, warn_of_threads
from ddp.stats import Stats, recorder_of, stats
from ddp.sync import check_sync
from ddp.tuning import Tuner
from ddp.weight import Weights
from ddp.wrapper import Wrapper

_made: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
# The last wrapper of each module, by the module's id: it keeps the module, and the module keeps it.
_wrappers: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
# Attributes that `_start` makes.
_OF_THIS_JOB = "process_group lanes reducer company last_input tuner plan name".split()


class DistributedDataParallel(Wrapper):
    """`module` trained by all ranks of a group: same parameters, averaged gradients, no flags.

    `broadcast_buffers` (`forward_sync_buffers`) gives all ranks rank 0's buffers after every
    backward; `bucket_cap_mb="auto"` is found in the first steps. With `device_ids` inputs are moved
    to the module's GPU. Other arguments of PyTorch's are accepted; nothing depends on them.
    Raises: ValueError without a group, or naming the first parameter or buffer in which the ranks'
        modules differ.
    """

    is_multi_device_module, require_forward_param_sync = False, True

    def __init__(
        self,
        module: Any,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool | None = None,
        init_sync: bool = True,
        process_group: ProcessGroup | None = None,
        bucket_cap_mb: float | str | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = True,
        static_graph: bool = False,
        delay_all_reduce_named_params: Any = None,
        param_to_hook_all_reduce: Any = None,
        mixed_precision: None = None,
        device_mesh: None = None,
        skip_all_reduce_unused_params: bool = False,
        bucket_cap_mb_list: Any = None,
        batched_grad_copy: bool = False,
        forward_sync_buffers: bool | None = None,
        shards: int | None = None,
    ) -> None:
        super().__init__(module)
        _check_arguments(module, device_ids, mixed_precision, device_mesh)
        # Nothing depends on these, but programs ask for them.
        self.find_unused_parameters, self.static_graph = find_unused_parameters, static_graph
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.device_ids, self.output_device = device_ids, output_device
        given = broadcast_buffers if forward_sync_buffers is None else forward_sync_buffers
        self.broadcast_buffers = True if given is None else given
        self.bucket_cap = _bytes_of(bucket_cap_mb)
        self.init_sync, self.shards = init_sync, shards
        self.comm_hook: tuple[Any, Hook] | None = None
        self._start(process_group or current_group())

    def _start(self, group: ProcessGroup | None) -> None:
        """Make what is neither copied nor pickled: all ranks together."""
        if group is None:
            raise ValueError(
                "DistributedDataParallel needs a process group: call ddp.init_process_group() first"
            )
        self.process_group = group
        self.lanes: Lanes | None = None
        self.reducer: Reducer
        self.company: Company | None = None  # while ranks may run out of data
        self.last_input: Any = None
        if group.size > 1:
            shards = group.shards if self.shards is None else self.shards
            options = {"bucket_cap_mb": self.bucket_cap / (1 << 20) or "auto", "shards": shards}
            options |= {"broadcast_buffers": self.broadcast_buffers, "init_sync": self.init_sync}
            compare_modules(self.module, group, self._ignored(), options)
            if self.init_sync:
                self.broadcast_state()
        self.tuner = None if self.bucket_cap else Tuner(group)
        self.shards = group.shards if self.shards is None else self.shards
        _made[group] = _made.get(group, 0) + 1
        self.name = f"model {_made[group]}"
        before = _wrappers.get(id(self.module))
        if before is not None and before.process_group.closed:
            before.reducer.detach()  # there was an init_process_group() since
        _wrappers[id(self.module)] = self
        self._make_reducer(self.shards)
        if self.comm_hook is not None:
            self._install_hook(*self.comm_hook)

    def __getstate__(self) -> dict[str, Any]:
        """What is copied and pickled: no group, no buckets."""
        return {name: x for name, x in self.__dict__.items() if name not in _OF_THIS_JOB}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a pickled model into the default group; all ranks do so together."""
        super().__setstate__(state)
        self._start(current_group())

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A model of its own in the same group; all ranks copy together."""
        made = memo[id(self)] = object.__new__(type(self))
        memo[id(self.process_group)] = self.process_group
        nn.Module.__setstate__(made, copy.deepcopy(self.__getstate__(), memo))
        own, copied = self.comm_hook, made.comm_hook
        if own and copied and isinstance(own[0], ErrorFeedback):
            copied[0].process_group = own[0].process_group
        made._start(self.process_group)
        return made

    def _make_reducer(self, shards: int | None) -> None:
        cap = self.tuner.cap if self.tuner else self.bucket_cap
        ignored = self._ignored()
        named = [(n, p) for n, p in self.module.named_parameters() if p.requires_grad]
        named = [(n, p) for n, p in named if n not in ignored]
        self.plan = Plan(self.module, self.process_group.rank, ignored)
        self.device = next((device_of(p.array) for p in self.module.parameters()), CPU)
        self.on_host = self.device == CPU
        self.moves_inputs = bool(self.device_ids) and not self.on_host
        names, parameters = [n for n, _ in named], [p for _, p in named]
        group = self.process_group
        count = 1 if shards is None else check_shards(shards, group.size)
        if shards is not None and shards > 1:  # one shard is one rank's plain training
            warn_of_threads(os.environ)
            self.lanes = Lanes(self.module, parameters, count, group, self.lanes)
            common = (names, parameters, group, cap, self._after_backward, self.name)
            self.reducer = ShardedReducer(self.lanes.aliases, *common)
        else:
            kind = LoneReducer if group.size == 1 else Reducer
            self.reducer = kind(names, parameters, group, cap, self._after_backward, self.name)
        self.reducer.weights = Weights(functools.partial(_any_waits, self.reducer))

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The module's output; under logical shards computed shard after shard."""
        if self.plan.changed():
            self._renew_reducer()
        module: Any = self._modules["module"]  # `self.module` takes a microsecond to find it
        if module is not self.plan.module:
            raise RuntimeError(
                f"rank {self.process_group.rank}: the wrapped module was replaced: wrap the new one"
            )
        if self.moves_inputs:
            inputs, kwargs = map_tensors((inputs, kwargs), lambda x: x.to(self.device))
        plain = self.company is None and self.lanes is None and self.tuner is None
        if plain or not is_grad_enabled():
            return module(*inputs, **kwargs)
        if self.tuner is not None:
            self._try_bucket_size(self.tuner)
        if not module.training or stand_ins.depth:
            return module(*inputs, **kwargs)
        if self.company is not None:
            return self.company.forward(inputs, kwargs)
        if self.lanes is not None:
            self.reducer.before_forward()
            if self.on_host:
                return self.lanes.run(inputs, kwargs)
            with on(self.device):
                return self.lanes.run(inputs, kwargs)
        return module(*inputs, **kwargs)

    def _renew_reducer(self) -> None:
        """Reduce parameters, too, that were frozen when the module was wrapped."""
        old = self.reducer
        waiting = isinstance(old, ShardedReducer) and old.look_again()
        old.detach()
        self._make_reducer(self.shards)
        self.reducer.take_over(old)
        if self.tuner is None:  # which counts the steps since its last change
            self.reducer.recorder = recorder_of(self.process_group, old.recorder)
        if waiting:
            self.reducer.accumulated()
        if self.comm_hook is not None:
            state = self.comm_hook[0]
            if isinstance(state, ErrorFeedback):
                state.regroup(contents(old), contents(self.reducer))
            self._install_hook(*self.comm_hook)

    def _try_bucket_size(self, tuner: Tuner) -> None:
        cap = tuner.next_cap(self.reducer.recorder)
        if cap is not None:
            self.bucket_cap = cap
            self._renew_reducer()
        if tuner.done:
            self.tuner = None

    def stats(self) -> Stats:
        """Where the time of this model's steps went (see `ddp.stats`)."""
        return stats(self)

    def check_sync(self, every: int | None = None) -> Any:
        """What `ddp.check_sync` finds about the module, over the group of this model."""
        return check_sync(self.module, self.process_group, every)

    def broadcast_state(self, root: int = 0, buffers: bool = True) -> None:
        """Give every rank the root's parameters and, unless told not to, its buffers."""
        named = [*self.module.named_parameters()]
        named += self.module.named_buffers() if buffers else ()
        ignored = self._ignored()
        tensors = [x for name, x in named if name not in ignored]
        broadcast_all(tensors, self.process_group, root)

    def _after_backward(self) -> None:
        if not self.plan.looked and self.plan.changed():
            raise RuntimeError(
                f"rank {self.process_group.rank}: parameters were unfrozen or converted, and then"
                " used past the wrapper's forward, which would have noticed: their gradients are"
                " not reduced"
            )
        self.plan.looked = False
        if self.broadcast_buffers and self.process_group.size > 1:
            root = 0 if self.company is None else self.company.join.root
            broadcast_all(self.plan.buffers(), self.process_group, root)
        if self.broadcast_buffers and self.lanes is not None:
            self.lanes.buffers.renew()

    def join(
        self,
        divide_by_initial_world_size: bool | None = True,
        enable: bool = True,
        throw_on_early_termination: bool = False,
    ) -> Join:
        """A context in which ranks may run out of batches (see `Join`)."""
        by = divide_by_initial_world_size
        return Join([self], enable, throw_on_early_termination, divide_by_initial_world_size=by)

    def register_comm_hook(self, state: Any, hook: Hook) -> None:
        """Let `hook(state, bucket)` reduce the gradients (see `ddp.hooks`).

        Raises: RuntimeError if there is one, or on logical shards, whose bits it would change.
        """
        _check_hook(hook)
        if self.shards is not None:
            raise RuntimeError("logical shards add gradients in one fixed order: no hook may do it")
        if self.reducer.hook is not None:
            raise RuntimeError("register_comm_hook can only be called once")
        self.comm_hook = (state, hook)
        self._install_hook(state, hook)

    def _install_hook(self, state: Any, hook: Hook) -> None:
        count = len(self.reducer.buckets)
        known = (self.reducer.parameters, count, self.process_group)
        self.reducer.use_hook(hooked(state, hook, *known))

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """A context whose backwards leave gradients local; the next one outside reduces them."""
        before = self.reducer.syncing
        self.reducer.sync(False)
        try:
            yield
        finally:
            self.reducer.sync(before)

    @property
    def device_type(self) -> str:
        """The type of the module's device."""
        return self.device.type

    @property
    def bucket_bytes_cap(self) -> int:
        """The bytes of a bucket; 0 where they are to be found."""
        return self.bucket_cap

    @property
    def parameters_to_ignore(self) -> set[str]:
        """The names of parameters and buffers that are each rank's own."""
        return set(self._ignored())

    @property
    def require_backward_grad_sync(self) -> bool:
        """Whether the next backward reduces; assigning to it is the long form of `no_sync`."""
        return self.reducer.syncing

    @require_backward_grad_sync.setter
    def require_backward_grad_sync(self, wanted: bool) -> None:
        self.reducer.sync(bool(wanted))

    def _set_static_graph(self) -> None:
        """Nothing; whether the graph is static makes no difference."""

    @staticmethod
    def _set_params_and_buffers_to_ignore_for_model(module: Any, names: Iterable[str]) -> None:
        """Leave the parameters and buffers of these names to each rank, when `module` is wrapped.

        They are neither compared nor broadcast nor reduced, and may be replaced.
        """
        module._ddp_params_and_buffers_to_ignore = list(names)

    def _ignored(self) -> frozenset[str]:
        return frozenset(getattr(self.module, "_ddp_params_and_buffers_to_ignore", ()))

    # ---- as if it were the module itself ----

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)


def _check_arguments(module: Any, device_ids: Any, mixed_precision: Any, device_mesh: Any) -> None:
    if device_ids is not None and len(device_ids) > 1:
        raise ValueError("device_ids can only be None or contain a single element.")
    if mixed_precision is not None:
        raise ValueError(
            "mixed_precision: expected None; use core.autocast and core.amp.GradScaler"
        )
    if device_mesh is not None:
        raise ValueError("device_mesh: expected None; give the group as process_group")
    if any(getattr(p, "is_lazy", False) for p in module.parameters()):
        raise RuntimeError(
            "Modules with uninitialized parameters can't be used with `DistributedDataParallel`."
            " Run a dummy forward pass to correctly initialize the modules"
        )


def _any_waits(reducer: Reducer) -> bool:
    """Whether a gradient waits to be reduced."""
    slots = itertools.chain(reducer.slots, *reducer.lanes)
    return any(slot.local and slot.gradient is not None for slot in slots)


def _bytes_of(cap_mb: Any) -> int:
    """The size of buckets; 0 where it is to be found."""
    if cap_mb == "auto":
        return 0
    cap = 25 if cap_mb is None else cap_mb
    if not isinstance(cap, (int, float)) or not 0 <= cap < math.inf:
        raise ValueError(
            f"bucket_cap_mb: expected a number of MiB that is not negative, or 'auto', got {cap!r}"
        )
    return max(int(cap * (1 << 20)), 1)


def _check_hook(hook: Any) -> None:
    if not callable(hook):
        raise TypeError("Communication hook must be callable.")
    named = inspect.signature(hook).parameters.get("bucket")
    said = inspect.Parameter.empty if named is None else named.annotation
    if said not in (inspect.Parameter.empty, GradBucket, Any) and not isinstance(said, str):
        raise ValueError("Communication hook: bucket annotation should be dist.GradBucket.")
