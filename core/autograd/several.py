"""The quick path of ops with several tensors beside numbers: all of one floating type."""

from __future__ import annotations

from typing import Any

import numpy
from numpy import ndarray

from core.autograd import errors
from core.autograd.mode import INFERRING, mode
from core.autograd.quick import plain, published, unrecorded
from core.autograd.record import result, wanted_of
from core.autograd.value import Value

_bool = numpy.dtype("bool")


def alike(call: Any, mask: int = 0) -> Any:
    """The quick form of an op whose tensors, beside numbers, are all of one floating type.

    But for an argument of bools: `mask` is its bit.
    """
    op, must = call.op, call.op.must

    def quick(*args: Any, **kwargs: Any) -> Any:
        recording = mode.fast
        if mask and not kwargs and type(args[0]) is ndarray and not _any_tensor(args):
            return op.direct(*args)  # inside a gradient rule
        if recording is None or recording is INFERRING or "out" in kwargs:
            return call(*args, **kwargs)
        if kwargs or len(args) != op.arity:
            args = op.bind(args, kwargs)
        found = _arrays(args, recording, mask)
        if found is None or found[1] & must != must:
            return call(*args)
        arrays, tensors, wanted = found
        try:
            out = op.direct(*arrays)
        except ValueError as error:
            raise errors.explained(op, arrays, error) from None
        if recording is False and type(out) is ndarray:
            return unrecorded(out)
        return result(op, args, arrays, tensors, wanted, out)

    return published(quick, call)


def _any_tensor(args: Any) -> bool:
    for a in args:  # any() of a generator costs 0.3 us
        if isinstance(a, Value):
            return True
    return False


def with_mask(at: int) -> Any:
    """The quick form of an op like those of `alike` whose argument `at` is of bools."""
    return lambda call: alike(call, 1 << at)


def _arrays(args: Any, recording: Any, mask: int) -> Any:
    """The arguments with arrays for tensors, which of them are tensors, and which want gradients.

    None where the tensors differ in type, or the first argument is none.
    """
    d = None
    tensors = wanted = 0
    bit = 1
    arrays = []
    for a in args:
        if isinstance(a, Value):
            x = a.array
            if type(x) is not ndarray:
                return None
            if bit == mask:
                if x.dtype is not _bool:
                    return None
            elif x.dtype is not d and (d is not None or not plain(x)):
                return None
            else:
                d = x.dtype
            tensors |= bit
            if recording and wanted_of(a):
                wanted |= bit
            a = x
        elif a is not None and type(a) is not float and type(a) is not int:
            return None
        arrays.append(a)
        bit += bit
    return (arrays, tensors, wanted) if tensors & 1 and d is not None else None
