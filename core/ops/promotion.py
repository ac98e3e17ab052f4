"""What dtype an op computes in: PyTorch's promotion, applied to arrays before the forward runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy

from core.autograd.inplace import type_name
from core.backend import MODULE_OF, device_of, to_device, xp
from core.dtype import (
    BOOL,
    BY_NUMPY,
    FLOAT,
    combine,
    dtype,
    get_default_dtype,
    of,
    of_scalar,
    promote_types,
)
from core.dtype import result_type as promoted
from core.layout import dense

__all__ = ["result_type"]

_PLAIN = (bool, int, float)
_FLOAT32, _FLOAT64 = numpy.dtype("float32"), numpy.dtype("float64")


def settled(arrays: list[Any]) -> Any:
    """The one dtype of NumPy arrays beside numbers that cannot change it; None if not so simple.

    The promotion below costs 2 us; this is the case that nearly all calls are.
    """
    kind, numbers = None, False
    for x in arrays:
        if type(x) is numpy.ndarray:
            if kind is None:
                kind = x.dtype
            elif x.dtype is not kind:
                return None
        elif type(x) is float or type(x) is int:
            numbers = True
        elif x is not None:
            return None
    return None if numbers and kind is not _FLOAT32 and kind is not _FLOAT64 else kind


def promote(arrays: list[Any], tensors: int) -> list[Any]:
    """The arguments with every tensor in the common dtype, and numbers fitted to it."""
    if settled(arrays) is not None:
        return arrays
    return cast_all(arrays, tensors, common_dtype(arrays, tensors))


def promote_float(arrays: list[Any], tensors: int) -> list[Any]:
    """Like `promote`, where integers and bools become the default floating type."""
    kind = settled(arrays)
    if kind is _FLOAT32 or kind is _FLOAT64:
        return arrays
    return cast_all(arrays, tensors, floating(common_dtype(arrays, tensors)))


def float_first(arrays: list[Any], tensors: int) -> list[Any]:
    """The first argument in a floating type, the default one for integers and bools."""
    x = arrays[0]
    want = floating(of(x.dtype)).numpy
    return arrays if x.dtype == want else [dense(x, want), *arrays[1:]]


def floating(d: dtype) -> dtype:
    """`d` if it is a floating type, else the default one."""
    return d if d.category == FLOAT else get_default_dtype()


def common_dtype(arrays: list[Any], tensors: int) -> dtype:
    """The promoted dtype of tensor arguments and the numbers among the others."""
    dims = zero = wrapped = None
    for i, x in enumerate(arrays):
        if tensors >> i & 1:
            d = of(x.dtype)
            if x.ndim:
                dims = d if dims is None else promote_types(dims, d)
            else:
                zero = d if zero is None else promote_types(zero, d)
        elif isinstance(x, (bool, int, float, numpy.generic)):
            d = of_scalar(x)
            wrapped = d if wrapped is None else promote_types(wrapped, d)
    found = combine(dims, combine(zero, wrapped))
    assert found is not None
    return found


def cast_all(arrays: list[Any], tensors: int, d: dtype) -> list[Any]:
    """Tensors cast to `d` and brought to one device; numbers as ones of `d`'s kind."""
    out = []
    device = _device(arrays, tensors)
    want = d.numpy
    for i, x in enumerate(arrays):
        if tensors >> i & 1:
            if device is not None and device_of(x) != device:
                x = to_device(x, device)
            out.append(x if x.dtype == want else dense(x, want))
        elif isinstance(x, (*_PLAIN, numpy.generic)):
            out.append(number(x, d))
        else:
            out.append(x)
    return out


def number(x: Any, d: dtype) -> Any:
    """A Python number that takes part in arithmetic of dtype `d` without changing it."""
    if d.category == FLOAT:
        return numpy.asarray(x).astype(d.numpy)[()] if d.itemsize == 2 else float(x)
    if d.category == BOOL:
        return bool(x)
    limits = numpy.iinfo(d.numpy)
    x = int(x)
    if limits.min <= x <= limits.max:
        return x
    span = 1 << (8 * d.itemsize)
    x %= span
    return x - span if x > limits.max else x


def _device(arrays: list[Any], tensors: int) -> Any:
    """The one device of the tensors; None where all are on the CPU.

    Raises: RuntimeError where two devices meet; a zero-dim tensor of the CPU goes anywhere.
    """
    for i, x in enumerate(arrays):
        if type(x) is not numpy.ndarray and tensors >> i & 1:
            break
    else:
        return None
    found: dict[Any, None] = {}
    for i, x in enumerate(arrays):
        if tensors >> i & 1 and not (type(x) is numpy.ndarray and x.ndim == 0):
            found[device_of(x)] = None
    if len(found) > 1:
        first, second = list(found)[:2]
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices,"
            f" {first} and {second}!"
        )
    return next(iter(found), None)


def same_device(arrays: list[Any], tensors: int) -> list[Any]:
    """The arguments as they are.

    Raises: RuntimeError where tensors lie on two devices.
    """
    _device(arrays, tensors)
    return arrays


@functools.cache
def accumulates_in(array_dtype: Any) -> Any:
    """The dtype in which sums over `array_dtype` are kept: float32 for the half types."""
    return numpy.dtype("float32") if BY_NUMPY[array_dtype].itemsize == 2 else array_dtype


def is_array(x: Any) -> bool:
    """Whether `x` is an array of a known module."""
    return type(x) in MODULE_OF


def promote_integral(arrays: list[Any], tensors: int) -> list[Any]:
    """Like `promote`, for ops on whole numbers and bools.

    Raises: NotImplementedError for floating types.
    """
    d = common_dtype(arrays, tensors)
    if d.category == FLOAT:
        raise NotImplementedError(f"expected integers or bools, got {d!r}")
    return cast_all(arrays, tensors, d)


def promote_numeric(arrays: list[Any], tensors: int) -> list[Any]:
    """Like `promote`, for differences, which mean nothing where an operand is a bool.

    Raises: RuntimeError for bools.
    """
    kind = settled(arrays)
    if kind is _FLOAT32 or kind is _FLOAT64:
        return arrays
    truths = [x.dtype == bool if tensors >> i & 1 else x is True or x is False
              for i, x in enumerate(arrays)]  # fmt: skip
    if all(truths):
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or"
            " `logical_xor()` operator instead."
        )
    if any(truths):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying"
            " to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return promote(arrays, tensors)


def without(category: int, name: str, casts: Any) -> Any:
    """`casts` for an op that PyTorch has for higher categories of dtypes only.

    Raises: NotImplementedError where the common dtype is of that category, or a lower one.
    """

    def checked(arrays: list[Any], tensors: int) -> Any:
        kind = settled(arrays)
        if kind is not _FLOAT32 and kind is not _FLOAT64:
            refuse(category, name, common_dtype(arrays, tensors))
        return casts(arrays, tensors)

    return checked


def refuse(category: int, name: str, d: dtype) -> None:
    """Raise NotImplementedError where `d` is of a category of dtypes, or of a lower one."""
    if d.category <= category:
        raise NotImplementedError(f"\"{name}\" not implemented for '{type_name(d)}'")


def uniform(arrays: list[Any], tensors: int) -> list[Any]:
    """The arguments as they are.

    Raises: RuntimeError unless all tensors have one dtype and lie on one device.
    """
    found = [of(x.dtype) for i, x in enumerate(arrays) if tensors >> i & 1]
    for d in found:
        if d is not found[0]:
            raise RuntimeError(f"expected tensors of one dtype, but found {found[0]!r} and {d!r}")
    return same_device(arrays, tensors)


def promote_choices(arrays: list[Any], tensors: int) -> list[Any]:
    """A condition as it is, then two choices in their common dtype, as arrays."""
    choices, which = arrays[1:], tensors >> 1
    if type(arrays[0]) is numpy.ndarray and settled(choices) is not None:
        return arrays
    d = common_dtype(choices, which)
    same_device(arrays, tensors)
    if not which:
        return [arrays[0], *(xp(arrays[0]).asarray(x, d.numpy) for x in choices)]
    return [arrays[0], *cast_all(choices, which, d)]


def widened(forward: Callable[..., Any]) -> Callable[..., Any]:
    """`forward` with the half types computed in float32 and its result rounded once."""

    @functools.wraps(forward)
    def wide(*args: Any) -> Any:
        half = next((x.dtype for x in args if is_half(x)), None)
        if half is None:
            return forward(*args)
        out = forward(*[dense(x, numpy.float32) if is_half(x) else x for x in args])
        return out.astype(half)

    wide.narrow = forward  # type: ignore[attr-defined] # what float32 and float64 need
    return wide


_ZEROS, _ONES = ({c: numpy.array(n, c) for c in "fd"} for n in (0, 1))


def zero_for(x: Any) -> Any:
    """Zero, as an array where `x` is one of the CPU: a number is converted first, for 0.3 us."""
    return _ZEROS.get(x.dtype.char, 0) if type(x) is numpy.ndarray else 0


def one_for(x: Any) -> Any:
    """One, likewise."""
    return _ONES.get(x.dtype.char, 1) if type(x) is numpy.ndarray else 1


def is_half(x: Any) -> bool:
    """Whether `x` is an array of float16 or bfloat16."""
    d = getattr(x, "dtype", None)
    return d is not None and d.itemsize == 2 and d.kind in "fV"


def result_type(tensor1: Any, tensor2: Any) -> dtype:
    """The dtype that arithmetic on two tensors or numbers gives.

    Raises: TypeError for anything else.
    """
    both = [x.array if hasattr(x, "array") else x for x in (tensor1, tensor2)]
    arrays = [x for x in both if hasattr(x, "ndim") and hasattr(x, "dtype")]
    return promoted(arrays, [x for x in both if not hasattr(x, "dtype")])
