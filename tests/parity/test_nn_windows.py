"""Convolutions, pooling and distances as functions: PyTorch's values, gradients, places, errors."""

import inspect
import pickle

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

import torch.nn.functional as TF  # noqa: E402

import core  # noqa: E402
import core.nn.functional as F  # noqa: E402
from tests.parity.nn_compare import assert_same  # noqa: E402

GENERATOR = numpy.random.default_rng(17)
SIZES = (7, 6, 5)


def normal(*shape):
    return GENERATOR.standard_normal(shape)


def both(name, arrays, *args):
    """The results of both libraries, and the gradients of a weighted sum of them."""
    out = []
    for library, tensor in ((F, core.tensor), (TF, torch.tensor)):
        given = [tensor(x, requires_grad=True) for x in arrays]
        result = getattr(library, name)(*given, *args)
        first = result[0] if isinstance(result, tuple) else result
        weight = numpy.random.default_rng(1).standard_normal(tuple(first.shape))
        (first * tensor(weight)).sum().backward()
        parts = result if isinstance(result, tuple) else (result,)
        out.append([*parts, *(x.grad for x in given)])
    return zip(*out, strict=True)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("batch", [(2,), ()])
@pytest.mark.parametrize("kind", ["max_pool{}d_with_indices", "adaptive_max_pool{}d_with_indices"])
def test_places_without_being_asked(kind, batch, n):
    for a, b in both(kind.format(n), [normal(*batch, 3, *SIZES[:n])], 2):
        assert_same(a, b, 1e-12)


@pytest.mark.parametrize("n", [2, 3])
def test_places_of_random_regions(n):
    samples = GENERATOR.uniform(0, 1, (2, 3, n))
    name = f"fractional_max_pool{n}d_with_indices"
    x = normal(2, 3, *SIZES[:n])
    out, where = getattr(F, name)(core.tensor(x), 2, (3,) * n, _random_samples=core.tensor(samples))
    expected, places = getattr(TF, name)(
        torch.tensor(x), 2, (3,) * n, _random_samples=torch.tensor(samples)
    )
    assert_same(out, expected, 0)
    assert_same(where, places, 0)


def test_convolution_with_time_first():
    arrays = [normal(7, 2, 3), normal(3, 3, 4), normal(4)]
    for a, b in both("conv_tbc", arrays, 1):
        assert_same(a, b, 1e-12)


@pytest.mark.parametrize("p", [0.0, 1.0, 1.5, 2.0, 3.0, float("inf")])
def test_distances_of_pairs_of_rows(p):
    x = normal(5, 3)
    x[3] = x[1]  # where the distance is 0, so is the gradient
    for a, b in both("pdist", [x], p):
        assert_same(a, b, 1e-12)
    assert F.pdist is core.pdist
    assert F.pdist(core.zeros(1, 3)).shape == (0,)
    assert F.pdist(core.zeros(3, 0)).tolist() == [0, 0, 0]


PUBLIC = [
    *(f"{kind}{n}d" for n in (1, 2, 3) for kind in ("conv", "conv_transpose", "max_unpool")),
    *(f"{kind}max_pool{n}d{end}" for n in (1, 2, 3) for kind in ("", "adaptive_")
      for end in ("", "_with_indices")),
    *(f"{kind}_pool{n}d" for n in (1, 2, 3) for kind in ("avg", "lp", "adaptive_avg")),
    *(f"fractional_max_pool{n}d{end}" for n in (2, 3) for end in ("", "_with_indices")),
]  # fmt: skip


@pytest.mark.parametrize("name", PUBLIC)
def test_functions_of_a_number_of_dims_have_names_texts_and_arguments(name):
    function = getattr(F, name)
    assert function.__name__ == name and function.__doc__
    assert pickle.loads(pickle.dumps(function)) is function
    first, second = list(inspect.signature(function).parameters.values())[:2]
    assert (first.name, first.default) == ("input", inspect.Parameter.empty)
    assert second.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    with pytest.raises((RuntimeError, TypeError)):
        function(core.zeros(2), *([core.zeros(2)] if second.name == "weight" else [2]))


WRONG = [
    ("conv_tbc", [(7, 3), (3, 3, 4), (4,)], ()),
    ("conv_tbc", [(7, 2, 3), (3, 2, 4), (4,)], ()),
    ("conv_tbc", [(7, 2, 3), (3, 3, 4), (5,)], ()),
    ("pdist", [(3,)], ()),
    ("pdist", [(3, 4)], (-1.0,)),
    ("max_pool2d", [(2, 2)], (2,)),
    ("max_pool2d", [(2, 3, 4, 4)], (5,)),
    ("max_pool2d", [(2, 3, 4, 4)], (2, 2, 2)),
    ("avg_pool2d", [(2, 3, 4, 4)], (2, 2, 0, False, True, 0)),
    ("conv2d", [(2, 3, 4, 4), (5, 2, 3, 3)], ()),
    ("conv2d", [(2, 3, 4, 4), (5, 3, 7, 7)], ()),
    ("conv_transpose2d", [(2, 3, 4, 4), (3, 2, 3, 3)], (None, 1, 0, 1)),
]


@pytest.mark.parametrize(("name", "shapes", "args"), WRONG)
def test_wrong_arguments_raise_as_in_pytorch(name, shapes, args):
    with pytest.raises(RuntimeError):
        getattr(TF, name)(*(torch.zeros(s) for s in shapes), *args)
    with pytest.raises(RuntimeError):
        getattr(F, name)(*(core.zeros(s) for s in shapes), *args)


def test_places_of_another_shape_are_refused():
    x, indices = normal(1, 1, 4, 4), numpy.zeros((1, 1, 2, 2), "int64")
    for library, tensor in ((TF, torch.tensor), (F, core.tensor)):
        with pytest.raises(RuntimeError, match=r"shape of indices .* same .* input"):
            library.max_unpool2d(tensor(x), tensor(indices), 2)


@given(
    st.integers(0, 10**6),
    st.integers(1, 3),
    st.integers(1, 8),
    st.integers(2, 4),
    st.sampled_from(["float32", "float64"]),
)
def test_convolution_relu_and_pool_of_tiles(seed, channels, outs, tile, dtype):
    numbers = numpy.random.default_rng(seed)
    kernel, rows, columns = numbers.integers(1, 6, 3)
    padding = int(numbers.integers(0, kernel // 2 + 1))
    size = [int(n) * tile + kernel - 1 - 2 * padding for n in (rows, columns)]
    arrays = [numbers.standard_normal((outs, channels, kernel, kernel)), numbers.random(outs)]
    x = numbers.standard_normal((int(numbers.integers(1, 20)), channels, *size))
    results = []
    for library in (core, torch):
        nn, kind = library.nn, getattr(library, dtype)
        conv = nn.Conv2d(channels, outs, int(kernel), padding=padding)
        net = nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(tile)).to(kind)
        with library.no_grad():
            for p, array in zip(net.parameters(), arrays, strict=True):
                p.copy_(library.tensor(array))
        images = library.tensor(x, dtype=kind, requires_grad=True)
        y = net(images)
        (y * y).sum().backward()
        results.append([y, images.grad, *(p.grad for p in net.parameters())])
    if dtype == "float32":  # rounding may choose another largest element, and so other gradients
        assert_same(results[0][0], results[1][0], 1e-4)
        return
    for a, b in zip(*results, strict=True):
        assert_same(a, b, 1e-11)


@given(st.integers(0, 10**6), st.integers(1, 3), st.booleans())
def test_of_nans_the_last_is_the_largest_and_padding_never_is(seed, n, adaptive):
    numbers = numpy.random.default_rng(seed)
    values = [numpy.nan, -numpy.inf, 0.0, 1.0, 2.0]
    x = numbers.choice(values, (2, 2, *numbers.integers(4, 8, n)), p=[0.2, 0.5, 0.1, 0.1, 0.1])
    kernel, half, stride = int(numbers.integers(2, 4)), int(numbers.integers(2)), seed % 3 or None
    name = f"max_pool{n}d_with_indices"
    given = ("adaptive_" + name, kernel) if adaptive else (name, kernel, stride, half)
    for a, b in both(given[0], [x], *given[1:]):
        assert_same(a, b, 1e-12)
