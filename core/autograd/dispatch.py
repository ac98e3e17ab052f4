"""How an op is declared and called: tensors in, tensor out and recorded; arrays in, array out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from numpy import asarray, ndarray

from core.autograd import errors
from core.autograd.mode import mode, watched
from core.autograd.op import Op
from core.autograd.record import fused_result, result, results, wanted_of
from core.autograd.value import Value, refresh, wrap
from core.backend import MODULE_OF, elsewhere, on
from core.dtype import of_scalar

_NUMBERS = frozenset((bool, int, float))


class Late:
    """What stands above and is called from below: set by the in-place module, and by kernels."""

    write_out: Callable[..., Any]

    @staticmethod
    def with_layers() -> None:
        """What is to be done once the layers are imported."""


def primitive(forward: Callable[..., Any] | None = None, **traits: Any) -> Any:
    """A differentiable op made of a function of arrays: tensors in, tensor out; arrays likewise.

    `traits` are those of `Op`: casts, tensors, view, result, label, name.
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
                return Late.write_out(run(args), out, beside=args)
        elif len(args) != arity:
            args = op.bind(args, kwargs)
        return run(args)

    return _published(call, op)


def _variadic(op: Op, run: Any) -> Any:
    @functools.wraps(op.forward)
    def call(*args: Any, out: Any = None) -> Any:
        return run(args) if out is None else Late.write_out(run(args), out, beside=args)

    return call


def _published(call: Any, op: Op) -> Any:
    call.op = op
    call.defvjp = lambda **rules: op.define(rules)
    op.call = call
    return call


# ---- the general path -------------------------------------------------------------------------


# One pass over the arguments, spelled out: each step made a function costs 0.1 us per op.
def _runner(op: Op) -> Callable[[tuple[Any, ...]], Any]:  # noqa: C901
    def run(args: tuple[Any, ...]) -> Any:  # noqa: C901
        recording = mode.fast
        if recording is None:
            if mode.watchers:
                return watched(op, run, args)
            recording = mode.recording
        tensors = wanted = 0
        bit = 1
        arrays = []
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
        if not tensors:  # inside a gradient rule
            return _of_arrays(op, arrays)
        if tensors & op.operands != op.operands:
            op.demand(args, tensors)
        if len(MODULE_OF) > 1 and (there := elsewhere(arrays)) is not None:
            with on(there):  # GPUs are in use: work where the arrays are
                return run(args)
        if op.casts is not None:
            arrays = op.casts(arrays, tensors)
        return _forward(op, args, arrays, tensors, wanted)

    return run


def _of_arrays(op: Op, arrays: Any) -> Any:
    if arrays and type(arrays[0]) is not ndarray:
        op.demand(arrays, 0)
        if not op.some and _NUMBERS.issuperset(map(type, arrays)):
            return op.call(wrap(asarray(arrays[0], of_scalar(arrays[0]).numpy)), *arrays[1:])
    return _function_of(op, arrays)(*arrays)


def _function_of(op: Op, arrays: Any) -> Callable[..., Any]:
    """The forward for these arrays: `direct` where the first is NumPy's, of float32 or 64."""
    if arrays:
        x = arrays[0]
        if type(x) is ndarray and x.dtype.char in "fd":
            return op.direct
    return op.forward


def _forward(op: Op, args: Any, arrays: Any, tensors: int, wanted: int) -> Any:
    """Run an acceleration of the op, or its definition, and record the result."""
    if op.fast and mode.accelerated:
        fused = _accelerated(op, arrays, tensors)
        if fused is not NotImplemented:
            return fused_result(op, args, op.differentiable(wanted), fused)
    try:
        out = _function_of(op, arrays)(*arrays)
    except (ValueError, IndexError) as error:
        raise errors.explained(op, arrays, error) from None
    if type(out) is tuple:
        return results(op, args, arrays, tensors, op.differentiable(wanted), out)
    return result(op, args, arrays, tensors, wanted, out)


# ---- accelerations ----------------------------------------------------------------------------


def composite(definition: Callable[..., Any]) -> Any:
    """A function of tensors, differentiable as its parts are, that can be accelerated as one op."""
    op = Op(definition)

    @functools.wraps(definition)
    def call(*args: Any, **kwargs: Any) -> Any:
        if op.fast and mode.accelerated and not mode.watchers:
            args = op.bind(args, kwargs)
            arrays, tensors, wanted = _taken_apart(args)
            if tensors:
                fused = _accelerated(op, arrays, tensors)
                if fused is not NotImplemented:
                    return fused_result(op, args, wanted if mode.recording else 0, fused)
            return definition(*args)
        return definition(*args, **kwargs)

    return _published(call, op)


def _taken_apart(args: Any) -> tuple[list[Any], int, int]:
    """The arguments with arrays for tensors, which are tensors, and which want gradients."""
    arrays, tensors, wanted = [], 0, 0
    for i, a in enumerate(args):
        if isinstance(a, Value):
            tensors |= 1 << i
            wanted |= wanted_of(a) << i
            a = a.array
        arrays.append(a)
    return arrays, tensors, wanted


def accelerates(target: Any, array_type: type) -> Callable[[Any], Any]:
    """A decorator that registers `impl(*arrays) -> (out, vjp)` for `target` on one kind of array.

    `vjp(g)` returns one array per argument (None where there is none), or a function of nothing
    that gives it where it is wanted. Returning NotImplemented from `impl` falls back to the
    definition, as an operator method does.
    """

    def register(impl: Any) -> Any:
        target.op.fast[array_type] = impl
        return impl

    return register


def _accelerated(op: Op, arrays: Any, tensors: int) -> Any:
    first = (tensors & -tensors).bit_length() - 1
    impl = op.fast.get(type(arrays[first]))
    return NotImplemented if impl is None else impl(*arrays)
