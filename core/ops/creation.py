"""New tensors: from data, from constants, from sequences, from random numbers."""

from __future__ import annotations

import functools
from typing import Any

import numpy

from core.autograd.place import where_it_lies
from core.autograd.value import Value, version_of, wrap
from core.backend import (
    device_of,
    is_array,
    module_of,
    on,
    packed,
    resolve,
    strided,
    to_device,
    write,
)
from core.dtype import FLOAT, get_default_dtype, known, of, of_scalar, promote_types, to_numpy
from core.layout import order_in_memory, order_of, preserve_format
from core.notice import COPIED, READ_ONLY, notice
from core.ops.dims import flat

__all__ = """
tensor as_tensor asarray from_numpy scalar_tensor zeros ones empty full empty_strided zeros_like
ones_like empty_like full_like empty_permuted
""".split()


def made(array: Any, requires_grad: bool = False) -> Any:
    """A leaf holding `array`.

    Raises: RuntimeError if integers are to require grad.
    """
    out = wrap(array)
    if requires_grad:
        if array.dtype.kind not in "fV":
            raise RuntimeError(
                "Only Tensors of floating point and complex dtype can require gradients"
            )
        out.needs_grad = True
    return out


# ---- from data --------------------------------------------------------------------------------


def tensor(
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """A new leaf with a copy of `data`: numbers, nested sequences, arrays or a tensor.

    Dtype: that of arrays and tensors; of numbers bool, int64 or the default floating type.
    """
    array = data.array if isinstance(data, Value) else data
    if array is not data:
        notice(COPIED)
    on_gpu = is_array(array) and type(array) is not numpy.ndarray
    stays = device is None and (on_gpu or isinstance(data, Value))
    where = device_of(array) if stays else resolve(device)
    if is_array(array):
        array = known(array)
        moved = to_device(array, where)
        with on(where):
            out = moved.astype(to_numpy(dtype) or moved.dtype, order="C", copy=moved is array)
        return made(out, requires_grad)
    return made(to_device(host_array(data, to_numpy(dtype)), where), requires_grad)


def host_array(data: Any, want: Any = None) -> numpy.ndarray:
    """A NumPy array of numbers, of nested sequences, or of tensors of one element in these.

    Raises: ValueError for ragged sequences and for larger tensors in them; TypeError for what is no
        number; RuntimeError for None.
    """
    kinds: list[Any] = []
    plain = _plain(data, kinds)
    if plain is None:
        raise RuntimeError("Could not infer dtype of NoneType")
    try:
        array = numpy.array(plain)
    except ValueError:
        raise ValueError(
            "expected sequences of one length at each level of nesting, but they differ"
        ) from None
    if array.dtype.kind not in "biufV":
        if array.dtype == object and want is not None and not isinstance(data, str):
            array = numpy.array(plain, want)
        elif array.dtype == object and array.size and array.flat[0] is None:
            raise RuntimeError("Could not infer dtype of NoneType")
        else:
            raise TypeError(f"can't make a tensor of {type(data).__name__} {data!r:.60}")
    if want is not None and want.kind in "biu" and any(d.category == FLOAT for d in kinds):
        raise TypeError("only integer tensors of a single element can be converted to an index")
    if want is None and kinds:
        want = functools.reduce(promote_types, [*kinds, *_kinds_of_numbers(data)]).numpy
    if want is None:
        want = _inferred(plain, array)
    return array if array.dtype == want else array.astype(want)


def _plain(data: Any, kinds: list[Any]) -> Any:
    """Nested sequences with numbers for their tensors, whose dtypes are added to `kinds`."""
    if isinstance(data, (list, tuple)):
        return [_plain(x, kinds) for x in data]
    if isinstance(data, range):
        return list(data)
    if isinstance(data, Value):
        if data.array.size != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        kinds.append(of(data.array.dtype))
        return data.array.item()
    return data


def _kinds_of_numbers(data: Any) -> list[Any]:
    if isinstance(data, (list, tuple, range)):
        return [kind for part in data for kind in _kinds_of_numbers(part)]
    return [] if isinstance(data, Value) else [of_scalar(data)]


def _inferred(plain: Any, array: numpy.ndarray) -> Any:
    """Python floats take the default type; NumPy's scalars and arrays keep theirs."""
    first = plain
    while isinstance(first, list) and first:
        first = first[0]
    if isinstance(first, (numpy.generic, numpy.ndarray)):
        return array.dtype
    if array.dtype.kind == "f" or not array.size:
        return get_default_dtype().numpy
    return array.dtype if array.dtype.kind == "b" else numpy.dtype("int64")


def from_numpy(array: numpy.ndarray) -> Any:
    """A tensor of the memory of a NumPy array.

    Raises: TypeError for anything else.
    """
    if not isinstance(array, numpy.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    array = known(array)
    if not array.flags.writeable:
        notice(READ_ONLY)
    return wrap(array if type(array) is numpy.ndarray else array.view(numpy.ndarray))


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """`data` as a tensor, sharing its memory where dtype and device allow it."""
    if isinstance(data, Value):
        out: Any = data
    elif is_array(data):
        out = wrap(known(data))
    else:
        return tensor(data, dtype=dtype, device=device)
    return out if dtype is None and device is None else out.to(device=device, dtype=dtype)


def asarray(
    obj: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Any:
    """`obj` as a tensor, sharing its memory unless `copy`, or where dtype and device ask for one.

    Raises: ValueError where a copy is needed and `copy` is False.
    """
    if isinstance(obj, (bool, int, float, list, tuple)) and copy is False:
        raise ValueError("can't alias arbitrary sequence into a tensor.")
    out = as_tensor(obj, dtype, device)
    shared = is_array(obj) or isinstance(obj, Value)
    if shared and copy and out.array is (obj.array if isinstance(obj, Value) else obj):
        out = wrap(out.array.copy())
    if requires_grad:
        out = made(out.array, True)
    return out


def scalar_tensor(s: Any, *, dtype: Any = None, device: Any = None, **options: Any) -> Any:
    """A zero-dim tensor of one number, of the default floating type unless `dtype` is given."""
    return tensor(s, dtype=dtype or get_default_dtype(), device=device)


# ---- from constants ---------------------------------------------------------------------------


def checked(size: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes themselves.

    Raises: RuntimeError for a negative one.
    """
    for n in size:
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {list(size)}")
    return size


def _filled(maker: str, size: Any, options: dict[str, Any]) -> Any:
    where = resolve(options.get("device"))
    want = to_numpy(options.get("dtype")) or get_default_dtype().numpy
    shape = checked(flat(size or (options["size"],)))
    with on(where):
        array = getattr(module_of(where), maker)(shape, want)
    return given(array, options.get("out"), options.get("requires_grad", False))


def given(array: Any, out: Any, requires_grad: bool) -> Any:
    """A leaf holding `array`, or `out` filled with it."""
    if out is None:
        return made(array, requires_grad)
    if out.array.shape != array.shape:
        array = to_device(array, device_of(out.array))
        with on(device_of(array)):
            out.array = array.astype(out.array.dtype)
    else:
        write(out.array, array)
    version_of(out)[0] += 1
    return out


OPTIONS: tuple[str, ...] = (
    "size",
    "out",
    "dtype",
    "device",
    "requires_grad",
    "layout",
    "pin_memory",
    "generator",
)
OPTIONS += ("memory_format", "names")


def check_options(name: str, options: dict[str, Any]) -> None:
    """Raise TypeError for an option that creation functions do not have."""
    for option in options:
        if option not in OPTIONS:
            raise TypeError(f"{name}() got an unexpected keyword argument {option!r}")


def zeros(*size: Any, **options: Any) -> Any:
    """A tensor of zeros."""
    check_options("zeros", options)
    return _filled("zeros", size, options)


def ones(*size: Any, **options: Any) -> Any:
    """A tensor of ones."""
    check_options("ones", options)
    return _filled("ones", size, options)


def empty(*size: Any, **options: Any) -> Any:
    """A tensor whose elements are whatever the memory held."""
    check_options("empty", options)
    return _filled("empty", size, options)


def full(size: Any, fill_value: Any, **options: Any) -> Any:
    """A tensor of one value.

    Dtype: that of the value: bool, int64 or the default floating type.
    Raises: TypeError unless `size` is a sequence.
    """
    check_options("full", options)
    if isinstance(size, int):
        raise TypeError("full(): argument 'size' (position 1) must be tuple of ints, not int")
    value = fill_value.array.item() if isinstance(fill_value, Value) else fill_value
    if options.get("dtype") is None and not isinstance(value, float):
        options["dtype"] = of(host_array(value).dtype)
    out = _filled("empty", (size,), options)
    write(out.array, value)
    return out


def empty_strided(size: Any, stride: Any, **options: Any) -> Any:
    """A tensor of the given sizes and strides whose elements are whatever the memory held."""
    check_options("empty_strided", options)
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride):
        raise RuntimeError(
            f"dimensionality of sizes ({len(size)}) must match dimensionality of strides"
            f" ({len(stride)})"
        )
    count = 1 + sum((n - 1) * s for n, s in zip(size, stride)) if 0 not in size else 0
    flat_ = _filled("empty", (count,), options | {"requires_grad": False})
    step = flat_.array.itemsize
    array = strided(flat_.array, size, tuple(s * step for s in stride), 0)
    return made(array, options.get("requires_grad", False))


def empty_permuted(size: Any, physical_layout: Any, **options: Any) -> Any:
    """A tensor whose dims lie in memory in the order `physical_layout`, with any contents."""
    order = tuple(physical_layout)
    if sorted(order) != list(range(len(size))):
        raise RuntimeError(f"empty_permuted: {list(order)} is no order of {len(size)} dims")
    step, strides = 1, [0] * len(order)
    for axis in reversed(order):
        strides[axis] = step
        step *= max(size[axis], 1)
    return empty_strided(size, strides, **options)


# ---- like another -----------------------------------------------------------------------------


def like(maker: Any) -> Any:
    """The `*_like` form of a creation function."""

    def function(
        input: Any, *args: Any, dtype: Any = None, device: Any = None, **options: Any
    ) -> Any:
        wanted = options.pop("memory_format", None)
        if not isinstance(input, Value):
            raise TypeError(
                f"{function.__name__}(): argument 'input' must be Tensor, not"
                f" {type(input).__name__}"
            )
        array = input.array
        if dtype is None is device and not options and type(array) is numpy.ndarray and not args:
            if wanted is None and array.flags.c_contiguous and maker in (zeros, ones, empty):
                out = numpy.zeros(array.shape, array.dtype)
                if maker is ones:
                    out.fill(1)
                return wrap(out)
        dtype = dtype or of(array.dtype)
        device = device_of(array) if device is None else device
        out = maker(tuple(array.shape), *args, dtype=dtype, device=device, **options)
        if wanted not in (None, preserve_format):
            return _ordered(out, order_of(wanted, array.ndim))
        return out if array.flags.c_contiguous else _ordered(out, order_in_memory(array.strides))

    function.__name__ = function.__qualname__ = maker.__name__ + "_like"
    function.__doc__ = f"Like `{maker.__name__}`, with the shape, dtype and device of `input`."
    return function


@where_it_lies
def _ordered(out: Any, order: Any) -> Any:
    """`out` with its dims in memory in an order."""
    inverse = tuple(order.index(d) for d in range(len(order)))
    out.array = packed(out.array.transpose(order)).transpose(inverse)
    return out


zeros_like, ones_like, empty_like, full_like = (like(f) for f in (zeros, ones, empty, full))


# ---- new ones for a tensor --------------------------------------------------------------------


def _of_kind(maker: Any) -> Any:
    def method(x: Any, *args: Any, dtype: Any = None, device: Any = None, **options: Any) -> Any:
        dtype = dtype or of(x.array.dtype)
        return maker(
            *args, dtype=dtype, device=device_of(x.array) if device is None else device, **options
        )

    method.__name__ = method.__qualname__ = "new_" + maker.__name__
    method.__doc__ = f"Like `{maker.__name__}`, with the dtype and device of this tensor."
    return method


new_zeros, new_ones, new_empty, new_full, new_empty_strided = (
    _of_kind(f) for f in (zeros, ones, empty, full, empty_strided)
)


def new_tensor(
    x: Any,
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **ignored: Any,
) -> Any:
    """A new leaf with a copy of `data`, with the dtype and device of this tensor."""
    return tensor(
        data,
        dtype=dtype or of(x.array.dtype),
        device=device_of(x.array) if device is None else device,
        requires_grad=requires_grad,
    )
