"""How a result is recorded: its node, what that keeps, and the memory it shares."""

from __future__ import annotations

from typing import Any

import numpy
from numpy import ndarray

from core.autograd.mode import mode
from core.autograd.op import Op, Plan
from core.autograd.value import (
    Inference,
    Kind,
    Node,
    Value,
    count_of,
    extra_of,
    refresh,
    sequence,
    share,
    step_from,
    version_of,
    wrap,
)
from core.backend import MODULE_OF, xp

_new = object.__new__


def result(op: Op, args: Any, arrays: Any, tensors: int, wanted: int, out: Any) -> Any:
    """The tensor holding `out`, recorded where one of the `wanted` arguments requires grad."""
    if type(out) not in MODULE_OF:
        out = as_array(out, arrays)
    t = _new(Kind.of_results)
    t.array = out
    t.version = t.base = t.leaf = None
    if wanted and (wanted := op.differentiable(wanted)) and out.dtype.kind in "fV":
        key = (len(args), tensors, wanted) if op.variadic else tensors << 32 | wanted
        plan = op.plans.get(key) or plan_of(op, len(args), tensors, wanted)
        attach(t, plan, args, arrays, out)
    else:
        t.node = None
        t.needs_grad = False
        if mode.inference and not mode.recording:
            t.version = Inference()
    if op.view and shares(out, arrays[0]):
        link(t, op, args)
    return t


def wanted_of(a: Any) -> int:
    """1 if gradients of `a` are wanted, else 0; a view is brought up to date first."""
    base = a.base
    if base is not None and a.version[0] != base.count:
        refresh(a)
    return 1 if a.needs_grad else 0


def attach(t: Any, plan: Plan, args: Any, arrays: Any, out: Any) -> None:
    """Make `t` the recorded result of an op."""
    saved = []  # a loop, not a comprehension: that costs a call before Python 3.12
    versions = None
    for i in plan.kept:
        a = args[i]
        saved.append(a)
        if versions is None and isinstance(a, Value) and a.version and a.version[0]:
            versions = True
    for i in plan.shapes:
        saved.append(arrays[i].shape)
    if plan.every_shape:
        saved.append([x.shape for x in arrays[plan.op.arity - 1 :]])
    if plan.keeps_out:
        saved.append(out)
    edges = []
    for i in plan.wanted:
        a = args[i]
        edges.append(a.node or a)
    node = _new(Node)
    node.seq = sequence()
    node.plan = plan
    node.saved = saved
    node.edges = edges
    node.shape = out.shape
    node.dtype = out.dtype
    node.versions = plan.versions(saved) if versions else None
    node.extra = None
    t.node = node
    t.needs_grad = True


def plan_of(op: Op, count: int, tensors: int, wanted: int) -> Plan:
    """The plan of an op for one pattern of arguments, made on first use."""
    key = (count, tensors, wanted) if op.variadic else tensors << 32 | wanted
    plan = op.plans.get(key)
    if plan is None:
        plan = op.plans[key] = Plan(op, count, tensors, wanted)
    return plan


def as_array(out: Any, like: Any) -> Any:
    """`out` as an array: NumPy's reductions return scalars, which belong to no device."""
    if type(out) in MODULE_OF:
        return out
    module = next((xp(x) for x in like if type(x) in MODULE_OF), numpy)
    return module.asarray(out)


def shares(out: Any, x: Any) -> bool:
    """Whether `out`, which an op made of `x`, lies in the memory of `x`."""
    owner = out.base
    if owner is x or out is x or (owner is not None and owner is x.base):
        return True
    # CuPy sets no base on arrays that are made from a pointer, but names the allocation.
    return not isinstance(out, ndarray) and out.data.mem is x.data.mem


def link(t: Any, op: Op, args: Any) -> None:
    """Note that `t` is a view of its op's first argument."""
    x = args[0]
    counter = t.version = x.version or version_of(x)
    t.base = step_from(op, args, counter[0], mode.recording)


def results(op: Op, args: Any, arrays: Any, tensors: int, wanted: int, outs: Any) -> Any:
    """The results of an op with several outputs; each picks its gradient from one shared node."""
    outs = tuple(as_array(out, arrays) for out in outs)
    values = [wrap(out) for out in outs]
    floating = [i for i, out in enumerate(outs) if out.dtype.kind in "fV"]
    if wanted and floating:
        plan = plan_of(op, len(args), tensors, wanted)
        saved = plan.save(args, arrays, outs)
        edges = [args[i].node or args[i] for i in plan.wanted]
        node = Node(plan, saved, edges, [out.shape for out in outs], [out.dtype for out in outs])
        node.versions = plan.versions(saved)
        for i in floating:
            pick = Node(PICK, i, [node], outs[i].shape, outs[i].dtype)
            values[i].node, values[i].needs_grad = pick, True
        if plan.keeps_out:  # indices, where there are any, are what the rules go by
            watch_results(node, [x for x in values if x.node is None] or values)
    if op.view:
        for value in values:
            if shares(value.array, arrays[0]):
                share(value, args[0])
                value.base = step_from(None, args, value.version[0], mode.recording)
    return op.result(*values) if op.result else tuple(values)


def watch_results(node: Node, values: list[Any]) -> None:
    """Let no gradient flow through a node once one of its results was written in place."""
    for value in values:
        value.version = [0]
    extra_of(node).watched = [(value.version, 0, value.array) for value in values]


class _Pick:
    """The plan of the nodes that stand between a many-output node and one of its outputs."""

    op = None
    keeps_out = False

    def name(self, node: Node) -> str:
        return node.edges[0].name()

    def next_functions(self, node: Node) -> Any:
        return node.edges[0].next_functions


PICK = _Pick()


class FusedPlan:
    """The plan of a node whose gradient one function computes for all arguments."""

    keeps_out = False

    def __init__(self, op: Op, wanted: list[int], vjp: Any) -> None:
        self.op = op
        self.label = op.label
        self.wanted = wanted
        self.vjp = vjp
        self.fresh = op.fresh and wanted[:1] == [0]
        self.shortcut = op.gates and self.fresh

    def release(self, node: Node) -> None:
        """Let go of what the node and its gradient function keep."""
        node.saved = self.vjp = None

    name = Plan.name
    next_functions = Plan.next_functions


def fused_result(
    op: Op, args: Any, wanted: int, fused: Any, edges: Any = None, counts: Any = None
) -> Any:
    """The result of an acceleration, recorded with its own gradient function.

    With other `edges` and `counts` of writes than the arguments have now, where those are given.
    """
    out, vjp = fused
    t = wrap(out)
    if wanted and out.dtype.kind in "fV":
        positions = [i for i in range(len(args)) if wanted >> i & 1]
        edges = edges or [args[i].node or args[i] for i in positions]
        node = Node(FusedPlan(op, positions, vjp), args, edges, out.shape, out.dtype)
        counts = counts or [count_of(a) if isinstance(a, Value) else 0 for a in args]
        node.versions = counts if any(counts) else None
        t.node, t.needs_grad = node, True
    elif mode.inference and not mode.recording:
        t.version = Inference()
    return t
