"""Methods of PyTorch's first years, which programs still call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from core.autograd.inplace import forbid_leaf
from core.autograd.value import version_of
from core.backend import device_of, write
from core.dtype import of
from core.exchange import blank
from core.ops.shape import broadcast_to
from core.tensor import Tensor, legacy


def new(x: Any, *size: Any, device: Any = None) -> Any:
    """A tensor of the dtype and on the device of `x`, by sizes or from data."""
    where = device_of(x.array) if device is None else device
    return blank(Tensor, legacy(size, where, of(x.array.dtype)))


def apply_(x: Any, callable: Callable[[Any], Any]) -> Any:
    """`x`, each of whose elements is what a Python function of it gives; slow.

    Raises: TypeError on a GPU; RuntimeError where a gradient is wanted.
    """
    return _written(x, "apply_", callable, [x])


def map_(x: Any, tensor: Any, callable: Callable[[Any, Any], Any]) -> Any:
    """`x`, each of whose elements is what a function of it and one of `tensor` gives; slow.

    Raises: TypeError on a GPU; RuntimeError where a gradient is wanted.
    """
    return _written(x, "map_", callable, [x, broadcast_to(tensor, x.shape)])


def _written(x: Any, name: str, function: Any, xs: list[Any]) -> Any:
    if device_of(x.array).type != "cpu":
        raise TypeError(f"{name} is only implemented on CPU tensors")
    if x.requires_grad:
        raise RuntimeError(
            f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}()"
            " instead."
        )
    forbid_leaf(x)
    rows = zip(*(y.array.reshape(-1).tolist() for y in xs))
    values = numpy.array([function(*row) for row in rows], dtype=object)
    write(x.array, values.astype(x.array.dtype).reshape(x.array.shape))
    version_of(x)[0] += 1
    return x


def is_nonzero(input: Any) -> bool:
    """Whether the one element is another number than zero.

    Raises: RuntimeError for none or several.
    """
    return bool(input)


def is_same_size(input: Any, other: Any) -> bool:
    """Whether both tensors have one shape."""
    return bool(input.shape == other.shape)


METHODS: dict[str, Any] = {
    "new": new, "apply_": apply_, "map_": map_, "is_nonzero": is_nonzero,
    "is_same_size": is_same_size,
}  # fmt: skip
