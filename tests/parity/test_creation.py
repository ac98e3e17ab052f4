"""Creation functions make what PyTorch's make: values, dtype, shape; wrong input raises alike."""

import pickle

import numpy
import pytest

import core
from tests.parity.recipes import torch
from tests.parity.table import Row, outcome, same

CALLS = {
    "zeros": lambda m: m.zeros(2, 3),
    "zeros of a tuple": lambda m: m.zeros((2, 0), dtype=m.int32),
    "zeros by keyword": lambda m: m.zeros(size=(2,)),
    "ones": lambda m: m.ones(2, 3, dtype=m.float16),
    "no sizes": lambda m: m.ones(()),
    "full": lambda m: m.full((2, 2), 7),
    "full of a float": lambda m: m.full((2,), 0.5),
    "full of a bool": lambda m: m.full((2,), True),
    "full with dtype": lambda m: m.full((2,), 3, dtype=m.float64),
    "zeros_like": lambda m: m.zeros_like(m.ones(2, 3, dtype=m.int16)),
    "full_like": lambda m: m.full_like(m.ones(2), 2.5),
    "ones_like with dtype": lambda m: m.ones_like(m.ones(2), dtype=m.bool),
    "eye": lambda m: m.eye(3),
    "eye not square": lambda m: m.eye(2, 4, dtype=m.int64),
    "arange": lambda m: m.arange(5),
    "arange of floats": lambda m: m.arange(1.0, 2.0, 0.3),
    "arange downwards": lambda m: m.arange(5, 0, -2),
    "arange with dtype": lambda m: m.arange(3, dtype=m.float64),
    "arange of nothing": lambda m: m.arange(2, 2),
    "arange by keywords": lambda m: m.arange(start=1, end=4, step=2),
    "arange of large whole numbers": lambda m: m.arange(2**60, 2**60 + 3),
    "linspace": lambda m: m.linspace(0, 1, 5),
    "linspace of one": lambda m: m.linspace(3, 9, 1),
    "linspace of none": lambda m: m.linspace(3, 9, 0),
    "linspace downwards": lambda m: m.linspace(2, -2, 7, dtype=m.float64),
    "logspace": lambda m: m.logspace(0, 3, 4),
    "logspace of base 2": lambda m: m.logspace(0, 3, 4, base=2.0, dtype=m.float64),
    "tril_indices": lambda m: m.tril_indices(3, 4, 1),
    "triu_indices": lambda m: m.triu_indices(3, 4, -1),
    "meshgrid": lambda m: m.meshgrid(m.arange(2), m.arange(3), indexing="ij"),
    "meshgrid xy": lambda m: m.meshgrid(m.arange(2), m.arange(3), indexing="xy"),
    "meshgrid of three": lambda m: m.meshgrid([m.arange(2), m.tensor(1)], indexing="ij"),
    "cartesian_prod": lambda m: m.cartesian_prod(m.arange(2), m.arange(3)),
    "combinations": lambda m: m.combinations(m.arange(4)),
    "combinations of three": lambda m: m.combinations(m.arange(4), 3, True),
    "one_hot": lambda m: m.nn.functional.one_hot(m.tensor([0, 2]), 4),
    "tensor of ints": lambda m: m.tensor([[1, 2], [3, 4]]),
    "tensor of floats": lambda m: m.tensor([1, 2.5]),
    "tensor of bools": lambda m: m.tensor([True, False]),
    "tensor of bools and ints": lambda m: m.tensor([True, 2]),
    "tensor of nothing": lambda m: m.tensor([]),
    "tensor of nested nothing": lambda m: m.tensor([[], []]),
    "tensor of a number": lambda m: m.tensor(3),
    "tensor of tensors": lambda m: m.tensor([m.tensor(1.5), m.tensor(2)]),
    "tensor of an array": lambda m: m.tensor(numpy.arange(3, dtype=numpy.int16)),
    "tensor of numpy numbers": lambda m: m.tensor([numpy.float64(1.5), numpy.float64(2)]),
    "tensor with dtype": lambda m: m.tensor([1.7, -1.7], dtype=m.int64),
    "as_tensor": lambda m: m.as_tensor([1.0, 2.0]),
    "as_tensor of an array": lambda m: m.as_tensor(numpy.ones(2), dtype=m.float32),
    "asarray": lambda m: m.asarray(numpy.ones(2)),
    "scalar_tensor": lambda m: m.scalar_tensor(3),
    "from_numpy": lambda m: m.from_numpy(numpy.ones((2, 2), numpy.uint8)),
    "FloatTensor": lambda m: m.FloatTensor([1, 2]),
    "LongTensor": lambda m: m.LongTensor([[1], [2]]),
    "new_zeros": lambda m: m.ones(1, dtype=m.int32).new_zeros(2, 3),
    "new_ones": lambda m: m.ones(1).new_ones((2, 3), dtype=m.bool),
    "new_full": lambda m: m.ones(1, dtype=m.float64).new_full((2,), 3),
    "new_tensor": lambda m: m.ones(1, dtype=m.float64).new_tensor([1, 2]),
    "requires_grad": lambda m: m.zeros(2, requires_grad=True).requires_grad,
    "strides of zeros_like": lambda m: m.zeros_like(m.ones(2, 3).t()).stride(),
    "strides of empty_strided": lambda m: m.empty_strided((2, 3), (1, 2)).stride(),
    "out": lambda m: m.ones(3, out=m.zeros(3)),
    "memory": lambda m: m.ones(2, pin_memory=False, layout=m.strided),
    "shape of randn": lambda m: m.randn(2, 3, dtype=m.float64).shape[1],
    "dtype of randint": lambda m: m.randint(0, 5, (3,)) * 0,
    "sorted randperm": lambda m: m.randperm(7).sort().values,
    "bernoulli of certainties": lambda m: m.bernoulli(m.tensor([0.0, 1.0])),
    "multinomial of one": lambda m: m.multinomial(m.tensor([[0.0, 1.0], [2.0, 0.0]]), 3, True),
    "multinomial of all": lambda m: m.multinomial(m.ones(4), 4).sort().values,
    "normal without spread": lambda m: m.normal(m.arange(3.0), m.zeros(3)),
    "normal with size": lambda m: m.normal(0.0, 0.0, (2,)),
    "uniform_": lambda m: m.empty(3).uniform_(2.0, 2.0),
    "normal_": lambda m: m.empty(3, dtype=m.float64).normal_(1.5, 0.0),
    "random_": lambda m: m.empty(3, dtype=m.int64).random_(4, 5),
    "bernoulli_": lambda m: m.empty(3).bernoulli_(1.0),
}  # fmt: skip
WRONG = {
    "negative size": lambda m: m.zeros(-1),
    "float size": lambda m: m.zeros(2.0),
    "unknown option": lambda m: m.zeros(2, colour=1),
    "full of an int size": lambda m: m.full(2, 1),
    "ragged": lambda m: m.tensor([[1, 2], [3]]),
    "string": lambda m: m.tensor("a"),
    "none": lambda m: m.tensor(None),
    "integers that require grad": lambda m: m.tensor([1, 2], requires_grad=True),
    "arange without step": lambda m: m.arange(0, 3, 0),
    "arange the wrong way": lambda m: m.arange(0, 3, -1),
    "linspace of less than none": lambda m: m.linspace(0, 1, -1),
    "eye of less than none": lambda m: m.eye(-1),
    "meshgrid of matrices": lambda m: m.meshgrid(m.ones(2, 2), indexing="ij"),
    "meshgrid by another name": lambda m: m.meshgrid(m.ones(2), indexing="no"),
    "from_numpy of a list": lambda m: m.from_numpy([1]),
    "randint of nothing": lambda m: m.randint(5, 5, (2,)),
    "randn of integers": lambda m: m.randn(2, dtype=m.int64),
    "randperm of less than none": lambda m: m.randperm(-1),
    "bernoulli of two": lambda m: m.bernoulli(m.tensor([2.0])),
    "bernoulli of integers": lambda m: m.bernoulli(m.tensor([1])),
    "multinomial of too many": lambda m: m.multinomial(m.ones(2), 3),
    "multinomial of zeros": lambda m: m.multinomial(m.zeros(2), 1),
    "multinomial of less than zero": lambda m: m.multinomial(-m.ones(2), 1),
    "normal of less than zero": lambda m: m.normal(0.0, -1.0, (2,)),
    "uniform_ upside down": lambda m: m.zeros(2).uniform_(1, 0),
    "normal_ into integers": lambda m: m.zeros(2, dtype=m.int64).normal_(),
    "normal_ into a leaf": lambda m: m.zeros(2, requires_grad=True).normal_(),
    "combinations of a matrix": lambda m: m.combinations(m.ones(2, 2)),
}
ROW = Row("creation", None)


@pytest.mark.parametrize("name", CALLS)
def test_values(name):
    same(ROW, CALLS[name](torch), CALLS[name](core))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_raises_what_pytorch_raises(name):
    expected, actual = (outcome(WRONG[name], (m,), {}) for m in (torch, core))
    assert isinstance(expected, Exception)
    assert isinstance(actual, type(expected)), (expected, actual)


def test_tensors_of_arrays_share_memory_where_pytorchs_do():
    for module in (torch, core):
        array = numpy.zeros(3)
        module.from_numpy(array)[0] = 1
        module.as_tensor(array)[1] = 1
        module.asarray(array)[2] = 1
        module.tensor(array)[0] = 9
        module.asarray(array, copy=True)[0] = 9
        assert array.tolist() == [1, 1, 1]


def test_seeds_repeat_and_generators_are_apart():
    first = core.randn(5, generator=core.Generator().manual_seed(3))
    again = core.randn(5, generator=core.Generator().manual_seed(3))
    other = core.randn(5, generator=core.Generator().manual_seed(4))
    assert core.equal(first, again) and not core.equal(first, other)


def test_draws_follow_their_distributions():
    """Means and spreads of 100,000 draws lie within five standard errors."""
    generator = core.Generator().manual_seed(0)
    n = 100_000
    draws = {
        (0.5, 12**-0.5): core.rand(n, generator=generator),
        (0.0, 1.0): core.randn(n, generator=generator),
        (4.5, (99 / 12) ** 0.5): core.randint(0, 10, (n,), generator=generator).double(),
        (0.3, (0.3 * 0.7) ** 0.5): core.bernoulli(core.full((n,), 0.3), generator=generator),
        (0.75, (0.75 * 0.25) ** 0.5): core.multinomial(
            core.tensor([1.0, 3.0]), n, True, generator=generator
        ).double(),
        (2.0, 3.0): core.normal(2.0, 3.0, (n,), generator=generator),
        (0.5, 0.5): core.empty(n).exponential_(2.0, generator=generator),
        (4.0, 2.0): core.poisson(core.full((n,), 4.0), generator),
    }
    for (mean, spread), x in draws.items():
        assert abs(x.numpy().mean(dtype="float64") - mean) < 5 * spread / n**0.5
        assert abs(x.numpy().std(dtype="float64") - spread) < 0.02 * spread


def test_samples_without_replacement_follow_their_weights():
    """The first of two draws is an item as often as its weight says."""
    weights = core.tensor([1.0, 2.0, 7.0]).expand(50_000, 3)
    drawn = core.multinomial(weights, 2, generator=core.Generator().manual_seed(1)).numpy()
    assert (drawn[:, 0] != drawn[:, 1]).all()
    shares = numpy.bincount(drawn[:, 0], minlength=3) / len(drawn)
    numpy.testing.assert_allclose(shares, [0.1, 0.2, 0.7], atol=0.01)


def test_tensors_of_unpickled_arrays_go_the_way_of_all_others():
    """Ops ask whether dtypes are one object; what was pickled has another, equal one."""
    array = pickle.loads(pickle.dumps(numpy.ones((2, 3), "float32")))
    assert array.dtype is not numpy.dtype("float32")
    made = (core.from_numpy, core.as_tensor, core.asarray, core.tensor, core.Tensor)
    copies = [make(array) for make in made] + [pickle.loads(pickle.dumps(core.ones(2)))]
    assert all(x.array.dtype is numpy.dtype("float32") for x in copies)
    assert core.from_numpy(array).array.base is not None  # its memory is shared
