"""Reductions: many elements into one."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.autograd.dispatch import primitive
from core.autograd.inplace import write_out
from core.autograd.quick import alone, leading
from core.autograd.value import called
from core.backend import packed, xp
from core.dtype import FLOAT, of, to_numpy
from core.ops.choice import choose
from core.ops.dims import axes_of, flat, kept, size_of
from core.ops.exponential import exp
from core.ops.promotion import accumulates_in, float_first
from core.ops.scan import products_of_others
from core.ops.shape import broadcast_array, reshape_array

__all__ = "sum nansum mean nanmean prod logsumexp all any count_nonzero".split()


def summed_dtype(x: Any, dtype: Any) -> Any:
    """The array dtype of a sum: int64 for integers and bools, else that of `x`."""
    if dtype is not None:
        return to_numpy(dtype)
    return numpy.dtype("int64") if of(x.dtype).category != FLOAT else x.dtype


def spread(g: Any, shape: Any, dim: Any, keepdim: bool) -> Any:
    """`g`, reduced over `dim`, stretched back to `shape`."""
    if dim is None:
        return broadcast_array(g, tuple(shape))
    axes = axes_of(dim, len(shape))
    return broadcast_array(reshape_array(g, kept(shape, axes)), tuple(shape))


# ---- sums -------------------------------------------------------------------------------------


@alone
@primitive(label=lambda node: f"SumBackward{int(node.saved[0] is not None)}")
def sum(x, dim=None, keepdim=False, dtype=None):
    """The sum over `dim` (an int, several, or all).

    Dtype: integers and bools become int64; half types are accumulated in float32.
    """
    axes = axes_of(dim, x.ndim)
    if dtype is None and x.dtype.char in "fdl":
        return packed(x.sum(axes, None, None, keepdim))
    want = summed_dtype(x, dtype)
    out = x.sum(axis=axes, keepdims=keepdim, dtype=accumulates_in(want))
    return packed(out.astype(want, copy=False))


@leading
@primitive
def nansum(x, dim=None, keepdim=False, dtype=None):
    """The sum over `dim` (an int, several, or all) of what is not NaN."""
    want = summed_dtype(x, dtype)
    x = xp(x).where(x == x, x, x.dtype.type(0)) if of(x.dtype).category == FLOAT else x
    axes = axes_of(dim, x.ndim)
    out = x.sum(axis=axes, keepdims=keepdim, dtype=accumulates_in(want))
    return packed(out.astype(want, copy=False))


@alone
@primitive(label=lambda node: f"MeanBackward{int(node.saved[0] is not None)}")
def mean(x, dim=None, keepdim=False, dtype=None):
    """The mean over `dim` (an int, several, or all).

    Raises: RuntimeError for integers and bools.
    """
    if dtype is None and x.dtype.char in "fd":
        axes = axes_of(dim, x.ndim)
        return packed(x.sum(axes, None, None, keepdim) / size_of(x.shape, axes))
    want = x.dtype if dtype is None else to_numpy(dtype)
    if of(want).category != FLOAT:
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or"
            f" complex dtype. Got: {of(want).name}"
        )
    axes = axes_of(dim, x.ndim)
    count = size_of(x.shape, axes)
    total = x.sum(axis=axes, keepdims=keepdim, dtype=accumulates_in(want))
    return packed((total / accumulates_in(want).type(count)).astype(want, copy=False))


sum.defvjp(
    x=lambda g, dim, keepdim, x_shape: spread(g, x_shape, dim, keepdim),
    dim=None,
    keepdim=None,
    dtype=None,
)
nansum.defvjp(
    x=lambda g, x, dim, keepdim: choose(x == x, spread(g, x.shape, dim, keepdim), 0),
    dim=None,
    keepdim=None,
    dtype=None,
)
mean.defvjp(
    x=lambda g, dim, keepdim, x_shape: spread(
        g / (size_of(x_shape, axes_of(dim, len(x_shape))) or math.nan), x_shape, dim, keepdim
    ),
    dim=None,
    keepdim=None,
    dtype=None,
)


def nanmean(
    input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Any:
    """The mean over `dim` of what is not NaN.

    Raises: RuntimeError for integers and bools.
    """
    if not input.dtype.is_floating_point:
        raise RuntimeError(
            "nanmean(): expected input to have floating point or complex dtype but got"
            f" {input.dtype.name}"
        )
    count = sum(input == input, dim, keepdim)
    result = nansum(input, dim, keepdim, dtype) / count
    return result if out is None else write_out(result, out)


@alone
@primitive
def count_nonzero(x, dim=None):
    """The number of elements over `dim` (an int, several, or all) that are not zero."""
    return packed((x != 0).sum(axis=axes_of(dim, x.ndim), dtype=numpy.int64))


count_nonzero.defvjp(x=None, dim=None)

# ---- products ---------------------------------------------------------------------------------


@alone
@primitive(label=lambda node: f"ProdBackward{int(node.saved[1] is not None)}")
def prod(x, dim=None, keepdim=False, dtype=None):
    """The product over one dim, or over all.

    Dtype: integers and bools become int64; half types are accumulated in float32.
    Raises: TypeError for several dims.
    """
    if dim is not None and not isinstance(dim, int):
        raise TypeError(f"prod(): dim must be an int, not {type(dim).__name__}")
    want = summed_dtype(x, dtype)
    axes = axes_of(dim, x.ndim)
    axis = axes[0] if axes else axes
    out = x.prod(axis=axis, keepdims=keepdim, dtype=accumulates_in(want))
    return packed(out.astype(want, copy=False))


prod.defvjp(
    x=lambda g, x, dim, keepdim: (
        spread(g, x.shape, dim, keepdim) * products_of_others(x, axes_of(dim, len(x.shape)))
    ),
    dim=None,
    keepdim=None,
    dtype=None,
)


# ---- logarithms of sums -----------------------------------------------------------------------


@primitive(casts=float_first)
def logsumexp(x, dim, keepdim=False):
    """The logarithm of the sum of exponentials over `dim` (an int or several), without overflow."""
    axes = axes_of(dim, x.ndim)
    wide, module = x.astype(accumulates_in(x.dtype), copy=False), xp(x)
    if not size_of(x.shape, axes):
        peak = module.zeros(kept(x.shape, axes), wide.dtype)
    else:
        peak = wide.max(axis=axes, keepdims=True)
        peak = module.where(module.isfinite(peak), peak, 0)
    total = module.log(module.exp(wide - peak).sum(axis=axes, keepdims=True)) + peak
    left = [n for i, n in enumerate(x.shape) if axes is not None and i not in axes]
    return packed(total if keepdim else total.reshape(left)).astype(x.dtype)


logsumexp.defvjp(
    x=lambda g, x, out, dim, keepdim: (
        spread(g, x.shape, dim, keepdim) * exp(x - spread(out, x.shape, dim, keepdim))
    ),
    dim=None,
    keepdim=None,
)


# ---- truth ------------------------------------------------------------------------------------


@alone
@primitive
def all(x, dim=None, keepdim=False):
    """Whether all elements over `dim` (an int, several, or all) are nonzero.

    Dtype: bool, and uint8 for uint8.
    """
    return _truth(x != 0, "all", x, dim, keepdim)


@alone
@primitive
def any(x, dim=None, keepdim=False):
    """Whether any element over `dim` (an int, several, or all) is nonzero.

    Dtype: bool, and uint8 for uint8.
    """
    return _truth(x != 0, "any", x, dim, keepdim)


def _truth(set_: Any, name: str, x: Any, dim: Any, keepdim: bool) -> Any:
    axes = () if dim == () else axes_of(dim, x.ndim)  # here, no dims are none, not all
    out = getattr(set_, name)(axis=axes, keepdims=keepdim)
    return packed(out.astype(x.dtype) if x.dtype == numpy.uint8 else out)


all.defvjp(x=None, dim=None, keepdim=None)
any.defvjp(x=None, dim=None, keepdim=None)


def sum_to_size(input: Any, *size: Any) -> Any:
    """The sum over the dims along which a tensor of `size` would be stretched to this shape.

    Raises: RuntimeError where it could not be.
    """
    have, want = tuple(input.array.shape), flat(size)
    lead = len(have) - len(want)
    if lead < 0 or [n for n, m in zip(want, have[lead:]) if n not in (1, m)]:
        raise RuntimeError(f"size {{{list(want)}}} is not expandable to size {{{list(have)}}}.")
    if not want:
        return sum(input)
    axes = [*range(lead)]
    axes += [lead + i for i, (n, m) in enumerate(zip(want, have[lead:])) if n == 1 != m]
    if not axes:
        return input
    return called(reshape_array(sum(input, axes, True), want), "SumBackward1")
