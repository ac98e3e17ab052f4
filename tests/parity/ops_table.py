"""The table of pointwise ops for the parity tests."""

from __future__ import annotations

from tests.parity.recipes import (
    ALL,
    BOOLS,
    FLOATS,
    INTEGERS,
    WIDE,
    array,
    call,
    one,
    one_of,
    same_shape,
    two,
)
from tests.parity.table import Row

WHOLE = (*INTEGERS, *BOOLS)
ROUNDING = one_of(
    {}, {"rounding_mode": "floor"}, {"rounding_mode": "trunc"}, {"rounding_mode": "x"}
)
ALPHA = one_of({}, {"alpha": 2}, {"alpha": -0.5}, {"alpha": True})


def smooth(name, low=-4.0, high=4.0, **more):
    """A differentiable function of one floating tensor, in place and with out=."""
    return Row(name, one(low=low, high=high), inplace=True, out=True, **more)


def constant(name, args, kwargs=None, **more):
    """A function whose result has no gradient."""
    return Row(name, args, kwargs, grad=0, **more)


ARITHMETIC = [
    Row("add", two(), ALPHA, inplace=True, out=True),
    Row("sub", two(), ALPHA, inplace=True, out=True),
    Row("subtract", two(), ALPHA, inplace=True, out=True),
    Row("rsub", two(scalars=False), method=False),
    Row("mul", two(), inplace=True, out=True),
    Row("multiply", two(), inplace=True, out=True),
    Row("div", two(), ROUNDING, inplace=True, out=True, grad_values=("plain",)),
    Row("divide", two(), ROUNDING, inplace=True, out=True, grad_values=("plain",)),
    Row("true_divide", two(), inplace=True, out=True, grad_values=("plain",)),
    Row("floor_divide", two(), inplace=True, out=True, grad=0),
    Row("remainder", two(), inplace=True, out=True, grad_values=("plain",)),
    Row("fmod", two(), inplace=True, out=True, grad_values=("plain",)),
    Row("pow", two(low=1.0), inplace=True, out=True),
    Row("pow", two(INTEGERS, low=-2, high=3), grad=0, inplace=True, out=True),
    Row("pow", call(one_of(2, 0.5, 3), array()), method=False, out=True),
    Row("float_power", two(low=1.0), out=True),
    Row("square", one(), inplace=True, out=True),
    Row("reciprocal", one(), inplace=True, out=True, grad_values=("plain",)),
    Row("neg", one(), inplace=True, out=True),
    Row("negative", one(), inplace=True, out=True),
    Row("positive", one()),
    Row("abs", one(), inplace=True, out=True),
    Row("absolute", one(), inplace=True, out=True),
    Row("sign", one(), inplace=True, out=True),
    Row("sgn", one(), inplace=True, out=True),
    constant("signbit", one((*WIDE, *WHOLE)), out=True),
    Row("ldexp", two(scalars=False, values=("plain", "grid")), out=True),
    Row("lerp", same_shape(FLOATS, 3), inplace=True, out=True),
    Row("lerp", same_shape(FLOATS, 2, 0.25), inplace=True, out=True),
    Row("lerp", call(array(), array(), 0.25)),
    Row("addcmul", same_shape(ALL, 3), one_of({}, {"value": 2}), inplace=True, out=True),
    Row("addcmul", call(array(), array(), array()), one_of({}, {"value": 2})),
    Row(
        "addcdiv",
        same_shape(ALL, 3),
        one_of({}, {"value": 2}),
        inplace=True,
        out=True,
        grad_values=("plain",),
    ),
    constant("gcd", two(INTEGERS, scalars=False), inplace=True, out=True),
    constant("lcm", two(INTEGERS, scalars=False, low=-9, high=9, values=("plain",)), out=True),
]
EXPONENTIAL = [
    *[smooth(name) for name in "exp exp2 expm1 sigmoid".split()],
    *[smooth(name, 0.01) for name in "log log2 log10 log1p sqrt rsqrt".split()],
    Row(
        "logit",
        one((*WIDE, *WHOLE), low=0.0, high=1.0),
        one_of({}, {"eps": 0.1}),
        inplace=True,
        out=True,
    ),
    Row("logaddexp", two(FLOATS, scalars=False), out=True),
    Row("logaddexp2", two(FLOATS, scalars=False), out=True),
    Row("xlogy", two(low=0.0), inplace=True, out=True, grad_values=("plain",)),
]
TRIGONOMETRIC = [
    *[smooth(name) for name in "sin cos tan sinh cosh tanh atan asinh deg2rad rad2deg".split()],
    *[smooth(name, -0.9, 0.9) for name in "asin acos atanh".split()],
    *[smooth(name) for name in "arctan arcsinh".split()],
    *[smooth(name, -0.9, 0.9) for name in "arcsin arccos arctanh".split()],
    *[smooth(name, 1.1, 5.0) for name in "acosh arccosh".split()],
    smooth("sinc", grad_values=("plain",)),
    Row("atan2", two(scalars=False), inplace=True, out=True),
    Row("arctan2", two(scalars=False), inplace=True, out=True, grad_values=("plain",)),
    Row("hypot", two(FLOATS, scalars=False), inplace=True, out=True, grad_values=("plain",)),
]
ROUNDED = [
    *[Row(name, one(), inplace=True, out=True) for name in "floor ceil trunc fix frac".split()],
    Row("round", one(), inplace=True, out=True),
    Row("round", one(FLOATS, values=("plain",)), one_of({"decimals": 1}, {"decimals": -1})),
    Row("copysign", two(scalars=False), inplace=True, out=True, grad_values=("plain",)),
    Row("frexp", one()),
    constant("nextafter", two(("float32", "float64"), scalars=False), inplace=True, out=True),
]
CHOICES = [
    *[Row(name, two(scalars=False), out=True) for name in "maximum minimum fmax fmin".split()],
    Row(
        "clamp",
        one(),
        one_of({"min": -1}, {"max": 1.5}, {"min": -1, "max": 2}, {}, {"min": 2, "max": -1}),
        inplace=True,
        out=True,
    ),
    Row("clip", one(), one_of({"min": -1}, {"max": 1}, {"min": -1, "max": 2}), inplace=True),
    Row("clamp", same_shape(ALL, 3)),
    Row("clamp", call(array(), max=array())),
    Row("clamp_min", two(), inplace=True, out=True),
    Row("clamp_max", two(), inplace=True, out=True),
    Row("relu", one(), inplace=True),
    Row(
        "nan_to_num",
        one(),
        one_of({}, {"nan": 1.0}, {"posinf": 9.0, "neginf": -9.0}),
        inplace=True,
        out=True,
    ),
    constant("heaviside", two(scalars=False), inplace=True, out=True),
    Row("where", call(array(BOOLS), array(), array()), method=False),
    Row("where", call(array(ALL), array(), one_of(1, 0.5, True)), method=False),
    Row("where", call(array(BOOLS), one_of(1, 0.5, True), one_of(2, 1.5, False)), method=False),
    Row("where", one(), method=False),
]
BITWISE = [
    *[constant(f"bitwise_{name}", two(), inplace=True, out=True) for name in "and or xor".split()],
    constant("bitwise_not", one(), inplace=True, out=True),
    *[
        constant(
            f"bitwise_{name}_shift",
            two(INTEGERS, low=0, high=9, values=("plain",)),
            inplace=True,
            out=True,
        )
        for name in ("left", "right")
    ],
    *[
        constant(f"logical_{name}", two(scalars=False), inplace=True, out=True)
        for name in "and or xor".split()
    ],
    constant("logical_not", one(), inplace=True, out=True),
]
COMPARED = [
    *[
        constant(name, two(), inplace=True, out=True)
        for name in "eq ne lt le gt ge not_equal less less_equal greater greater_equal".split()
    ],
    *[constant(name, one()) for name in "isnan isinf isfinite isreal".split()],
    *[constant(name, one(), out=True) for name in "isposinf isneginf".split()],
    *[
        constant(
            name,
            two(scalars=False),
            one_of({}, {"equal_nan": True}, {"rtol": 0.5, "atol": 0.1}, {"rtol": -1.0}),
        )
        for name in ("isclose", "allclose")
    ],
    constant("equal", two(scalars=False)),
    constant(
        "isin",
        two(values=("grid",), pairs=(((3,), (4,)), ((0,), (2,)), ((5,), (1,)))),
        one_of({}, {"invert": True}),
        method=False,
    ),
]
SPECIAL = [
    *[smooth(name) for name in "erf erfc".split()],
    smooth("digamma", grad_values=("plain",)),
    smooth("lgamma", grad_values=("plain",)),
    smooth("erfinv", -0.95, 0.95),
    Row("i0", one(), inplace=True, out=True),
    Row(
        "polygamma",
        call(one_of(0, 1, 2, 3, -1), array(low=0.5, values=("plain", "grid"))),
        method=False,
    ),
    Row("mvlgamma", call(array(FLOATS, low=2.0, values=("plain",)), one_of(1, 3))),
]
POINTWISE = [
    *SPECIAL,
    *ARITHMETIC,
    *EXPONENTIAL,
    *TRIGONOMETRIC,
    *ROUNDED,
    *CHOICES,
    *BITWISE,
    *COMPARED,
]
