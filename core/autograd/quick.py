"""The quick paths: ops on float32 and float64 arrays of the CPU, called as operators are.

They do what the general path does for such arguments, in fewer steps, and hand over all else.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy
from numpy import ndarray

from core.autograd import errors
from core.autograd.mode import INFERRING, mode
from core.autograd.record import attach, plan_of, results, wanted_of
from core.autograd.value import (
    Inference,
    Kind,
    Unrecorded,
    Value,
    View,
    refresh,
    step_from,
    version_of,
)

_new, _asarray = object.__new__, numpy.asarray
_float32, _float64 = numpy.dtype("float32"), numpy.dtype("float64")
_int64, _LARGE = numpy.dtype("int64"), 1 << 62
_MISSING: Any = object()  # where the first argument is named otherwise
_ONE = 1 << 32 | 1  # the key of a plan: the first argument is a tensor, and wants a gradient


def published(quick: Any, call: Any) -> Any:
    """The quick form, as the op that `call` is."""
    functools.update_wrapper(quick, call)
    quick.op, quick.defvjp = call.op, call.defvjp
    return quick


def plain(x: Any) -> bool:
    """Whether `x` is an array of the CPU of float32 or float64."""
    return type(x) is ndarray and (x.dtype is _float32 or x.dtype is _float64)


def unary(call: Any, waits: Any = None) -> Any:
    """The quick form of a one-argument op; `waits(x)` of a tensor that waits is not to be read."""
    op = call.op

    def quick(input: Any, *, out: Any = None) -> Any:
        recording = mode.fast
        if recording is None or out is not None or not isinstance(input, Value):
            if out is not None:
                return call(input, out=out)
            return op.direct(input) if plain(input) else call(input)  # plain inside a rule
        if waits and type(input) is Kind.waiting and (found := waits(input)) is not None:
            return found
        x = input.array
        d = x.dtype
        if type(x) is not ndarray or not (d is _float32 or d is _float64 or d.char in op.whole):
            return call(input)
        out = op.direct(x)
        if recording is False and type(out) is ndarray:
            return unrecorded(out)
        return _one(op, (input,), x, out, recording)

    return published(quick, call)


def leading(call: Any) -> Any:
    """The quick form of an op whose first argument is its only tensor, the others plain."""
    op = call.op
    arity = op.arity
    tails = [_left_out(op, n + 1) for n in range(arity)]
    bare, finish = not op.view, view_of if op.view else _one
    narrow = op.direct is not op.forward  # it is for float32 and float64 alone
    if arity == 1:
        return published(_leading_alone(op, call, finish), call)

    def quick(input: Any = _MISSING, *rest: Any, **kwargs: Any) -> Any:
        recording = mode.fast
        if recording is None or not isinstance(input, Value) or "out" in kwargs:
            return _no_method(op, call, input, rest, kwargs)
        x = input.array
        if type(x) is not ndarray or op.fast:
            return call(input, *rest, **kwargs)
        if kwargs or (n := len(rest) + 1) > arity:
            rest = op.bind((input, *rest), kwargs)[1:]
        elif n != arity:
            rest += tails[n - 1] or op.bind((input, *rest), kwargs)[1:]
        function = op.forward if narrow and x.dtype.itemsize == 2 else op.direct
        try:
            out = function(x, *rest)
        except (ValueError, IndexError) as error:
            raise errors.explained(op, (x, *rest), error) from None
        if type(out) is tuple:
            wanted = op.differentiable(wanted_of(input)) if recording else 0
            return results(op, (input, *rest), (x,), 1, wanted, out)
        if recording is False and bare and type(out) is ndarray:
            return unrecorded(out)
        return finish(op, (input, *rest), x, out, recording)

    return published(quick, call)


def _no_method(op: Any, call: Any, input: Any, rest: Any, kwargs: Any) -> Any:
    """What is not called as a method of a tensor: arrays in a rule, out=."""
    if type(input) is ndarray and len(rest) + 1 == op.arity and input.dtype.itemsize != 2:
        return op.direct(input, *rest)
    return call(*(() if input is _MISSING else (input, *rest)), **kwargs)


def alone(call: Any) -> Any:
    """The quick form of an op like those of `leading` that mostly has its tensor alone."""
    op, general = call.op, leading(call)
    tail = tuple(op.defaults[1:])

    def quick(input: Any = _MISSING, *rest: Any, **kwargs: Any) -> Any:
        recording, direct = mode.fast, op.alone
        if rest or kwargs or recording is None or direct is None or not isinstance(input, Value):
            return general(input, *rest, **kwargs)
        x = input.array
        if type(x) is not ndarray or (out := direct(x)) is None:
            return general(input)
        if recording is False and type(out) is ndarray:
            return unrecorded(out)
        return _one(op, (input, *tail), x, out, recording)

    return published(quick, call)


def _left_out(op: Any, n: int) -> tuple[Any, ...]:
    """What `n` arguments leave out; nothing where it has no defaults."""
    return () if n < op.optional else tuple(op.defaults[n:])


def _leading_alone(op: Any, call: Any, finish: Any) -> Any:
    bare = not op.view

    def quick(input: Any) -> Any:
        recording = mode.fast
        x = input.array if isinstance(input, Value) else input
        if type(x) is not ndarray or x.dtype.itemsize == 2:
            return call(input)
        if x is input:
            return op.direct(x)  # inside a gradient rule
        if recording is None:
            return call(input)
        out = op.direct(x)
        if recording is False and bare and type(out) is ndarray:
            return unrecorded(out)
        return finish(op, (input,), x, out, recording)

    return quick


def view_of(op: Any, args: Any, x: Any, out: Any, recording: Any) -> Any:
    """The result of a view op with one tensor argument: `out`, made of its array `x`."""
    owner = out.base
    if owner is not x and out is not x and (owner is None or owner is not x.base):
        return _one(op, args, x, out, recording)
    a = args[0]
    t = _new(Kind.of_results)
    t.array = out
    t.leaf = None
    counter = t.version = a.version or version_of(a)
    base = a.base
    if not recording:
        t.node = None
        t.needs_grad = False
        if base is None:
            base = _new(Unrecorded)  # spelled out: this is what a view costs under no_grad
            base.root = a
            base.count = counter[0]
        elif type(base) is not Unrecorded or base.count != counter[0]:
            base = step_from(op, args, counter[0], False)
        t.base = base
        return t
    if base is not None and base.count != counter[0]:
        refresh(a)
    if a.needs_grad:  # it is of a floating type, and so is a view of it
        attach(t, op.plans.get(_ONE) or plan_of(op, len(args), 1, 1), args, (x,), out)
    else:
        t.node = None
        t.needs_grad = False
    base = a.base
    if base is None:
        base = _new(View)  # spelled out, as above
        base.op, base.args, base.root, base.before, base.count = op, args, a, None, counter[0]
        t.base = base
    else:
        t.base = step_from(op, args, counter[0], True)
    return t


def unrecorded(out: Any) -> Any:
    """The result under no_grad, in few steps: most of what `_one` does is for the others."""
    t = _new(Kind.of_results)
    t.array = out
    t.node = t.version = t.base = t.leaf = None
    t.needs_grad = False
    return t


def _one(op: Any, args: Any, x: Any, out: Any, recording: Any, at: int = 0) -> Any:
    """The result of an op whose only tensor is the argument `at`."""
    if type(out) is not ndarray:
        out = _asarray(out)
    t = _new(Kind.of_results)
    t.array = out
    t.version = t.base = t.leaf = None
    if recording:
        if wanted_of(args[at]) and not op.constant >> at & 1 and out.dtype.kind in "fV":
            plan = op.plans.get(_ONE << at) or plan_of(op, len(args), 1 << at, 1 << at)
            attach(t, plan, args, (args[0], x) if at else (x,), out)
            return t
    elif recording is INFERRING:
        t.version = Inference()
    t.node = None
    t.needs_grad = False
    return t


def binary(call: Any) -> Any:
    """The quick form of a two-argument op."""
    op = call.op
    both = op.must & 2

    def quick(input: Any, other: Any, *, out: Any = None) -> Any:
        recording = mode.fast
        if recording is None or out is not None or not isinstance(input, Value):
            return _aside(op, call, input, other, out, recording)
        x = input.array
        d = x.dtype
        floating = d is _float32 or d is _float64
        if type(x) is not ndarray or not (floating or d.char in op.whole):
            return call(input, other)
        if isinstance(other, Value):
            y = other.array
            if y.dtype is not d or type(y) is not ndarray:
                return call(input, other)
            return two_of(op, input, other, x, y, recording)
        if both or not fits(other, d, floating):
            return call(input, other)
        out = op.direct(x, other)
        if recording is False and type(out) is ndarray:
            return unrecorded(out)
        return _one(op, (input, other), x, out, recording)

    quick.form = binary  # type: ignore[attr-defined]
    return published(quick, call)


def integral(call: Any) -> Any:
    """The quick form of a two-argument op on whole numbers and bools alone."""
    op = call.op

    def quick(input: Any, other: Any, *, out: Any = None) -> Any:
        recording = mode.fast
        if recording is None or out is not None or not isinstance(input, Value):
            return call(input, other) if out is None else call(input, other, out=out)
        x = input.array
        d = x.dtype
        if type(x) is not ndarray or d.char not in op.whole:
            return call(input, other)
        if isinstance(other, Value):
            y = other.array
            if y.dtype is d and type(y) is ndarray:
                return two_of(op, input, other, x, y, recording)
        elif fits(other, d, False):
            return _one(op, (input, other), x, op.direct(x, other), recording)
        return call(input, other)

    quick.form = integral  # type: ignore[attr-defined]
    return published(quick, call)


def fits(number: Any, d: Any, floating: bool) -> bool:
    """Whether arithmetic with this Python number leaves an array in its dtype."""
    if type(number) is int:
        return floating or (d is _int64 and -_LARGE < number < _LARGE)
    return floating and type(number) is float


def _aside(op: Any, call: Any, input: Any, other: Any, out: Any, recording: Any) -> Any:
    """What is no operator of a tensor on the left: arrays in a rule, a number first, out=."""
    if out is not None:
        return call(input, other, out=out)
    if plain(input) and type(other) is ndarray:
        return op.direct(input, other)
    if recording is not None and type(input) in (float, int) and isinstance(other, Value):
        y = other.array
        if not op.must and plain(y):
            return _one(op, (input, other), y, op.direct(input, y), recording, 1)
    return call(input, other)


def two_of(op: Any, a: Any, b: Any, x: Any, y: Any, recording: Any) -> Any:
    """The result of an op with two tensor arguments."""
    try:
        out = op.direct(x, y)
    except ValueError as error:
        raise errors.explained(op, (x, y), error) from None
    if type(out) is not ndarray:
        out = _asarray(out)
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
