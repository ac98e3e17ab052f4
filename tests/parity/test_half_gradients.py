"""Gradients in half types are sums in float32: no closer to float64 would PyTorch's be."""

import numpy
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

import core  # noqa: E402

ROUNDING = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def steps(x):
    """Numbers that are exact in every half type, from a pattern without end."""
    return ((x * 7 % 16) - 5.0) / 8


CASES = {
    "a bias": (lambda m, x, w: (x + w).sum(), (3000, 3), (3,)),
    "a factor": (lambda m, x, w: (x * w).sum(), (3000, 3), (1, 3)),
    "a number": (lambda m, x, w: (x * w).sum(), (3000,), ()),
    "linear": (lambda m, x, w: m.nn.functional.linear(x, w).sum(), (3000, 2), (3, 2)),
    "linear's bias": (
        lambda m, x, w: m.nn.functional.linear(x, x[:3], w).sum(),
        (3000, 2),
        (3,),
    ),
    "conv1d": (lambda m, x, w: m.nn.functional.conv1d(x, w).sum(), (4, 2, 900), (3, 2, 2)),
    "conv1d's bias": (
        lambda m, x, w: m.nn.functional.conv1d(x, x[:3, :, :2], w).sum(),
        (4, 2, 900),
        (3,),
    ),
    "conv_transpose2d's bias": (
        lambda m, x, w: m.nn.functional.conv_transpose2d(x, x[:, :, :2, :2], w).sum(),
        (2, 2, 40, 30),
        (2,),
    ),
    "prelu": (lambda m, x, w: m.nn.functional.prelu(x, w).sum(), (3000, 2), (1,)),
    "layer_norm's bias": (
        lambda m, x, w: m.nn.functional.layer_norm(x, (4,), None, w).sum(),
        (3000, 4),
        (4,),
    ),
    "batch_norm's bias": (
        lambda m, x, w: m.nn.functional.batch_norm(x, None, None, None, w, True).sum(),
        (3000, 4),
        (4,),
    ),
    "softmax": (
        lambda m, x, w: (m.nn.functional.softmax(w, 1) * x).sum() * 256,
        (2, 3000),
        (2, 3000),
    ),
    "log_softmax": (
        lambda m, x, w: (m.nn.functional.log_softmax(w, 1) * (x + 1)).sum(),
        (2, 3000),
        (2, 3000),
    ),
    "layer_norm": (
        lambda m, x, w: (m.nn.functional.layer_norm(w, (3000,)) * (x + 1)).sum(),
        (2, 3000),
        (2, 3000),
    ),
    "rms_norm": (
        lambda m, x, w: (m.nn.functional.rms_norm(w, (3000,)) * (x + 1)).sum(),
        (2, 3000),
        (2, 3000),
    ),
}


def gradient(m, case, dtype, kind):
    """The gradient of the second argument, as numbers of float64."""
    function, shape, other = case
    x, w = (
        m.tensor(steps(numpy.arange(numpy.prod(s, dtype=int)).reshape(s)), dtype=getattr(m, kind))
        for s in (shape, other)
    )
    x, w = x.to(getattr(m, dtype)), w.to(getattr(m, dtype)).requires_grad_()
    function(m, x, w).backward()
    return w.grad.double().numpy()


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_as_close_to_float64_as_pytorchs(name, dtype):
    case = CASES[name]
    exact = gradient(torch, case, "float64", dtype)
    off, allowed = (
        numpy.abs(gradient(m, case, dtype, dtype) - exact).max() / numpy.abs(exact).max()
        for m in (core, torch)
    )
    assert off <= 2 * allowed + 2 * ROUNDING[dtype]
