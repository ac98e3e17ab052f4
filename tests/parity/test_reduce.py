"""Reductions, scans and statistics agree with PyTorch in every form they have."""

import pytest

from core.ops import distance, extreme, quantile, reduce, scan, statistics, vector_norm
from tests.parity.reduce_table import REDUCTIONS
from tests.parity.table import (
    hold,
    same_gradients,
    same_inplace,
    same_method,
    same_out,
    same_outcome,
)


@pytest.mark.parametrize("row", REDUCTIONS, ids=str)
def test_values(row):
    hold(row, same_outcome)


@pytest.mark.parametrize("row", [row for row in REDUCTIONS if row.method], ids=str)
def test_method(row):
    hold(row, same_method)


@pytest.mark.parametrize("row", [row for row in REDUCTIONS if row.inplace], ids=str)
def test_in_place(row):
    hold(row, same_inplace)


@pytest.mark.parametrize("row", [row for row in REDUCTIONS if row.out], ids=str)
def test_out(row):
    hold(row, same_out)


@pytest.mark.parametrize("row", [row for row in REDUCTIONS if row.grad], ids=str)
def test_gradients(row):
    hold(row, same_gradients)


@pytest.mark.parametrize(
    "family",
    [distance, extreme, quantile, reduce, scan, statistics, vector_norm],
    ids=lambda m: m.__name__,
)
def test_every_public_op_has_a_row(family):
    have = [row.name for row in REDUCTIONS]
    assert [name for name in family.__all__ if name not in have] == []
