"""The table of reductions, scans, statistics, distances and sorting, for the parity tests."""

from __future__ import annotations

import hypothesis.strategies as st

from tests.parity.recipes import (
    ALL,
    BOOLS,
    FLOATS,
    INTEGERS,
    SIZES,
    WIDE,
    Array,
    Call,
    Named,
    along,
    array,
    call,
    one,
    one_of,
    same_shape,
    two,
)
from tests.parity.table import Row

REAL = (*FLOATS, *INTEGERS)
DTYPES = one_of({}, {}, {"dtype": Named("float64")}, {"dtype": Named("int64")})
CORRECTION = one_of({}, {"unbiased": False}, {"correction": 0}, {"correction": 2.5})
SEVERAL = one_of((), (0,), (-1,), (0, 1), (1, 0), (0, 0), (5,))
P = one_of(0.0, 0.5, 1.0, 1.5, 2.0, 3.0, float("inf"), float("-inf"))
PLAIN = ("plain",)
FULL = tuple(shape for shape in SIZES if 0 not in shape)
UNEVEN = (
    ((2, 3), (2, 3)),
    ((3, 4), (2, 4)),
    ((2, 2, 3), (2, 4, 3)),
    ((2, 3), (2, 4)),
    ((3,), (3,)),
)


def constant(name, args, kwargs=None, **more):
    """A function whose result has no gradient."""
    return Row(name, args, kwargs, grad=0, **more)


def values_of(name):
    """The values alone, of an op that may pick any of several equal elements."""

    def of(module):
        return lambda *args, **kwargs: getattr(module, name)(*args, **kwargs).values

    return of


def picked(name):
    """The elements at the indices that an op returns."""

    def of(module):
        def call(x, *args, **kwargs):
            more = {} if name == "topk" else {"keepdim": True}
            found = getattr(module, name)(x, *args, **kwargs, **more)
            return module.gather(x, kwargs.get("dim", -1), found.indices) if x.ndim else found[0]

        return call

    return of


SUMS = [
    Row("sum", one(dims=True)),
    Row("sum", call(array(), SEVERAL), DTYPES, out=True),
    Row("nansum", one(dims=True)),
    Row("mean", one(dims=True)),
    Row("mean", call(array(), SEVERAL), DTYPES),
    Row("nanmean", one(dims=True)),
    Row("prod", one(dims=True, low=-2.0, high=2.0)),
    Row("prod", along(low=-2.0, high=2.0, keepdim=True), out=True),
    Row("logsumexp", along((*WIDE, *INTEGERS), keepdim=True, values=("plain", "grid")), out=True),
    Row("logsumexp", call(array(WIDE, values=PLAIN), one_of((0,), (0, 1), (0, 0), (5,)))),
    constant("all", one(dims=True)),
    constant("any", one(dims=True)),
    constant("all", call(array(), SEVERAL)),
    constant("count_nonzero", one()),
    constant("count_nonzero", along()),
]
EXTREMES = [
    *[Row(name, along(keepdim=True)) for name in ("max", "min")],
    *[Row(name, one()) for name in ("max", "min")],
    *[Row(name, two(scalars=False)) for name in ("max", "min")],
    *[Row(name, one(dims=True), out=True) for name in ("amax", "amin")],
    *[Row(name, call(array(), SEVERAL)) for name in ("amax", "amin")],
    Row("aminmax", one()),
    Row("aminmax", along(keepdim=True)),
    *[constant(name, one(dims=True)) for name in ("argmax", "argmin")],
]
PLACES = st.builds(
    lambda y, dim, x: Call((y, x) if x else (y,), {"dim": dim}),
    array(WIDE, ((4,), (4, 4), (4, 1, 4)), values=("plain",)),
    st.integers(-1, 0),
    st.one_of(st.none(), array(WIDE, ((4,),), values=("plain",))),
)
DIFFERENCES = [
    Row("diff", along()),
    Row("diff", call(array(shapes=FULL), one_of(0, 2, 5, -1)), out=True),
    Row(
        "diff",
        call(
            array(WIDE, ((2, 3),)),
            prepend=array(WIDE, ((2, 1), (2, 2))),
            append=array(WIDE, ((2, 1),)),
        ),
    ),
    *[Row(name, PLACES, method=False) for name in ("trapezoid", "trapz", "cumulative_trapezoid")],
]
SCANS = [
    Row("cumsum", along(REAL), inplace=True, out=True),
    Row("cumsum", along(), DTYPES),
    Row("cumprod", along(REAL, low=-2.0, high=2.0), inplace=True, out=True),
    Row("cummax", along(shapes=FULL)),
    Row("cummin", along(shapes=FULL)),
    Row("logcumsumexp", along(FLOATS, values=("plain", "grid")), out=True),
]
STATISTICS = [
    *[constant(name, one(dims=True), CORRECTION, out=True) for name in ("var", "std")],
    *[
        Row(
            name,
            along(shapes=((3,), (2, 4), (3, 3, 3)), keepdim=True),
            CORRECTION,
            grad_values=PLAIN,
        )
        for name in ("var", "std")
    ],
    *[constant(name, call(array(), SEVERAL)) for name in ("var", "std")],
    *[constant(name, call(array(), one_of(True, False))) for name in ("var", "std")],
    *[constant(name, one(dims=True), method=False) for name in ("var_mean", "std_mean")],
    *[Row(name, one(FLOATS)) for name in ("median", "nanmedian")],
    *[Row(name, one(INTEGERS, shapes=FULL)) for name in ("median", "nanmedian")],
    *[
        Row(name, along(REAL, keepdim=True), of=values_of(name), method=False, grad_values=PLAIN)
        for name in ("median", "nanmedian")
    ],
    *[
        Row(name, along(REAL, values=("plain", "grid")), of=picked(name), method=False, grad=0)
        for name in ("median", "nanmedian")
    ],
    Row("mode", along(values=("plain", "grid"))),
    Row(
        "quantile",
        one(WIDE, dims=True),
        one_of(
            {"q": 0.5},
            {"q": 0.3},
            {"q": 1.2},
            {"q": Array((3,), "float64", low=0.0, high=1.0, grad=False)},
        ),
        grad_values=PLAIN,
    ),
    Row("nanquantile", one(WIDE, dims=True), one_of({"q": 0.5}, {"q": 1.0}), grad_values=PLAIN),
    Row(
        "quantile",
        call(array(WIDE), 0.4),
        st.builds(
            lambda how: {"interpolation": how},
            one_of("lower", "higher", "midpoint", "nearest", "odd"),
        ),
        grad_values=PLAIN,
    ),
    constant(
        "histc",
        one(WIDE),
        one_of(
            {}, {"bins": 4}, {"bins": 3, "min": -1, "max": 2}, {"bins": 0}, {"min": 2, "max": 1}
        ),
    ),
    constant(
        "bincount",
        one((*INTEGERS, *BOOLS), low=-1, high=6, shapes=((5,), (0,), (2, 3)), values=PLAIN),
        one_of({}, {"minlength": 9}, {"minlength": -1}),
    ),
    constant(
        "bincount",
        call(
            array(("int64",), ((3,),), low=0, values=PLAIN), array(REAL, ((3,), (2,)), values=PLAIN)
        ),
    ),
    constant(
        "histogram",
        one(("float32", "float64"), values=PLAIN),
        one_of({"bins": 3}, {"bins": 4, "range": (-1.0, 2.0)}, {"bins": 2, "density": True}),
    ),
    constant(
        "histogramdd",
        one(("float32", "float64"), shapes=((5, 2), (1, 2), (3, 2)), values=PLAIN),
        one_of({"bins": [2, 3]}, {"bins": 2, "range": (-1.0, 2.0, 0.0, 1.5)}),
        method=False,
    ),
    Row(
        "cov",
        one(shapes=((3,), (2, 4), (3, 3), (), (1, 1), (2, 2, 2)), values=PLAIN),
        one_of({}, {"correction": 0}),
    ),
    Row("corrcoef", one(FLOATS[:2], shapes=((3,), (2, 4), (3, 3), (2, 2, 2)), values=PLAIN)),
]
DISTANCES = [
    Row("norm", one(FLOATS, dims=True), st.builds(lambda p: {"p": p}, P), grad_values=PLAIN),
    Row("norm", one(ALL, values=PLAIN)),
    Row("norm", call(array(WIDE, values=PLAIN), one_of("fro", 3), SEVERAL)),
    Row(
        "renorm",
        one(FLOATS, shapes=((2, 3), (3, 1), (2, 2, 2), (0, 3), (3,)), values=PLAIN),
        one_of(
            {"p": 2, "dim": 0, "maxnorm": 0.5},
            {"p": 1, "dim": -1, "maxnorm": 2.0},
            {"p": 2, "dim": 3, "maxnorm": 1.0},
            {"p": 2, "dim": 0, "maxnorm": -1.0},
        ),
    ),
    Row(
        "dist",
        two(FLOATS, scalars=False, values=PLAIN),
        st.builds(lambda p: {"p": p}, one_of(0.5, 1.0, 1.5, 2.0, 3.0, float("inf"))),
    ),
    Row(
        "cdist",
        two(WIDE, scalars=False, pairs=UNEVEN, values=PLAIN),
        st.builds(lambda p: {"p": p}, one_of(0.0, 1.0, 1.5, 2.0, 3.0, float("inf"))),
        grad=1,
        method=False,
    ),
    Row(
        "pdist",
        one(WIDE, shapes=((3, 2), (1, 4), (4, 3)), values=PLAIN),
        st.builds(lambda p: {"p": p}, one_of(1.0, 1.5, 2.0, 3.0, float("inf"))),
        grad=1,
        method=False,
    ),
    Row(
        "pairwise_distance",
        two(WIDE, scalars=False, values=PLAIN),
        one_of({}, {"p": 1.0}, {"keepdim": True}),
        method=False,
    ),
    Row(
        "cosine_similarity",
        same_shape(WIDE, 2, values=PLAIN),
        one_of({}, {"dim": -1}, {"dim": 0, "eps": 0.5}),
        method=False,
    ),
]
SORTING = [
    Row("sort", one(), of=values_of("sort"), method=False),
    Row(
        "sort",
        along(),
        one_of({"stable": True}, {"stable": True, "descending": True}),
        grad_values=PLAIN,
    ),
    constant("argsort", along(), one_of({"stable": True}, {"stable": True, "descending": True})),
    Row("msort", one(), out=True, grad_values=PLAIN),
    Row(
        "topk",
        call(array(), one_of(0, 1, 2, 7)),
        one_of({}, {"largest": False}, {"dim": 0}),
        of=values_of("topk"),
        method=False,
        grad_values=PLAIN,
    ),
    constant("topk", call(array(REAL, ((4,), (2, 3), ())), 1), of=picked("topk"), method=False),
    Row(
        "kthvalue",
        call(array(REAL), one_of(0, 1, 2, 7)),
        one_of({}, {"keepdim": True}, {"dim": 0}),
        of=values_of("kthvalue"),
        method=False,
        grad_values=PLAIN,
    ),
    constant(
        "unique",
        one(values=("plain", "grid")),
        one_of(
            {},
            {"return_inverse": True},
            {"return_counts": True},
            {"return_inverse": True, "return_counts": True},
        ),
    ),
    constant(
        "unique",
        along((*WIDE, *INTEGERS), values=("grid",), low=-1, high=1),
        one_of({}, {"return_inverse": True, "return_counts": True}),
    ),
    constant(
        "unique_consecutive",
        one(values=("plain", "grid")),
        one_of({}, {"return_inverse": True, "return_counts": True}),
    ),
    constant(
        "unique_consecutive",
        along((*WIDE, *INTEGERS), values=("grid",), low=-1, high=1),
        one_of({}, {"return_inverse": True, "return_counts": True}),
    ),
]
SORTED_ROWS = st.builds(
    lambda rows, values, more: Call((rows, values), more),
    array(WIDE, ((4,), (2, 4), (0,), (2, 1, 3)), values=("sorted",)),
    array(WIDE, ((3,), (2, 3), (), (2, 1, 2), (0,)), values=("plain", "grid")),
    one_of(
        {}, {"right": True}, {"side": "right"}, {"out_int32": True}, {"side": "left", "right": True}
    ),
)
SORTING += [
    constant("searchsorted", SORTED_ROWS, method=False),
    constant(
        "searchsorted", call(array(WIDE, ((4,),), values=("sorted",)), one_of(0.5, 2)), method=False
    ),
    constant(
        "bucketize",
        call(array(REAL), array(REAL, ((4,), (0,), (2, 2)), values=("sorted",))),
        one_of({}, {"right": True}, {"out_int32": True}),
        method=False,
    ),
    constant("bucketize", call(1.5, array(REAL, ((4,),), values=("sorted",))), method=False),
]
REDUCTIONS = [*SUMS, *DIFFERENCES, *EXTREMES, *SCANS, *STATISTICS, *DISTANCES]
