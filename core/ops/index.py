"""Indexing: parts of a tensor read, x[key], and written, x[key] = v."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.inplace import forbid_leaf, watch, write_recorded
from core.autograd.mode import mode
from core.autograd.overlap import forbid_overlap, forbid_sharing, shared_memory
from core.autograd.place import where_it_lies
from core.autograd.quick import leading, view_of
from core.autograd.value import Value, version_of, wrap
from core.backend import device_of, to_device, xp
from core.dtype import of
from core.ops import cast
from core.ops.key import BOUNDS, FULL, Key, parsed, plain_slice
from core.ops.parts import alias_at, item_at, new_axis_at, slice_at
from core.ops.positions import add_at, add_at_rows, add_flat
from core.ops.shape import broadcast_array, expand_axis, reshape_array

__all__ = ["index_put"]

# ---- reading ----------------------------------------------------------------------------------


def getitem(x: Any, key: Any) -> Any:
    """`x[key]`: a view for ints, slices, None and Ellipsis; a copy for tensors, lists and arrays.

    Raises: IndexError as PyTorch.
    """
    kind, array, recording = type(key), x.array, mode.fast
    if kind is slice and recording is not None and type(array) is numpy.ndarray and array.ndim:
        key = plain_slice(key)
        return view_of(slice_at.op, (x, (key,)), array, array[key], recording)
    if kind is int:
        if not x.array.ndim:
            parsed(key, x)
        _check_item(x.array.shape, key)
        return item_at(x, (key,))
    if kind is slice and x.array.ndim:
        return slice_at(x, (plain_slice(key),))
    if key is None:
        return expand_axis(x, 0)
    if kind is tuple and recording is not None and type(array) is numpy.ndarray:
        op = _op_of(key)
        if op is not None and len(key) <= array.ndim:
            try:
                return view_of(op, (x, key), array, op.direct(array, key), recording)
            except IndexError:
                pass  # said in PyTorch's words below
    taken = parsed(key, x)
    if not taken.arrays:
        return viewed(x, taken)
    part = x if taken.trivial else viewed(x, taken)
    out = take_items(part, taken.arrays)
    return out if out.node is None else _watching(out, key)


def _watching(out: Any, key: Any) -> Any:
    """`out`, which was made with the tensors in a key."""
    return watch(out, *(key if isinstance(key, (tuple, list)) else (key,)))


def _op_of(key: tuple[Any, ...]) -> Any:
    """The op of a key of nothing but ints and slices of plain bounds; None for any other."""
    for part in key:
        if type(part) is slice:
            if part.step is not None or type(part.start) not in BOUNDS:
                return None
            if type(part.stop) not in BOUNDS:
                return None
        elif type(part) is not int:
            return None
    return None if not key else item_at.op if type(key[-1]) is int else slice_at.op


def _check_item(shape: tuple[int, ...], index: int, axis: int = 0) -> None:
    n = shape[axis]
    if not -n <= index < n:
        raise IndexError(f"index {index} is out of bounds for dimension {axis} with size {n}")


def viewed(x: Any, key: Key) -> Any:
    """The part of `x` that the ints, slices, None and Ellipsis of a key name; a view."""
    last = next((part for part in reversed(key.view) if part is not Ellipsis), Ellipsis)
    if last is Ellipsis:
        return alias_at(x, key.view or (...,))
    if last is None:
        return new_axis_at(x, key.view)
    return item_at(x, key.view) if isinstance(last, int) else slice_at(x, key.view)


@leading
@primitive(name="index")
def take_items(x, key):
    """The elements of `x` at a key of full slices and arrays of ints or bools: a copy."""
    last = key[-1]
    if last.dtype != bool and all(part is FULL for part in key[:-1]):
        return x.take(last, len(key) - 1)  # faster than x[key], and row-major
    return xp(x).ascontiguousarray(x[key])


take_items.defvjp(x=lambda g, key, x_shape: add_items(g, key, x_shape), key=None)


@leading
@primitive(label="IndexPutBackward0")
def add_items(g, key, shape):
    """Zeros of `shape` with `g` added at a key of full slices and arrays."""
    if len(key) == 1 and key[0].dtype == bool:
        out = xp(g).zeros(shape, g.dtype)
        out[key] = g
        return out
    last, axis = key[-1], len(key) - 1
    if xp(g) is not numpy and last.dtype != bool and all(part is FULL for part in key[:-1]):
        parts = g.reshape((*shape[:axis], last.size, *shape[axis + 1 :]))
        return add_at_rows(parts, axis, last.reshape(-1), shape)
    return add_flat(g, places_of(key, shape, xp(g)), shape)


add_items.defvjp(g=lambda h, key: take_items(h, key), key=None, shape=None)


def is_mask(part: Any) -> bool:
    """Whether a part of a key is an array of bools."""
    return hasattr(part, "dtype") and part.dtype.kind == "b"


def places_of(key: tuple[Any, ...], shape: tuple[int, ...], module: Any) -> Any:
    """The flat places in `shape` of the elements at a key of full slices and arrays."""
    axes = sum(part.ndim if is_mask(part) else 1 for part in key)
    inner = math.prod(shape[axes:])
    lead = module.arange(math.prod(shape[:axes])).reshape(shape[:axes])
    places = lead[key]
    if axes == len(shape):
        return places
    out = places[..., None] * inner + module.arange(inner)
    return out.reshape(*places.shape, *shape[axes:])


# ---- writing ----------------------------------------------------------------------------------


@primitive(label="IndexPutBackward0")
def put_items(x, v, key, accumulate):
    """`x` with `v` written, or added, at a key of full slices and arrays."""
    out = x.copy()
    if accumulate:
        places = places_of(key, x.shape, xp(x))
        add_at(out.reshape(-1), places, xp(x).broadcast_to(v, places.shape))
    else:
        write_items(out, key, v)
    return out


put_items.defvjp(
    x=lambda g, key, accumulate: g if accumulate else put_items(g, 0, key, False),
    v=lambda g, key: take_items(g, key),
    key=None,
    accumulate=None,
)


def write_items(target: Any, key: tuple[Any, ...], v: Any) -> None:
    """Write `v` to an array at a key of full slices and arrays.

    Raises: RuntimeError where the shapes do not fit.
    """
    if not hasattr(v, "shape") or not v.shape:
        if xp(target) is not numpy and len(key) == 1 and key[0].dtype == bool:
            _fill_where(target, key[0], v)
            return
        target[key] = v
        return
    want = _shape_at(target, key)
    while len(v.shape) > len(want) and v.shape[0] == 1:
        v = v.reshape(v.shape[1:])
    try:
        target[key] = v
    except ValueError:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(v.shape)} cannot be broadcast to"
            f" indexing result of shape {list(want)}"
        ) from None


def _fill_where(target: Any, mask: Any, v: Any) -> None:
    """Write one number where a mask of the first axes is True; CuPy would wait for the count."""
    wide = mask.reshape(*mask.shape, *(1,) * (target.ndim - mask.ndim))
    target[...] = xp(target).where(wide, xp(target).asarray(v, target.dtype), target)


def _shape_at(target: Any, key: tuple[Any, ...]) -> tuple[int, ...]:
    if len(key) == 1:
        first = key[0]
        head = (int(first.sum()),) if first.dtype == bool else first.shape
        return (*head, *target.shape[first.ndim if first.dtype == bool else 1 :])
    hollow = numpy.broadcast_to(numpy.zeros((), bool), target.shape)
    host = tuple(part if isinstance(part, slice) else numpy.asarray(_host(part)) for part in key)
    return hollow[host].shape


def _host(part: Any) -> Any:
    return part if isinstance(part, numpy.ndarray) else part.get()


@where_it_lies
def setitem(x: Any, key: Any, v: Any) -> None:
    """Write `v`, broadcast, to `x[key]`.

    Raises: RuntimeError where `v` does not fit, or `x` is a leaf that requires grad.
    """
    if type(v) in (int, float) and _wrote_number(x, key, v):
        return
    forbid_leaf(x)
    taken = parsed(key, x)
    value = _value(v, x, bool(taken.arrays))
    if value is v and not taken.arrays and shared_memory(v.array, x.array):
        forbid_sharing(viewed(x, taken), (v,))
    if not (mode.recording and (x.needs_grad or value.needs_grad)):
        _write(x, taken, value.array)
        return
    part = x if taken.trivial and taken.arrays else viewed(x, taken)
    if taken.arrays:
        before = wrap(part.array.copy(), part.node)
        before.needs_grad = part.needs_grad
        new = put_items(before, value, taken.arrays, False)
        write_recorded(part, _watching(new, key))
    else:
        write_recorded(part, fitted(value, part))


def _wrote_number(x: Any, key: Any, v: Any) -> bool:
    """Whether a number was written at an int or a slice at once, as nothing is recorded."""
    array, recording = x.array, mode.fast
    if type(array) is not numpy.ndarray or type(key) not in (int, slice) or recording is None:
        return False
    if recording and (x.needs_grad or x.base is not None):
        return False
    steps = array.strides
    if not steps or 0 in steps:
        return False
    try:
        array[key if type(key) is int else plain_slice(key)] = v
    except IndexError:
        return False
    version_of(x)[0] += 1
    return True


def _value(v: Any, x: Any, indexed: bool) -> Any:
    """`v` as a tensor of the dtype and on the device of `x`."""
    want = x.array.dtype
    if not isinstance(v, Value):
        return wrap(xp(x.array).asarray(v, want))
    if v.array.dtype != want:
        if indexed and v.array.ndim:
            raise RuntimeError(
                "Index put requires the source and destination dtypes match, got"
                f" {of(want).name} for the destination and {of(v.array.dtype).name} for the source."
            )
        v = cast.cast(v, want)
    where = device_of(x.array)
    if device_of(v.array) != where:
        if v.array.ndim and indexed:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices,"
                f" {where} and {device_of(v.array)}!"
            )
        v = wrap(to_device(v.array, where)) if not v.needs_grad else v.to(where)
    return v


def _write(x: Any, key: Key, v: Any) -> None:
    """Write the array `v`, unrecorded."""
    target = x.array if key.trivial else x.array[(*key.view, *_REST[Ellipsis in key.view])]
    if key.arrays:
        write_items(target, key.arrays, v)
    else:
        forbid_overlap(target)
        target[...] = _trimmed(v, target.shape)
    version_of(x)[0] += 1


_REST = {False: (...,), True: ()}


def _trimmed(v: Any, shape: tuple[int, ...]) -> Any:
    """`v` without leading axes of one that `shape` does not have.

    Raises: RuntimeError where it cannot be stretched to `shape`.
    """
    have = v.shape
    while len(have) > len(shape) and have[0] == 1:
        have = have[1:]
    lead = len(shape) - len(have)
    if lead < 0 or any(n not in (1, m) for n, m in zip(have, shape[lead:])):
        raise RuntimeError(_complaint(v.shape, shape))
    return v if have == v.shape else v.reshape(have)


def _complaint(have: tuple[int, ...], shape: tuple[int, ...]) -> str:
    pairs = zip(reversed(have), reversed(shape))
    for i, (n, m) in enumerate(pairs):
        if n not in (1, m):
            return (
                f"The expanded size of the tensor ({m}) must match the existing size ({n}) at"
                f" non-singleton dimension {len(shape) - 1 - i}.  Target sizes: {list(shape)}. "
                f" Tensor sizes: {list(have)}"
            )
    return f"expand({list(have)}, size={list(shape)}): too few sizes were provided"


def fitted(value: Any, part: Any) -> Any:
    """`value` stretched to the shape of `part`, leading ones dropped."""
    shape = part.array.shape
    have = _trimmed(value.array, shape).shape
    if have != value.array.shape:
        value = reshape_array(value, have)
    return value if have == shape else broadcast_array(value, shape)


@of_tensors("input", "values")
def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """`input` with `values` written, or added, at a tuple of tensors of indices or masks.

    Raises: RuntimeError where the dtypes or shapes do not fit.
    """
    taken = parsed(tuple(FULL if i is None else i for i in indices), input)
    if values.array.dtype != input.array.dtype:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got"
            f" {of(input.array.dtype).name} for the destination and {of(values.array.dtype).name}"
            " for the source."
        )
    return watch(put_items(input, values, _only_arrays(taken, input), accumulate), *indices)


@where_it_lies
def _only_arrays(key: Key, x: Any) -> tuple[Any, ...]:
    """A key's arrays, with its ints (zero-dim tensors) as arrays again."""
    module = xp(x.array)
    if not any(type(part) is int for part in key.view):
        return key.arrays
    return tuple(module.asarray([part]) if type(part) is int else part for part in key.view)
