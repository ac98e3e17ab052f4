"""The wrappers that note what is called: put around ops when a profiler starts, and taken away.

While none runs nothing here exists: the engine calls the functions of its ops as ever.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

import core.nn  # noqa: F401 - puts in its accelerations, which the wrappers must not meet halfway
from core.autograd import anomaly, inplace, sweep
from core.autograd.op import Op
from core.data.loader import Epoch
from core.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from core.probes import probes, put
from core.profiler.events import BACKWARD, USER
from core.profiler.names import name_of
from core.profiler.recorder import here, span

_undo: list[Callable[[], Any]] = []
_FORMS = ("forward", "direct", "alone")


def install() -> None:
    """Put the wrappers in, all or none."""
    with contextlib.ExitStack() as failed:
        failed.callback(remove)
        _put_in()
        failed.pop_all()


def _put_in() -> None:
    for op in _ops():
        _wrap_op(op)
    for module in (sweep, anomaly):
        _replace(module, "products", _timed_products(vars(module)["products"]))
    _replace(sweep, "accumulate", _timed_accumulate(vars(sweep)["accumulate"]))
    _replace(inplace, "wrote", _timed_write(vars(inplace)["wrote"]))
    _replace(Epoch, "__next__", _timed_batch(Epoch.__next__))
    _replace(Optimizer, "zero_grad", _timed_zero_grad(Optimizer.zero_grad))
    _undo.append(register_optimizer_step_pre_hook(_step_begins).remove)
    _undo.append(register_optimizer_step_post_hook(_step_ends).remove)
    _undo.extend(probe(span) for probe in probes)


def remove() -> None:
    """Take the wrappers away."""
    while _undo:
        _undo.pop()()


def _replace(owner: Any, name: str, new: Any) -> None:
    _undo.append(put(owner, name, new))


# ---- ops --------------------------------------------------------------------------------------


def _ops() -> Iterator[Op]:
    """Every op, once: each is the function of its name in some module."""
    seen: dict[int, None] = {}
    modules = [module for module in list(sys.modules.values()) if isinstance(module, ModuleType)]
    for module in modules:
        for value in list(vars(module).values()):
            op = vars(value).get("op") if type(value) is FunctionType else None
            if type(op) is Op and id(op) not in seen:
                seen[id(op)] = None
                yield op


def _wrap_op(op: Op) -> None:
    name = name_of(op)
    made: dict[int, Any] = {}
    for form in _FORMS:
        function = getattr(op, form)
        if function is not None:
            # One function in two places stays one: that they are the same means something.
            made[id(function)] = made.get(id(function)) or _timed(name, function)
            _replace(op, form, made[id(function)])
    for kind, function in op.fast.items():
        op.fast[kind] = new = _timed(name, function)
        _undo.append(lambda kind=kind, new=new: _put_back(op.fast, kind, new))  # type: ignore[misc]


def _put_back(table: dict[type, Any], kind: type, new: Any) -> None:
    if table[kind] is new:
        table[kind] = new.__wrapped__


def _timed(name: str, function: Any) -> Any:
    """The function, noted; one form of an op that asks another is one op."""

    def run(*args: Any, **kwargs: Any) -> Any:
        recorder = here()
        if recorder is None or recorder.inside(name):
            return function(*args, **kwargs)
        event = recorder.begin(name, args=args)
        out = None
        try:
            out = function(*args, **kwargs)
        finally:
            # None and NotImplemented send the caller to another form.
            if out is None or out is NotImplemented:
                recorder.drop(event)
            else:
                recorder.end(event, out, args)
        return out

    run.__wrapped__ = function  # type: ignore[attr-defined]
    return run


class _Bare:
    """An op as it is without its wrappers, for those who ask what its forward is."""

    def __init__(self, op: Op) -> None:
        self.op = op
        self.direct = getattr(op.direct, "__wrapped__", op.direct)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.op, name)


def _timed_write(wrote: Any) -> Any:
    def run(op: Op, x: Any, args: Any) -> bool:
        recorder = here()
        if recorder is None:
            return bool(wrote(_Bare(op), x, args))
        event = recorder.begin(f"{name_of(op)}_", args=(x.array,))
        done = False
        try:
            done = wrote(_Bare(op), x, args)
        finally:
            if done:
                recorder.end(event)
            else:
                recorder.drop(event)
        return done

    return run


# ---- backward ---------------------------------------------------------------------------------


def _timed_products(products: Any) -> Any:
    def run(node: Any, g: Any, create_graph: bool, steps: Any = None) -> Any:
        recorder = here()
        if recorder is None:
            return products(node, g, create_graph, steps)
        given = tuple(g) if isinstance(g, list) else (g,)
        event, parts = recorder.begin(node.name(), BACKWARD, given), None
        try:
            parts = products(node, g, create_graph, steps)
        finally:
            recorder.end(event, parts, given)
        return parts

    return run


def _timed_accumulate(accumulate: Any) -> Any:
    def run(leaf: Any, g: Any, create_graph: bool = False) -> None:
        recorder = here()
        if recorder is None:
            return accumulate(leaf, g, create_graph)
        event = recorder.begin("torch::autograd::AccumulateGrad", BACKWARD, (g,))
        try:
            return accumulate(leaf, g, create_graph)
        finally:
            recorder.end(event)

    return run


# ---- optimizers and batches -------------------------------------------------------------------


def _step_begins(optimizer: Any, args: Any, kwargs: Any) -> None:
    recorder = here()
    if recorder is not None:
        recorder.begin(_step_of(optimizer), USER)


def _step_ends(optimizer: Any, args: Any, kwargs: Any) -> None:
    recorder = here()
    if recorder is not None and recorder.inside(_step_of(optimizer)):
        recorder.end(recorder.current)


def _step_of(optimizer: Any) -> str:
    return f"Optimizer.step#{type(optimizer).__name__}.step"


def _timed_zero_grad(zero_grad: Any) -> Any:
    def run(self: Any, set_to_none: bool = True) -> None:
        with span(f"Optimizer.zero_grad#{type(self).__name__}.zero_grad"):
            zero_grad(self, set_to_none)

    return run


def _timed_batch(make: Any) -> Any:
    def run(self: Epoch) -> Any:
        kind = "MultiProcessing" if self.loader.num_workers else "SingleProcess"
        with span(f"enumerate(DataLoader)#_{kind}DataLoaderIter.__next__"):
            return make(self)

    return run
