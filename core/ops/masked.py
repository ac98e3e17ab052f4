"""Elements written where a mask is True, or at places of the flat order: changed copies."""

from __future__ import annotations

from typing import Any

from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.inplace import watch
from core.autograd.op import Variant
from core.autograd.place import where_it_lies
from core.autograd.several import with_mask
from core.autograd.value import Value, wrap
from core.backend import packed, xp
from core.dtype import of
from core.ops.arrange import broadcast_shapes
from core.ops.gather import at_mask, check_mask, flat_places
from core.ops.parts import in_zeros
from core.ops.positions import add_at, take_flat
from core.ops.promotion import number, same_device
from core.ops.shape import broadcast_array, reshape_array

__all__ = "masked_fill masked_scatter put".split()

# ---- at masks ---------------------------------------------------------------------------------


@with_mask(1)
@primitive(
    casts=same_device,
    name="masked_fill",
    label=Variant("MaskedFillBackward1", "MaskedFillBackward0", 2),
)
def fill_mask(x, mask, value):
    """`x` with `value` where the mask is True."""
    value = value if hasattr(value, "dtype") else x.dtype.type(value)
    return packed(xp(x).where(mask, value, x).astype(x.dtype, copy=False))


fill_mask.defvjp(
    x=lambda g, mask: fill_mask(g, mask, 0),
    mask=None,
    value=lambda g, mask: g * mask,
)


@of_tensors("input", "mask", numbers="value")
def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """`input` with `value`, a number or a zero-dim tensor, where `mask` is True.

    Raises: RuntimeError unless the mask is of bools and the value zero-dim.
    """
    check_mask("masked_fill", mask)
    if isinstance(value, Value):
        if value.array.ndim:
            raise RuntimeError(
                "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with"
                f" {value.array.ndim} dimension(s)."
            )
    else:
        value = number(value, of(input.array.dtype))
    return fill_mask(input, mask, value)


@primitive(casts=same_device, name="masked_scatter")
def put_mask(x, mask, source):
    """`x` with the first elements of `source` written where a mask of its shape is True."""
    out = x.copy()
    out[mask] = source.reshape(-1)[: int(mask.sum())]
    return out


put_mask.defvjp(
    x=lambda g, mask: fill_mask(g, mask, 0),
    mask=None,
    source=lambda g, mask, source_shape: _first(at_mask(g, mask), source_shape),
)


def _first(g: Any, shape: Any) -> Any:
    """The vector `g` as the first elements of zeros of `shape`."""
    count = 1
    for n in shape:
        count *= n
    return reshape_array(in_zeros(g, (slice(g.shape[0]),), (count,)), tuple(shape))


@of_tensors("input", "mask", "source")
@where_it_lies
def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """`input` with the elements of `source`, in their order, written where `mask` is True.

    Raises: RuntimeError unless the mask is of bools, the dtypes are one and there are enough.
    """
    check_mask("masked_scatter_", mask)
    if source.array.dtype != input.array.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got"
            f" {of(input.array.dtype).name} and {of(source.array.dtype).name}"
        )
    shape = broadcast_shapes(input.array.shape, mask.array.shape)
    full = xp(mask.array).broadcast_to(mask.array, shape)
    count = int(full.sum())
    if source.array.size < count:
        raise RuntimeError(
            f"masked_scatter: expected the source to have at least {count} elements, got"
            f" {source.array.size}"
        )
    return watch(put_mask(broadcast_array(input, shape), wrap(full), source), mask)


# ---- in the flat order ------------------------------------------------------------------------


@primitive(casts=same_device, name="put")
def put_flat(x, index, source, accumulate):
    """`x` with `source` written, or added, at places of the flat order."""
    out = x.copy().reshape(-1)
    if accumulate:
        add_at(out, index, source)
    else:
        out[index] = source
    return out.reshape(x.shape)


put_flat.defvjp(
    x=lambda g, index, accumulate: (
        g if accumulate else put_flat(g, index, 0 * take_flat(g, index), False)
    ),
    index=None,
    source=lambda g, index: take_flat(g, index),
    accumulate=None,
)


@of_tensors("input", "index", "source")
@where_it_lies
def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """`input` with `source` written (or added) at indices of its flat order.

    Raises: RuntimeError or IndexError where sizes, dtypes or indices do not fit.
    """
    if source.array.dtype != input.array.dtype:
        raise RuntimeError(
            f"put_(): self and source expected to have the same dtype, but got self.dtype ="
            f" {of(input.array.dtype).name} and source.dtype = {of(source.array.dtype).name}"
        )
    if source.array.size != index.array.size:
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got"
            f" source.numel() = {source.array.size}, index.numel() = {index.array.size}"
        )
    places = flat_places("put_", input, index).reshape(-1)
    return put_flat(input, places, reshape_array(source, (index.array.size,)), accumulate)
