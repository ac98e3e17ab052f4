"""How an op is called: tensors in, tensor out and recorded; arrays in, array out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy
from numpy import ndarray

from core.autograd import errors
from core.autograd.mode import INFERRING, mode, watched
from core.autograd.op import Op, Plan
from core.autograd.value import (
    Inference,
    Kind,
    Node,
    Value,
    count_of,
    refresh,
    sequence,
    share,
    step_from,
    version_of,
    wrap,
)
from core.backend import MODULE_OF, elsewhere, on, xp
from core.dtype import BY_NUMPY

_new = object.__new__
_float32, _float64 = numpy.dtype("float32"), numpy.dtype("float64")
write_out: Callable[[Any, Any], Any]  # set by the in-place module, which stands on this one


def primitive(forward: Callable[..., Any] | None = None, **traits: Any) -> Any:
    """A differentiable op made of a function of arrays. Tensors in, tensor out; arrays in, array out.

    `traits` are those of `Op`: casts, view, result, label, name.
    """
    if forward is None:
        return lambda f: primitive(f, **traits)
    op = Op(forward, **traits)
    run = _runner(op)
    arity = op.arity
    if op.variadic:
        return _published(_variadic(op, run), op)

    @functools.wraps(forward)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            out = kwargs.pop("out", None)
            args = op.bind(args, kwargs)
            if out is not None:
                return write_out(run(args), out)
        elif len(args) != arity:
            args = op.bind(args, kwargs)
        return run(args)

    return _published(call, op)


def _variadic(op: Op, run: Any) -> Any:
    @functools.wraps(op.forward)
    def call(*args: Any, out: Any = None) -> Any:
        return run(args) if out is None else write_out(run(args), out)

    return call


def _published(call: Any, op: Op) -> Any:
    call.op = op
    call.defvjp = lambda **rules: op.define(rules)
    op.call = call
    return call


def unary(call: Any) -> Any:
    """The quick form of a one-argument op, for methods and operators."""
    op, plans = call.op, call.op.plans

    def quick(input: Any, *, out: Any = None) -> Any:
        recording = mode.fast
        if recording is None or out is not None or not isinstance(input, Value):
            return call(input, out=out) if out is not None else call(input)
        x = input.array
        d = x.dtype
        if (d is not _float32 and d is not _float64) or type(x) is not ndarray:
            return call(input)
        out = op.direct(x)
        if type(out) is not ndarray:
            out = numpy.asarray(out)
        t = _new(Kind.of_results)
        t.array = out
        t.version = t.base = t.leaf = None
        if recording:
            if _wanted(input) and not op.constant:
                plan = plans.get(0x100000001) or _plan(op, 1, 1, 1)
                _attach(t, plan, (input,), (x,), out)
                return t
        elif recording is INFERRING:
            t.version = Inference()
        t.node = None
        t.needs_grad = False
        return t

    functools.update_wrapper(quick, call)
    return _forwarding(quick, call)


def _forwarding(quick: Any, call: Any) -> Any:
    quick.op, quick.defvjp = call.op, call.defvjp
    return quick


def binary(call: Any) -> Any:
    """The quick form of a two-argument op, for operators."""
    op, plans = call.op, call.op.plans

    def quick(input: Any, other: Any, *, out: Any = None) -> Any:
        a, b = input, other
        recording = mode.fast
        if recording is None or out is not None or not isinstance(a, Value):
            return call(a, b, out=out) if out is not None else call(a, b)
        x = a.array
        d = x.dtype
        if (d is not _float32 and d is not _float64) or type(x) is not ndarray:
            return call(a, b)
        if isinstance(b, Value):
            y = b.array
            if y.dtype is not d or type(y) is not ndarray:
                return call(a, b)
            tensors = 3
        elif type(b) is float or type(b) is int:
            y = b
            tensors = 1
        else:
            return call(a, b)
        try:
            out = op.direct(x, y)
        except ValueError as error:
            raise errors.explained(op, (x, y), error) from None
        if type(out) is not ndarray:
            out = numpy.asarray(out)
        t = _new(Kind.of_results)
        t.array = out
        t.version = t.base = t.leaf = None
        if recording:
            wanted = _wanted(a) | (_wanted(b) << 1 if tensors == 3 else 0)
            if wanted and not op.constant:
                key = tensors << 32 | wanted
                _attach(t, plans.get(key) or _plan(op, 2, tensors, wanted), (a, b), (x, y), out)
                return t
        elif recording is INFERRING:
            t.version = Inference()
        t.node = None
        t.needs_grad = False
        return t

    functools.update_wrapper(quick, call)
    return _forwarding(quick, call)


def _wanted(a: Any) -> int:
    base = a.base
    if base is not None and a.version[0] != base.count:
        refresh(a)
    return 1 if a.needs_grad else 0


def _attach(t: Any, plan: Plan, args: Any, arrays: Any, out: Any) -> None:
    """Make `t` the recorded result of an op."""
    saved = []  # a loop, not a comprehension: that costs a call before Python 3.12
    versions = None
    for i in plan.kept:
        a = args[i]
        saved.append(a)
        if versions is None and isinstance(a, Value) and a.version and a.version[0]:
            versions = True
    if plan.shapes or plan.every_shape:
        saved = plan.save(args, arrays, out)
    elif plan.keeps_out:
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


def _plan(op: Op, count: int, tensors: int, wanted: int) -> Plan:
    key = (count, tensors, wanted) if op.variadic else tensors << 32 | wanted
    plan = op.plans.get(key)
    if plan is None:
        plan = op.plans[key] = Plan(op, count, tensors, wanted)
    return plan


# ---- the general path -------------------------------------------------------------------------


def _runner(op: Op) -> Callable[[tuple[Any, ...]], Any]:
    name_arrays = MODULE_OF

    def run(args: tuple[Any, ...]) -> Any:
        if mode.fast is None and mode.watchers:
            return watched(op, run, args)
        tensors = wanted = 0
        bit = 1
        arrays = []
        recording = mode.recording
        for a in args:
            if isinstance(a, Value):
                tensors |= bit
                if recording:
                    base = a.base
                    if base is not None and a.version[0] != base.count:  # type: ignore[index]
                        refresh(a)
                    if a.needs_grad:
                        wanted |= bit
                a = a.array
            arrays.append(a)
            bit += bit
        if not tensors:
            return op.forward(*arrays)
        if len(name_arrays) > 1:  # GPUs are in use: work where the arrays are
            there = elsewhere(arrays)
            if there is not None:
                with on(there):
                    return run(args)
        if op.casts is not None:
            arrays = op.casts(arrays, tensors)
        if op.fast and mode.accelerated:
            fused = _accelerated(op, arrays, tensors)
            if fused is not NotImplemented:
                return _record_fused(op, args, op.differentiable(wanted), fused)
        try:
            out = op.forward(*arrays)
        except (ValueError, IndexError) as error:
            raise errors.explained(op, arrays, error) from None
        if type(out) not in name_arrays:
            if type(out) is tuple:
                wanted = op.differentiable(wanted)
                return _record_many(op, args, arrays, tensors, wanted, out)
            out = as_array(out, arrays)
        t = _new(Kind.of_results)
        t.array = out
        t.version = t.base = t.leaf = None
        if wanted and (wanted := op.differentiable(wanted)) and out.dtype.kind in "fV":
            key = (len(args), tensors, wanted) if op.variadic else tensors << 32 | wanted
            plan = op.plans.get(key) or _plan(op, len(args), tensors, wanted)
            _attach(t, plan, args, arrays, out)
        else:
            t.node = None
            t.needs_grad = False
            if not recording and mode.inference:
                t.version = Inference()
        if op.view:
            x = arrays[0]
            owner = out.base
            if (
                owner is x
                or out is x
                or (owner is not None and owner is x.base)
                or (type(out) is not ndarray and _shares(out, x))
            ):
                _link(t, op, args, recording)
        return t

    return run


def as_array(out: Any, like: Any) -> Any:
    """`out` as an array: NumPy's reductions return scalars, which belong to no device."""
    if type(out) in MODULE_OF:
        return out
    module = next((xp(x) for x in like if type(x) in MODULE_OF), numpy)
    return module.asarray(out)


def _shares(out: Any, x: Any) -> bool:
    owner = out.base
    if owner is x or out is x or (owner is not None and owner is x.base):
        return True
    # CuPy sets no base on arrays that are made from a pointer, but names the allocation.
    return not isinstance(out, ndarray) and out.data.mem is x.data.mem


def _link(t: Any, op: Op, args: Any, recording: bool) -> None:
    """Note that `t` is a view of its op's first argument."""
    x = args[0]
    counter = t.version = x.version or version_of(x)
    t.base = step_from(x, (op.call, args[1:]), counter[0], recording)


def _record_many(op: Op, args: Any, arrays: Any, tensors: int, wanted: int, outs: Any) -> Any:
    """The results of an op with several outputs; each picks its gradient from one shared node."""
    outs = tuple(as_array(out, arrays) for out in outs)
    values = [wrap(out) for out in outs]
    floating = [i for i, out in enumerate(outs) if out.dtype.kind in "fV"]
    if wanted and floating:
        plan = _plan(op, len(args), tensors, wanted)
        saved = plan.save(args, arrays, outs)
        edges = [args[i].node or args[i] for i in plan.wanted]
        node = Node(plan, saved, edges, [out.shape for out in outs], [out.dtype for out in outs])
        node.versions = plan.versions(saved)
        for i in floating:
            pick = Node(PICK, i, [node], outs[i].shape, outs[i].dtype)
            values[i].node, values[i].needs_grad = pick, True
    if op.view:
        for i, value in enumerate(values):
            if _shares(value.array, arrays[0]):
                share(value, args[0])
                value.base = step_from(args[0], None, value.version[0], mode.recording)
    return op.result(*values) if op.result else tuple(values)


class _Pick:
    """The plan of the nodes that stand between a many-output node and one of its outputs."""

    op = None
    keeps_out = False

    def name(self, node: Node) -> str:
        return node.edges[0].name()

    def next_functions(self, node: Node) -> Any:
        return node.edges[0].next_functions


PICK = _Pick()


# ---- accelerations ----------------------------------------------------------------------------


def composite(definition: Callable[..., Any]) -> Any:
    """A function of tensors, differentiable because its parts are, that can be accelerated as one op."""
    op = Op(definition)

    @functools.wraps(definition)
    def call(*args: Any, **kwargs: Any) -> Any:
        if op.fast and mode.accelerated and not mode.watchers:
            args = op.bind(args, kwargs)
            arrays = [a.array if isinstance(a, Value) else a for a in args]
            tensors = sum(isinstance(a, Value) << i for i, a in enumerate(args))
            if tensors:
                fused = _accelerated(op, arrays, tensors)
                if fused is not NotImplemented:
                    wanted = sum(
                        bool(_wanted(a)) << i for i, a in enumerate(args) if isinstance(a, Value)
                    )
                    return _record_fused(op, args, wanted if mode.recording else 0, fused)
            return definition(*args)
        return definition(*args, **kwargs)

    return _published(call, op)


def accelerates(target: Any, array_type: type) -> Callable[[Any], Any]:
    """A decorator that registers `impl(*arrays) -> (out, vjp)` for `target` on one kind of array.

    `vjp(g)` returns one array per argument (None where there is none). Returning NotImplemented from
    `impl` falls back to the definition, as an operator method does.
    """

    def register(impl: Any) -> Any:
        target.op.fast[array_type] = impl
        return impl

    return register


def _accelerated(op: Op, arrays: Any, tensors: int) -> Any:
    first = (tensors & -tensors).bit_length() - 1
    impl = op.fast.get(type(arrays[first]))
    return NotImplemented if impl is None else impl(*arrays)


class FusedPlan:
    """The plan of a node whose gradient one function computes for all arguments."""

    keeps_out = False

    def __init__(self, op: Op, wanted: list[int], vjp: Any) -> None:
        self.op = op
        self.wanted = wanted
        self.vjp = vjp

    def release(self, node: Node) -> None:
        """Let go of what the node and its gradient function keep."""
        node.saved = self.vjp = None

    name = Plan.name
    next_functions = Plan.next_functions


def _record_fused(op: Op, args: Any, wanted: int, fused: Any) -> Any:
    out, vjp = fused
    t = wrap(out)
    if wanted and out.dtype.kind in "fV":
        positions = [i for i in range(len(args)) if wanted >> i & 1]
        edges = [args[i].node or args[i] for i in positions]
        node = Node(FusedPlan(op, positions, vjp), args, edges, out.shape, out.dtype)
        counts = [count_of(a) if isinstance(a, Value) else 0 for a in args]
        node.versions = counts if any(counts) else None
        t.node, t.needs_grad = node, True
    return t


__all__ = ["BY_NUMPY", "accelerates", "binary", "composite", "primitive", "unary", "version_of"]
