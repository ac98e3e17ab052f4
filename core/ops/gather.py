"""Elements picked by tensors of indices or by masks: copies."""

from __future__ import annotations

from typing import Any

import numpy

from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.inplace import write_out
from core.autograd.place import where_it_lies
from core.autograd.value import called, wrap
from core.backend import packed, xp
from core.dtype import of
from core.ops.arrange import broadcast_shapes
from core.ops.dims import axis_of, flat
from core.ops.parts import unbind
from core.ops.positions import add_at_rows, add_flat, along, check_range, take_flat
from core.ops.promotion import same_device
from core.ops.shape import broadcast_array, reshape_array

__all__ = """
gather index_select take take_along_dim masked_select nonzero argwhere
nonzero_static unravel_index
""".split()

INDICES = "ilq"  # the characters of int32 and int64

# ---- along a dim ------------------------------------------------------------------------------


@primitive(casts=same_device, name="gather")
def gather_array(x, index, axis):
    """The elements of `x` at indices along one axis, in the shape of `index`."""
    return packed(x.reshape(-1)[along(index, axis, x.shape)])


gather_array.defvjp(
    x=lambda g, x_shape, index, axis: add_along(g, index, axis, x_shape),
    index=None,
    axis=None,
)


@primitive(label="ScatterAddBackward0")
def add_along(g, index, axis, shape):
    """Zeros of `shape` to which `g` was added at indices along one axis."""
    return add_flat(g, along(index, axis, shape), shape)


add_along.defvjp(
    g=lambda h, index, axis: gather_array(h, index, axis), index=None, axis=None, shape=None
)


@of_tensors("input", "index")
def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False, out: Any = None) -> Any:
    """The elements of `input` at `index` along a dim: out[i, j] = input[index[i, j], j] for dim 0.

    Shape: that of `index`.
    Raises: RuntimeError where shapes, dtype or indices do not fit.
    """
    axis = axis_of(dim, input.array.ndim)
    check_along("gather", input, axis, index)
    if index.array.ndim == max(input.array.ndim, 1):
        result = gather_array(input, index, axis)
    else:  # no elements, or a zero-dim tensor on either side
        result = called(take_flat(input, index.array), "GatherBackward0")
    if out is None:
        return result
    return write_out(result, out, exact=True, apart=(input, index))


def check_along(name: str, x: Any, axis: int, index: Any, exact: bool = False) -> None:
    """Raise RuntimeError unless `index` can pick from `x` along an axis."""
    place, have = index.array, x.array.shape
    if place.size and place.dtype.char not in INDICES:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    if max(place.ndim, 1) != max(len(have), 1) and (place.size or name != "gather"):
        raise RuntimeError(
            "Index tensor must have the same number of dimensions as input tensor:"
            f" {place.ndim} and {len(have)}"
        )
    for d, n in enumerate(place.shape if have and place.size else ()):
        if d != axis and n > have[d]:
            raise RuntimeError(
                f"Size does not match at dimension {d} expected index {list(place.shape)} to be no"
                f" larger than self {list(have)} apart from dimension {axis}"
            )
    n = have[axis] if have else 1
    said = f"index {{index}} is out of bounds for dimension {axis} with size {{size}}"
    check_range(place, 0, n, RuntimeError, said)


@of_tensors("input", "indices")
@where_it_lies
def take_along_dim(input: Any, indices: Any, dim: int | None = None, *, out: Any = None) -> Any:
    """The elements of `input` at `indices` along a dim, both broadcast; in the flat order without.

    Raises: RuntimeError where shapes, dtype or indices do not fit.
    """
    if indices.array.dtype != numpy.int64:
        raise RuntimeError(
            "torch.take_along_dim(): dtype of indices should be Long but got"
            f" {indices.array.dtype.name}"
        )
    if dim is None:
        flat = reshape_array(input, (input.array.size,))
        return gather(flat, 0, reshape_array(indices, (indices.array.size,)), out=out)
    have, place = input.array.shape, indices.array.shape
    if len(have) != len(place):
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions,"
            f" but got {len(have)} dimensions for input, and {len(place)} dimensions for indices"
        )
    axis = axis_of(dim, len(have))
    common = broadcast_shapes(
        (*have[:axis], 1, *have[axis + 1 :]), (*place[:axis], 1, *place[axis + 1 :])
    )
    wide = broadcast_array(input, (*common[:axis], have[axis], *common[axis + 1 :]))
    n = have[axis]
    said = f"index {{index}} is out of bounds for dimension {axis} with size {{size}}"
    check_range(indices.array, -n, n, RuntimeError, said)
    index = wrap(indices.array + n * (indices.array < 0))
    return gather(
        wide, axis, broadcast_array(index, (*common[:axis], place[axis], *common[axis + 1 :])),
        out=out,
    )  # fmt: skip


@primitive(casts=same_device, name="index_select")
def select_rows(x, axis, index):
    """The parts of `x` at indices along one axis."""
    return x.take(index, axis)


select_rows.defvjp(
    x=lambda g, x_shape, axis, index: add_rows(g, axis, index, x_shape), axis=None, index=None
)


@primitive(label="IndexAddBackward0")
def add_rows(g, axis, index, shape):
    """Zeros of `shape` to which the parts of `g` were added at indices along one axis."""
    return add_at_rows(g, axis, index, shape) if shape else add_flat(g, index.reshape(()), shape)


add_rows.defvjp(
    g=lambda h, axis, index: select_rows(h, axis, index), axis=None, index=None, shape=None
)


@of_tensors("input", "index")
def index_select(input: Any, dim: int, index: Any, *, out: Any = None) -> Any:
    """The parts of `input` at indices along a dim.

    Raises: IndexError out of range; RuntimeError for an index that is no vector of integers.
    """
    axis = axis_of(dim, input.array.ndim)
    check_vector("index_select", index)
    n = input.array.shape[axis] if input.array.ndim else 1
    check_range(index.array, 0, n, IndexError, "index out of range in self")
    if not input.array.ndim:
        if index.array.size != 1:
            raise IndexError(
                "index_select(): Index to scalar can have only 1 value, got"
                f" {index.array.size} value(s)"
            )
        result = called(reshape_array(input, ()).clone(), "IndexSelectBackward0")
    else:
        result = select_rows(input, axis, reshape_array(index, (index.array.size,)))
    if out is None:
        return result
    return write_out(result, out, exact=True, apart=(input, index))


def check_vector(name: str, index: Any) -> None:
    """Raise unless `index` is a tensor of integers with at most one dim."""
    if index.array.ndim > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector")
    if index.array.dtype.char not in INDICES:
        raise RuntimeError(f"{name}(): Expected dtype int32 or int64 for index")


# ---- in the flat order ------------------------------------------------------------------------


@of_tensors("input", "index")
def take(input: Any, index: Any, *, out: Any = None) -> Any:
    """The elements of `input` at indices of its flat order, in the shape of `index`.

    Raises: IndexError out of range; RuntimeError unless the indices are int64.
    """
    place = flat_places("take", input, index)
    result = take_flat(input, place)
    if out is None:
        return result
    return write_out(result, out, exact=True, apart=(input, index))


@where_it_lies
def flat_places(name: str, x: Any, index: Any) -> Any:
    """The indices of the flat order of `x` without negative ones.

    Raises: IndexError out of range; RuntimeError unless the indices are int64.
    """
    place, n = index.array, x.array.size
    if place.dtype != numpy.int64:
        raise RuntimeError(
            f"{name}(): Expected a long tensor for index, but got {place.dtype.name}"
        )
    if not n and place.size:
        raise IndexError(f"{name}(): tried to {name} from an empty tensor")
    check_range(place, -n, n, IndexError, "out of range: tried to access index {index} on a"
                " tensor of {size} elements.")  # fmt: skip
    return place + n * (place < 0)


# ---- by masks ---------------------------------------------------------------------------------


@primitive(casts=same_device, name="masked_select")
def at_mask(x, mask):
    """The elements of `x` where a mask of its shape is True, in their order."""
    return x[mask]


at_mask.defvjp(x=lambda g, mask: into_mask(g, mask), mask=None)


@primitive(label="MaskedScatterBackward0")
def into_mask(g, mask):
    """Zeros of the shape of `mask` with the elements of `g` where it is True."""
    out = xp(g).zeros(mask.shape, g.dtype)
    out[mask] = g.reshape(-1)
    return out


into_mask.defvjp(
    g=lambda h, g_shape, mask: reshape_array(at_mask(h, mask), g_shape), mask=None
)  # fmt: skip


@of_tensors("input", "mask")
def masked_select(input: Any, mask: Any, *, out: Any = None) -> Any:
    """The elements of `input` where `mask` is True, both broadcast, as one dim.

    Raises: RuntimeError unless the mask is of bools.
    """
    check_mask("masked_select", mask)
    shape = broadcast_shapes(input.array.shape, mask.array.shape)
    result = at_mask(broadcast_array(input, shape), broadcast_array(mask, shape))
    if out is None:
        return result
    return write_out(result, out, exact=True, apart=(input, mask))


def check_mask(name: str, mask: Any) -> None:
    """Raise RuntimeError unless `mask` is a tensor of bools."""
    if mask.array.dtype != bool:
        raise RuntimeError(
            f"{name} only supports boolean masks, but got mask with dtype {mask.array.dtype.name}"
        )


@where_it_lies
def nonzero(input: Any, *, as_tuple: bool = False, out: Any = None) -> Any:
    """Where `input` is not zero: a row of indices per element, or a tuple, one tensor per dim."""
    array = input.array
    if not isinstance(as_tuple, bool):
        kind = type(as_tuple).__name__
        raise TypeError(f"nonzero(): argument 'as_tuple' must be bool, not {kind}")
    if as_tuple:
        found = (array if array.ndim else array.reshape(1)).nonzero()
        return tuple(wrap(packed(x)) for x in found)
    if not array.ndim:
        result = wrap(xp(array).zeros((int(bool(array)), 0), numpy.int64))
    else:
        result = wrap(xp(array).stack(array.nonzero()).T)  # index by index in memory
    return result if out is None else write_out(result, out)


def argwhere(input: Any) -> Any:
    """Where `input` is not zero: a row of indices per element."""
    return nonzero(input)


@where_it_lies
def nonzero_static(input: Any, *, size: int, fill_value: int = -1, out: Any = None) -> Any:
    """The first `size` rows of `nonzero`, filled up with `fill_value`.

    Raises: RuntimeError for a negative size.
    """
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    found = nonzero(input).array[:size]
    rows = xp(found).full((size, found.shape[1]), fill_value, numpy.int64)
    rows[: len(found)] = found
    return wrap(rows) if out is None else write_out(wrap(rows), out)


@where_it_lies
def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """The index along each dim of a tensor of `shape` that indices of its flat order mean.

    Raises: TypeError unless the indices are whole numbers.
    """
    place = indices.array
    if place.dtype.kind not in "iu":
        raise TypeError(f"expected 'indices' to be integer dtype, but got {of(place.dtype)!r}")
    place, sizes = place.astype(numpy.int64, copy=False), flat((shape,))
    last = xp(place).empty((*place.shape, len(sizes)), numpy.int64)  # one index beside the other
    for i in reversed(range(len(sizes))):
        last[..., i] = place % sizes[i]
        place = place // sizes[i]
    return unbind(wrap(last), -1)
