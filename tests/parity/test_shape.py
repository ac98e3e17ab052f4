"""Shape ops agree with PyTorch in every form they have."""

import pytest

from tests.parity.shape_table import PADDED, SHAPES
from tests.parity.table import (
    hold,
    same_gradients,
    same_inplace,
    same_method,
    same_out,
    same_outcome,
)

ROWS = [*SHAPES, *PADDED]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_values(row):
    hold(row, same_outcome)


@pytest.mark.parametrize("row", [row for row in ROWS if row.method], ids=str)
def test_method(row):
    hold(row, same_method)


@pytest.mark.parametrize("row", [row for row in ROWS if row.inplace], ids=str)
def test_in_place(row):
    hold(row, same_inplace)


@pytest.mark.parametrize("row", [row for row in ROWS if row.out], ids=str)
def test_out(row):
    hold(row, same_out)


@pytest.mark.parametrize("row", [row for row in ROWS if row.grad], ids=str)
def test_gradients(row):
    hold(row, same_gradients)
