"""Views of the memory itself: by sizes and strides, or as elements of another dtype."""

from __future__ import annotations

import math
from typing import Any

from core import backend
from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.place import where_it_lies
from core.autograd.value import share, version_of, wrap
from core.backend import xp
from core.dtype import dtype, to_numpy
from core.layout import order_of, steps_of
from core.ops.dims import flat, row_major
from core.ops.positions import add_at
from core.ops.shape import quick_in_rows, reshape_array
from core.ops.shape import view as view_in_shape

__all__ = ["as_strided"]


@primitive(view="memory", name="as_strided")
def strided_array(x, size, stride, offset, source):
    """A view of the memory of `x`: sizes, strides, and offset from its start, in elements.

    `source` is the geometry of `x` itself, which the gradient is read by.
    """
    step = x.itemsize
    return backend.strided(x, size, tuple(s * step for s in stride), offset * step)


strided_array.defvjp(
    x=lambda g, size, stride, offset, source: through_memory(
        g, (size, stride, offset), source, overlaps(source, g)
    ),
    size=None,
    stride=None,
    offset=None,
    source=None,
)


def geometry(x: Any) -> tuple[Any, Any, int]:
    """The sizes, strides and offset, in elements, of an array or tensor."""
    array = getattr(x, "array", x)
    return array.shape, steps_of(array), backend.offset_of(array) // array.itemsize


def overlaps(source: Any, like: Any) -> Any:
    """How often each element's place is used by a geometry; None where always once."""
    shape, steps, _ = source
    if all(n < 2 or step for n, step in zip(shape, steps)):
        return None
    module = xp(getattr(like, "array", like))
    places = _places(module, shape, steps, 0)
    return module.bincount(places.reshape(-1))[places]


@primitive(label="AsStridedBackward0")
def through_memory(g, source, target, count):
    """`g`, added up in memory by one geometry, read by another and divided by `count`."""
    module = xp(g)
    read, written = _places(module, *target), _places(module, *source)
    least = min((int(p.min()) for p in (read, written) if p.size), default=0)
    most = max((int(p.max()) for p in (read, written) if p.size), default=0)
    memory = module.zeros(most - least + 1, g.dtype)
    add_at(memory, written - least, g)
    out = memory[read - least]
    return out if count is None else (out / count).astype(g.dtype, copy=False)


through_memory.defvjp(
    g=lambda h, source, target, count: through_memory(
        h if count is None else h / _as(h, count), target, source, None
    ),
    source=None,
    target=None,
    count=None,
)


def _as(h: Any, count: Any) -> Any:
    return count.astype(getattr(h, "array", h).dtype)


def _places(module: Any, size: Any, stride: Any, offset: int) -> Any:
    """The places in memory that a geometry names."""
    out = module.full((1,) * len(size), offset)
    for d, (n, step) in enumerate(zip(size, stride)):
        line = module.arange(n) * step
        out = out + line.reshape((-1,) + (1,) * (len(size) - 1 - d))
    return out


def as_strided(input: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """A view of the memory of `input` with the given sizes and strides.

    Raises: RuntimeError where it would reach outside the memory.
    """
    array = input.array
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(s < 0 for s in stride):
        raise RuntimeError(
            "as_strided: Negative strides are not supported at the moment, got strides:"
            f" {list(stride)}"
        )
    source = geometry(input)
    start = source[2] if storage_offset is None else storage_offset
    if start < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {start}")
    _check_bounds(array, size, stride, start)
    return strided_array(input, size, stride, start, source)


def _check_bounds(array: Any, size: Any, stride: Any, start: int) -> None:
    if not math.prod(size):
        return
    need = (1 + start + sum((n - 1) * s for n, s in zip(size, stride))) * array.itemsize
    have = backend.owner(array).size * array.itemsize
    if need > have:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {start}, and"
            f" itemsize {array.itemsize} requiring a storage size of {need} are out of bounds for"
            f" storage of size {have}"
        )


def view_dtype(input: Any, kind: Any) -> Any:
    """A view of the memory as elements of another dtype; the last dim's size changes with theirs.

    Raises: RuntimeError where the memory does not divide into such elements.
    """
    array, want = input.array, to_numpy(kind)
    if want == array.dtype:
        return reshape_array(input, array.shape)
    _check_reinterpretation(array, want)
    out = wrap(array.view(want))
    share(out, input)
    return out


def _check_reinterpretation(array: Any, want: Any) -> None:
    if array.itemsize == want.itemsize:
        return
    if not array.ndim:
        raise RuntimeError(
            "self.dim() cannot be 0 to view"
            f" {array.dtype.name} as {want.name} (different element sizes)"
        )
    if array.strides[-1] != array.itemsize:
        raise RuntimeError(
            f"self.stride(-1) must be 1 to view {array.dtype.name} as {want.name} (different"
            f" element sizes), but got {array.strides[-1] // array.itemsize}"
        )
    if array.shape[-1] * array.itemsize % want.itemsize:
        raise RuntimeError(
            f"self.size(-1) must be divisible by {want.itemsize // array.itemsize} to view"
            f" {array.dtype.name} as {want.name} (different element sizes), but got"
            f" {array.shape[-1]}"
        )


@quick_in_rows
def view(input: Any, *shape: Any, **named: Any) -> Any:
    """A view of `input` in another shape, or, given a dtype, of its memory as such elements.

    Raises: RuntimeError where the memory does not allow a view.
    """
    given = shape or tuple(named.values())
    if len(given) == 1 and isinstance(given[0], dtype):
        return view_dtype(input, given[0])
    return view_in_shape(input, *given)


# ---- other sizes in the same memory -----------------------------------------------------------


@where_it_lies
def resize_(x: Any, *sizes: Any, memory_format: Any = None) -> Any:
    """`x` with other sizes over the same memory, or over larger memory that begins as that did.

    Larger memory is of `x` alone; what lies in it beyond the old is anything.

    Raises: RuntimeError for a tensor that requires grad, or a negative size.
    """
    if not sizes:
        raise TypeError('resize_() missing 1 required positional arguments: "size"')
    shape = flat(sizes)
    if x.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    if shape and min(shape) < 0:
        raise RuntimeError(f"Trying to resize a tensor to negative sizes: {list(shape)}")
    if shape != x.array.shape:
        x.array = _resized(x.array, shape, order_of(memory_format, len(shape)))
        version_of(x)[0] += 1
    return x


@of_tensors("other")
def resize_as_(x: Any, other: Any, memory_format: Any = None) -> Any:
    """`x` with the sizes of `other`, over the same memory where that is large enough."""
    return resize_(x, other.array.shape, memory_format=memory_format)


def _resized(array: Any, shape: Any, order: tuple[int, ...]) -> Any:
    step = array.itemsize
    inner = row_major([shape[i] for i in order])
    strides = tuple(inner[order.index(i)] * step for i in range(len(shape)))
    offset = backend.offset_of(array)
    whole = backend.owner(array)
    need = offset + math.prod(shape) * step
    if need > whole.size * whole.itemsize:
        memory = xp(array).empty(need // step, array.dtype)
        old = backend.strided(array, (whole.size * whole.itemsize // step,), (step,), 0)
        memory[: old.size] = old
        array = memory
    return backend.strided(array, shape, strides, offset)
