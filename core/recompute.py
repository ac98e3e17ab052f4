"""Recomputation: keep the inputs of a part of a model, and compute its inside again in backward."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

from core import random
from core.autograd import sweep
from core.autograd.mode import enable_grad, mode
from core.autograd.op import face_of
from core.autograd.product import check_versions
from core.autograd.record import PICK
from core.autograd.value import Node, Value, sequence, wrap

__all__ = ["CheckpointError", "checkpoint", "checkpoint_sequential"]


class CheckpointError(RuntimeError):
    """What was computed again differs from what was computed first."""


class _Around(threading.local):
    context: Callable[[], Any] = contextlib.nullcontext


_around = _Around()


class again_in:  # noqa: N801 - a context manager, which is no generator since it is in every step
    """A context in which what `checkpoint` is given is computed again inside `context()`.

    For who gives a module other parameters while it computes, as logical shards do.
    """

    __slots__ = ("before", "context")

    def __init__(self, context: Callable[[], Any]) -> None:
        self.context = context

    def __enter__(self) -> None:
        self.before, _around.context = _around.context, self.context

    def __exit__(self, *_: Any) -> None:
        _around.context = self.before


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """function(*args, **kwargs), of which only the arguments are kept for backward.

    In backward the function runs again, with the same random numbers. `use_reentrant` is accepted
    for PyTorch's programs: either way gradients reach every tensor that the function uses.

    Raises: CheckpointError in backward, where the function gives something else the second time.
    """
    for option in ("context_fn", "determinism_check", "debug", "early_stop"):
        kwargs.pop(option, None)
    state = random.get_rng_state() if preserve_rng_state else None
    first = sequence()
    result = function(*args, **kwargs)
    outs = _tensors(result)
    inner = [_is_inner(out, first) for out in outs]
    if not any(inner):
        return result
    plan = _Plan(lambda: function(*args, **kwargs), state)
    entries = _entries([out.node for out, made in zip(outs, inner) if made], first)
    shapes, dtypes = [o.array.shape for o in outs], [o.array.dtype for o in outs]
    node = Node(plan, _tensors((args, kwargs)), entries, shapes, dtypes)
    node.versions = [0 if a.version is None else a.version[0] for a in node.saved]
    for i, out in enumerate(outs):
        if inner[i]:
            out.node, out.base = Node(PICK, i, [node], shapes[i], dtypes[i]), None
    return result


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """`input` passed through functions in `segments` parts, of which all but the last recompute."""
    functions = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = len(functions) // segments

    def run(start: int, end: int) -> Callable[[Any], Any]:
        def forward(x: Any) -> Any:
            for function in functions[start:end]:
                x = function(x)
            return x

        return forward

    for start in range(0, size * (segments - 1), size):
        input = checkpoint(run(start, start + size), input, use_reentrant=use_reentrant, **kwargs)
    return run(size * (segments - 1), len(functions))(input)


def _tensors(value: Any) -> list[Any]:
    """The tensors in nested tuples, lists and dicts, in order."""
    if isinstance(value, Value):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [x for part in value for x in _tensors(part)] if isinstance(value, (tuple, list)) else []


def _is_inner(out: Any, first: int) -> bool:
    source = sweep.source_of(out)
    return source is not out and source.seq > first


def _entries(nodes: Sequence[Node], first: int) -> list[Any]:
    """Where the graph that was made since `first` begins: older nodes, and leaves."""
    entries: dict[Any, None] = {}
    seen = dict.fromkeys(nodes)
    stack = list(seen)
    while stack:
        for source in stack.pop().edges:
            if type(source) is not Node or source.seq < first:
                entries[source] = None
            elif source not in seen:
                seen[source] = None
                stack.append(source)
    return list(entries)


class _Plan:
    """The plan of a node whose inside is computed again when its gradient is asked for."""

    op = checkpoint
    keeps_out = fresh = shortcut = False

    def __init__(self, again: Callable[[], Any], state: Any) -> None:
        self.again = again
        self.state = state
        self.watchers = mode.watchers
        self.around = _around.context

    def name(self, node: Node) -> str:
        """PyTorch's name of this node."""
        return "CheckpointFunctionBackward"

    def next_functions(self, node: Node) -> tuple[tuple[Any, int], ...]:
        """One entry per edge."""
        return tuple(face_of(source) for source in node.edges)

    def release(self, node: Node) -> None:
        """Let go of the arguments."""
        node.saved = None

    def products(self, node: Node, g: Any, create_graph: bool) -> list[Any]:
        """The gradients at the entries, of a graph made anew.

        Raises: CheckpointError where the outputs have other shapes or dtypes than before.
        """
        check_versions(node, range(len(node.saved)), node.saved)
        outs = self.rerun()
        have = [(o.array.shape, o.array.dtype) for o in outs]
        want = list(zip(node.shape, node.dtype))
        if have != want:
            raise CheckpointError(
                f"recomputed outputs have the shapes and dtypes {have}, the first time {want}"
            )
        pairs = [(o, x) for o, x in zip(outs, g) if x is not None]
        gs = [x if isinstance(x, Value) else wrap(x) for _, x in pairs]
        inner = sweep.Sweep([o for o, _ in pairs], gs, create_graph, create_graph, node.edges, True)
        found = sweep.at_sources(inner)
        return [found.get(source) for source in node.edges]

    def rerun(self) -> list[Any]:
        """The outputs once more, with the random numbers and the watchers of the first time."""
        before, watchers = random.get_rng_state(), mode.watchers
        if self.state is not None:
            random.set_rng_state(self.state)
        mode.watch(self.watchers)
        try:
            with enable_grad(), self.around():
                return _tensors(self.again())
        finally:
            mode.watch(watchers)
            if self.state is not None:
                random.set_rng_state(before)
