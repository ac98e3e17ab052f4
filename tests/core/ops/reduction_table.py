"""The rows of the primitives that reduce, scan and sort."""

from __future__ import annotations

import functools
import itertools
import math
import statistics as python_statistics
from collections.abc import Callable
from typing import Any

import numpy

from core.ops import extreme, gamma, quantile, reduce, scan, sort, special, statistics, vector_norm
from tests.core.ops.op_table import (
    ARITHMETIC,
    BITS,
    CHOICES,
    COMPARISONS,
    EXPONENTIAL,
    NAN,
    POSITIVE,
    PRIME,
    ROUNDING,
    TIED,
    TRIGONOMETRIC,
    Row,
    X,
    drawn,
    each,
    one,
    whole,
)


def rowwise(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a Python list, for each row; further arguments are left out."""
    return lambda x, *rest: numpy.array([function([float(v) for v in row]) for row in x])


def parts(*functions: Callable[..., Any]) -> Callable[..., Any]:
    """Several results, each of its own function of the same arguments."""
    return lambda *args: tuple(function(*args) for function in functions)


def running(function: Callable[..., float]) -> Callable[..., Any]:
    """The accumulation of a function of two numbers along each row."""
    return rowwise(lambda row: list(itertools.accumulate(row, function)))


def last_reached(best: Callable[[list[float]], float]) -> Callable[[list[float]], list[int]]:
    """For each beginning of a row, the last index of its best element."""

    def found(row: list[float]) -> list[int]:
        heads = [row[: k + 1] for k in range(len(row))]
        return [max(i for i, v in enumerate(head) if v == best(head)) for head in heads]

    return found


def solved(g: Any, a: Any, dim: int) -> Any:
    out = numpy.zeros_like(g)
    for r, k in itertools.product(range(g.shape[0]), reversed(range(g.shape[1]))):
        out[r, k] = g[r, k] + (a[r, k] * out[r, k + 1] if k + 1 < g.shape[1] else 0)
    return out


def order(row: list[float]) -> list[int]:
    return sorted(range(len(row)), key=row.__getitem__)


def low_middle(row: list[float]) -> float:
    return python_statistics.median_low(v for v in row if v == v)


LOG_SUM = rowwise(lambda row: math.log(math.fsum(map(math.exp, row))))
PRODUCT = rowwise(math.prod)
SUMS = [
    Row(reduce.sum, (X, 1), rowwise(math.fsum)),
    Row(reduce.sum, (X, None), lambda x, d: math.fsum(x.flat)),
    Row(reduce.nansum, (X, 1), rowwise(math.fsum)),
    Row(reduce.nansum, (NAN, 1), rowwise(lambda row: math.fsum(v for v in row if v == v)), ()),
    Row(reduce.mean, (X, 1), rowwise(python_statistics.fmean), empty=False),
    Row(reduce.count_nonzero, (PRIME, 1), rowwise(lambda row: len(row) - row.count(0)), ()),
    Row(reduce.prod, (X, 1), PRODUCT),
    Row(reduce.prod, (PRIME, 1), PRODUCT),
    Row(reduce.prod, (PRIME, None), lambda x, d: math.prod(x.flat)),
    Row(reduce.logsumexp, (X, 1), LOG_SUM, empty=False),
    Row(reduce.all, (PRIME, 1), rowwise(all), ()),
    Row(reduce.any, (PRIME, 1), rowwise(any), ()),
]
EXTREMES = [
    Row(extreme.amax, (X, 1), rowwise(max), empty=False),
    Row(extreme.amin, (X, 1), rowwise(min), empty=False),
    one(extreme, "largest_of_all", lambda x: max(x.flat), empty=False),
    one(extreme, "smallest_of_all", lambda x: min(x.flat), empty=False),
    *[
        Row(
            call, (X, 1, False),
            parts(rowwise(best), rowwise(lambda r, b=best: r.index(b(r)))), empty=False,
        )
        for call, best in ((extreme.largest_along, max), (extreme.smallest_along, min))
    ],
    Row(
        extreme.set_along, (X, whole(0, 1) + [1, 3, 0], 1, (2, 4)),
        lambda g, *_: numpy.stack([g[:, 2], g[:, 0], 0 * g[:, 0], g[:, 1]], 1), empty=False,
    ),
    Row(extreme.argmax, (TIED, 1), rowwise(lambda r: r.index(max(r))), (), empty=False),
    Row(extreme.argmin, (TIED, 1), rowwise(lambda r: r.index(min(r))), (), empty=False),
]  # fmt: skip
SCANS = [
    Row(scan.cumsum, (X, 1), running(lambda a, b: a + b)),
    Row(scan.cumprod, (X, 1), running(lambda a, b: a * b)),
    Row(scan.cumprod, (PRIME, 1), running(lambda a, b: a * b)),
    Row(scan.shifted, (X, 1, 5.0), rowwise(lambda row: [5.0, *row[:-1]])),
    Row(scan.recurrence, (X, drawn(0.5, 1.5), 1), solved, (0, 1)),
    Row(scan.cummax, (TIED, 1), parts(running(max), rowwise(last_reached(max))), ()),
    Row(scan.cummin, (TIED, 1), parts(running(min), rowwise(last_reached(min))), ()),
    Row(scan.cummax, (X, 1), parts(running(max), rowwise(last_reached(max)))),
    Row(scan.logcumsumexp, (X, 1), running(lambda a, b: math.log(math.exp(a) + math.exp(b)))),
]
MIDDLE = parts(rowwise(low_middle), rowwise(lambda r: r.index(low_middle(r))))
STATISTICS = [
    Row(statistics.variance, (X, 1, 1, False), rowwise(python_statistics.variance), empty=False),
    Row(statistics.deviation, (X, 1, 0, False), rowwise(python_statistics.pstdev), empty=False),
    Row(statistics.median_along, (X, 1, False), MIDDLE, empty=False),
    Row(statistics.nanmedian_along, (X, 1, False), MIDDLE, empty=False),
    Row(statistics.nanmedian_along, (NAN, 1, False), MIDDLE, (), empty=False),
    one(statistics, "median_of_all", lambda x: low_middle(list(x.flat)), empty=False),
    one(statistics, "nanmedian_of_all", lambda x: low_middle(list(x.flat)), empty=False),
    Row(
        statistics.mode_along, (TIED, 1, False),
        parts(rowwise(python_statistics.mode), lambda *_: numpy.array([2, 2])), (), empty=False,
    ),
    Row(quantile.histc, (X, 4, -2, 2), lambda x, *_: numpy.histogram(x, 4, (-2, 2))[0], ()),
    Row(
        quantile.bincount, (whole(0, 5, (6,)),),
        lambda x: numpy.array([list(x).count(k) for k in range(int(max(x)) + 1)]), (), empty=False,
    ),
]  # fmt: skip
SORTS = [
    Row(sort.sort_along, (X, 1, False), parts(rowwise(sorted), rowwise(order))),
    Row(
        sort.largest_few, (X, 2, 1, True),
        parts(rowwise(lambda r: sorted(r)[:-3:-1]), rowwise(lambda r: order(r)[:-3:-1])),
        empty=False,
    ),
    Row(
        sort.ranked, (X, 2, 1, False),
        parts(rowwise(lambda r: sorted(r)[1]), rowwise(lambda r: order(r)[1])), empty=False,
    ),
    Row(
        sort.places, (numpy.sort(TIED[0]), TIED, False, False),
        lambda s, v, *_: each(lambda x: sum(s < x))(v), (), halves=False,
    ),
    Row(
        sort.places, (numpy.sort(TIED, 1), TIED, True, False),
        lambda s, v, *_: (s[:, None, :] <= v[:, :, None]).sum(2), (), halves=False,
    ),
]  # fmt: skip
NORMS = [
    Row(vector_norm.vector_norm, (X, p, 1), rowwise(f), empty=math.isfinite(p))
    for p, f in (
        (0.0, lambda row: len(row)),
        (1.0, lambda row: math.fsum(map(abs, row))),
        (2.0, lambda row: math.hypot(*row)),
        (1.5, lambda row: math.fsum(abs(v) ** 1.5 for v in row) ** (1 / 1.5)),
        (3.0, lambda row: math.fsum(abs(v) ** 3 for v in row) ** (1 / 3)),
        (math.inf, lambda row: max(map(abs, row))),
        (-math.inf, lambda row: min(map(abs, row))),
    )
]


def bessel(n: int) -> Callable[..., Any]:
    """The modified Bessel function of order `n`, by its power series."""
    return each(
        lambda x: math.fsum(
            (x / 2) ** (2 * k + n) / (math.factorial(k) * math.factorial(k + n)) for k in range(40)
        )
    )


def digamma(x: float) -> float:
    """By its series, summed to 20 000 terms with the rest as an integral."""
    n = 20_000
    z = x + n
    rest = math.log(z) - 1 / (2 * z) - 1 / (12 * z * z)
    return rest - math.fsum(1 / (x + k) for k in range(n))


def polygamma(x: float, n: int) -> float:
    """By its series, in the same way."""
    m = 20_000
    z = x + m
    rest = z**-n / n + z ** (-n - 1) / 2 + (n + 1) * z ** (-n - 2) / 12
    total = math.fsum((x + k) ** (-n - 1) for k in range(m)) + rest
    return (-1) ** (n + 1) * math.factorial(n) * total


SPECIAL = [
    one(special, "erf", each(math.erf), 1.5 * X),
    one(special, "erfc", each(math.erfc), 1.5 * X),
    Row(special.erfinv, (each(math.erf)(X),), lambda y: X),
    one(special, "i0", bessel(0), 3 * X),
    one(special, "i1", bessel(1), 3 * X),
    one(special, "i0e", lambda x: bessel(0)(x) * numpy.exp(-abs(x)), 3 * X),
    one(special, "i1e", lambda x: bessel(1)(x) * numpy.exp(-abs(x)), 3 * X),
    one(special, "erfcx", lambda x: each(math.erfc)(x) * numpy.exp(x * x)),
    one(special, "i1_over", lambda x: bessel(1)(x) / x, 3 * X, orders=1),
    one(special, "slope_over", lambda x: bessel(2)(x) / x, 3 * X, orders=0),
    one(gamma, "lgamma", each(math.lgamma), 3 * POSITIVE),
    one(gamma, "lgamma", each(math.lgamma), 3 * X + 0.03),
    one(gamma, "digamma", each(digamma), 3 * POSITIVE),
    Row(gamma.derivative_of_digamma, (POSITIVE, 1), each(functools.partial(polygamma))),
    Row(gamma.derivative_of_digamma, (POSITIVE, 2), each(functools.partial(polygamma))),
]
ROWS = [
    *ARITHMETIC, *EXPONENTIAL, *TRIGONOMETRIC, *ROUNDING, *CHOICES, *BITS, *COMPARISONS, *SUMS,
    *EXTREMES, *SCANS, *STATISTICS, *SORTS, *NORMS, *SPECIAL,
]  # fmt: skip
