"""Nested values, as models take and return them: taken apart and put together again."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from core.autograd.value import Value
from core.nn.packing import PackedSequence


def entries(x: Any) -> list[Any] | None:
    """What a dict, list, tuple or dataclass holds, in order; None of anything else.

    Example:
        >>> entries({"a": 1, "b": (2, 3)}), entries("text")
        ([1, (2, 3)], None)
    """
    if isinstance(x, dict):
        return [*x.values()]
    if isinstance(x, (list, tuple)):
        return [*x]
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        return [getattr(x, field.name) for field in dataclasses.fields(x)]
    return None


def remade(x: Any, found: Sequence[Any]) -> Any:
    """A container like `x` that holds `found`, as many as `entries(x)` are.

    Example:
        >>> remade({"a": 1, "b": 2}, [3, 4])
        {'a': 3, 'b': 4}
    """
    if isinstance(x, (list, tuple)):
        return type(x)(*found) if hasattr(x, "_fields") else type(x)(found)
    made = copy.copy(x)  # keeps what subclasses of dict hold besides
    if isinstance(x, dict):
        for key, value in zip([*x], found, strict=True):
            made[key] = value
        return made
    for field, value in zip(dataclasses.fields(x), found, strict=True):
        object.__setattr__(made, field.name, value)  # also of a frozen one
    return made


def columns(values: Sequence[Any]) -> list[list[Any]] | None:
    """The entries of like containers, place by place; None of what is no container.

    Raises: TypeError where they are not alike.
    Example:
        >>> columns([{"a": 1, "b": 2}, {"b": 4, "a": 3}])
        [[1, 3], [2, 4]]
    """
    first = values[0]
    if isinstance(first, dict) and all(isinstance(x, dict) and {*x} == {*first} for x in values):
        values = [{key: x[key] for key in first} for x in values]  # in one order
    found = [entries(x) for x in values]
    if found[0] is None:
        return None
    counts = [None if part is None else len(part) for part in found]
    same_keys = not isinstance(first, dict) or all([*x] == [*first] for x in values)
    if any(count != counts[0] for count in counts) or not same_keys:
        raise TypeError(f"outputs that should be alike hold different things: {values!r:.80}")
    return [list(column) for column in zip(*(part or () for part in found), strict=True)]


def map_tensors(x: Any, function: Callable[[Any], Any]) -> Any:
    """Nested `x` with `function` of each tensor in it."""
    if isinstance(x, Value):
        return function(x)
    if isinstance(x, PackedSequence):
        return x._replace(data=function(x.data))
    found = entries(x)
    return x if found is None else remade(x, [map_tensors(v, function) for v in found])


def cut(x: Any, part: Callable[[Any], Any]) -> Any:
    """Nested `x` with `part` of each tensor in it, some of its samples.

    Raises: TypeError for packed sequences, whose samples do not lie row by row.
    """
    if isinstance(x, Value):
        return part(x)
    if isinstance(x, PackedSequence):
        raise TypeError(
            "a PackedSequence cannot be cut into parts of a batch: give the model padded sequences"
            " and their lengths, and pack them in its forward"
        )
    found = entries(x)
    return x if found is None else remade(x, [cut(v, part) for v in found])


def tensors_of(x: Any) -> list[Any]:
    """The tensors in nested `x`, in order."""
    if isinstance(x, Value):
        return [x]
    return [tensor for v in entries(x) or () for tensor in tensors_of(v)]


def size_along(x: Any, dim: int = 0) -> int | None:
    """The size along `dim` of the first tensor in nested `x` that has it; None without one."""
    for tensor in tensors_of(x):
        if has_dim(tensor, dim):
            return tensor.array.shape[dim]
    return None


def has_dim(x: Value, dim: int) -> bool:
    """Whether a tensor has a dim `dim`, counted from the end if it is negative."""
    return -x.array.ndim <= dim < x.array.ndim
