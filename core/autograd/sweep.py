"""How a graph is differentiated: one sweep from the results back to the leaves."""

from __future__ import annotations

import functools
import operator
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy

from core.autograd.accumulate import (
    Session,
    accumulate,
    run_hooks,
    run_posthooks,
    run_prehooks,
)
from core.autograd.anomaly import checked, is_anomaly_enabled
from core.autograd.mode import mode
from core.autograd.op import Plan
from core.autograd.place import where_it_lies
from core.autograd.product import match, products, replays_with
from core.autograd.record import PICK
from core.autograd.value import Node, Value, refresh, wrap
from core.backend import MODULE_OF, elsewhere, on

GATED = "gated"  # in place of steps
LARGE = 1 << 16  # elements of a gradient from which its memory is worth using again
_NUMBER = operator.attrgetter("seq")


def backward(
    roots: Sequence[Any],
    gs: Sequence[Any],
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
    inputs: Sequence[Any] | None = None,
) -> None:
    """Add d roots / d leaf to the gradient of every leaf (of `inputs` only, where given)."""
    owners = None if inputs is None else {source_of(x): x for x in inputs}
    targets = None if owners is None else list(owners)
    with Session():
        sweep = Sweep(roots, gs, retain_graph, create_graph, targets)
        sweep.goes_home = owners is None and not create_graph and sweep.products is products
        for source, g in sweep:
            if owners is None:
                if type(source) is not Node:
                    accumulate(source, g, create_graph)
            elif source in owners:
                accumulate(owners[source], g, create_graph)


def grad(
    roots: Sequence[Any],
    inputs: Sequence[Any],
    gs: Sequence[Any],
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
    stop: bool = False,
) -> list[Any]:
    """D roots / d input for each input, leaving every `.grad` alone; None where there is no path.

    With `stop`, an input is held fixed while differentiating with respect to another.
    """
    targets = [source_of(x) for x in inputs]
    found = at_sources(Sweep(roots, gs, retain_graph, create_graph, targets, stop))
    return [g if g is None or isinstance(g, Value) else wrap(g) for g in map(found.get, targets)]


def at_sources(sweep: Sweep) -> dict[Any, Any]:
    """The gradient, an array or a tensor, at each target of a sweep that there is a path to."""
    with Session():
        return {source: g for source, g in sweep if source in sweep.targets}


def source_of(x: Any) -> Any:
    """Where a tensor stands in the graph: its node, or itself where it is a leaf."""
    if x.base is not None and x.version[0] != x.base.count:
        refresh(x)
    return x.node or x


class Sweep:
    """Iterating yields (leaf, its gradient) once it is final, and so for the nodes in `targets`.

    Gradients are arrays, or tensors under `create_graph`. The consumer's code runs recorded as
    it was outside.
    """

    def __init__(
        self,
        roots: Sequence[Any],
        gs: Sequence[Any],
        retain_graph: bool,
        create_graph: bool,
        targets: Sequence[Any] | None = None,
        stop: bool = False,
    ) -> None:
        self.retain = retain_graph
        self.graph = create_graph
        self.stop = stop
        self.targets = {} if targets is None else dict.fromkeys(targets)
        self.gradients: dict[Any, Any] = {}
        self.products: Any = checked if is_anomaly_enabled() else products
        self.goes_home = False  # whether every leaf will gather its gradient
        # The last large gradient that was new memory, by a weak reference, and where it went alone.
        self.fresh: Any = None
        self.heir: Any = None
        self.gated = False  # whether it is already what the heir's `over` makes of it
        starts = [source_of(root) for root in roots]
        for start, g in zip(starts, gs, strict=True):
            g = g if create_graph else own(g.array) if type(start) is not Node else g.array
            self.add(start, g)
        self.starts = list(dict.fromkeys(starts))
        self.nodes, self.uses = self.history(targets is not None)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        outside = mode.recording
        gradients, targets = self.gradients, self.targets
        try:
            for start in self.starts:
                if type(start) is not Node and not self.uses.get(start):
                    yield start, self.final(start)
            mode.record(self.graph)
            for node in self.nodes:
                g = gradients.pop(node, None)
                extra = node.extra
                if g is not None and extra is not None and extra.hooks and not self.ends_at(node):
                    g = run_hooks(extra.hooks, g, self.graph)
                if targets and node in targets:
                    mode.record(outside)
                    if g is not None:
                        yield node, g
                    mode.record(self.graph)
                    if self.stop:
                        continue
                for leaf in self.pass_on(node, g):
                    g_leaf = self.final(leaf)
                    mode.record(outside)
                    yield leaf, g_leaf
                    mode.record(self.graph)
        finally:
            mode.record(outside)

    def pass_on(self, node: Node, g: Any) -> list[Any]:  # noqa: C901 - once per node, as products()
        """Send a node's gradient along its edges; the leaves whose gradient became final."""
        if type(g) is not numpy.ndarray and (there := place_of(g)) is not None:
            with on(there):
                return self.pass_on(node, g)
        done: list[Any] = []
        if g is None:
            parts: Sequence[Any] = [None] * len(node.edges)
        elif node.plan is PICK:
            return self.collect(node, g)
        else:
            extra = node.extra
            if extra is not None and extra.before:
                g = run_prehooks(node, g, self.graph)
            plan, ours = node.plan, self.goes_home and extra is None
            steps = self.shorter(node, g) if ours and plan.shortcut else None
            parts = self.products(node, g, self.graph, steps)
            if ours and plan.fresh:
                self.note(parts[0], node, steps is GATED)
            if extra is not None and extra.after:
                parts = run_posthooks(node, parts, g, self.graph)
            if not self.retain:
                plan.release(node)
        uses, gradients = self.uses, self.gradients
        for source, p in zip(node.edges, parts):  # strict= costs 80 ns here
            leaf = type(source) is not Node
            if p is not None:
                if leaf or type(p) is not numpy.ndarray:
                    p = match(p, source, g)
                elif p.dtype is not source.dtype or p.shape != source.shape:
                    p = match(p, source, g)
                before = gradients.get(source)
                gradients[source] = p if before is None else summed(before, p)
            if leaf:
                uses[source] -= 1
                if not uses[source] and source in gradients:
                    done.append(source)
        return done

    def note(self, p: Any, node: Node, gated: bool) -> None:
        """Nothing; where this new gradient goes to from `node` alone, it may be written over."""
        if type(p) is numpy.ndarray and p.size >= LARGE:
            self.fresh, self.heir, self.gated = weakref.ref(p), node.edges[0], gated

    def shorter(self, node: Node, g: Any) -> Any:
        """The steps of a node that save memory or time, if there are any now.

        An acceleration's gradient function can do what the next node would do over its result,
        where nobody looks at what lies between them.
        """
        if type(node.plan) is Plan:
            return self.steps_home(node, g)
        heir = node.edges[0]
        if type(heir) is not Node or heir.extra is not None:
            return None
        return GATED if type(heir.plan) is Plan and heir.plan.over is not None else None

    def steps_home(self, node: Node, g: Any) -> Any:
        """The steps of a node, writing the gradients of leaves to where they will lie.

        That is: where this is all that comes to a leaf, it has none yet, and somebody keeps one.
        Over `g` itself where it is the new memory that this node was given.
        """
        plan = node.plan
        if plan.over is not None:
            if node is not self.heir or g is not self.fresh():
                return None
            over = _as_it_is if self.gated else plan.over
            return [(over, plan.steps[0][1])]
        steps = plan.steps.copy()
        for k, into in plan.into:
            leaf = node.edges[k]
            if type(leaf) is Node or self.uses[leaf] != 1 or leaf in self.gradients:
                continue
            slot = leaf.leaf
            if slot is None or slot.home is None or slot.gradient is not None or slot.before:
                continue
            home, x = slot.home, leaf.array
            if type(home) is numpy.ndarray and home.dtype is x.dtype and home.shape == x.shape:
                steps[k] = functools.partial(into, home), steps[k][1]
        return steps

    def ends_at(self, source: Any) -> bool:
        """Whether this sweep is part of a larger one that goes on, with hooks, at `source`."""
        return self.stop and source in self.targets

    @where_it_lies
    def add(self, source: Any, g: Any) -> None:
        """Add to the gradient gathered so far for a node or leaf."""
        before = self.gradients.get(source)
        self.gradients[source] = g if before is None else summed(before, g)

    def collect(self, pick: Node, g: Any) -> list[Any]:
        """No leaves; the gradient of one output of a node with several is noted."""
        node = pick.edges[0]
        gs = self.gradients.get(node)
        if gs is None:
            gs = self.gradients[node] = [None] * len(node.shape)
        before = gs[pick.saved]
        gs[pick.saved] = g if before is None else summed(before, g)
        return []

    def final(self, leaf: Any) -> Any:
        """A leaf's whole gradient, after its hooks where it was asked for."""
        g = self.gradients.pop(leaf)
        slot, targets = leaf.leaf, self.targets
        if slot is None or not slot.before or (targets and (self.stop or leaf not in targets)):
            return g
        return run_hooks(slot.before, g, self.graph)

    def history(self, pruned: bool) -> tuple[list[Node], dict[Any, int]]:
        """The nodes that the starts depend on, latest first, and how many edges reach each leaf."""
        seen = {start: None for start in self.starts if type(start) is Node}
        stack = list(seen)
        while stack:
            node = stack.pop()
            if self.stop and node in self.targets:
                continue
            for source in node.edges:
                if type(source) is Node and source not in seen:
                    seen[source] = None
                    stack.append(source)
        nodes = sorted(seen, key=_NUMBER, reverse=True)
        if pruned:
            nodes = self.reaching(nodes)
        uses: dict[Any, int] = {}
        for node in nodes:
            for source in node.edges:
                if type(source) is not Node:
                    uses[source] = uses.get(source, 0) + 1
        return nodes, uses

    def reaching(self, nodes: list[Node]) -> list[Node]:
        """Only the nodes on a path to a target."""
        found = dict(self.targets)
        for node in reversed(nodes):
            if any(source in found for source in node.edges):
                found[node] = None
        return [node for node in nodes if node in found]


def _as_it_is(g: Any, out: Any) -> Any:
    return g


def place_of(g: Any) -> Any:
    """The GPU of a gradient, or of several, unless it is the current one."""
    if len(MODULE_OF) == 1:
        return None
    gs = g if type(g) is list else (g,)
    return elsewhere([x.array if isinstance(x, Value) else x for x in gs])


@where_it_lies
def own(array: Any) -> Any:
    """A copy that the caller may write to."""
    return array.copy()


def summed(a: Any, b: Any) -> Any:
    """The sum of two gradients; NumPy would make a scalar of arrays without dims."""
    if type(a) is not numpy.ndarray and (there := place_of(a)) is not None:
        with on(there):  # what comes from another GPU is added where both lie now
            return summed(a, b)
    total = a + b
    return total if type(total) is type(a) else numpy.asarray(total)


replays_with(grad)
