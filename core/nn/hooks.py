"""Functions run around the forward and backward of one module, or of all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from core.autograd.dispatch import primitive
from core.autograd.mode import mode
from core.autograd.value import RemovableHandle, Value, wrap

Hook = Callable[..., Any]


class Hooks:
    """The hooks of one module, or of all: by moment, in the order of registration.

    An entry of `pre` and `post` is (hook, with_kwargs); `always` run after errors too.
    """

    __slots__ = ("always", "backward", "backward_pre", "post", "pre")

    def __init__(self) -> None:
        self.pre: dict[int, tuple[Hook, bool]] = {}
        self.post: dict[int, tuple[Hook, bool]] = {}
        self.always: dict[int, bool] = {}
        self.backward_pre: dict[int, Hook] = {}
        self.backward: dict[int, Hook] = {}

    def __bool__(self) -> bool:
        return bool(self.pre or self.post or self.backward_pre or self.backward)

    def add(self, moment: str, entry: Any, prepend: bool = False) -> RemovableHandle:
        """A handle of a new entry, the first of its moment with `prepend`."""
        entries = getattr(self, moment)
        handle = RemovableHandle(entries, entry)
        if prepend:
            rest = {key: value for key, value in entries.items() if key != handle.id}
            entries.clear()
            entries.update({handle.id: entry} | rest)
        return handle


EVERY_MODULE = Hooks()


def register_module_forward_pre_hook(hook: Hook) -> RemovableHandle:
    """A handle of `hook(module, args)`, run before the forward of every module."""
    return EVERY_MODULE.add("pre", (hook, False))


def register_module_forward_hook(
    hook: Hook, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """A handle of `hook(module, args, output)`, run after the forward of every module."""
    handle = EVERY_MODULE.add("post", (hook, with_kwargs))
    if always_call:
        EVERY_MODULE.always[handle.id] = True
    return handle


def register_module_full_backward_pre_hook(hook: Hook) -> RemovableHandle:
    """A handle of `hook(module, grad_output)`, run before the backward of every module."""
    return EVERY_MODULE.add("backward_pre", hook)


def register_module_full_backward_hook(hook: Hook) -> RemovableHandle:
    """A handle of `hook(module, grad_input, grad_output)`, run after each module's backward."""
    return EVERY_MODULE.add("backward", hook)


register_module_backward_hook = register_module_full_backward_hook


# ---- what happens when a module takes something in --------------------------------------------

_REGISTRATION: dict[str, dict[int, Hook]] = {"parameter": {}, "buffer": {}, "module": {}}


def register_module_parameter_registration_hook(hook: Hook) -> RemovableHandle:
    """A handle of `hook(module, name, parameter)`, which may give what is registered instead."""
    return RemovableHandle(_REGISTRATION["parameter"], hook)


def register_module_buffer_registration_hook(hook: Hook) -> RemovableHandle:
    """A handle of `hook(module, name, buffer)`, which may give what is registered instead."""
    return RemovableHandle(_REGISTRATION["buffer"], hook)


def register_module_module_registration_hook(hook: Hook) -> RemovableHandle:
    """A handle of `hook(module, name, submodule)`, which may give what is registered instead."""
    return RemovableHandle(_REGISTRATION["module"], hook)


def registered(kind: str, module: Any, name: str, value: Any) -> Any:
    """What a module is to register under a name, after the hooks had their say."""
    if value is None and kind == "parameter":
        return None
    for hook in tuple(_REGISTRATION[kind].values()):
        new = hook(module, name, value)
        value = value if new is None else new
    return value


class Hooked:
    """The part of a module that registers hooks; `_hooks` is made for the first one."""

    _hooks: Hooks | None = None

    def _own_hooks(self) -> Hooks:
        if self._hooks is None:
            object.__setattr__(self, "_hooks", Hooks())
        assert self._hooks is not None
        return self._hooks

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """A handle of `hook(module, args)`, run before `forward`; it may return other arguments."""
        return self._own_hooks().add("pre", (hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Hook,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """A handle of `hook(module, args, output)`, run after `forward`; it may change it."""
        handle = self._own_hooks().add("post", (hook, with_kwargs), prepend)
        if always_call:
            self._own_hooks().always[handle.id] = True
        return handle

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """A handle of `hook(module, grad_output)`, run before the gradients of the inputs are."""
        return self._own_hooks().add("backward_pre", hook, prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """A handle of `hook(module, grad_input, grad_output)`, run when both are known."""
        return self._own_hooks().add("backward", hook, prepend)

    register_backward_hook = register_full_backward_hook

    @property
    def _forward_pre_hooks(self) -> Mapping[int, Hook]:
        return _seen(self._hooks and self._hooks.pre)

    @property
    def _forward_hooks(self) -> Mapping[int, Hook]:
        return _seen(self._hooks and self._hooks.post)


def _seen(entries: Any) -> Mapping[int, Hook]:
    """The hooks of a moment, for programs that print or count them."""
    return MappingProxyType(OrderedDict((key, hook) for key, (hook, _) in (entries or {}).items()))


# ---- a call with hooks ------------------------------------------------------------------------


def call_with_hooks(module: Any, own: Hooks, args: Any, kwargs: Any) -> Any:
    """What `module.forward` returns, with the hooks of all and then its `own` around it."""
    both = (EVERY_MODULE, own)
    done: dict[int, bool] = {}
    out = None
    try:
        for hooks in both:
            for entry in list(hooks.pre.values()):
                args, kwargs = _before(module, entry, args, kwargs)
        passage = _Passage(module, both) if _watches_backward(both) else None
        if passage is not None:
            args = passage.enter(args)
        out = module.forward(*args, **kwargs)
        for hooks in both:
            for key, entry in list(hooks.post.items()):
                done[key] = True
                out = _after(module, entry, args, kwargs, out)
        return out if passage is None else passage.leave(out)
    except Exception:
        _always(module, both, done, args, kwargs, out)
        raise


def _before(module: Any, entry: tuple[Hook, bool], args: Any, kwargs: Any) -> tuple[Any, Any]:
    hook, with_kwargs = entry
    if with_kwargs:
        new = hook(module, args, kwargs)
        if new is None:
            return args, kwargs
        if not (isinstance(new, tuple) and len(new) == 2):
            raise RuntimeError(
                "forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got"
                f" {new}."
            )
        return new
    new = hook(module, args)
    if new is None:
        return args, kwargs
    return (new if isinstance(new, tuple) else (new,)), kwargs


def _after(module: Any, entry: tuple[Hook, bool], args: Any, kwargs: Any, out: Any) -> Any:
    hook, with_kwargs = entry
    new = hook(module, args, kwargs, out) if with_kwargs else hook(module, args, out)
    return out if new is None else new


def _always(module: Any, both: Any, done: Any, args: Any, kwargs: Any, out: Any) -> None:
    for hooks in both:
        for key in [key for key in hooks.always if key not in done and key in hooks.post]:
            _after(module, hooks.post[key], args, kwargs, out)


def _watches_backward(both: Any) -> bool:
    return mode.recording and any(hooks.backward or hooks.backward_pre for hooks in both)


# ---- backward hooks ---------------------------------------------------------------------------


@primitive(label="BackwardHookFunctionBackward")
def through(watch, *xs):
    """The arguments as they are; on the way back `watch(gradients)` may replace the gradients."""
    return tuple(x.view() for x in xs)


through.defvjp(
    watch=None,
    xs=lambda g, i, watch: watch(g, i),
)


class _Watch:
    """Runs a function once per backward on all gradients, and hands each edge its part."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.wanted: list[int] = []
        self.gs: Any = None

    def __call__(self, gs: Any, i: int) -> Any:
        if i == self.wanted[0]:
            self.gs = self.function(gs)
        g = self.gs[i]
        if i == self.wanted[-1]:
            self.gs = None
        return g


class _Passage:
    """One call of a module between two gates through which its gradients pass."""

    def __init__(self, module: Any, both: tuple[Hooks, ...]) -> None:
        self.module = module
        self.before = [hook for hooks in both for hook in hooks.backward_pre.values()]
        self.after = [hook for hooks in both for hook in hooks.backward.values()]
        self.outward: Any = None
        self.inputs = self.places = 0

    def enter(self, args: Any) -> Any:
        """The arguments, whose gradients end the module's backward."""
        if not self.after:
            return args
        self.places = sum(isinstance(x, Value) for x in args)
        args, self.inputs = _gated(args, self.finish)
        return args

    def leave(self, out: Any) -> Any:
        """The results, whose gradients start the module's backward."""
        many = isinstance(out, (tuple, list))
        outs, _ = _gated(tuple(out) if many else (out,), self.start)
        if not many:
            return outs[0]
        return type(out)(*outs) if hasattr(out, "_fields") else type(out)(outs)

    def start(self, gs: Any) -> Any:
        """The gradients of the results, after the hooks that come first."""
        gs = _as_tensors(gs)
        for hook in self.before:
            new = hook(self.module, gs)
            gs = gs if new is None else _fitting(new, gs, "pre hook", "grad_output")
        self.outward = gs
        if self.after and not self.inputs:
            for hook in self.after:
                hook(self.module, (None,) * self.places, gs)
        return gs

    def finish(self, gs: Any) -> Any:
        """The gradients of the arguments, after the hooks that come last."""
        gs = _as_tensors(gs)
        for hook in self.after:
            new = hook(self.module, gs, self.outward)
            gs = gs if new is None else _fitting(new, gs, "hook", "grad_input")
        return gs


def _gated(values: tuple[Any, ...], function: Any) -> tuple[tuple[Any, ...], int]:
    places = [i for i, x in enumerate(values) if isinstance(x, Value)]
    watched = [i for i in places if values[i].requires_grad]
    if not watched:
        return values, 0
    watch = _Watch(lambda gs: _plain(function(gs), gs))
    watch.wanted = [places.index(i) for i in watched]
    passed = through(watch, *(values[i] for i in places))
    out = list(values)
    for i, x in zip(places, passed, strict=True):
        out[i] = x
    return tuple(out), len(places)


def _as_tensors(gs: Any) -> tuple[Any, ...]:
    return tuple(g if g is None or isinstance(g, Value) else wrap(g) for g in gs)


def _fitting(new: Any, gs: Any, kind: str, what: str) -> tuple[Any, ...]:
    """What a hook gives in place of the gradients.

    Raises: RuntimeError where it is of another number.
    """
    new = new if isinstance(new, tuple) else (new,)
    if len(new) != len(gs):
        raise RuntimeError(
            f"Backward {kind} returned an invalid number of {what}, got {len(new)}, but expected"
            f" {len(gs)}"
        )
    return new


def _plain(new: Any, gs: Any) -> Any:
    """`new` as the sweep passes gradients now: arrays, or tensors where it records."""
    return tuple(
        n if isinstance(g, Value) or n is None else n.array for n, g in zip(new, gs, strict=True)
    )
