"""More names for views of the whole tensor, made of those in shape."""

from __future__ import annotations

import math
from typing import Any

from core.autograd.demand import of_tensors
from core.autograd.errors import broadcast_complaint
from core.notice import notice
from core.ops.dims import axis_of, flat, pair_of
from core.ops.shape import (
    broadcast_array,
    in_order,
    permute_axes,
    reshape_array,
    resolved,
    transpose,
    unsqueeze,
    view,
)

__all__ = """
unflatten swapaxes swapdims adjoint movedim moveaxis real broadcast_tensors broadcast_shapes
atleast_1d atleast_2d atleast_3d
""".split()


def unflatten(input: Any, dim: int, sizes: Any) -> Any:
    """`input` with one dim split into several; one of `sizes` may be -1."""
    shape = input.array.shape
    axis = axis_of(dim, len(shape))
    parts = flat((sizes,))
    if not parts:
        raise RuntimeError("unflatten: sizes must be non-empty")
    fits = math.prod(n for n in parts if n != -1)
    if -1 not in parts and fits != shape[axis]:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(parts)} don't multiply up to the size of dim {axis}"
            f" ({shape[axis]}) in the input tensor"
        )
    inner = resolved((shape[axis],), parts)
    return view(input, *shape[:axis], *inner, *shape[axis + 1 :])


def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """A view of `input` with two dims swapped."""
    return transpose(input, axis0, axis1)


def swapdims(input: Any, dim0: int, dim1: int) -> Any:
    """A view of `input` with two dims swapped."""
    return transpose(input, dim0, dim1)


def mirrored(input: Any) -> Any:
    """A view with the dims in reverse order: `input.T`."""
    if input.array.ndim not in (0, 2):
        notice(
            "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is"
            " deprecated. Consider `x.mT` to transpose batches of matrices or"
            " `x.permute(*range(x.ndim - 1, -1, -1))` to reverse the dimensions of a tensor."
        )
    order = tuple(range(input.array.ndim - 1, -1, -1))
    out = in_order(input, order)
    return permute_axes(input, order) if out is None else out


def matrix_transposed(input: Any) -> Any:
    """A view with the last two dims swapped: `input.mT`.

    Raises: RuntimeError for fewer than two dims.
    """
    if input.array.ndim < 2:
        raise RuntimeError(
            "tensor.mT is only supported on matrices or batches of matrices. Got"
            f" {input.array.ndim}-D tensor."
        )
    return transpose(input, -2, -1)


def adjoint(input: Any) -> Any:
    """A view with the last two dims swapped, as all numbers are real."""
    return matrix_transposed(input) if input.array.ndim else transpose(input, 0, 0)


def hermitian(input: Any) -> Any:
    """The transpose of a matrix or scalar: `input.H`.

    Raises: RuntimeError for other numbers of dims.
    """
    ndim = input.array.ndim
    if ndim not in (0, 2):
        raise RuntimeError(
            "tensor.H is only supported on matrices (2-D tensors). Got"
            f" {ndim}-D tensor. For batches of matrices, consider using tensor.mH"
        )
    return transpose(input, 0, 1)


def movedim(input: Any, source: Any, destination: Any) -> Any:
    """A view of `input` with the dims `source` moved to the places `destination`.

    Raises: RuntimeError where they differ in number or repeat.
    """
    ndim = input.array.ndim
    old, new = pair_of(source), pair_of(destination)
    if len(old) != len(new):
        raise RuntimeError(
            "movedim: Invalid source or destination dims: source"
            f" ({list(old)} dims) should contain the same number of dims as destination"
            f" ({list(new)} dims)"
        )
    old, new = tuple(axis_of(d, ndim) for d in old), tuple(axis_of(d, ndim) for d in new)
    if len(dict.fromkeys(old)) != len(old) or len(dict.fromkeys(new)) != len(new):
        raise RuntimeError("movedim: repeated dim in `source` or `destination`")
    rest = iter([i for i in range(ndim) if i not in old])
    place = dict(zip(new, old, strict=True))
    return permute_axes(input, tuple(place[i] if i in place else next(rest) for i in range(ndim)))


moveaxis = movedim


@of_tensors("input", first=True)
def real(input: Any) -> Any:
    """The tensor itself, as all numbers are real."""
    return input


# ---- to a common shape ------------------------------------------------------------------------


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that all the given ones broadcast to.

    Raises: RuntimeError where two do not fit.
    """
    out: tuple[int, ...] = ()
    for shape in shapes:
        want = (shape,) if isinstance(shape, int) else tuple(shape)
        complaint = broadcast_complaint(out, want)
        if complaint:
            raise RuntimeError(f"Shape mismatch: objects cannot be broadcast. {complaint}")
        out = _wider(out, want)
    return out


def _wider(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    n = max(len(a), len(b))
    left, right = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b
    return tuple(r if m == 1 else m for m, r in zip(left, right, strict=True))


def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """Views of the tensors stretched to their common shape."""
    xs = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    shape = broadcast_shapes(*(x.array.shape for x in xs))
    return tuple(broadcast_array(x, shape) for x in xs)


def _each(function: Any) -> Any:
    """`function` of one tensor as one of several, or of a sequence of them."""

    def call(*tensors: Any) -> Any:
        if len(tensors) == 1 and not isinstance(tensors[0], (list, tuple)):
            return function(tensors[0])
        xs = tensors[0] if len(tensors) == 1 else tensors
        return tuple(function(x) for x in xs)

    call.__name__ = call.__qualname__ = function.__name__
    call.__doc__ = function.__doc__
    return call


@_each
def atleast_1d(x: Any) -> Any:
    """The tensor, or each of several, with at least one dim."""
    return x if x.array.ndim else reshape_array(x, (1,))


@_each
def atleast_2d(x: Any) -> Any:
    """The tensor, or each of several, with at least two dims."""
    if not x.array.ndim:
        return reshape_array(x, (1, 1))
    return unsqueeze(x, 0) if x.array.ndim == 1 else x


@_each
def atleast_3d(x: Any) -> Any:
    """The tensor, or each of several, with at least three dims."""
    ndim = x.array.ndim
    if not ndim:
        return reshape_array(x, (1, 1, 1))
    if ndim == 1:
        return unsqueeze(unsqueeze(x, 0), -1)
    return unsqueeze(x, -1) if ndim == 2 else x
