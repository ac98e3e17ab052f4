"""Sorting, distinct elements and places in a sequence agree with PyTorch in every form."""

import pytest

import core
from core.ops import sort, unique
from tests.parity.recipes import torch
from tests.parity.reduce_table import SORTING
from tests.parity.table import (
    hold,
    same_gradients,
    same_method,
    same_out,
    same_outcome,
)


@pytest.mark.parametrize("row", SORTING, ids=str)
def test_values(row):
    hold(row, same_outcome)


@pytest.mark.parametrize("row", [row for row in SORTING if row.method], ids=str)
def test_method(row):
    hold(row, same_method)


@pytest.mark.parametrize("row", [row for row in SORTING if row.out], ids=str)
def test_out(row):
    hold(row, same_out)


@pytest.mark.parametrize("row", [row for row in SORTING if row.grad], ids=str)
def test_gradients(row):
    hold(row, same_gradients)


@pytest.mark.parametrize("family", [sort, unique], ids=lambda m: m.__name__)
def test_every_public_op_has_a_row(family):
    have = [row.name for row in SORTING]
    assert [name for name in family.__all__ if name not in have] == []


@pytest.mark.parametrize("name", ["sort", "max", "min", "median", "mode", "cummax", "cummin"])
def test_results_with_names_are_printed_alike(name):
    x = [[1.5, 3.0, 2.0], [0.0, -1.0, 4.0]]
    expected = repr(getattr(torch, name)(torch.tensor(x), dim=1))
    assert repr(getattr(core, name)(core.tensor(x, device="cpu"), dim=1)) == expected.replace(
        "torch", "core"
    )
