"""Views of a part of the tensor: one index, a range, a diagonal, windows, pieces."""

from __future__ import annotations

import itertools
from operator import index
from typing import Any

from core import backend
from core.autograd.dispatch import primitive
from core.autograd.quick import leading
from core.autograd.value import called
from core.backend import xp
from core.ops.dims import axis_of
from core.ops.positions import add_flat
from core.ops.shape import reshape_array

__all__ = """
narrow select split split_with_sizes chunk unbind tensor_split hsplit vsplit dsplit diagonal unfold
""".split()

# ---- one index, or a range --------------------------------------------------------------------


def _keyed(name: str, label: str) -> Any:
    """The view at a key of ints, slices, None and Ellipsis, under one of PyTorch's names for it."""

    @leading
    @primitive(view=True, name=name, label=label)
    def view_at(x, key):
        """The part of `x` at a key of ints, slices, None and Ellipsis."""
        out = x[key]
        if type(out) is not type(x):
            return x[(*key, ...)]
        return _with_steps(x, key, out) if None in key else out

    view_at.defvjp(x=lambda g, key, x_shape: in_zeros(g, key, x_shape), key=None)
    return view_at


def _with_steps(x: Any, key: tuple[Any, ...], out: Any) -> Any:
    """`out`, which is x[key], with PyTorch's strides along the new axes, where NumPy's are zero."""
    strides = list(out.strides)
    axis = place = 0
    for part in key:
        if part is None:
            strides[place] = x.strides[axis] * x.shape[axis] if axis < x.ndim else x.itemsize
            place += 1
        elif part is Ellipsis:
            skipped = x.ndim - sum(p is not None and p is not Ellipsis for p in key)
            axis, place = axis + skipped, place + skipped
        else:
            axis, place = axis + 1, place + (not isinstance(part, int))
    return backend.strided(x, out.shape, tuple(strides), backend.offset_of(out))


item_at = _keyed("select", "SelectBackward0")
slice_at = _keyed("slice", "SliceBackward0")
new_axis_at = _keyed("unsqueeze", "UnsqueezeBackward0")
alias_at = _keyed("alias", "AliasBackward0")


@leading
@primitive(label="SliceBackward0")
def in_zeros(g, key, shape):
    """Zeros of `shape` with `g` at a key of ints and slices."""
    out = xp(g).zeros(shape, g.dtype)
    out[key] = g
    return out


in_zeros.defvjp(g=lambda h, key: slice_at(h, key), key=None, shape=None)


def _whole(start: Any) -> int:
    if hasattr(start, "array") and (start.array.ndim or start.array.dtype.kind not in "iu"):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    return index(start)


def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """A view of `length` elements from `start` along one dim.

    Raises: IndexError or RuntimeError out of range.
    """
    if not input.array.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    axis = axis_of(dim, input.array.ndim)
    n, start = input.array.shape[axis], _whole(start)
    if not -n <= start <= n:
        raise IndexError(
            f"start out of range (expected to be in range of [{-n}, {n}], but got {start})"
        )
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    start = start + n if start < 0 else start
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return slice_axis(input, axis, start, length)


def slice_axis(x: Any, axis: int, start: int, length: int) -> Any:
    """The part of `x` of a length from `start` along one axis, of an array or a tensor."""
    return slice_at(x, (slice(None),) * axis + (slice(start, start + length),))


def select(input: Any, dim: int, index: Any) -> Any:
    """A view of `input` at one index of a dim, without that dim.

    Raises: IndexError out of range, or for a 0-dim tensor.
    """
    if not input.array.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    axis = axis_of(dim, input.array.ndim)
    n, index = input.array.shape[axis], int(index)
    if not -n <= index < n:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size"
            f" {list(input.array.shape)} at dimension {axis}"
        )
    return item_at(input, (slice(None),) * axis + (index,))


# ---- pieces -----------------------------------------------------------------------------------


def _splitting(name: str, label: str) -> Any:
    @leading
    @primitive(view=True, name=name, label=label)
    def pieces(x, axis, bounds):
        """The ranges of `x` along an axis between neighbouring bounds."""
        lead = (slice(None),) * axis
        return tuple(x[(*lead, slice(a, b))] for a, b in itertools.pairwise(bounds))

    pieces.defvjp(x=lambda gs, axis: joined(axis, *gs), axis=None, bounds=None)
    return pieces


@primitive(name="cat", label="CatBackward0")
def joined(axis, *xs):
    """The arrays, all of one dtype, joined along an axis."""
    return xp(xs[0]).concatenate(xs, axis)


joined.defvjp(
    axis=None,
    xs=lambda g, i, axis, xs_shapes: slice_axis(
        g, axis, sum(s[axis] for s in xs_shapes[:i]), xs_shapes[i][axis]
    ),
)

_split_even = _splitting("split", "SplitBackward0")
_split_sizes = _splitting("split_with_sizes", "SplitWithSizesBackward0")


def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Views of pieces along a dim: of one size, the last maybe smaller, or of the given sizes.

    Raises: RuntimeError where the sizes do not fit.
    """
    if not isinstance(split_size_or_sections, int):
        return split_with_sizes(tensor, split_size_or_sections, dim)
    if not tensor.array.ndim:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    axis, size = axis_of(dim, tensor.array.ndim), split_size_or_sections
    n = tensor.array.shape[axis]
    if size < 0 or (size == 0 and n):
        raise RuntimeError(
            f"split expects split_size be non-negative, but got split_size={size}"
            if size < 0
            else f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}"
        )
    bounds = (*range(0, n, size or 1), n) if n else (0, 0)
    return _split_even(tensor, axis, bounds)


def split_with_sizes(input: Any, split_sizes: Any, dim: int = 0) -> tuple[Any, ...]:
    """Views of pieces of the given sizes along a dim.

    Raises: RuntimeError where the sizes do not add up.
    """
    axis = axis_of(dim, input.array.ndim)
    n, sizes = input.array.shape[axis], [index(size) for size in split_sizes]
    if sum(sizes) != n or any(size < 0 for size in sizes):
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at"
            f" dimension {axis}), but got split_sizes={sizes}"
        )
    bounds = [0]
    for size in sizes:
        bounds.append(bounds[-1] + size)
    return _split_sizes(input, axis, tuple(bounds))


def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """Views of at most `chunks` pieces of one size along a dim, the last maybe smaller."""
    if not input.array.ndim:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    axis = axis_of(dim, input.array.ndim)
    n = input.array.shape[axis]
    if not n:
        return split_with_sizes(input, [0] * chunks, axis)
    return split(input, -(-n // chunks), axis)


@leading
@primitive(view=True, name="unbind")
def unbind_axis(x, axis):
    """The parts of `x` at each index of an axis."""
    lead = (slice(None),) * axis
    return tuple(x[(*lead, i, ...)] for i in range(x.shape[axis]))


unbind_axis.defvjp(x=lambda gs, axis: stacked(axis, *gs), axis=None)


@primitive(name="stack")
def stacked(axis, *xs):
    """The arrays, all of one shape and dtype, joined along a new axis."""
    return xp(xs[0]).stack(xs, axis)


stacked.defvjp(axis=None, xs=lambda g, i, axis: item_at(g, (slice(None),) * axis + (i, ...)))


def unbind(input: Any, dim: int = 0) -> tuple[Any, ...]:
    """Views of `input` at each index of a dim, without that dim."""
    if not input.array.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return unbind_axis(input, axis_of(dim, input.array.ndim))


def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Views of pieces along a dim: so many of nearly one size, or between the given indices."""
    if not input.array.ndim:
        raise RuntimeError(
            "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims"
        )
    axis = axis_of(dim, input.array.ndim)
    n = input.array.shape[axis]
    where = indices_or_sections
    if hasattr(where, "array"):
        where = where.tolist()
    if isinstance(where, int):
        if where <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {where}")
        size, more = divmod(n, where)
        cuts = [i * size + min(i, more) for i in range(where + 1)]
    else:
        cuts = [0, *(min(max(index(i) + (n if i < 0 else 0), 0), n) for i in where), n]
    return tuple(slice_axis(input, axis, a, max(b - a, 0)) for a, b in itertools.pairwise(cuts))


def _along(name: str, dim: int, least: int) -> Any:
    def function(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:
        ndim = input.array.ndim
        if ndim < least:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {least} dimension, but got a tensor"
                f" with {ndim} dimensions!"
            )
        axis = 0 if name == "hsplit" and ndim == 1 else dim
        many = indices_or_sections
        n = input.array.shape[axis]
        if isinstance(many, int) and (many <= 0 or n % many):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {axis}, but the size of the"
                f" dimension {n} is not divisible by the split_size {many}!"
            )
        return tensor_split(input, many, axis)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Views of pieces along dim {dim}, as `tensor_split`, in equal parts."
    return function


hsplit, vsplit, dsplit = _along("hsplit", 1, 1), _along("vsplit", 0, 2), _along("dsplit", 2, 3)


# ---- diagonals and windows --------------------------------------------------------------------


@leading
@primitive(view=True, name="diagonal")
def diagonal_array(x, offset, axis1, axis2):
    """The elements of `x` whose indices along two axes differ by `offset`, as the last axis."""
    rows, columns = x.shape[axis1], x.shape[axis2]
    length = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    step1, step2 = x.strides[axis1], x.strides[axis2]
    start = (offset * step2 if offset >= 0 else -offset * step1) if length else 0
    rest = [i for i in range(x.ndim) if i not in (axis1, axis2)]
    shape = (*(x.shape[i] for i in rest), length)
    strides = (*(x.strides[i] for i in rest), step1 + step2)
    return backend.strided(x, shape, strides, backend.offset_of(x) + start)


diagonal_array.defvjp(
    x=lambda g, x_shape, offset, axis1, axis2: on_diagonal(g, x_shape, offset, axis1, axis2),
    offset=None,
    axis1=None,
    axis2=None,
)


@leading
@primitive(label="DiagonalBackward0")
def on_diagonal(g, shape, offset, axis1, axis2):
    """Zeros of `shape` with `g` on a diagonal."""
    out = xp(g).zeros(shape, g.dtype)
    diagonal_array(out, offset, axis1, axis2)[...] = g
    return out


on_diagonal.defvjp(
    g=lambda h, offset, axis1, axis2: diagonal_array(h, offset, axis1, axis2),
    shape=None,
    offset=None,
    axis1=None,
    axis2=None,
)


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """A view of a diagonal with respect to two dims, as the last dim.

    Raises: RuntimeError where the two dims are one.
    """
    ndim = input.array.ndim
    axis1, axis2 = axis_of(dim1, ndim), axis_of(dim2, ndim)
    if axis1 == axis2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return diagonal_array(input, offset, axis1, axis2)


@leading
@primitive(view=True, name="unfold")
def windows(x, axis, size, step):
    """The windows of `size` every `step` elements along an axis; the window is the last axis."""
    count = (x.shape[axis] - size) // step + 1
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :], size)
    strides = (*x.strides[:axis], x.strides[axis] * step, *x.strides[axis + 1 :], x.strides[axis])
    return backend.strided(x, shape, strides, backend.offset_of(x))


windows.defvjp(
    x=lambda g, x_shape, axis, size, step: from_windows(g, x_shape, axis, size, step),
    axis=None,
    size=None,
    step=None,
)


@primitive(label="UnfoldBackwardBackward0")
def from_windows(g, shape, axis, size, step):
    """Zeros of `shape` to which each window's elements were added."""
    place = xp(g).arange(_count(shape)).reshape(shape)
    return add_flat(g, windows(place, axis, size, step), shape)


from_windows.defvjp(
    g=lambda h, axis, size, step: windows(h, axis, size, step),
    shape=None,
    axis=None,
    size=None,
    step=None,
)


def _count(shape: Any) -> int:
    count = 1
    for n in shape:
        count *= n
    return count


def unfold(input: Any, dimension: int, size: int, step: int) -> Any:
    """A view of all windows of `size`, `step` apart, along a dim; the window is the last dim.

    Raises: RuntimeError where a window does not fit.
    """
    axis = axis_of(dimension, input.array.ndim)
    n = input.array.shape[axis] if input.array.ndim else 1
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {axis} is {n} but size is {size}")
    if size < 0 or step <= 0:
        raise RuntimeError(f"step is {step} and size is {size} but must be > 0 and >= 0")
    if not input.array.ndim:
        line = reshape_array(input, (1,))
        return called(line if size else slice_axis(line, 0, 0, 0), "UnfoldBackward0")
    return windows(input, axis, size, step)
