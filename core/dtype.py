"""Element types: the dtype objects, PyTorch's promotion table, and the default floating type."""

from __future__ import annotations

import builtins
from typing import Any

import ml_dtypes
import numpy

BOOL, INTEGER, FLOAT = 0, 1, 2


class dtype:  # noqa: N801 - PyTorch's name
    """An element type; one object per type, compared by identity.

    Example:
        >>> float32
        core.float32
        >>> float32.is_floating_point, int64.itemsize
        (True, 8)
    """

    __slots__ = ("category", "is_floating_point", "is_signed", "itemsize", "name", "numpy", "order")

    is_complex = False

    def __init__(
        self, name: str, array_dtype: Any, category: builtins.int, order: builtins.int
    ) -> None:
        self.name = name
        self.numpy = numpy.dtype(array_dtype)
        self.category = category
        self.order = order
        self.itemsize = self.numpy.itemsize
        self.is_floating_point = category == FLOAT
        self.is_signed = name not in ("bool", "uint8")

    def __repr__(self) -> str:
        return f"core.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return by_name, (self.name,)

    def to_real(self) -> dtype:
        """This dtype: every one here is real."""
        return self

    def to_complex(self) -> dtype:
        """Complex types are left out of Unison, so this always raises.

        Raises: TypeError.
        """
        raise TypeError(f"{self!r} has no complex counterpart: complex types are not supported")


bool = dtype("bool", numpy.bool_, BOOL, 0)
uint8 = dtype("uint8", numpy.uint8, INTEGER, 0)
int8 = dtype("int8", numpy.int8, INTEGER, 1)
int16 = short = dtype("int16", numpy.int16, INTEGER, 2)
int32 = int = dtype("int32", numpy.int32, INTEGER, 3)
int64 = long = dtype("int64", numpy.int64, INTEGER, 4)
float16 = half = dtype("float16", numpy.float16, FLOAT, 0)
bfloat16 = dtype("bfloat16", ml_dtypes.bfloat16, FLOAT, 1)
float32 = float = dtype("float32", numpy.float32, FLOAT, 2)
float64 = double = dtype("float64", numpy.float64, FLOAT, 3)

ALL = (bool, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64)
BY_NUMPY = {d.numpy: d for d in ALL}
BY_NAME = {d.name: d for d in ALL} | {"half": float16, "float": float32, "double": float64}
BY_NAME |= {"short": int16, "int": int32, "long": int64}
BY_PYTHON = {builtins.bool: bool, builtins.int: int64, builtins.float: float64}


def by_name(name: str) -> dtype:
    """The dtype called `name`."""
    return BY_NAME[name]


def to_numpy(d: Any) -> numpy.dtype | None:
    """The array dtype of a dtype object, a Python type or an array dtype; None stays None.

    Raises: TypeError for anything else.
    """
    if d is None:
        return None
    if type(d) is dtype:
        return d.numpy
    if isinstance(d, type) and d in BY_PYTHON:
        return BY_PYTHON[d].numpy
    if isinstance(d, str):  # NumPy's "float" is float64, PyTorch's is float32
        raise TypeError(f"a dtype must be core.dtype, not the string {d!r}")
    return of(numpy.dtype(d)).numpy


def of(array_dtype: Any) -> dtype:
    """The dtype object of an array dtype.

    Raises: TypeError where arrays of this kind cannot be tensors.
    """
    found = BY_NUMPY.get(array_dtype)
    if found is None:
        names = ", ".join(d.name for d in ALL)
        raise TypeError(f"can't convert an array of type {array_dtype}; the types are: {names}")
    return found


def known(array: Any) -> Any:
    """`array` with the one dtype object of its kind: what was pickled has another, equal one.

    Ops ask whether dtypes are one and the same, and would go a longer way with other last bits.
    Raises: TypeError where arrays of this kind cannot be tensors.
    """
    one = of(array.dtype).numpy
    return array if array.dtype is one else array.view(one)


# ---- the default floating type ----------------------------------------------------------------


class _Default:
    float = float32


def get_default_dtype() -> dtype:
    """The floating type that Python floats and integer divisions become."""
    return _Default.float


def set_default_dtype(d: dtype) -> None:
    """Make `d` the default floating type.

    Raises: TypeError unless `d` is a floating-point dtype.
    """
    if type(d) is not dtype or not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, not {d!r}")
    _Default.float = d


# ---- promotion --------------------------------------------------------------------------------


def promote_types(a: dtype, b: dtype) -> dtype:
    """The smallest dtype that both `a` and `b` convert to, as PyTorch defines it.

    Example:
        >>> promote_types(uint8, int8), promote_types(int64, float16)
        (core.int16, core.float16)
    """
    if a is b and type(a) is dtype:
        return a
    _checked("promote_types", "type1", 1, a), _checked("promote_types", "type2", 2, b)
    if a.category != b.category:
        return a if a.category > b.category else b
    low, high = (a, b) if a.order < b.order else (b, a)
    if low is uint8 and high is int8:
        return int16
    if low is float16 and high is bfloat16:
        return float32
    return high


def combine(high: dtype | None, low: dtype | None) -> dtype | None:
    """The result where operands of a higher rank (more dimensions) meet those of a lower one."""
    if high is None or low is None:
        return low if high is None else high
    if low.category > high.category:
        return promote_types(high, low)
    return high


def of_scalar(value: Any) -> dtype:
    """The dtype a Python or NumPy scalar takes part with in promotion.

    Raises: TypeError for anything that is not a real number.
    """
    if isinstance(value, (builtins.bool, numpy.bool_)):
        return bool
    if isinstance(value, (builtins.int, numpy.integer)):
        return int64
    if isinstance(value, (builtins.float, numpy.floating)):
        return _Default.float
    raise TypeError(f"expected a tensor or a number, got {type(value).__name__}")


def result_type(arrays: Any, scalars: Any = ()) -> dtype:
    """The dtype of an elementwise result: tensors, then zero-dim tensors, then scalars."""
    dims = zero = wrapped = None
    for x in arrays:
        d = of(x.dtype)
        if x.ndim:
            dims = d if dims is None else promote_types(dims, d)
        else:
            zero = d if zero is None else promote_types(zero, d)
    for value in scalars:
        d = of_scalar(value)
        wrapped = d if wrapped is None else promote_types(wrapped, d)
    found = combine(dims, combine(zero, wrapped))
    assert found is not None, "result_type needs an operand"
    return found


def can_cast(source: dtype, target: dtype) -> builtins.bool:
    """Whether PyTorch lets a result of dtype `source` be stored in `target`.

    Example:
        >>> can_cast(float32, int64), can_cast(int64, float16)
        (False, True)
    """
    _checked("can_cast", "from_", 1, source), _checked("can_cast", "to", 2, target)
    if source.category == FLOAT and target.category != FLOAT:
        return False
    return not (source.category == INTEGER and target.category == BOOL)


class finfo:  # noqa: N801 - PyTorch's name
    """The limits of a floating type, the default one unless named.

    Raises: TypeError for integer types.
    Example:
        >>> finfo(float16).max, finfo(float32).eps
        (65504.0, 1.1920928955078125e-07)
    """

    min: builtins.float
    max: builtins.float
    eps: builtins.float
    smallest_normal: builtins.float
    tiny: builtins.float

    def __init__(self, type: Any = None) -> None:
        d = _Default.float if type is None else _checked("finfo", "type", 1, type)
        if not d.is_floating_point:
            raise TypeError(
                "core.finfo() requires a floating point input type. Use core.iinfo to handle"
                " 'core.finfo'"
            )
        limits = ml_dtypes.finfo(d.numpy)
        self.dtype = d.name
        self.bits = d.itemsize * 8
        self.resolution = 10.0 ** -builtins.int(limits.precision)
        for name in ("min", "max", "eps", "smallest_normal", "tiny"):
            setattr(self, name, builtins.float(getattr(limits, name)))

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        limits = ", ".join(f"{name}={getattr(self, name):g}" for name in names)
        return f"finfo({limits}, dtype={self.dtype})"


class iinfo:  # noqa: N801 - PyTorch's name
    """The limits of an integer type.

    Raises: TypeError for floating types and bool.
    Example:
        >>> iinfo(int8)
        iinfo(min=-128, max=127, dtype=int8)
    """

    def __init__(self, type: Any) -> None:
        d = _checked("iinfo", "type", 1, type)
        if d.is_floating_point:
            raise TypeError(
                "core.iinfo() requires an integer input type. Use core.finfo to handle 'core.iinfo'"
            )
        if d.category == BOOL:
            raise TypeError("core.bool is not supported by core.iinfo")
        limits = numpy.iinfo(d.numpy)
        self.dtype = d.name
        self.bits = limits.bits
        self.min, self.max = builtins.int(limits.min), builtins.int(limits.max)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


def _checked(function: str, name: str, position: builtins.int, d: Any) -> dtype:
    if type(d) is dtype:
        return d
    kind = type(d).__name__
    raise TypeError(
        f"{function}(): argument '{name}' (position {position}) must be core.dtype, not {kind}"
    )


_COMPLEX = """
cdouble cfloat chalf complex complex128 complex32 complex64 fft istft polar stft view_as_complex
""".split()


def why_missing(name: str) -> str:
    """Why there is no such name among PyTorch's, as the end of a sentence; nothing if by chance."""
    return ": it needs complex tensors, which are left out" if name in _COMPLEX else ""
