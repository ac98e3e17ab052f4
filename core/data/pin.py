"""A batch in pinned memory, in whatever structure it comes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from core.backend import device_count
from core.conversion import pin_memory
from core.tensor import Tensor


def can_pin() -> bool:
    """Whether there is a GPU to copy to; a warning says so where there is none, as PyTorch's."""
    if device_count():
        return True
    warnings.warn(
        "'pin_memory' argument is set as true but no accelerator is found, then device pinned"
        " memory won't be used.",
        stacklevel=3,
    )
    return False


def pinned_batch(data: Any) -> Any:
    """The same structure with its tensors in pinned memory; tuples become lists, as in PyTorch.

    What has a `pin_memory()` of its own is asked for it; all else stays as it is.
    """
    if isinstance(data, Tensor):
        return pin_memory(data) if data.device.type == "cpu" else data
    if isinstance(data, (str, bytes)):
        return data
    if isinstance(data, Mapping):
        return _mapping(data, {key: pinned_batch(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(pinned_batch, data))
    if isinstance(data, Sequence):
        return list(map(pinned_batch, data))
    return data.pin_memory() if hasattr(data, "pin_memory") else data


def _mapping(like: Any, items: dict[Any, Any]) -> Any:
    try:
        return type(like)(items)
    except TypeError:  # a mapping that wants other arguments
        return items
