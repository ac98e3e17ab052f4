"""Reductions: many elements into one."""

from __future__ import annotations

from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.backend import xp
from core.dtype import FLOAT, of, to_numpy
from core.ops.dims import axes_of, axis_of, kept, size_of
from core.ops.promotion import accumulates_in
from core.ops.shape import broadcast_array, reshape_array

__all__ = "sum mean argmax argmin".split()


def summed_dtype(x: Any, dtype: Any) -> Any:
    """The array dtype of a sum: int64 for integers and bools, else that of `x`."""
    if dtype is not None:
        return to_numpy(dtype)
    return numpy.dtype("int64") if of(x.dtype).category != FLOAT else x.dtype


@primitive(label=lambda node: f"SumBackward{int(node.saved[0] is not None)}")
def sum(x, dim=None, keepdim=False, dtype=None):
    """The sum over `dim` (an int, several, or all).

    Dtype: integers and bools become int64; half types are accumulated in float32.
    """
    want = summed_dtype(x, dtype)
    axes = axes_of(dim, x.ndim)
    return x.sum(axis=axes, keepdims=keepdim, dtype=accumulates_in(want)).astype(want, copy=False)


sum.defvjp(
    x=lambda g, dim, keepdim, x_shape: spread(g, x_shape, dim, keepdim),
    dim=None,
    keepdim=None,
    dtype=None,
)


def spread(g: Any, shape: Any, dim: Any, keepdim: bool) -> Any:
    """`g`, reduced over `dim`, stretched back to `shape`."""
    axes = axes_of(dim, len(shape))
    return broadcast_array(reshape_array(g, kept(shape, axes)), tuple(shape))


@primitive(label=lambda node: f"MeanBackward{int(node.saved[0] is not None)}")
def mean(x, dim=None, keepdim=False, dtype=None):
    """The mean over `dim` (an int, several, or all).

    Raises: RuntimeError for integers and bools.
    """
    want = x.dtype if dtype is None else to_numpy(dtype)
    if of(want).category != FLOAT:
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or"
            f" complex dtype. Got: {of(want).name}"
        )
    axes = axes_of(dim, x.ndim)
    count = size_of(x.shape, axes)
    total = x.sum(axis=axes, keepdims=keepdim, dtype=accumulates_in(want))
    return (total / accumulates_in(want).type(count)).astype(want, copy=False)


mean.defvjp(
    x=lambda g, dim, keepdim, x_shape: spread(
        g / (size_of(x_shape, axes_of(dim, len(x_shape))) or float("nan")), x_shape, dim, keepdim
    ),
    dim=None,
    keepdim=None,
    dtype=None,
)


@primitive
def argmax(x, dim=None, keepdim=False):
    """Where the largest element is, the first of several; in the flat order without `dim`."""
    return _arg(x, "argmax", dim, keepdim)


@primitive
def argmin(x, dim=None, keepdim=False):
    """Where the smallest element is, the first of several; in the flat order without `dim`."""
    return _arg(x, "argmin", dim, keepdim)


argmax.defvjp(x=None)
argmin.defvjp(x=None)


def _arg(x: Any, name: str, dim: int | None, keepdim: bool) -> Any:
    if x.ndim == 0:
        return xp(x).zeros((), numpy.int64)
    if dim is None:
        out = getattr(x, name)()
        return xp(x).asarray(out, numpy.int64).reshape((1,) * x.ndim) if keepdim else out
    out = getattr(x, name)(axis_of(dim, x.ndim))
    return xp(x).expand_dims(out, axis_of(dim, x.ndim)) if keepdim else out
