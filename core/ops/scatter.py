"""Elements written to tensors of indices or to masks: each op makes a changed copy.

The in-place forms are in the method table.
"""

from __future__ import annotations

from typing import Any

import numpy

from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.inplace import type_name, write_out
from core.autograd.op import Variant
from core.autograd.place import where_it_lies
from core.autograd.value import Value, wrap
from core.backend import xp
from core.dtype import of
from core.ops.dims import axis_of
from core.ops.gather import check_along, check_vector, gather_array, select_rows
from core.ops.parts import in_zeros
from core.ops.positions import add_at, along, check_range, combine_at, rows
from core.ops.promotion import accumulates_in, number, same_device
from core.ops.shape import reshape_array

__all__ = "scatter scatter_add index_add index_copy index_fill".split()

# ---- along a dim ------------------------------------------------------------------------------


@primitive(
    casts=same_device,
    name="scatter",
    label=lambda node: f"ScatterBackward{int(node.plan.wanted == [0])}",
)
def put_along(x, index, src, axis):
    """`x` with the elements of `src` at indices along one axis; of repeated ones the last."""
    out = x.copy()
    flat = out.reshape(-1)
    flat[along(index, axis, x.shape)] = corner(src, index.shape)
    return flat.reshape(x.shape)


put_along.defvjp(
    x=lambda g, index, axis: put_along(g, index, 0, axis),
    index=None,
    src=lambda g, index, axis, src_shape: padded_to(gather_array(g, index, axis), src_shape),
    axis=None,
)


def corner(src: Any, shape: tuple[int, ...]) -> Any:
    """The corner of `src` that an index of `shape` reads; numbers as they are."""
    if not hasattr(src, "shape") or src.shape == shape or not src.shape:
        return src
    return src[tuple(slice(n) for n in shape)]


def padded_to(g: Any, shape: tuple[int, ...]) -> Any:
    """`g` with zeros behind it up to `shape`."""
    if tuple(g.shape) == tuple(shape) or not shape:
        return g
    return in_zeros(g, tuple(slice(n) for n in g.shape), tuple(shape))


@of_tensors("input", "index", numbers="src value")
def scatter(
    input: Any,
    dim: int,
    index: Any,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
    out: Any = None,
) -> Any:
    """`input` with `src` written at `index` along a dim: out[index[i, j], j] = src[i, j] for dim 0.

    Raises: RuntimeError where shapes, dtypes or indices do not fit.
    """
    src = value if src is None else src
    axis = axis_of(dim, input.array.ndim)
    check_along("scatter", input, axis, index)
    if isinstance(src, Value):
        check_source("scatter", input, index, src)
    else:
        src = number(src, of(input.array.dtype))
    if reduce is None:
        result = put_along(input, index, src, axis)
    else:
        result = _scatter_with(input, index, src, axis, reduce)
    return result if out is None else write_out(result, out)


def check_source(name: str, x: Any, index: Any, src: Any) -> None:
    """Raise RuntimeError unless `src` has the dtype of `x` and covers `index`."""
    if src.array.dtype != x.array.dtype:
        raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype")
    place, have = index.array.shape, src.array.shape
    if max(len(place), 1) != max(len(have), 1):
        raise RuntimeError(
            "Index tensor must have the same number of dimensions as src tensor:"
            f" {len(place)} and {len(have)}"
        )
    if any(n > m for n, m in zip(place, have)):
        raise RuntimeError(
            f"Expected index {list(place)} to be no larger than self {list(x.array.shape)} and to"
            f" be no larger size than src {list(have)}"
        )


@where_it_lies
def _scatter_with(x: Any, index: Any, src: Any, axis: int, reduce: str) -> Any:
    if reduce not in ("add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    if not isinstance(src, Value):
        src = wrap(xp(x.array).full(index.array.shape, src, x.array.dtype))
    if reduce == "add":
        return sum_along(x, index, src, axis)
    return wrap(_multiplied(x.array, along(index.array, axis, x.array.shape), src.array))


def _multiplied(x: Any, places: Any, src: Any) -> Any:
    out = x.copy().reshape(-1)
    combine_at("multiply", out, places, corner(src, places.shape))
    return out.reshape(x.shape)


@primitive(casts=same_device, name="scatter_add")
def sum_along(x, index, src, axis):
    """`x` with the elements of `src` added at indices along one axis."""
    wide = accumulates_in(x.dtype)
    out = x.astype(wide).reshape(-1)
    add_at(out, along(index, axis, x.shape), corner(src, index.shape))
    return out.reshape(x.shape).astype(x.dtype, copy=False)


sum_along.defvjp(
    x=lambda g: g,
    index=None,
    src=lambda g, index, axis, src_shape: padded_to(gather_array(g, index, axis), src_shape),
    axis=None,
)


@of_tensors("input", "index", "src")
def scatter_add(input: Any, dim: int, index: Any, src: Any, *, out: Any = None) -> Any:
    """`input` with `src` added at `index` along a dim.

    Raises: RuntimeError where shapes, dtypes or indices do not fit.
    """
    axis = axis_of(dim, input.array.ndim)
    check_along("scatter", input, axis, index)
    check_source("scatter", input, index, src)
    result = sum_along(input, index, src, axis)
    return result if out is None else write_out(result, out)


# ---- whole rows -------------------------------------------------------------------------------


@primitive(casts=same_device, name="index_add")
def add_to_rows(x, axis, index, source):
    """`x` with the parts of `source` added at indices along one axis."""
    wide = accumulates_in(x.dtype)
    out = x.astype(wide).reshape(-1)
    add_at(out, rows(index, axis, x.shape), source)
    return out.reshape(x.shape).astype(x.dtype, copy=False)


add_to_rows.defvjp(
    x=lambda g: g,
    axis=None,
    index=None,
    source=lambda g, axis, index, source_shape: _rows_of(g, axis, index, source_shape),
)


def _rows_of(g: Any, axis: int, index: Any, shape: Any) -> Any:
    if not len(g.shape):
        return reshape_array(g, tuple(shape))
    return reshape_array(select_rows(g, axis, index), tuple(shape))


@of_tensors("input", "index", "source")
def index_add(
    input: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1, out: Any = None
) -> Any:
    """`input` with alpha times the parts of `source` added at indices along a dim.

    Raises: RuntimeError or IndexError where shapes, dtypes or indices do not fit.
    """
    axis, index = _row_arguments("index_add_", input, dim, index, source)
    result = add_to_rows(input, axis, index, source if alpha == 1 else source * alpha)
    return result if out is None else write_out(result, out)


def _row_arguments(name: str, x: Any, dim: int, index: Any, source: Any) -> tuple[int, Any]:
    """The axis and the index as a vector, after all checks."""
    axis = axis_of(dim, x.array.ndim)
    check_vector(name, index)
    if source is not None:
        if source.array.dtype != x.array.dtype:
            raise RuntimeError(f"{name}: self and source expected to have the same dtype")
        _check_rows(name, x.array.shape, axis, index.array.size, source.array.shape)
    n = x.array.shape[axis] if x.array.ndim else 1
    check_range(index.array, 0, n, IndexError, "index out of range in self")
    return axis, reshape_array(index, (index.array.size,))


def _check_rows(name: str, have: Any, axis: int, count: int, got: Any) -> None:
    want = (*have[:axis], count, *have[axis + 1 :]) if have else ()
    given = got or ((1,) if have else ())
    if given != want and not (not have and count == 1):
        if name == "index_copy_" and (len(given) != len(want) or given[axis] != count):
            raise IndexError(
                f"{name}: {count} indices at dimension {axis} are for as many rows of source, which"
                f" has shape {list(got)}"
            )
        raise RuntimeError(
            f"{name}: source of shape {list(got)} does not match self of shape {list(have)} with"
            f" {count} indices at dimension {axis}"
        )


@primitive(casts=same_device, name="index_copy")
def put_rows(x, axis, index, source):
    """`x` with the parts of `source` written at indices along one axis."""
    out = x.copy().reshape(-1)
    places = rows(index, axis, x.shape)
    out[places] = source.reshape(places.shape) if hasattr(source, "reshape") else source
    return out.reshape(x.shape)


put_rows.defvjp(
    x=lambda g, axis, index: put_rows(g, axis, index, 0),
    axis=None,
    index=None,
    source=lambda g, axis, index, source_shape: _rows_of(g, axis, index, source_shape),
)


@of_tensors("input", "index", "source", first=True)
def index_copy(input: Any, dim: int, index: Any, source: Any, *, out: Any = None) -> Any:
    """`input` with the parts of `source` written at indices along a dim.

    Raises: RuntimeError or IndexError where shapes, dtypes or indices do not fit.
    """
    if index.array.dtype != numpy.int64:
        kind = type_name(of(index.array.dtype))
        raise RuntimeError(f"index_copy_(): Expected a long tensor for index, but got {kind}")
    axis, index = _row_arguments("index_copy_", input, dim, index, source)
    result = put_rows(input, axis, index, source)
    return result if out is None else write_out(result, out)


@primitive(
    casts=same_device,
    name="index_fill",
    label=Variant("IndexFillBackward1", "IndexFillBackward0", 3),
)
def fill_rows(x, axis, index, value):
    """`x` with a number written at indices along one axis."""
    out = x.copy().reshape(-1)
    out[rows(index, axis, x.shape)] = value
    return out.reshape(x.shape)


fill_rows.defvjp(
    x=lambda g, axis, index: put_rows(g, axis, index, 0),
    axis=None,
    index=None,
    value=lambda g, axis, index: _rows_once(g, axis, index),
)


def _rows_once(g: Any, axis: int, index: Any) -> Any:
    """The parts of `g` at indices along an axis, each once."""
    return select_rows(g, axis, _distinct(index)) if len(g.shape) else g


@where_it_lies
def _distinct(index: Any) -> Any:
    index = index.array if hasattr(index, "array") else index
    return xp(index).unique(index)


@of_tensors("input", "index", numbers="value")
@where_it_lies
def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """`input` with `value`, a number or a zero-dim tensor, written at indices along a dim."""
    n = input.array.ndim and input.array.shape[axis_of(dim, input.array.ndim)]
    if index.array.dtype != numpy.int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if isinstance(value, Value):
        if value.array.ndim:
            raise RuntimeError(
                "index_fill_ only supports a 0-dimensional value tensor, but got tensor with"
                f" {value.array.ndim} dimension(s)."
            )
    else:
        value = number(value, of(input.array.dtype))
    check_range(index.array, -n, max(n, 1), IndexError, "index out of range in self")
    index = wrap(index.array + n * (index.array < 0)) if n else index
    axis, index = _row_arguments("index_fill_", input, dim, index, None)
    return fill_rows(input, axis, index, value)
