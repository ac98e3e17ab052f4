"""Tables of vectors, read at indices."""

from __future__ import annotations

from typing import Any

import numpy

from core.autograd.inplace import watch
from core.autograd.place import where_it_lies
from core.autograd.value import called, version_of, wrap
from core.backend import device_of, on, xp
from core.ops.creation import full
from core.ops.embedding import weigh_gradient
from core.ops.extreme import amax
from core.ops.gather import INDICES, add_rows, select_rows
from core.ops.positions import check_range, counted
from core.ops.scatter_reduce import scatter_reduce
from core.ops.shape import broadcast_array, reshape_array

__all__ = "embedding embedding_bag one_hot".split()


def check_indices(input: Any, count: int) -> None:
    """Raise unless the indices are whole numbers below `count`."""
    x = input.array
    if x.dtype.char not in INDICES:
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types:"
            f" Long, Int; but got {input.dtype} instead (while checking arguments for embedding)"
        )
    check_range(x, 0, count, IndexError, "index out of range in self")


def _bounded(weight: Any, indices: Any, max_norm: float, norm_type: float) -> None:
    """Scale the rows that are read down to `max_norm`, in place."""
    module = xp(indices)
    rows = module.unique(indices)
    part = weight.array[rows]
    norms = (module.abs(part) ** norm_type).sum(1, keepdims=True) ** (1 / norm_type)
    scale = module.where(norms > max_norm, max_norm / (norms + 1e-7), 1.0).astype(part.dtype)
    weight.array[rows] = part * scale
    version_of(weight)[0] += 1


def _rows(flat: Any, weight: Any, padding_idx: int | None, by_frequency: bool) -> Any:
    """The rows at a vector of indices; the gradient of some of them is weighed."""
    out = select_rows(weight, 0, wrap(flat))
    factor = None
    if padding_idx is not None:
        factor = (flat != padding_idx).astype(weight.array.dtype)
    if by_frequency:
        counts = counted(flat, weight.shape[0])[flat]
        share = (1 / counts).astype(weight.array.dtype)
        factor = share if factor is None else factor * share
    return out if factor is None else weigh_gradient(out, factor.reshape(-1, 1))


def _row_of(padding_idx: int | None, weight: Any, error: Any, said: str) -> int | None:
    """The row that a `padding_idx` means, from the end if it is negative."""
    if padding_idx is None:
        return None
    if not -weight.shape[0] <= padding_idx < weight.shape[0]:
        raise error(said)
    return padding_idx % weight.shape[0]


@where_it_lies
def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """The rows of `weight` at the indices; gradients are dense.

    Shape: (*), (V, D) -> (*, D).
    """
    if weight.array.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    check_indices(input, weight.array.shape[0])
    padding_idx = _row_of(
        padding_idx, weight, AssertionError, "Padding_idx must be within num_embeddings"
    )
    with on(device_of(weight.array)):
        flat = input.array.reshape(-1)
        if max_norm is not None:
            _bounded(weight, flat, max_norm, norm_type)
        out = _rows(flat, weight, padding_idx, scale_grad_by_freq)
    out = reshape_array(out, (*input.array.shape, weight.array.shape[1]))
    return watch(called(out, "EmbeddingBackward0"), input)


@where_it_lies
def embedding_bag(
    input: Any,
    weight: Any, offsets: Any = None, max_norm: float | None = None, norm_type: float = 2,
    scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False,
    per_sample_weights: Any = None, include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:  # fmt: skip
    """The sum, mean or largest of the rows of each bag: a row of indices, or a run from an offset.

    Shape: (B, N), (V, D) -> (B, D); or (N,), (V, D), offsets (B,) -> (B, D).
    """
    name = "EmbeddingBagBackward0"
    _check_bags(input, mode, per_sample_weights)
    check_indices(input, weight.shape[0])
    said = "padding_idx must be within the number of embeddings"
    padding_idx = _row_of(padding_idx, weight, RuntimeError, said)
    flat = input.array.reshape(-1)
    if max_norm is not None:
        _bounded(weight, flat, max_norm, norm_type)
    bag, count = _bags(input, offsets, include_last_offset)
    rows = watch(_rows(flat, weight, padding_idx, scale_grad_by_freq), input)
    kept = xp(flat).ones(flat.shape, bool) if padding_idx is None else flat != padding_idx
    if per_sample_weights is not None:
        rows = rows * reshape_array(per_sample_weights, (-1, 1))
    if mode == "max" and len(input.shape) == 2 and padding_idx is None and input.shape[1]:
        return called(amax(reshape_array(rows, (*input.shape, weight.shape[1])), 1), name)
    if mode == "max":
        return called(_largest(rows, bag, kept, count), name)
    keep = wrap(kept.astype(weight.array.dtype).reshape(-1, 1))
    total = add_rows(rows * keep, 0, wrap(bag), (count, weight.shape[1]))
    if mode == "sum":
        return called(total, name)
    sizes = counted(bag, count, kept.astype(numpy.int64))
    divisor = xp(flat).maximum(sizes, 1).astype(weight.array.dtype)
    return called(total / wrap(divisor.reshape(-1, 1)), name)


def _check_bags(input: Any, mode: str, weights: Any) -> None:
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported"
            f" for mode='sum' (got mode='{mode}')."
        )
    if weights is not None and weights.shape != input.shape:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({weights.shape}) is not None, then it must have"
            f" the same shape as the input ({input.shape})"
        )


def _bags(input: Any, offsets: Any, include_last: bool) -> tuple[Any, int]:
    """The number of the bag that each index belongs to, and how many bags there are."""
    module = xp(input.array)
    if len(input.shape) == 2:
        if offsets is not None:
            raise ValueError("if input is 2D, then offsets has to be None")
        rows, width = input.shape
        return module.arange(rows).repeat(width), rows
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if len(offsets.shape) != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    if offsets.array.size and int(offsets.array[0]) != 0:
        raise RuntimeError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from"
            f" position 0. However, got {int(offsets.array[0])}"
        )
    starts = offsets.array[:-1] if include_last else offsets.array
    places = module.arange(input.array.size)
    return module.searchsorted(starts, places, side="right") - 1, starts.size


def _largest(rows: Any, bag: Any, kept: Any, count: int) -> Any:
    width = rows.shape[1]
    rows = select_rows(rows, 0, wrap(xp(bag).flatnonzero(kept)))
    index = wrap(bag[kept].reshape(-1, 1))
    start = full((count, width), 0.0, dtype=rows.dtype, device=rows.device)
    index = broadcast_array(index, (rows.shape[0], width))
    return scatter_reduce(start, 0, index, rows, "amax", include_self=False)


@where_it_lies
def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """A new last dim of zeros with a one at each class.

    Dtype: int64.
    """
    x = tensor.array
    if x.dtype != numpy.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    check_range(x, 0, 1 << 63, RuntimeError, "Class values must be non-negative.")
    if num_classes == -1:
        if not x.size:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        num_classes = int(x.max()) + 1
    said = "Class values must be smaller than num_classes."
    check_range(x, 0, num_classes, RuntimeError, said)
    places = xp(x).arange(num_classes)
    return wrap((x[..., None] == places).astype(numpy.int64))
