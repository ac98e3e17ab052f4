"""What stands between the brackets of x[...]: taken apart into a view and arrays of indices."""

from __future__ import annotations

from typing import Any

import numpy

from core.autograd.place import where_it_lies
from core.autograd.value import Value
from core.backend import device_of, xp
from core.notice import notice

FULL = slice(None)


class Key:
    """A key taken apart: `view` is of ints, slices, None and ..., `arrays` index what it makes.

    `arrays` is empty where the key makes a view; else it has one entry per leading axis of the
    view, an array of ints or bools, or a full slice.
    """

    __slots__ = ("arrays", "view")

    def __init__(self, view: tuple[Any, ...], arrays: tuple[Any, ...]) -> None:
        self.view = view
        self.arrays = arrays

    @property
    def trivial(self) -> bool:
        """Whether the view is of everything as it is."""
        return all(part is Ellipsis or part == FULL for part in self.view)


@where_it_lies
def parsed(key: Any, x: Any) -> Key:
    """The parts of `key` for the tensor `x`.

    Raises: IndexError, TypeError or ValueError as PyTorch.
    """
    array = x.array
    parts = [_part(part, array) for part in (key if _is_several(key) else (key,))]
    used = sum(_axes(part) for part in parts)
    _check_count(used, array.ndim)
    view: list[Any] = []
    arrays: list[Any] = []
    axis = 0  # of `array`, for what is said about a wrong mask
    for part in parts:
        axis = _place(part, view, arrays, array, axis, used)
    while arrays and not _is_array(arrays[-1]):
        arrays.pop()
    return Key(tuple(view), tuple(arrays))


def _is_several(key: Any) -> bool:
    """Whether a key stands for several: a tuple, or a short list of more than numbers."""
    if isinstance(key, tuple):
        return True
    nested = (slice, Value, list, tuple, range, numpy.ndarray, type(None), type(Ellipsis))
    return isinstance(key, list) and len(key) < 32 and any(isinstance(k, nested) for k in key)


def _is_array(part: Any) -> bool:
    return hasattr(part, "dtype")


def _place(part: Any, view: list[Any], arrays: list[Any], array: Any, axis: int, used: int) -> int:
    """Put one part where it belongs; the axis of `array` that the next one is about."""
    if part is Ellipsis:
        if Ellipsis in view:  # the first one stands for all axes that no other part is about
            return axis
        rest = array.ndim - used
        view.append(Ellipsis)
        arrays += [FULL] * rest
        return axis + rest
    if _is_array(part):
        if part.ndim == 0:  # one bool: a new axis that is there or not
            view.append(None)
            arrays.append(part.reshape(1))
            return axis
        _check_mask(part, array, axis, len(view))
        steps = _axes(part)
        view += [FULL] * steps
        arrays.append(part)
        # A mask of several axes stands for as many entries.
        return axis + steps
    view.append(part)
    if not isinstance(part, int):
        arrays.append(FULL)
    return axis + (part is not None)


def _check_mask(part: Any, array: Any, axis: int, place: int) -> None:
    if part.dtype != bool:
        return
    for i, n in enumerate(part.shape):
        if array.shape[axis + i] != n:
            raise IndexError(
                f"The shape of the mask {list(part.shape)} at index {i} does not match the shape of"
                f" the indexed tensor {list(array.shape)} at index {axis + i}"
            )


def _axes(part: Any) -> int:
    """How many axes a part is about."""
    if part is None or part is Ellipsis:
        return 0
    if _is_array(part):
        return part.ndim if part.dtype == bool else 1
    return 1


def _check_count(used: int, ndim: int) -> None:
    if used > ndim:
        raise IndexError(
            f"too many indices for tensor of dimension {ndim}"
            if ndim
            else "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or"
            " `tensor.item<T>()` in C++ to convert a 0-dim tensor to a number"
        )


# ---- one part ---------------------------------------------------------------------------------


def _part(part: Any, array: Any) -> Any:
    """A part as an int, slice, None, Ellipsis or an array of ints or bools on the right device."""
    kind = type(part)
    if part is None or part is Ellipsis or kind is int:
        return part
    if kind is slice:
        return plain_slice(part)
    if isinstance(part, (bool, numpy.bool_)):
        return xp(array).asarray(bool(part))
    if isinstance(part, (int, numpy.integer)):
        return int(part)
    if isinstance(part, Value):
        return _moved(part.array, array)
    if isinstance(part, str):
        raise TypeError(f"new(): invalid data type 'str' for an index: {part!r}")
    if isinstance(part, (list, tuple, range)):
        part = _listed(part)
    if isinstance(part, numpy.ndarray) or _is_array(part):
        return _moved(part, array)
    if hasattr(part, "__index__"):
        return part.__index__()
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are"
        f" valid indices (got {type(part).__name__})"
    )


def plain_slice(part: slice) -> slice:
    """A slice of Python ints.

    Raises: ValueError unless the step is positive.
    """
    start, stop, step = part.start, part.stop, part.step
    if step is None and type(start) in BOUNDS and type(stop) in BOUNDS:
        return part
    step = None if step is None else _bound(step)
    if step is not None and step <= 0:
        raise ValueError("step must be greater than zero")
    return slice(_bound(start), _bound(stop), step)


BOUNDS = (int, type(None))


def _bound(x: Any) -> int | None:
    if x is None:
        return None
    if not hasattr(x, "__index__"):
        raise TypeError("slice indices must be integers or None or have an __index__ method")
    return x.__index__()


def _listed(part: Any) -> Any:
    """The array of a nested list of numbers and tensors of one element."""
    out = numpy.asarray(_plain(part))
    return out.astype(numpy.int64) if not out.size and out.dtype != bool else out


def _plain(part: Any) -> Any:
    if isinstance(part, Value):
        return part.array.tolist()
    return [_plain(p) for p in part] if isinstance(part, (list, tuple, range)) else part


def _moved(part: Any, array: Any) -> Any:
    """An array of indices as the module of `array` takes it; a single number as an int."""
    kind = part.dtype.kind
    if kind not in "iub":
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if part.ndim == 0 and part.dtype != bool and part.dtype != numpy.uint8:
        return int(part)
    if part.dtype == numpy.uint8:
        notice("indexing with dtype uint8 is now deprecated, please use a dtype bool instead.")
        part = part.astype(bool)
    if type(part) is not type(array):
        if type(array) is numpy.ndarray and type(part) is not numpy.ndarray:
            raise RuntimeError(
                "indices should be either on cpu or on the same device as the indexed tensor (cpu),"
                f" but got an index on {device_of(part)}"
            )
        return xp(array).asarray(part)
    return part
