"""What happens to a gradient that is final: hooks, and growth of a leaf's `.grad`."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy

from core.autograd.mode import no_grad
from core.autograd.place import where_it_lies
from core.autograd.value import Leaf, RemovableHandle, Value, leaf_of, wrap
from core.backend import device_of, elsewhere, on, xp


def accumulate(leaf: Any, g: Any, create_graph: bool = False) -> None:
    """Add `g`, an array or under `create_graph` a tensor, to a leaf's gradient, and run its hooks.

    An existing gradient grows in place, so gradients can be views of larger memory.
    """
    if type(g) is not numpy.ndarray:
        there = elsewhere((leaf.array,))
        if there is not None:
            with on(there):
                return accumulate(leaf, g, create_graph)
    slot = leaf.leaf or leaf_of(leaf)
    before = slot.gradient
    if create_graph or isinstance(g, Value):
        slot.gradient = g if before is None else before + g
    elif before is None:
        seen = bool(slot.before)
        mine = _like(leaf.array, g, seen) if slot.home is None else _put(slot.home, g)
        slot.gradient = wrap(mine)
    elif before.needs_grad:
        slot.gradient = before + wrap(g)
    else:
        x = before.array
        xp(x).add(x, g, out=x)
        if before.version is not None:
            before.version[0] += 1
    for hook in tuple(slot.after.values()):
        hook(leaf)


def drop(slot: Leaf) -> None:
    """Nothing; the leaf has no gradient now.

    Memory that is part of a larger one, as a bucket's, will be written over: a gradient that
    somebody keeps moves out of it. One that was assigned lies where it is meant to.
    """
    g, slot.gradient, slot.local = slot.gradient, None, False
    if g is None or g.array.base is None or (slot.given is not None and slot.given() is g):
        return
    kept = weakref.ref(g)
    del g
    g = kept()
    if g is not None:
        with on(device_of(g.array)):
            g.array = g.array.copy()


def fill_zero(slot: Leaf) -> None:
    """Nothing; the leaf's gradient, cut from any graph, holds zeros."""
    g = slot.gradient
    if g.needs_grad:
        g = slot.gradient = g.detach()
    with no_grad():
        g.zero_()
    slot.local, slot.reduced = False, None  # zeros owe nothing to former backwards


class WhenFinal:
    """A hook that is run on a leaf once its gradient is final: reduced, where ranks share it.

    Raises: RuntimeError for a hook that returns something, as if that would be the gradient.
    """

    made = False  # whether anybody has one, so that others need not look for them

    def __init__(self, hook: Callable[[Any], Any]) -> None:
        self.hook = hook
        WhenFinal.made = True

    def __call__(self, leaf: Any) -> None:
        # Where it is local, who reduces it will call again.
        if not leaf.leaf.local and self.hook(leaf) is not None:
            raise RuntimeError("Tensor post accumulate grad hooks should return None.")


def run_final(leaf: Any) -> None:
    """Nothing; the hooks that wait for the leaf's gradient to be final have run."""
    for hook in tuple(leaf.leaf.after.values()):
        if type(hook) is WhenFinal:
            hook(leaf)


def added_first(hooks: dict[int, Any], hook: Callable[..., Any]) -> RemovableHandle:
    """A handle of `hook`, run before those that are there."""
    later = dict(hooks)
    hooks.clear()
    handle = RemovableHandle(hooks, hook)
    hooks.update(later)
    return handle


@where_it_lies
def _like(x: Any, g: Any, seen: bool) -> Any:
    """`g` in memory of its own, in the order of `x`'s: rules may return a view, hooks keep it."""
    if g.base is None and g.strides == x.strides and not seen:
        return g
    out = xp(g).empty_like(x, dtype=g.dtype)
    out[...] = g
    return out


def _put(home: Any, g: Any) -> Any:
    if g is not home:
        home[...] = g
    return home


@where_it_lies
def run_hooks(hooks: dict[int, Callable[..., Any]] | None, g: Any, graph: bool) -> Any:
    """`g` after each hook had its say; hooks see tensors and may return another one."""
    for hook in tuple((hooks or {}).values()):
        seen = g if graph else wrap(g)
        new = hook(seen)
        if new is not None:
            g = new if graph else new.array.copy()
    return g


def run_prehooks(node: Any, g: Any, graph: bool) -> Any:
    """The gradients of a node's outputs after the hooks that run before it."""
    several = type(node.shape) is list
    gs = tuple(g) if several else (g,)
    for hook in tuple(node.extra.before.values()):
        gs = _asked(hook, gs, graph)
    return list(gs) if several else gs[0]


def run_posthooks(node: Any, parts: Any, g: Any, graph: bool) -> Any:
    """The gradients of a node's inputs after the hooks that run behind it."""
    gs = _shown(tuple(g) if type(node.shape) is list else (g,), graph)
    for hook in tuple(node.extra.after.values()):
        parts = _asked(lambda seen, hook=hook: hook(seen, gs), tuple(parts), graph)
    return list(parts)


def _shown(gs: tuple[Any, ...], graph: bool) -> tuple[Any, ...]:
    return gs if graph else tuple(None if g is None else wrap(g) for g in gs)


def _asked(hook: Callable[..., Any], gs: tuple[Any, ...], graph: bool) -> tuple[Any, ...]:
    new = hook(_shown(gs, graph))
    if new is None:
        return gs
    new = new if isinstance(new, tuple) else (new,)
    return new if graph else tuple(None if g is None else g.array for g in new)


class _State(threading.local):
    depth = 0

    def __init__(self) -> None:
        self.callbacks: list[tuple[Callable[[], None], Callable[[], None] | None]] = []


_session = _State()


class Session:
    """A backward of this thread; when the outermost ends well, queued callbacks run in order."""

    def __enter__(self) -> None:
        _session.depth += 1

    def __exit__(self, kind: Any, *_: Any) -> None:
        _session.depth -= 1
        if _session.depth:
            return
        callbacks, _session.callbacks = _session.callbacks, []
        for callback, abandoned in callbacks:
            if kind is None:
                callback()
            elif abandoned is not None:
                abandoned()


def queue_callback(
    callback: Callable[[], None], abandoned: Callable[[], None] | None = None
) -> None:
    """Run `callback` when this thread's outermost backward, now under way, has ended well.

    Where an exception ends it, `abandoned` runs instead.

    Raises: RuntimeError outside backward.
    """
    if not _session.depth:
        raise RuntimeError("queue_callback was called while no backward is under way")
    _session.callbacks.append((callback, abandoned))
