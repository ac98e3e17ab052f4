"""Pointwise ops agree with PyTorch in every form they have."""

import pytest

import core
from core.ops import (
    bitwise,
    choice,
    compare,
    division,
    elementwise,
    exponential,
    gamma,
    rounding,
    special,
    trigonometric,
)
from tests.parity.ops_table import POINTWISE
from tests.parity.recipes import ALL, Array, build, torch
from tests.parity.table import (
    hold,
    same_gradients,
    same_inplace,
    same_method,
    same_out,
    same_outcome,
)


@pytest.mark.parametrize("row", POINTWISE, ids=str)
def test_values(row):
    hold(row, same_outcome)


@pytest.mark.parametrize("row", [row for row in POINTWISE if row.method], ids=str)
def test_method(row):
    hold(row, same_method)


@pytest.mark.parametrize("row", [row for row in POINTWISE if row.inplace], ids=str)
def test_in_place(row):
    hold(row, same_inplace)


@pytest.mark.parametrize("row", [row for row in POINTWISE if row.out], ids=str)
def test_out(row):
    hold(row, same_out)


@pytest.mark.parametrize("row", [row for row in POINTWISE if row.grad], ids=str)
def test_gradients(row):
    hold(row, same_gradients)


@pytest.mark.parametrize(
    "family",
    [
        bitwise,
        choice,
        compare,
        division,
        elementwise,
        exponential,
        gamma,
        rounding,
        special,
        trigonometric,
    ],
    ids=lambda m: m.__name__,
)
def test_every_public_op_has_a_row(family):
    have = [row.name for row in POINTWISE]
    assert [name for name in family.__all__ if name not in have] == []


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("other", [*ALL, 2, 2.5, True], ids=str)
def test_two_operands_have_one_dtype(dtype, other):
    """PyTorch's promotion table: by dims, then zero-dim tensors, then numbers."""
    for shape, second in (((2,), (2,)), ((2,), ()), ((), ()), ((), (2,))):
        pairs = []
        for library in ("torch", "core"):
            b = build(Array(second, other), library) if isinstance(other, str) else other
            pairs.append((build(Array(shape, dtype), library), b))
        expected = str(torch.result_type(*pairs[0])).replace("torch", "core")
        assert str(core.result_type(*pairs[1])) == expected
        product = [str((a * b).dtype) for a, b in pairs]
        assert product[1] == product[0].replace("torch", "core")
