"""From a list of samples to a batch: tensors one dimension larger, in the samples' structure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy

from core.ops.creation import from_numpy, tensor
from core.ops.join import stack
from core.tensor import Tensor


def default_convert(data: Any) -> Any:
    """The same structure with its NumPy arrays and scalars as tensors; the rest as it is."""
    if isinstance(data, numpy.ndarray | numpy.generic):
        return data if data.dtype.kind in "SUO" else from_numpy(numpy.asarray(data))
    if isinstance(data, Mapping):
        return _rebuild(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        # PyTorch makes lists of tuples too.
        return [default_convert(value) for value in data]
    return data


def default_collate(batch: Sequence[Any]) -> Any:
    """The batch of a list of samples: tensors, arrays and numbers stacked, containers entered.

    Dtype: Python floats give float64, whole numbers int64, as in PyTorch.
    Raises: TypeError for anything that is no tensor, array, number, string or container.
    Example:
        >>> default_collate(["a", "b"])
        ['a', 'b']
    """
    sample = batch[0]
    for kinds, collate in _COLLATES:
        if isinstance(sample, kinds):
            return collate(batch)
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists;"
        f" found {type(sample)}"
    )


def _tensors(batch: Sequence[Tensor]) -> Tensor:
    if any(t.requires_grad or type(t.array) is not numpy.ndarray for t in batch):
        return stack(list(batch))
    return _arrays([t.array for t in batch])


def _arrays(batch: Sequence[Any]) -> Any:
    first = batch[0]
    if first.dtype.kind in "SUO":
        raise TypeError(
            f"default_collate: an array of dtype {first.dtype} cannot be a tensor; found it in a"
            " sample"
        )
    for i, item in enumerate(batch):
        if item.shape != first.shape:
            raise RuntimeError(
                "stack expects each tensor to be equal size, but got"
                f" {list(first.shape)} at entry 0 and {list(item.shape)} at entry {i}"
            )
    return from_numpy(numpy.stack(batch))


def _mapping(batch: Sequence[Mapping[Any, Any]]) -> Any:
    first = batch[0]
    return _rebuild(first, {key: default_collate([d[key] for d in batch]) for key in first})


def _rebuild(like: Mapping[Any, Any], items: dict[Any, Any]) -> Any:
    """The items in the type that they came from, where that can be made from a dict."""
    if type(like) is dict:
        return items
    try:
        return type(like)(items)  # type: ignore[call-arg]
    except TypeError:  # a mapping that wants other arguments
        return items


def _sequence(batch: Sequence[Sequence[Any]]) -> Any:
    first = batch[0]
    for item in batch:
        if len(item) != len(first):
            raise RuntimeError("each element in list of batch should be of equal size")
    columns = [default_collate(column) for column in zip(*batch)]
    if hasattr(first, "_fields"):
        return type(first)(*columns)
    return columns


_COLLATES: list[tuple[Any, Callable[[Any], Any]]] = [
    (Tensor, _tensors),
    (numpy.ndarray, _arrays),
    ((str, bytes), lambda batch: batch),
    (numpy.generic, lambda batch: from_numpy(numpy.asarray(batch))),
    (bool, lambda batch: tensor(list(batch))),
    (float, lambda batch: from_numpy(numpy.array(batch, numpy.float64))),
    (int, lambda batch: from_numpy(numpy.array(batch, numpy.int64))),
    (Mapping, _mapping),
    (Sequence, _sequence),
]
