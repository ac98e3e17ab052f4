"""class Optimizer: groups of parameters, their state, hooks, and PyTorch's `state_dict`."""

from __future__ import annotations

import functools
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from core.autograd.accumulate import drop, fill_zero
from core.autograd.mode import enable_grad, no_grad
from core.autograd.value import RemovableHandle, Value
from core.backend import to_host
from core.dtype import float32, float64, get_default_dtype
from core.optim.state import pack, unpack


class Required:
    """What stands in `defaults` for an option that every group must name itself."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = Required()

_before_every_step: dict[int, Callable[..., Any]] = {}
_after_every_step: dict[int, Callable[..., Any]] = {}


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """A handle of `hook(optimizer, args, kwargs)`, run before every step of every optimizer."""
    return RemovableHandle(_before_every_step, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """A handle of `hook(optimizer, args, kwargs)`, run after every step of every optimizer."""
    return RemovableHandle(_after_every_step, hook)


def _hooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """`step` between the hooks, counted."""

    @functools.wraps(step)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        before, after = self.hooks["step_pre"], self.hooks["step_post"]
        if before or _before_every_step:
            args, kwargs = _before(self, args, kwargs)
        self.steps_taken += 1
        out = step(self, *args, **kwargs)
        if after or _after_every_step:
            for hook in (*after.values(), *_after_every_step.values()):
                hook(self, args, kwargs)
        return out

    run.hooked = True  # type: ignore[attr-defined]
    return run


def _before(self: Any, args: Any, kwargs: Any) -> Any:
    for hook in (*_before_every_step.values(), *self.hooks["step_pre"].values()):
        new = hook(self, args, kwargs)
        if new is None:
            continue
        if not (isinstance(new, tuple) and len(new) == 2):
            raise RuntimeError(
                f"{type(self).__name__}.step must return None or a tuple of (new_args, new_kwargs),"
                f" but got {new}."
            )
        args, kwargs = new
    return args, kwargs


class Optimizer:
    """What every optimizer is: `param_groups`, `defaults`, `state`, and a `step` of the subclass.

    Raises: TypeError, ValueError for parameters that cannot be optimized.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _hooked(cls.__dict__["step"])  # type: ignore[method-assign]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if isinstance(params, Value):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts,"
                f" but got {type(params).__name__}"
            )
        if defaults.get("differentiable"):
            raise ValueError(
                f"{type(self).__name__} has no differentiable=True: steps are not recorded"
            )
        self.defaults = defaults
        self.state: Any = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._begin()
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def _begin(self) -> None:
        kinds = ("step_pre", "step_post", "save_pre", "save_post", "load_pre", "load_post")
        self.hooks: dict[str, dict[int, Any]] = {kind: {} for kind in kinds}
        self.steps_taken = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the attributes of a copied optimizer, or those that were loaded."""
        if "hooks" not in self.__dict__:
            self._begin()
        self.__dict__.update(state)
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            options = (f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params")
            text += f"\nParameter Group {i}\n" + "".join(options)
        return text + ")"

    # ---- stepping ----

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """The closure's loss, if there is a closure; the parameters moved by one step."""
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Nothing; the gradients gone, or filled with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                slot = p.leaf
                if slot is None or slot.gradient is None:
                    continue
                if set_to_none:
                    drop(slot)
                else:
                    fill_zero(slot)

    # ---- groups ----

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Nothing; one more group, with the defaults for what it does not name.

        Raises: TypeError, ValueError for parameters that cannot be optimized, or are here already.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        param_group["params"], names = _listed(param_group["params"])
        if names:
            param_group["param_names"] = names
        for p in param_group["params"]:
            _check_parameter(p)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter"
                    f" {name}"
                )
            param_group.setdefault(name, default)
        self._check_new(param_group)
        self.param_groups.append(param_group)

    def _check_new(self, new: dict[str, Any]) -> None:
        ids = [id(p) for p in new["params"]]
        if len(ids) != len(frozenset(ids)):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this"
                " will cause an error",
                stacklevel=4,
            )
        for group in self.param_groups:
            if ("param_names" in new) != ("param_names" in group):
                kind = "with names" if "param_names" in new else "without names"
                raise ValueError(
                    "all optimizer param groups should be with/without names. cannot add param"
                    f" group {kind} to the optimizer"
                )
        here = {id(p): None for group in self.param_groups for p in group["params"]}
        if any(i in here for i in ids):
            raise ValueError("some parameters appear in more than one parameter group")

    # ---- state_dict ----

    def state_dict(self) -> dict[str, Any]:
        """`state` by the parameters' positions, and `param_groups` without the parameters."""
        for hook in self.hooks["save_pre"].values():
            hook(self)
        packed = pack(self.state, self.param_groups)
        for hook in self.hooks["save_post"].values():
            new = hook(self, packed)
            packed = packed if new is None else new
        return packed

    @no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing; state and options become copies of the given ones, on each parameter's device.

        Raises: ValueError where the groups do not have the same sizes.
        """
        given = dict(state_dict)
        for hook in self.hooks["load_pre"].values():
            new = hook(self, given)
            given = given if new is None else new
        state, groups = unpack(given, self.param_groups)
        self.__setstate__({"state": state, "param_groups": groups})
        for hook in self.hooks["load_post"].values():
            hook(self)

    # ---- hooks ----

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """A handle of `hook(optimizer, args, kwargs)`, run before each step, or replacing both."""
        return RemovableHandle(self.hooks["step_pre"], hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """A handle of `hook(optimizer, args, kwargs)`, run after each step."""
        return RemovableHandle(self.hooks["step_post"], hook)

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """A handle of `hook(optimizer)`, run before `state_dict`."""
        return _registered(self.hooks["save_pre"], hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """A handle of `hook(optimizer, state_dict)`, run on what `state_dict` returns."""
        return _registered(self.hooks["save_post"], hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """A handle of `hook(optimizer, state_dict)`, run on what `load_state_dict` is given."""
        return _registered(self.hooks["load_pre"], hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """A handle of `hook(optimizer)`, run after `load_state_dict`."""
        return _registered(self.hooks["load_post"], hook, prepend)


def _registered(hooks: dict[int, Any], hook: Any, prepend: bool) -> RemovableHandle:
    earlier = dict(hooks) if prepend else {}
    handle = RemovableHandle(hooks, hook)
    for number, other in earlier.items():
        del hooks[number]
        hooks[number] = other
    return handle


def _listed(params: Any) -> tuple[list[Any], list[str]]:
    """The parameters of a group in order, and their names where `named_parameters()` was given."""
    if isinstance(params, Value):
        return [params], []
    if isinstance(params, (set, frozenset)):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering of"
            " tensors in sets will change between runs. Please use a list instead."
        )
    params = list(params)
    names = [p[0] for p in params if isinstance(p, tuple)]
    if names and len(names) != len(params):
        raise ValueError(
            "all optimizer params should be with/without names. Some param names are missing"
        )
    return [p[1] if isinstance(p, tuple) else p for p in params], names


def _check_parameter(p: Any) -> None:
    if not isinstance(p, Value):
        raise TypeError(
            f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}"
        )
    if p.node is not None and not getattr(p, "retains_grad", False):
        raise ValueError("can't optimize a non-leaf Tensor")


def with_grad(closure: Callable[[], Any] | None) -> Any:
    """What the closure returns, run while recording; None without a closure."""
    if closure is None:
        return None
    with enable_grad():
        return closure()


def live_parameters(group: dict[str, Any], number: int) -> list[Any]:
    """The parameters of a group that have a gradient.

    Raises: RuntimeError for a gradient that its ranks have not reduced yet.
    """
    live = []
    for i, p in enumerate(group["params"]):
        slot = p.leaf
        if slot is None or slot.gradient is None:
            continue
        if slot.local:
            raise RuntimeError(_not_reduced(group, number, i, p))
        live.append(p)
    return live


def _not_reduced(group: dict[str, Any], number: int, i: int, p: Any) -> str:
    name = f" {group['param_names'][i]!r}" if "param_names" in group else ""
    return (
        f"optimizer.step(): parameter{name} {i} of group {number}, of shape"
        f" {tuple(p.array.shape)}, has a gradient of this rank alone: it was not reduced over the"
        " ranks. Run the last backward before step() outside no_sync(), and through the wrapped"
        " model."
    )


def scalar_dtype() -> Any:
    """The dtype in which counts and other single numbers are kept in the state."""
    return float64.numpy if get_default_dtype() is float64 else float32.numpy


def number(x: Any) -> Any:
    """A hyperparameter as a Python number, where it was given as a tensor."""
    return to_host(x.array).item() if isinstance(x, Value) else x
