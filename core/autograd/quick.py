"""The quick paths: ops on float32 and float64 arrays of the CPU, called as operators are.

They do what the general path does for such arguments, in fewer steps, and hand over all else.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy
from numpy import ndarray

from core.autograd import errors
from core.autograd.mode import INFERRING, mode
from core.autograd.record import attach, plan_of, wanted_of
from core.autograd.value import (
    UNRECORDED,
    Inference,
    Kind,
    LostView,
    Value,
    step_from,
    version_of,
)

_new = object.__new__
_MISSING = inspect.Parameter.empty
_float32, _float64 = numpy.dtype("float32"), numpy.dtype("float64")
_ONE = 1 << 32 | 1  # the key of a plan: the first argument is a tensor, and wants a gradient


def _published(quick: Any, call: Any) -> Any:
    functools.update_wrapper(quick, call)
    quick.op, quick.defvjp = call.op, call.defvjp
    return quick


def _plain(x: Any) -> bool:
    return type(x) is ndarray and (x.dtype is _float32 or x.dtype is _float64)


def unary(call: Any) -> Any:
    """The quick form of a one-argument op."""
    op = call.op

    def quick(input: Any, *, out: Any = None) -> Any:
        recording = mode.fast
        if recording is None or out is not None or not isinstance(input, Value):
            return call(input, out=out) if out is not None else call(input)
        x = input.array
        d = x.dtype
        if (d is not _float32 and d is not _float64) or type(x) is not ndarray:
            return call(input)
        return _one(op, (input,), x, op.direct(x), recording)

    return _published(quick, call)


def leading(call: Any) -> Any:
    """The quick form of an op whose first argument is its only tensor, the others plain."""
    op = call.op
    arity = op.arity
    tails = [tuple(op.defaults[n:]) for n in range(arity + 1)]  # what fewer arguments leave out
    finish = _view if op.view else _one
    if arity == 1:
        return _published(_leading_alone(op, call, finish), call)

    def quick(*args: Any, **kwargs: Any) -> Any:
        recording = mode.fast
        if recording is None or kwargs or not args or not isinstance(args[0], Value):
            if len(args) == arity and type(args[0]) is ndarray:
                return op.direct(*args)  # inside a gradient rule
            return call(*args, **kwargs)
        x = args[0].array
        if type(x) is not ndarray:
            return call(*args)
        if len(args) != arity:
            if len(args) > arity or _MISSING in tails[len(args)]:
                return call(*args)
            args += tails[len(args)]
        try:
            out = op.direct(x, *args[1:])
        except (ValueError, IndexError) as error:
            raise errors.explained(op, (x, *args[1:]), error) from None
        return finish(op, args, x, out, recording)

    return _published(quick, call)


def _leading_alone(op: Any, call: Any, finish: Any) -> Any:
    def quick(input: Any) -> Any:
        recording = mode.fast
        if recording is None or not isinstance(input, Value) or type(input.array) is not ndarray:
            return op.direct(input) if type(input) is ndarray else call(input)
        x = input.array
        return finish(op, (input,), x, op.direct(x), recording)

    return quick


def _view(op: Any, args: Any, x: Any, out: Any, recording: Any) -> Any:
    """The result of a view op with one tensor argument."""
    owner = out.base
    if owner is not x and out is not x and (owner is None or owner is not x.base):
        return _one(op, args, x, out, recording)
    t = _new(Kind.of_results)
    t.array = out
    t.leaf = None
    a = args[0]
    counter = t.version = a.version or version_of(a)
    if recording and wanted_of(a) and out.dtype.kind in "fV":
        plan = op.plans.get(_ONE) or plan_of(op, len(args), 1, 1)
        attach(t, plan, args, (x,), out)
    else:
        t.node = None
        t.needs_grad = False
    if recording or a.base is not None:
        t.base = step_from(a, (op.call, args[1:]), counter[0], recording)
    else:
        view = t.base = _new(LostView)  # spelled out: this is what a view costs under no_grad
        view.root, view.count, view.steps, view.why = a, counter[0], None, UNRECORDED
    return t


def _one(op: Any, args: Any, x: Any, out: Any, recording: Any) -> Any:
    """The result of an op with one tensor argument."""
    if type(out) is not ndarray:
        out = numpy.asarray(out)
    t = _new(Kind.of_results)
    t.array = out
    t.version = t.base = t.leaf = None
    if recording:
        if wanted_of(args[0]) and not op.constant & 1 and out.dtype.kind in "fV":
            plan = op.plans.get(_ONE) or plan_of(op, len(args), 1, 1)
            attach(t, plan, args, (x,), out)
            return t
    elif recording is INFERRING:
        t.version = Inference()
    t.node = None
    t.needs_grad = False
    return t


def binary(call: Any) -> Any:
    """The quick form of a two-argument op."""
    op = call.op

    def quick(input: Any, other: Any, *, out: Any = None) -> Any:
        recording = mode.fast
        if recording is None or out is not None or not isinstance(input, Value):
            if _plain(input) and type(other) is ndarray:
                return op.direct(input, other)  # inside a gradient rule
            return call(input, other, out=out) if out is not None else call(input, other)
        x = input.array
        d = x.dtype
        if (d is not _float32 and d is not _float64) or type(x) is not ndarray:
            return call(input, other)
        if isinstance(other, Value):
            y = other.array
            if y.dtype is not d or type(y) is not ndarray:
                return call(input, other)
            return _two(op, input, other, x, y, recording)
        if type(other) is not float and type(other) is not int:
            return call(input, other)
        out = op.direct(x, other)
        return _one(op, (input, other), x, out, recording)

    return _published(quick, call)


def _two(op: Any, a: Any, b: Any, x: Any, y: Any, recording: Any) -> Any:
    """The result of an op with two tensor arguments."""
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
        wanted = wanted_of(a) | wanted_of(b) << 1
        if wanted and not op.constant:
            plan = op.plans.get(3 << 32 | wanted) or plan_of(op, 2, 3, wanted)
            attach(t, plan, (a, b), (x, y), out)
            return t
    elif recording is INFERRING:
        t.version = Inference()
    t.node = None
    t.needs_grad = False
    return t
