"""One node's share of the sweep: its rules run on what it saved, broadcasting and dtype undone."""

from __future__ import annotations

import math
from typing import Any

import numpy
from numpy import ndarray

from core.autograd.mode import mode
from core.autograd.op import Plan
from core.autograd.record import PICK, FusedPlan
from core.autograd.value import Node, Value, wrap
from core.backend import MODULE_OF, xp
from core.dtype import float32, of


# Once per node of every backward: each step made a function costs 0.1 us.
def products(node: Node, g: Any, create_graph: bool, steps: Any = None) -> list[Any]:  # noqa: C901
    """The vector-Jacobian product of `g` with respect to each of the node's edges.

    By the rules of its plan, or by `steps` in their place.
    Raises: RuntimeError if the graph was freed, or a saved value was written in place since.
    """
    saved = node.saved
    if saved is None:
        raise RuntimeError(
            "Trying to backward through the graph a second time (or directly access saved tensors"
            " after they have already been freed). Saved intermediate values of the graph are freed"
            " when you call .backward() or autograd.grad(). Specify retain_graph=True if you need"
            " to backward through the graph a second time or if you need to access saved tensors"
            " after calling backward."
        )
    plan = node.plan
    if node.extra is not None:
        _check_writes(node)
    if type(plan) is not Plan:
        return _other(node, g, create_graph, steps)
    if type(node.shape) is list:
        g = filled(node, g, create_graph)
    if create_graph:
        check_versions(node, plan.tensors, saved)
        saved = _as_values(node, saved)
    elif plan.tensors:
        saved = _as_arrays(node, plan.tensors, saved)
    if plan.constants:
        saved = [*saved, *plan.constants]
    out = []
    for rule, slots in steps or plan.steps:
        if len(slots) == 1:  # spelled out: a comprehension costs a call before Python 3.12
            out.append(rule(g, saved[slots[0]]))
        elif slots:
            out.append(rule(g, *[saved[k] for k in slots]))
        else:
            out.append(rule(g))
    return out


def _as_arrays(node: Node, tensors: list[int], saved: Any) -> list[Any]:
    """The saved values with arrays in place of tensors, none written since it was saved."""
    versions = node.versions
    saved = saved.copy()
    for n, k in enumerate(tensors):
        a = saved[k]
        version = a.version
        if version is not None:
            expected = 0 if versions is None else versions[n]
            if version[0] != expected:
                raise modified(a.array, a.node, version[0], expected)
        saved[k] = a.array
    return saved


def _other(node: Node, g: Any, create_graph: bool, gated: Any) -> list[Any]:
    """The products of a node whose plan is no list of rules: an acceleration, or a function."""
    plan, saved = node.plan, node.saved
    if type(plan) is not FusedPlan:
        return plan.products(node, g, create_graph)
    if plan.op.unread and not create_graph:
        saved = [None if i in plan.op.unread else a for i, a in enumerate(saved)]
    check_versions(node, range(len(saved)), saved)
    if create_graph:
        return _replayed(node, g)
    parts = plan.vjp(g, gated=True) if gated else plan.vjp(g)
    return [p() if callable(p) else p for p in [parts[i] for i in plan.wanted]]


def _as_values(node: Node, saved: Any) -> list[Any]:
    """The saved values with the kept result as a tensor of this node."""
    if not node.plan.keeps_out:
        return saved
    out = saved[-1]
    if type(out) is tuple:
        return [*saved[:-1], several(node, out)]
    return [*saved[:-1], wrap(out, node)]


def several(node: Node, out: tuple[Any, ...]) -> tuple[Any, ...]:
    """The results of a many-output node as tensors that lead back to it."""
    return tuple(_output(node, i, x) for i, x in enumerate(out))


def _output(node: Node, i: int, x: Any) -> Any:
    if x.dtype.kind not in "fV":
        return wrap(x)
    return wrap(x, Node(PICK, i, [node], x.shape, x.dtype))


def filled(node: Node, gs: Any, create_graph: bool) -> tuple[Any, ...]:
    """One gradient per output of a many-output node; zeros where nothing flowed in."""
    like = next(g for g in gs if g is not None)
    module = xp(like.array if create_graph else like)
    out = []
    for g, shape, dtype in zip(gs, node.shape, node.dtype, strict=True):
        if g is None:
            g = module.zeros(shape, dtype)
            g = wrap(g) if create_graph else g
        out.append(g)
    return tuple(out)


def _replayed(node: Node, g: Any) -> list[Any]:
    """An acceleration works on arrays only: replay the op's definition and differentiate that."""
    from_definition = _Replay.grad
    assert from_definition is not None
    was, mode.accelerated = mode.accelerated, False
    try:
        out = node.plan.op.call(*node.saved)
    finally:
        mode.accelerated = was
    inputs = [node.saved[i] for i in node.plan.wanted]
    return from_definition([out], inputs, [g], retain_graph=True, create_graph=True, stop=True)


class _Replay:
    grad: Any = None


def replays_with(grad: Any) -> None:
    """Give the replay of definitions the function that differentiates them."""
    _Replay.grad = staticmethod(grad)


# ---- versions ---------------------------------------------------------------------------------


def check_versions(node: Node, positions: Any, saved: Any) -> None:
    """Raise if one of the saved tensors was written in place since it was saved."""
    versions = node.versions
    for n, k in enumerate(positions):
        a = saved[k]
        if not isinstance(a, Value) or a.version is None:
            continue
        expected = 0 if versions is None else versions[n]
        if a.version[0] != expected:
            raise modified(a.array, a.node, a.version[0], expected)


def _check_writes(node: Node) -> None:
    """Raise if the kept result, or what the node watches, was written in place since."""
    shared = node.extra.out_version
    if shared is not None and shared[0][0] != shared[1]:
        raise modified(node.saved[-1], node, shared[0][0], shared[1])
    for counter, expected, array in node.extra.watched or ():
        if counter[0] != expected:
            raise modified(array, None, counter[0], expected)


def modified(array: Any, node: Node | None, now: int, expected: int) -> RuntimeError:
    """The error that says which saved tensor was written in place."""
    kind = f"core.{of(array.dtype).name} {list(array.shape)}"
    where = f", which is output 0 of {node.name()}," if node is not None else ""
    return RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace"
        f" operation: [{kind}]{where} is at version {now}; expected version {expected} instead."
        " Hint: enable anomaly detection to find the operation that failed to compute its"
        " gradient, with autograd.set_detect_anomaly(True)."
    )


# ---- broadcasting and dtype, undone -----------------------------------------------------------

_LONG = 1 << 12


def match(p: Any, source: Any, g: Any) -> Any:
    """`p` summed over the axes along which `source` was broadcast, in the dtype of `source`.

    Never `g` itself where `source` is a leaf: the leaf will keep it.
    """
    leaf = type(source) is not Node
    like = source.array if leaf else source
    if type(p) is ndarray and p.dtype is like.dtype and p.shape == like.shape:
        return p.copy() if leaf and p is g else p
    if type(p) not in MODULE_OF and not isinstance(p, Value):
        p = numpy.asarray(p)
    shape = like.shape
    if p.shape != shape:
        p = unbroadcast(p, shape)
    if isinstance(p, Value):
        return p if p.array.dtype == like.dtype else p.to(of(like.dtype))  # type: ignore[attr-defined]
    if p.dtype is not like.dtype and p.dtype != like.dtype:
        return p.astype(like.dtype)
    return p.copy() if leaf and p is g else p


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """`g` summed to `shape`, over the axes along which `shape` was broadcast to it."""
    have = tuple(g.shape)
    if len(have) < len(shape) or g is None:
        return g.reshape(shape)
    lead = len(have) - len(shape)
    stretched = [lead + i for i, n in enumerate(shape) if n == 1 != have[lead + i]]
    if lead and not stretched and shape and _is_long(g):
        flat = g.reshape(-1, math.prod(shape))
        return numpy.ones(len(flat), g.dtype).dot(flat).reshape(shape)
    axes = (*range(lead), *stretched)
    # The axes are kept, as NumPy's sum of all elements is no array.
    return (total(g, axes) if axes else g).reshape(shape)


def total(g: Any, axes: Any, keepdims: bool = True) -> Any:
    """The sum over axes; of arrays of half types in float32: bfloat16's 256 + 1 is 256."""
    half = g.dtype.itemsize == 2 and not isinstance(g, Value) and g.dtype.kind in "fV"
    if not half:
        return g.sum(axes, keepdims=keepdims)
    return g.astype(float32.numpy).sum(axes, keepdims=keepdims).astype(g.dtype)


def _is_long(g: Any) -> bool:
    """Whether sums over the first axes of `g` take a third of the time as a product with ones."""
    return type(g) is ndarray and g.size >= _LONG and g.dtype.char in "fd" and g.flags.c_contiguous
