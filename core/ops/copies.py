"""Copies of what other functions view, and copies of tensors with a part replaced."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from core.autograd.demand import of_tensors
from core.autograd.inplace import write_out
from core.autograd.value import called
from core.ops import parts, shape, strided
from core.ops.assign import copy_
from core.ops.cast import clone, compact, detach
from core.ops.dims import axis_of

__all__ = """
alias_copy as_strided_copy detach_copy diagonal_copy expand_copy narrow_copy permute_copy
select_copy slice_copy split_copy split_with_sizes_copy squeeze_copy t_copy transpose_copy
unbind_copy unfold_copy unsqueeze_copy view_copy unsafe_chunk unsafe_split unsafe_split_with_sizes
as_strided_scatter select_scatter slice_scatter
""".split()

# ---- copies -----------------------------------------------------------------------------------


def _alias(input: Any) -> Any:
    return input


def slice_along(
    input: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    """A view of every `step`-th element from `start` to `end` along a dim."""
    axis = axis_of(dim, input.array.ndim)
    return parts.slice_at(input, (slice(None),) * axis + (slice(start, end, step),))


# Names of PyTorch's nodes that are not made of the view's.
_LABELS = {"alias": "AliasBackward0_copy", "narrow": "NarrowCopyBackward0"}


def _copied(x: Any, label: str | None) -> Any:
    """A copy of a view; its node bears the view's name with _copy, unless it has a label."""
    if label is None and x.grad_fn is not None:
        label = f"{x.grad_fn.name()}_copy"
    return called(compact(x), label or "")


def _copying(name: str, view: Callable[..., Any]) -> Any:
    """`view`, but for its results, which are copies and may be written to `out`."""

    def copy(input: Any, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        found = view(input, *args, **kwargs)
        label = _LABELS.get(name)
        several = isinstance(found, tuple)
        found = tuple(_copied(x, label) for x in found) if several else _copied(found, label)
        if out is None:
            return found
        write_out(found, out)
        return out if hasattr(found, "array") else None  # PyTorch's have nothing to say of several

    copy.__name__ = copy.__qualname__ = f"{name}_copy"
    copy.__doc__ = f"A copy of what `{name}` gives a view of."
    return copy


(
    alias_copy, as_strided_copy, detach_copy, diagonal_copy, expand_copy, narrow_copy, permute_copy,
    select_copy, slice_copy, split_copy, split_with_sizes_copy, squeeze_copy, t_copy,
    transpose_copy, unbind_copy, unfold_copy, unsqueeze_copy, view_copy,
) = (
    _copying(name, view) for name, view in {
        "alias": _alias, "as_strided": strided.as_strided, "detach": detach,
        "diagonal": parts.diagonal, "expand": shape.expand, "narrow": parts.narrow,
        "permute": shape.permute, "select": parts.select, "slice": slice_along,
        "split": parts.split, "split_with_sizes": parts.split_with_sizes,
        "squeeze": shape.squeeze, "t": shape.t, "transpose": shape.transpose,
        "unbind": parts.unbind, "unfold": parts.unfold, "unsqueeze": shape.unsqueeze,
        "view": strided.view,
    }.items()
)  # fmt: skip


def _unwatched(name: str, split: Callable[..., Any]) -> Any:
    """`split`, but nobody follows what is written into the parts, nor minds it."""

    @functools.wraps(split)
    def parted(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
        found: tuple[Any, ...] = split(*args, **kwargs)
        for x in found:
            x.base = x.version = None
            called(x, "UnsafeSplitBackward0" if "sizes" not in name else _SIZES)
        return found

    parted.__name__ = parted.__qualname__ = name
    return parted


_SIZES = "UnsafeSplitWithSizesBackward0"
unsafe_chunk = _unwatched("unsafe_chunk", parts.chunk)
unsafe_split = _unwatched("unsafe_split", parts.split)
unsafe_split_with_sizes = _unwatched("unsafe_split_with_sizes", parts.split_with_sizes)

# ---- with a part replaced ---------------------------------------------------------------------


def _replaced(label: str, view: Callable[..., Any], x: Any, src: Any, *where: Any) -> Any:
    """A copy of `x` in which what `view` sees is `src`."""
    out = clone(x)
    part = view(out, *where)
    if part.array.shape != src.array.shape:
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. src size ="
            f" {list(src.array.shape)}, slice size = {list(part.array.shape)}"
        )
    copy_(part, src)
    return called(out, label)


@of_tensors("input", "src")
def select_scatter(input: Any, src: Any, dim: int, index: int) -> Any:
    """`input` with `src` at one index along a dim.

    Raises: RuntimeError where the shapes do not fit.
    """
    return _replaced("SelectScatterBackward0", parts.select, input, src, dim, index)


@of_tensors("input", "src")
def slice_scatter(
    input: Any,
    src: Any,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Any:
    """`input` with `src` at every `step`-th place from `start` to `end` along a dim.

    Raises: RuntimeError where the shapes do not fit.
    """
    return _replaced("SliceScatterBackward0", slice_along, input, src, dim, start, end, step)


@of_tensors("input", "src")
def as_strided_scatter(
    input: Any, src: Any, size: Any, stride: Any, storage_offset: int | None = None
) -> Any:
    """`input` with `src` at the places of its memory that sizes, strides and an offset name.

    Raises: RuntimeError where the shapes do not fit.
    """
    where = size, stride, storage_offset
    return _replaced("AsStridedScatterBackward0", strided.as_strided, input, src, *where)
