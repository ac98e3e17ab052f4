"""Softmax and its logarithm along a dim."""

from __future__ import annotations

from typing import Any

from core.autograd.inplace import write_out
from core.autograd.value import called
from core.dtype import INTEGER, of, to_numpy
from core.notice import notice
from core.ops.cast import cast
from core.ops.dims import axis_of
from core.ops.loss import log_softmax_axis, softmax_axis
from core.ops.promotion import refuse
from core.ops.shape import reshape_array

__all__ = "softmax log_softmax".split()


def along(op: Any, input: Any, dim: int | None, dtype: Any) -> Any:
    """`op` along a dim, after a cast where a dtype is given.

    Raises: NotImplementedError for integers and bools.
    """
    if dtype is not None:
        input = cast(input, to_numpy(dtype))
    d = input.array.dtype
    if d.kind in "iub":
        refuse(INTEGER, "softmax", of(d))
    ndim = input.array.ndim
    if dim is None:  # PyTorch's old rule for a missing dim
        dim = 0 if ndim in (0, 1, 3) else 1
        name = op.op.name.removesuffix("_axis")
        notice(
            f"Implicit dimension choice for {name} has been deprecated. Change the call to include"
            f" dim={dim} as an argument."
        )
    axis = axis_of(dim, ndim)
    if ndim:
        return op(input, axis)
    return called(reshape_array(op(reshape_array(input, (1,)), 0), ()), op.op.label)


def softmax(input: Any, dim: int, dtype: Any = None, *, out: Any = None) -> Any:
    """Exponentials along `dim`, divided by their sum."""
    result = along(softmax_axis, input, dim, dtype)
    return result if out is None else write_out(result, out)


def log_softmax(input: Any, dim: int, dtype: Any = None, *, out: Any = None) -> Any:
    """The logarithm of softmax along `dim`."""
    result = along(log_softmax_axis, input, dim, dtype)
    return result if out is None else write_out(result, out)
