"""What arrays of simulated GPUs compute: operators, elementwise functions, reductions."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy

from core.simulated import ufuncs
from core.simulated.array import (
    SCALARS,
    check_devices,
    fresh,
    launched,
    ndarray,
    unwrapped,
)
from core.simulated.device import settle

_BFLOAT16 = numpy.dtype(ml_dtypes.bfloat16)


def call_ufunc(name: str, args: Any, kwargs: dict[str, Any]) -> Any:
    """The result of an elementwise function on the current device, in `out` where it is given."""
    for key in kwargs:
        if key not in ufuncs.KEYWORDS:
            raise TypeError(f"cupy_{name}() got an unexpected keyword argument '{key}'")
    arrays: list[Any] = []
    out = kwargs.pop("out", None)
    if len(args) > ufuncs.LOOPS[name][0]:
        *args, out = args
    for x in args:
        if not isinstance(x, (ndarray, *SCALARS)):
            raise TypeError(f"Unsupported type {type(x)}")
    plain = [unwrapped(x, arrays) for x in args]
    check_devices(arrays if out is None else [*arrays, out])
    settle()
    if out is None:
        return fresh(ufuncs.compute(name, plain, kwargs))
    result = ufuncs.compute(name, plain, kwargs)
    if not numpy.can_cast(result.dtype, out.dtype, "same_kind"):
        raise TypeError(f"output (typecode '{result.dtype.char}') could not be coerced")
    if numpy.broadcast_shapes(result.shape, out.shape) != out.shape:
        raise ValueError("non-broadcastable output operand")
    out.plain[...] = result
    return out


class ufunc:  # noqa: N801 - CuPy's name
    """An elementwise function; `at` is there where the order of additions cannot matter."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nin = ufuncs.LOOPS[name][0]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return call_ufunc(self.name, args, kwargs)

    def at(self, a: Any, indices: Any, b: Any = None) -> None:
        """Apply the function to elements of `a` in place, to repeated ones as often as they come.

        Raises: NotImplementedError, TypeError where CuPy cannot, and for sums of floats, whose
            order is not fixed there.
        """
        if self.name not in ufuncs.AT:
            raise NotImplementedError(f"`cupy_{self.name}.at` is not supported yet")
        if a.plain.dtype.char not in ufuncs.AT[self.name]:
            raise TypeError(
                f"cupy.{self.name}.at of {a.dtype} is not supported or not deterministic"
            )
        arrays: list[Any] = []
        where, value = unwrapped(indices, arrays), unwrapped(b, arrays)
        check_devices([a, *arrays])
        settle()
        with numpy.errstate(all="ignore"):
            getattr(numpy, self.name).at(a.plain, where, value)

    def __repr__(self) -> str:
        return f"<ufunc 'cupy_{self.name}'>"


# ---- operators --------------------------------------------------------------------------------

_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide",
    "floordiv": "floor_divide", "mod": "remainder", "pow": "power", "and": "bitwise_and",
    "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
_COMPARISONS = {
    "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
    "ge": "greater_equal",
}  # fmt: skip
_UNARY = {"neg": "negative", "abs": "absolute", "invert": "invert"}


def _define(name: str, method: Any) -> None:
    method.__name__ = name
    setattr(ndarray, name, method)


def _operators(short: str, name: str) -> None:
    _define(f"__{short}__", lambda self, other: _either(name, self, other))
    _define(f"__r{short}__", lambda self, other: call_ufunc(name, (other, self), {}))
    _define(f"__i{short}__", lambda self, other: call_ufunc(name, (self, other), {"out": self}))


def _either(name: str, a: Any, b: Any) -> Any:
    """The result; NotImplemented where the other operand is for its own class to decide."""
    if not isinstance(b, (ndarray, numpy.ndarray, *SCALARS)) and b is not None:
        return NotImplemented
    return call_ufunc(name, (a, b), {})


for _short, _name in _OPERATORS.items():
    _operators(_short, _name)
for _short, _name in _COMPARISONS.items():
    _define(f"__{_short}__", lambda self, other, name=_name: _either(name, self, other))
for _short, _name in _UNARY.items():
    _define(f"__{_short}__", lambda self, name=_name: call_ufunc(name, (self,), {}))


def _array_ufunc(self: ndarray, function: Any, method: str, *args: Any, **kwargs: Any) -> Any:
    """The result for a number of NumPy's on the left of an operator; nothing else comes here."""
    name = ufuncs.ALIASES.get(function.__name__, function.__name__)
    if method != "__call__" or kwargs or not isinstance(args[0], numpy.generic):
        raise TypeError(f"numpy.{function.__name__} was called with an array on a simulated GPU")
    return call_ufunc(name, args, kwargs)


ndarray.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]


# ---- reductions -------------------------------------------------------------------------------


def reduced(name: str, array: Any, keywords: dict[str, Any]) -> Any:
    """A reduction or scan, with half types accumulated in float32 as CuPy's kernels do."""
    out = keywords.pop("out", None)
    if out is None:
        return launched([array], lambda: _reduced(name, array.plain, keywords))
    check_devices([array, out])
    settle()
    out.plain[...] = _reduced(name, array.plain, keywords)
    return out


def _reduced(name: str, plain: numpy.ndarray, keywords: dict[str, Any]) -> Any:
    narrow = plain.dtype
    if narrow.itemsize != 2 or narrow.kind not in "fV" or name in ("any", "all"):
        return getattr(plain, name)(**keywords)
    result = getattr(plain.astype(numpy.float32), name)(**keywords)
    kept = name in ("argmax", "argmin") or keywords.get("dtype") is not None
    return result if kept else result.astype(narrow)


def _sum_like(name: str) -> None:
    def method(
        self: ndarray, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> Any:
        return reduced(name, self, {"axis": axis, "dtype": dtype, "out": out, "keepdims": keepdims})

    _define(name, method)


def _max_like(name: str) -> None:
    def method(self: ndarray, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return reduced(name, self, {"axis": axis, "out": out, "keepdims": keepdims})

    _define(name, method)


def _argmax_like(name: str) -> None:
    def method(
        self: ndarray, axis: Any = None, out: Any = None, dtype: Any = None, keepdims: bool = False
    ) -> Any:
        return reduced(name, self, {"axis": axis, "out": out, "keepdims": keepdims})

    _define(name, method)


def _scan_like(name: str) -> None:
    def method(self: ndarray, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        return reduced(name, self, {"axis": axis, "dtype": dtype, "out": out})

    _define(name, method)


def _variance_like(name: str) -> None:
    def method(
        self: ndarray,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: int = 0,
        keepdims: bool = False,
    ) -> Any:
        more = {"axis": axis, "dtype": dtype, "out": out, "ddof": ddof, "keepdims": keepdims}
        return reduced(name, self, more)

    _define(name, method)


for _maker, _names in (
    (_sum_like, "sum mean prod"),
    (_max_like, "max min all any"),
    (_argmax_like, "argmax argmin"),
    (_scan_like, "cumsum cumprod"),
    (_variance_like, "var std"),
):
    for _name in _names.split():
        _maker(_name)
