"""Indexing: parts of a tensor read, and written."""

from __future__ import annotations

from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.autograd.inplace import forbid_leaf, with_grad_off, write_recorded
from core.autograd.mode import mode
from core.autograd.value import Value, wrap
from core.backend import xp

# ---- reading ----------------------------------------------------------------------------------


@primitive(view=True, label=lambda node: "SliceBackward0")
def select(x, key):
    """The part of `x` at a key of ints, slices, None and Ellipsis: a view."""
    return x[key]


select.defvjp(x=lambda g, key, x_shape: put_zeros(g, key, x_shape, False), key=None)


@primitive(label="IndexBackward0")
def take_items(x, key):
    """The elements of `x` at a key that holds arrays of ints or bools: a copy."""
    return x[key]


take_items.defvjp(x=lambda g, key, x_shape: put_zeros(g, key, x_shape, True), key=None)


@primitive
def put_zeros(g, key, shape, additive):
    """Zeros of `shape` with `g` added at `key`; `additive` where the key may repeat a place."""
    out = xp(g).zeros(shape, g.dtype)
    if additive:
        xp(g).add.at(out, key, g)
    else:
        out[key] = g
    return out


put_zeros.defvjp(
    g=lambda h, key, additive: take_items(h, key) if additive else select(h, key),
    key=None,
    shape=None,
    additive=None,
)


def getitem(x: Any, key: Any) -> Any:
    """`x[key]`: a view for ints, slices, None and Ellipsis; a copy for tensors, lists and arrays.

    Raises: IndexError as PyTorch.
    """
    key, advanced = plain_key(key, x)
    return take_items(x, key) if advanced else select(x, key)


def plain_key(key: Any, x: Any) -> tuple[tuple[Any, ...], bool]:
    """`key` as a tuple without tensors, and whether it selects by arrays."""
    parts = key if isinstance(key, tuple) else (key,)
    if isinstance(key, list) and any(isinstance(k, (slice, type(None))) for k in key):
        parts = tuple(key)
    out = []
    advanced = False
    for part in parts:
        part = _plain_part(part, x)
        advanced = advanced or not (
            part is None or part is Ellipsis or isinstance(part, (int, slice))
        )
        out.append(part)
    if len(out) == 1 and isinstance(out[0], bool):
        advanced = True
    _check_count(out, x.array.ndim)
    return tuple(out), advanced


def _plain_part(part: Any, x: Any) -> Any:
    if isinstance(part, Value):
        part = part.array
    if part is None or part is Ellipsis:
        return part
    if isinstance(part, slice):
        return _plain_slice(part)
    if isinstance(part, (bool, numpy.bool_)):
        return xp(x.array).asarray(bool(part))
    if isinstance(part, (int, numpy.integer)):
        return int(part)
    if isinstance(part, (list, tuple, range)):
        part = _list_index(part, x)
    if not hasattr(part, "dtype"):
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are"
            f" valid indices (got {type(part).__name__})"
        )
    return _array_index(part)


def _plain_slice(part: slice) -> slice:
    bounds = [int(b) if b is not None else None for b in (part.start, part.stop, part.step)]
    if bounds[2] is not None and bounds[2] <= 0:
        raise ValueError("step must be greater than zero")
    return slice(*bounds)


def _list_index(part: Any, x: Any) -> Any:
    items = [p.array if isinstance(p, Value) else p for p in part]
    array = numpy.asarray(items)
    if not array.size:
        array = array.astype(numpy.int64)
    return xp(x.array).asarray(array)


def _array_index(part: Any) -> Any:
    kind = part.dtype.kind
    if kind == "f" or kind == "V":
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if part.dtype == numpy.uint8:
        return part.astype(bool)
    if part.ndim == 0 and kind != "b":
        return int(part)
    return part


def _check_count(parts: list[Any], ndim: int) -> None:
    used = 0
    for part in parts:
        if part is None or part is Ellipsis:
            continue
        used += part.ndim if getattr(part, "dtype", None) == bool else 1
    if used > ndim:
        raise IndexError(
            f"too many indices for tensor of dimension {ndim}"
            if ndim
            else "invalid index of a 0-dim tensor. Use `tensor.item()` to convert a 0-dim tensor"
            " to a number"
        )


# ---- writing ----------------------------------------------------------------------------------


@primitive(label="IndexPutBackward0")
def put(x, v, key):
    """`x` with the elements at `key` replaced by `v`."""
    out = x.copy()
    out[key] = v
    return out


put.defvjp(
    x=lambda g, key: put(g, 0 * take_any(g, key), key),
    v=lambda g, key: take_any(g, key),
    key=None,
)


def take_any(x: Any, key: Any) -> Any:
    """`x[key]` for a key without tensors, on arrays and on tensors."""
    return take_items(x, key)


def setitem(x: Any, key: Any, v: Any) -> None:
    """Write `v`, broadcast, to `x[key]`.

    Raises: RuntimeError where `v` does not fit, or `x` is a leaf that requires grad.
    """
    forbid_leaf(x)
    key, advanced = plain_key(key, x)
    value = v if isinstance(v, Value) else wrap(xp(x.array).asarray(v))
    value = _fitted(value, x)
    recorded = mode.recording and (x.needs_grad or value.needs_grad)
    if not recorded:
        _write(x, key, value.array)
    elif advanced:
        before = wrap(x.array.copy(), x.node)
        before.needs_grad = x.needs_grad
        write_recorded(x, put(before, value, key))
    else:
        part = select(x, key)
        write_recorded(part, part_like(part, value))


def _fitted(value: Any, x: Any) -> Any:
    if value.array.dtype != x.array.dtype:
        return value.to(x.dtype)
    return value


def part_like(part: Any, value: Any) -> Any:
    """`value` stretched to the shape of `part`, leading ones dropped."""
    shape, have = tuple(part.shape), tuple(value.shape)
    while len(have) > len(shape) and have[0] == 1:
        value = value.reshape(have[1:])
        have = have[1:]
    return value.expand(shape)


def _write(x: Any, key: Any, v: Any) -> None:
    target = x.array
    try:
        target[key] = v
    except ValueError:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(v.shape)} cannot be broadcast to"
            f" indexing result of shape {list(target[key].shape)}"
        ) from None
    with_grad_off(x, x)
