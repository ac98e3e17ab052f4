"""New tensors: from data, from constants, from sequences, from random numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core import random
from core.autograd.dispatch import version_of
from core.autograd.value import Value, wrap
from core.backend import Device, device_of, is_array, module_of, on, resolve, to_device, to_host
from core.dtype import get_default_dtype, of, to_numpy
from core.ops.dims import flat

__all__ = "tensor as_tensor from_numpy zeros ones empty full zeros_like ones_like empty_like full_like arange rand randn rand_like randn_like".split()


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
    where = device_of(array) if device is None and is_array(array) else resolve(device)
    if is_array(array):
        of(array.dtype)
        moved = to_device(array, where)
        out = moved.astype(to_numpy(dtype) or moved.dtype, order="C", copy=moved is array)
        return made(out, requires_grad)
    return made(to_device(host_array(data, to_numpy(dtype)), where), requires_grad)


def host_array(data: Any, want: Any = None) -> numpy.ndarray:
    """A NumPy array of numbers, nested sequences, or sequences of tensors.

    Raises: ValueError for ragged sequences; TypeError for what is not a number, RuntimeError for None.
    """
    plain = _plain(data)
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
        else:
            raise TypeError(f"can't make a tensor of {type(data).__name__} {data!r:.60}")
    if want is None:
        want = _inferred(plain, array)
    return array if array.dtype == want else array.astype(want)


def _plain(data: Any) -> Any:
    if isinstance(data, Value):
        return to_host(data.array)
    if isinstance(data, (list, tuple)):
        return [_plain(x) for x in data]
    if isinstance(data, range):
        return list(data)
    return data


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
    of(array.dtype)
    return wrap(array if type(array) is numpy.ndarray else array.view(numpy.ndarray))


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """`data` as a tensor, sharing its memory where dtype and device allow it."""
    if isinstance(data, Value):
        out: Any = data
    elif is_array(data):
        of(data.dtype)
        out = wrap(data)
    else:
        return tensor(data, dtype=dtype, device=device)
    return out if dtype is None and device is None else out.to(device=device, dtype=dtype)


# ---- from constants ---------------------------------------------------------------------------


def _filled(maker: str, size: Any, out: Any, dtype: Any, device: Any, requires_grad: bool) -> Any:
    where = resolve(device)
    want = to_numpy(dtype) or get_default_dtype().numpy
    with on(where):
        array = getattr(module_of(where), maker)(flat(size), want)
    return _given(array, out, requires_grad)


def _given(array: Any, out: Any, requires_grad: bool) -> Any:
    if out is None:
        return made(array, requires_grad)
    if out.array.shape != array.shape:
        out.array = array.astype(out.array.dtype)
    else:
        out.array[...] = array
    version_of(out)[0] += 1
    return out


def zeros(
    *size: Any,
    out: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **ignored: Any,
) -> Any:
    """A tensor of zeros."""
    return _filled("zeros", size, out, dtype, device, requires_grad)


def ones(
    *size: Any,
    out: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **ignored: Any,
) -> Any:
    """A tensor of ones."""
    return _filled("ones", size, out, dtype, device, requires_grad)


def empty(
    *size: Any,
    out: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **ignored: Any,
) -> Any:
    """A tensor whose elements are whatever the memory held."""
    return _filled("empty", size, out, dtype, device, requires_grad)


def full(
    size: Any,
    fill_value: Any,
    *,
    out: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **ignored: Any,
) -> Any:
    """A tensor of one value."""
    value = fill_value.item() if isinstance(fill_value, Value) else fill_value
    want = dtype or (None if isinstance(value, float) else of(host_array(value).dtype))
    made_ = _filled("empty", (size,), out, want, device, requires_grad)
    made_.array[...] = value
    return made_


def like(maker: Any) -> Any:
    """The `*_like` form of a creation function."""

    def function(
        input: Any,
        *args: Any,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        **options: Any,
    ) -> Any:
        options.pop("memory_format", None)
        dtype = dtype or of(input.array.dtype)
        device = device_of(input.array) if device is None else device
        shape = tuple(input.array.shape)
        return maker(shape, *args, dtype=dtype, device=device, requires_grad=requires_grad)

    function.__name__ = function.__qualname__ = maker.__name__ + "_like"
    function.__doc__ = f"Like `{maker.__name__}`, with the shape, dtype and device of `input`."
    return function


zeros_like, ones_like, empty_like, full_like = (like(f) for f in (zeros, ones, empty, full))


# ---- from sequences ---------------------------------------------------------------------------


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    out: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Numbers from `start` (0 if only one is given) up to, without, `end`.

    Raises: RuntimeError where the bounds do not fit the sign of `step`.
    """
    if end is None:
        start, end = 0, start
    start, end, step = (x.item() if isinstance(x, Value) else x for x in (start, end, step))
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if dtype is None and not any(isinstance(x, float) for x in (start, end, step)):
        dtype = numpy.int64
    want = to_numpy(dtype) or get_default_dtype().numpy
    count = math.ceil((end - start) / step)
    wide = numpy.dtype("int64") if want.kind in "iub" else numpy.dtype("float64")
    values = (start + step * numpy.arange(count)).astype(wide).astype(want)
    return _given(to_device(values, resolve(device)), out, requires_grad)


# ---- from random numbers ----------------------------------------------------------------------


def _drawn(draw: Any, size: Any, options: dict[str, Any]) -> Any:
    generator = options.pop("generator", None) or random.default_generator()
    where: Device = resolve(options.pop("device", None))
    want = to_numpy(options.pop("dtype", None)) or get_default_dtype().numpy
    out, requires_grad = options.pop("out", None), options.pop("requires_grad", False)
    with on(where):
        array = draw(generator.reserve(), flat(size), want, module_of(where))
    return _given(array, out, requires_grad)


def rand(*size: Any, **options: Any) -> Any:
    """Uniform random numbers from [0, 1)."""
    return _drawn(
        lambda key, shape, d, xp: random.uniform(key, shape, dtype=d, xp=xp), size, options
    )


def randn(*size: Any, **options: Any) -> Any:
    """Normal random numbers of mean 0 and variance 1."""
    return _drawn(
        lambda key, shape, d, xp: random.normal(key, shape, dtype=d, xp=xp), size, options
    )


rand_like, randn_like = like(rand), like(randn)
