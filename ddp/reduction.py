"""The arithmetic of reductions: what `ReduceOp` means, and the one order in which values are added.

Every backend reduces with these functions, so that all of them give the same bits.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = Any


class ReduceOp(enum.Enum):
    """How the values of several ranks become one.

    Dtype: unchanged; 16-bit and smaller floats are accumulated in float32 and rounded once.
    """

    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    PRODUCT = "product"
    BAND = "bitwise and"
    BOR = "bitwise or"
    BXOR = "bitwise xor"

    # Members are single objects; Enum's own hash, of the name, is a call in Python at every lookup.
    __hash__ = object.__hash__


COMBINE: dict[ReduceOp, Callable[..., Array]] = {
    ReduceOp.SUM: np.add,
    ReduceOp.AVG: np.add,
    ReduceOp.MIN: np.minimum,
    ReduceOp.MAX: np.maximum,
    ReduceOp.PRODUCT: np.multiply,
    ReduceOp.BAND: np.bitwise_and,
    ReduceOp.BOR: np.bitwise_or,
    ReduceOp.BXOR: np.bitwise_xor,
}
_BITWISE = (ReduceOp.BAND, ReduceOp.BOR, ReduceOp.BXOR)


def is_narrow_float(dtype: np.dtype) -> bool:
    """True for floats of 16 bits or less, which are accumulated in float32."""
    return dtype == np.float16 or (dtype.kind == "V" and "float" in dtype.name)


def check_reducible(dtype: np.dtype, op: ReduceOp) -> None:
    """None, if values of `dtype` can be reduced by `op`.

    Raises: TypeError for records and texts, AVG of integers, bits of what is no integer, MIN and
        MAX of complex numbers.
    """
    if dtype.kind not in "biufc" and not is_narrow_float(dtype):
        raise TypeError(f"cannot reduce an array of dtype {dtype}: expected bool, integer or float")
    if op is ReduceOp.AVG and dtype.kind in "biu":
        raise TypeError(
            f"AVG of {dtype} is not an integer in general: reduce with SUM, then divide"
        )
    if op in _BITWISE and dtype.kind not in "biu":
        raise TypeError(f"{op.name} of {dtype} is not defined: expected bool or integer")
    if op in (ReduceOp.MIN, ReduceOp.MAX) and dtype.kind == "c":
        raise TypeError(f"{op.name} of {dtype} is not defined: complex numbers have no order")


def tree_reduce(
    arrays: Sequence[Array], combine: Callable[..., Array], last_out: Array | None = None
) -> Array:
    """The arrays combined in one fixed binary tree, in the dtype they have; into `last_out`.

    With n arrays left and h = ceil(n / 2), a level combines i with i + h. For a power of two the
    distances are n/2, n/4, ..., 1, so values r, r+W, r+2W, ... may be combined on rank r beforehand
    without changing a bit of the result. One array alone is returned as it is, not copied.

    Example:
        >>> tree_reduce([1, 2, 3, 4, 5], lambda a, b, out: f"({a}+{b})")
        '(((1+4)+3)+(2+5))'
    """
    parts = list(arrays)
    if not parts:
        raise ValueError("tree_reduce needs at least one array")
    fresh = [False] * len(parts)
    while len(parts) > 1:
        half = (len(parts) + 1) // 2
        for i in range(len(parts) - half):
            # Only the last one: `last_out` may be one of the arrays that are still to be read.
            out = last_out if len(parts) == 2 else None
            out = parts[i] if out is None and fresh[i] else out
            parts[i] = combine(parts[i], parts[i + half], out=out)
            fresh[i] = isinstance(parts[i], np.ndarray)
        del parts[half:]
    return parts[0]


def tree_sum(arrays: Sequence[Array]) -> Array:
    """The sum of the arrays in the order of `tree_reduce`.

    Dtype: the same; 16-bit floats are added in float32 and rounded once at the end.
    """
    if isinstance(arrays[0], np.ndarray):
        return reduce_arrays(arrays, ReduceOp.SUM)
    dtype = arrays[0].dtype  # a GPU's arrays: by their own operators
    wide = [array.astype(np.float32) for array in arrays] if is_narrow_float(dtype) else arrays
    return tree_reduce(wide, lambda a, b, out: a + b).astype(dtype, copy=False)


def reduce_arrays(arrays: Sequence[Array], op: ReduceOp) -> Array:
    """One value per position, `op` over the arrays in the order of `tree_reduce`.

    Dtype: the same as the arrays'. AVG divides the sum by the number of arrays before rounding.
    """
    dtype = arrays[0].dtype
    check_reducible(dtype, op)
    wide = [array.astype(np.float32) for array in arrays] if is_narrow_float(dtype) else arrays
    # A float sum may overflow to inf on purpose (loss scaling looks for it): no warning.
    with np.errstate(all="ignore"):
        out = tree_reduce(wide, COMBINE[op])
        if op is ReduceOp.AVG:
            out = out / dtype_scalar(out, len(wide))
        return out.astype(dtype, copy=False)


def reduce_into(out: Array, arrays: Sequence[Array], op: ReduceOp) -> None:
    """Nothing; `out`, which may be one of the arrays, holds what `reduce_arrays` gives."""
    if len(arrays) == 1 or is_narrow_float(out.dtype):
        out[...] = reduce_arrays(arrays, op)
        return
    # No errstate, which costs 2 us here: warnings of our own modules are filtered by name.
    tree_reduce(arrays, COMBINE[op], out)
    if op is ReduceOp.AVG:
        factor = exact_factor(out.dtype, len(arrays))
        if factor is None:
            np.divide(out, dtype_scalar(out, len(arrays)), out=out)
        else:
            np.multiply(out, factor, out=out)


def exact_factor(dtype: np.dtype, count: int) -> Array | None:
    """1 / count where a product by it has the bits of the quotient by count, else None.

    That is so for powers of two, and a product takes a third of the time of a quotient. An array
    without dimensions: NumPy takes half the time it needs for a scalar.
    """
    if dtype.kind != "f" or count & (count - 1):
        return None
    return np.array(1 / count, dtype)


def dtype_scalar(like: Array, value: float) -> Any:
    """The number `value` in the dtype of the array `like`."""
    return like.dtype.type(value)
