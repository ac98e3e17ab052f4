"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.autograd.value import Value
from core.ops.join import cat
from core.ops.shape import reshape_array


def parameters_to_vector(parameters: Iterable[Any]) -> Any:
    """All elements of the parameters, one after the other."""
    return cat([reshape_array(x, (-1,)) for x in parameters])


def vector_to_parameters(vec: Any, parameters: Iterable[Any]) -> None:
    """Let the parameters share the memory of a vector, one after the other.

    Raises: TypeError unless `vec` is a tensor.
    """
    is_tensor = isinstance(vec, Value)
    if not is_tensor:
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    start = 0
    for param in parameters:
        count = param.array.size
        param.data = vec.data[start : start + count].reshape(tuple(param.array.shape))
        start += count
