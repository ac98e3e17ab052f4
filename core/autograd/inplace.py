"""Writing into memory that the graph knows: in-place ops, `out=`, and writes through views."""

from __future__ import annotations

import functools
from typing import Any

import numpy

from core.autograd import dispatch
from core.autograd.dispatch import primitive
from core.autograd.mode import mode
from core.autograd.overlap import SHARED, forbid_overlap, forbid_sharing, shared_memory
from core.autograd.place import where_it_lies
from core.autograd.quick import fits, plain
from core.autograd.record import attach
from core.autograd.value import (
    Node,
    Value,
    add_hook,
    extra_of,
    refresh,
    replayed,
    root_of,
    version_of,
    wrap,
)
from core.backend import device_of, strided, write, xp
from core.dtype import can_cast, of
from core.notice import notice


def in_place(call: Any) -> Any:
    """The in-place form of an op or function of tensors: its result replaces its first argument.

    `call.bare` is the op that a function is without keyword arguments.
    """
    op = getattr(getattr(call, "bare", call), "op", None)

    @functools.wraps(call)
    def write(x: Any, *args: Any, **kwargs: Any) -> Any:
        if op is not None and not kwargs and wrote(op, x, args):
            return x
        forbid_leaf(x)
        forbid_sharing(x, args)
        if not mode.recording or not (x.needs_grad or any_needs_grad(args, kwargs)):
            with_grad_off(x, call(_plain(x), *args, **kwargs))
            return x
        before = stand_in(x)
        write_recorded(x, call(before, *args, **kwargs))
        return x

    write.__name__ = getattr(call, "__name__", "op") + "_"
    write.__qualname__ = write.__name__
    return write


# Spelled out: each step made a function costs a small write 0.1 us.
def wrote(op: Any, x: Any, args: Any) -> bool:  # noqa: C901
    """Whether the in-place form of an op was done straight into the memory of `x`."""
    function, target, recording = op.direct, x.array, mode.fast
    if type(function) is not numpy.ufunc or function.nin != len(args) + 1:
        function = op.writer
    if function is None or recording is None or (recording and x.base is not None):
        return False
    d, floating = target.dtype, plain(target)
    if not floating and (type(target) is not numpy.ndarray or d.char not in op.whole):
        return False
    if 0 in target.strides:
        return False
    operands, tensors, wanted, bit = [target], 1, x.needs_grad, 1
    for a in args:
        bit += bit
        if isinstance(a, Value):
            if a.array.dtype is not d or (recording and a.base is not None):
                return False
            tensors |= bit
            wanted |= a.needs_grad and bit
            a = a.array
        elif op.must & bit or not fits(a, d, floating):
            return False
        operands.append(a)
    if recording and wanted:
        return _wrote_recorded(op, x, args, function, operands, tensors << 32 | wanted)
    if not _filled(function, operands):
        return False
    version_of(x)[0] += 1
    return True


def _filled(function: Any, operands: Any) -> bool:
    try:
        function(*operands, out=operands[0])
    except (ValueError, TypeError):
        return False  # the general form says why
    return True


def _wrote_recorded(op: Any, x: Any, args: Any, function: Any, operands: Any, pattern: int) -> bool:
    """The same, recorded: for a pattern of arguments that the general form has met before."""
    plan = op.plans.get(pattern)
    if plan is None or (x.needs_grad and x.node is None):
        return False
    before = stand_in(x) if 0 in plan.kept else x  # a copy only where a rule asks for it
    if not _filled(function, operands):
        return False
    new = wrap(operands[0])
    attach(new, plan, (before, *args), operands, operands[0])
    write_recorded(x, new)
    return True


def any_needs_grad(args: Any, kwargs: Any) -> bool:
    """Whether a tensor among the arguments requires grad."""
    for a in (*args, *kwargs.values()):  # any() of a generator costs 0.3 us
        if isinstance(a, Value) and a.needs_grad:
            return True
    return False


def _plain(x: Any) -> Any:
    out = wrap(x.array)
    out.version = x.version
    return out


def forbid_leaf(x: Any) -> None:
    """Refuse to write into a leaf that requires grad, or into a view of one, while recording.

    Raises: RuntimeError.
    """
    if not mode.recording:
        return
    if x.base is not None and x.version[0] != x.base.count:
        refresh(x)
    if x.needs_grad and x.node is None:
        raise RuntimeError(
            "a leaf Variable that requires grad is being used in an in-place operation."
        )
    root = root_of(x.base) if x.base is not None else None
    if root is not None and root.needs_grad and x.base.lost:
        raise x.base.refusal()
    if root is not None and root.needs_grad and root.node is None:
        raise RuntimeError(
            "a view of a leaf Variable that requires grad is being used in an in-place operation."
        )


def with_grad_off(x: Any, new: Any) -> None:
    """Write the values of `new` into `x`, unrecorded; watchers are told."""
    store(x.array, new.array)
    version_of(x)[0] += 1
    for watcher in mode.watchers:
        written = getattr(watcher, "written", None)
        if written is not None:
            written(x, new)


def store(target: Any, array: Any) -> None:
    """Copy `array` into the memory of `target`.

    Raises: RuntimeError where the shape or the dtype does not fit.
    """
    if array is target:
        return
    if array.shape != target.shape:
        raise RuntimeError(
            f"output with shape {list(target.shape)} doesn't match the broadcast shape"
            f" {list(array.shape)}"
        )
    forbid_overlap(target)
    if array.dtype is not target.dtype:
        have, want = of(array.dtype), of(target.dtype)
        if not can_cast(have, want):
            raise RuntimeError(
                f"result type {type_name(have)} can't be cast to the desired output type"
                f" {type_name(want)}"
            )
    write(target, array)


def watch(out: Any, *xs: Any) -> Any:
    """`out`, through which no gradient flows once one of the tensors was written in place."""
    if out.node is not None:
        extra = extra_of(out.node)
        counted = [(version_of(x), x.array) for x in xs if isinstance(x, Value)]
        extra.watched = [(counter, counter[0], array) for counter, array in counted]
    return out


_TYPE_NAMES = {"float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16"}
_TYPE_NAMES |= {"int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte"}
_TYPE_NAMES |= {"bool": "Bool"}


def type_name(d: Any) -> str:
    """PyTorch's old name of a dtype, which its error messages use: Float, Long, Bool, ..."""
    return _TYPE_NAMES[d.name]


# ---- recorded writes --------------------------------------------------------------------------


@where_it_lies
def stand_in(x: Any) -> Any:
    """A value with the contents and the node that `x` has now, safe from the write to come."""
    out = wrap(x.array.copy(), x.node)
    out.needs_grad = x.needs_grad
    return out


def write_recorded(x: Any, new: Any) -> None:
    """Write `new` into `x`, and make `x`, its root and its views depend on what `new` does.

    Raises: RuntimeError where `x` is a view through which writes cannot be followed.
    """
    if x.base is not None and x.base.lost:
        raise x.base.refusal()
    if new.array.dtype != x.array.dtype and can_cast(of(new.array.dtype), of(x.array.dtype)):
        new = new.to(of(x.array.dtype))
    store(x.array, new.array)
    counter = version_of(x)
    counter[0] += 1
    if x.base is None:
        _rebase(x, new, counter)
        return
    root, steps = root_of(x.base), x.base.steps()
    shadow = wrap(root.array, root.node)
    shadow.needs_grad = root.needs_grad
    by_memory = any(step.op.view == "memory" for step, _ in steps)
    layout = root.array.strides if by_memory else None
    _rebase(root, write_view(shadow, new, steps, layout), counter)
    refresh(x)


def _rebase(x: Any, new: Any, counter: list[int]) -> None:
    node: Node | None = new.node
    _move_keepers(x.node, node)
    x.node, x.needs_grad = node, new.needs_grad
    if node is not None and node.plan.keeps_out and type(node.saved) is list:
        node.saved[-1] = x.array
        extra_of(node).out_version = (counter, counter[0])


def _move_keepers(old: Node | None, new: Node | None) -> None:
    """Let hooks that follow their tensor, not its former value, run on its new node."""
    extra = None if old is None else old.extra
    if new is None or extra is None or extra.hooks is None:
        return
    for key in [key for key, hook in extra.hooks.items() if hasattr(hook, "follows")]:
        add_hook(new, extra.hooks.pop(key))


@primitive(label="CopySlices")
def write_view(x: Any, v: Any, steps: Any, layout: Any) -> Any:
    """`x` with the part that `steps` make a view of replaced by `v`.

    `layout` are the strides that the steps count on, where they go by memory.
    """
    # In another order of memory a step could copy instead of view.
    out = x.copy(order="K") if layout is None else laid(x, layout)
    replayed(steps, out)[...] = v
    return out


write_view.defvjp(
    x=lambda g, v_shape, steps, layout: write_view(g, _zeros(g, v_shape), steps, layout),
    v=lambda g, steps, layout: replayed(steps, g if layout is None else laid(g, layout)),
    steps=None,
    layout=None,
)


@primitive
def laid(x: Any, layout: Any) -> Any:
    """A copy of `x` with these strides."""
    last = sum((n - 1) * step for n, step in zip(x.shape, layout) if n)
    memory = xp(x).empty(last // x.itemsize + 1, x.dtype)
    out = strided(memory, x.shape, layout, 0)
    out[...] = x
    return out


laid.defvjp(x=lambda g: g, layout=None)


@where_it_lies
def _zeros(like: Any, shape: Any) -> Any:
    array = like.array if isinstance(like, Value) else like
    zeros = xp(array).zeros(shape, array.dtype)
    return wrap(zeros) if isinstance(like, Value) else zeros


# ---- out= -------------------------------------------------------------------------------------


@where_it_lies
def write_out(
    result: Any, out: Any, *, exact: bool = False, apart: Any = (), beside: Any = ()
) -> Any:
    """`out` (a tensor, or a tuple of them), resized and filled with `result`, as `out=` asks.

    Several results, and one if `exact`, are not cast; no memory of the tensors `apart` is written,
    and of those `beside` it only all.

    Raises: RuntimeError where the dtype or memory does not fit, or something here requires grad.
    """
    if isinstance(result, tuple):
        for value, target in zip(result, out, strict=True):
            write_out(value, target, exact=True, apart=apart)
        return type(result)(*out) if hasattr(result, "_fields") else tuple(out)
    if mode.recording and (result.needs_grad or out.needs_grad):
        raise RuntimeError(
            "functions with out=... arguments don't support automatic differentiation, but one of"
            " the arguments requires grad."
        )
    if device_of(out.array) != device_of(result.array):
        raise RuntimeError(
            f"Expected out tensor to be on device {device_of(result.array)}, but got"
            f" {device_of(out.array)} instead"
        )
    if exact and out.array.dtype != result.array.dtype:
        have, want = (of(x.array.dtype).name for x in (out, result))
        raise RuntimeError(f"Expected out tensor to have dtype {want}, but got {have} instead")
    forbid_sharing(out, beside)
    for x in apart:
        forbid_overlap(out.array)
        if shared_memory(x.array, out.array):
            raise RuntimeError(SHARED)
    if out.array.shape != result.array.shape:
        _tell_of_size(out.array, result.array)
        out.array = xp(result.array).empty(result.array.shape, out.array.dtype)
    with_grad_off(out, result)
    return out


def _tell_of_size(out: Any, result: Any) -> None:
    if out.size:
        notice(
            "An output with one or more elements was resized since it had shape"
            f" {list(out.shape)}, which does not match the required output shape"
            f" {list(result.shape)}. You can reuse an out tensor by resizing it to zero elements"
            " with out.resize_(0)."
        )


dispatch.Late.write_out = staticmethod(write_out)
