"""CuPy's elementwise functions: the dtypes that each has a loop for, on NumPy's arithmetic.

The table is CuPy 14.2's; tests/test_cupy_names.py compares it with an installed CuPy.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy

_BFLOAT16 = numpy.dtype(ml_dtypes.bfloat16)
_INTS, _FLOATS, _COMPLEX = "bBhHiIlLqQ", "eEfd", "FD"

_ANY = "?" + _INTS + _FLOATS + _COMPLEX
_NUMBERS = _INTS + _FLOATS + _COMPLEX
_REAL = "?" + _INTS + _FLOATS
_MIXED = "? q Q qQ Qq"  # what comparisons of integers are made in

# Name -> (count of inputs, dtypes of its loops). A dtype alone stands for all inputs.
LOOPS: dict[str, tuple[int, str]] = {
    **dict.fromkeys("absolute negative".split(), (1, _ANY)),
    **dict.fromkeys("square reciprocal sign".split(), (1, _NUMBERS)),
    **dict.fromkeys("ceil floor trunc".split(), (1, _REAL)),
    **dict.fromkeys(
        "arccos arccosh arcsin arcsinh arctan arctanh cos cosh exp exp2 expm1 log log10 log1p log2"
        " rint sin sinc sinh sqrt tan tanh isfinite isinf isnan".split(),
        (1, _FLOATS + _COMPLEX),
    ),
    **dict.fromkeys("cbrt signbit".split(), (1, _FLOATS)),
    "logical_not": (1, "?" + _INTS + "efd"),
    "invert": (1, "?" + _INTS),
    **dict.fromkeys("add subtract multiply power maximum minimum fmax fmin".split(), (2, _ANY)),
    **dict.fromkeys("floor_divide remainder fmod".split(), (2, _INTS + _FLOATS)),
    "true_divide": (2, f"qq qQ Qq QQ {' '.join(_FLOATS + _COMPLEX)}"),
    **dict.fromkeys("arctan2 copysign hypot nextafter".split(), (2, _FLOATS + _COMPLEX)),
    "float_power": (2, "dFD"),
    **dict.fromkeys("logaddexp logaddexp2".split(), (2, _FLOATS)),
    **dict.fromkeys("bitwise_and bitwise_or bitwise_xor gcd lcm".split(), (2, "?" + _INTS)),
    **dict.fromkeys("left_shift right_shift".split(), (2, _INTS)),
    **dict.fromkeys("equal not_equal".split(), (2, f"{_MIXED} {' '.join(_FLOATS + _COMPLEX)}")),
    **dict.fromkeys(
        "greater greater_equal less less_equal".split(),
        (2, f"{_MIXED} {' '.join(_FLOATS + _COMPLEX)}"),
    ),
    **dict.fromkeys("logical_and logical_or".split(), (2, f"{_MIXED} {' '.join(_FLOATS)}")),
    "logical_xor": (2, "?" + _INTS + "efd"),
}
ALIASES = {"abs": "absolute", "divide": "true_divide", "mod": "remainder"}
# Whole numbers, whose order of addition does not matter; CuPy's own list has the floats too.
AT: dict[str, str] = {
    "add": "iIlLqQ",
    "maximum": "iIlLqQfd",
    "minimum": "iIlLqQfd",
}
KEYWORDS = ("out", "dtype", "casting")


def loops_of(name: str) -> list[tuple[numpy.dtype, ...]]:
    """The input dtypes of each loop, in the order in which CuPy tries them."""
    nin, text = LOOPS[ALIASES.get(name, name)]
    words = text.split() if " " in text else list(text)
    return [tuple(map(dtype_of, word if len(word) == nin else word * nin)) for word in words]


def dtype_of(char: str) -> numpy.dtype:
    """The dtype of a letter; E is bfloat16, as CuPy has it."""
    return _BFLOAT16 if char == "E" else numpy.dtype(char)


_tables: dict[str, list[tuple[numpy.dtype, ...]]] = {}
_found: dict[Any, tuple[numpy.dtype, ...]] = {}


def loop_for(name: str, kinds: tuple[Any, ...]) -> tuple[numpy.dtype, ...]:
    """The loop that CuPy takes for dtypes, where a Python type stands for a Python number.

    Raises: TypeError where it has none.
    """
    key = (name, kinds)
    if key not in _found:
        table = _tables.setdefault(name, loops_of(name))
        chosen = next((loop for loop in table if all(map(_fits, kinds, loop))), None)
        if chosen is None:
            raise TypeError(f"Wrong type ({kinds}) of arguments for cupy_{name}")
        _found[key] = chosen
    return _found[key]


def _fits(kind: Any, want: numpy.dtype) -> bool:
    if isinstance(kind, type):
        try:
            return numpy.result_type(kind(0), want) == want
        except TypeError:
            return False
    return numpy.can_cast(kind, want)


def compute(name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """The result, in NumPy's memory, of an elementwise function of arrays and numbers."""
    kinds = tuple(
        x.dtype if isinstance(x, (numpy.ndarray, numpy.generic)) else type(x) for x in args
    )
    if "dtype" not in kwargs:
        loop_for(name, kinds)
    function = getattr(numpy, name)
    with numpy.errstate(all="ignore"):
        if _BFLOAT16 in kinds and name not in _NATIVE:
            return _in_float32(function, args, kwargs)
        return function(*args, **kwargs)


# ml_dtypes has no loop for these that keeps the dtype.
_NATIVE = frozenset(set(LOOPS) - {"float_power", "gcd", "lcm", "sinc"})


def _in_float32(function: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    wide = [x.astype(numpy.float32) if getattr(x, "dtype", None) == _BFLOAT16 else x for x in args]
    return function(*wide, **kwargs)
