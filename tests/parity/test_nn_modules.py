"""Each module with the state of PyTorch's gives its results, gradients, keys, shapes and text."""

import numpy
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

from core import nn  # noqa: E402
from tests.parity import nn_cases, nn_compare  # noqa: E402

TABLE = [
    row
    for name, table in vars(nn_cases).items()
    if name.isupper() and isinstance(table, list) and isinstance(table[0], tuple)
    for row in table
]


def label(row):
    name, args, kwargs, _ = row
    settings = [*map(str, args), *(f"{k}={v}" for k, v in kwargs.items())]
    return f"{name}({', '.join(settings)})"


def drawn(spec, generator, dtype):
    """An input array of the table."""
    if isinstance(spec, nn_cases.Ints):
        return generator.integers(0, spec.high, spec.shape)
    if isinstance(spec, nn_cases.Unit):
        return generator.uniform(0.05, 0.95, spec.shape).astype(dtype)
    if isinstance(spec, nn_cases.Signs):
        return (generator.integers(0, 2, spec.shape) * 2 - 1).astype(dtype)
    return generator.standard_normal(spec).astype(dtype)


def pair(row, dtype):
    """Our module and PyTorch's, and the inputs."""
    name, args, kwargs, specs = row
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **kwargs).to(getattr(torch, dtype))
    ours = getattr(nn, name)(*args, **kwargs)
    ours = ours.double() if dtype == "float64" else ours.float()
    generator = numpy.random.default_rng(3)
    return ours, theirs, [drawn(spec, generator, dtype) for spec in specs]


# PyTorch computes these with constants of float32 also on float64.
ROUNDED = {"Hardsigmoid", "CELU"}


@pytest.mark.filterwarnings("ignore:Implicit dimension choice for softm")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("row", TABLE, ids=label)
def test_results_and_gradients_are_those_of_pytorch(row, mode, dtype):
    ours, theirs, arrays = pair(row, dtype)
    ours.train(mode == "train")
    theirs.train(mode == "train")
    tolerance = nn_compare.TOLERANCE["float32" if row[0] in ROUNDED else dtype]
    nn_compare.compare(ours, theirs, arrays, tolerance)


@pytest.mark.parametrize("row", TABLE, ids=label)
def test_keys_shapes_and_text_are_those_of_pytorch(row):
    ours, theirs, _ = pair(row, "float32")
    ours_state = {name: tuple(x.shape) for name, x in ours.state_dict().items()}
    theirs_state = {name: tuple(x.shape) for name, x in theirs.state_dict().items()}
    assert list(ours_state.items()) == list(theirs_state.items())
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize(
    "name", "ReLU ReLU6 LeakyReLU ELU CELU SELU SiLU Mish Hardtanh Hardswish Hardsigmoid".split()
)
def test_texts_say_inplace_where_those_of_pytorch_do(name):
    assert repr(getattr(nn, name)(inplace=True)) == repr(getattr(torch.nn, name)(inplace=True))
