"""The table of pointwise ops, reductions, scans, statistics and sorting, for the parity tests."""

from __future__ import annotations

from tests.parity.recipes import one, one_of, two
from tests.parity.table import Row

POINTWISE = [
    Row("add", two(), one_of({}, {"alpha": 2}), inplace=True, out=True),
    Row("mul", two(), inplace=True, out=True),
    Row("exp", one(), inplace=True, out=True),
]
REDUCTIONS = [
    Row("sum", one(dims=True), out=False),
]
SORTING: list[Row] = []
