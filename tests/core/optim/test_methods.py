"""The methods that PyTorch does not have, and what each promises, by their definitions."""

import numpy
import pytest

import core
from tests.core.optim.given import give, params


def test_lion_moves_by_the_sign():
    p = core.tensor([1.0, -1.0]).requires_grad_()
    optimizer = core.optim.Lion([p], lr=0.1, betas=(0.9, 0.99), weight_decay=0.5)
    m, x = numpy.zeros(2), p.array.astype("float64")
    for step in range(5):
        give([p], step)
        g = p.grad.array.astype("float64")
        x = x * (1 - 0.1 * 0.5) - 0.1 * numpy.sign(0.9 * m + 0.1 * g)
        m = 0.99 * m + 0.01 * g
        optimizer.step()
    numpy.testing.assert_allclose(p.array, x, rtol=1e-5)


def test_lamb_moves_by_lr_times_the_norm():
    p = params("float64", [(4, 3)])[0]
    optimizer = core.optim.LAMB([p], lr=0.1, weight_decay=0.01)
    m, v, x = numpy.zeros((4, 3)), numpy.zeros((4, 3)), p.array.copy()
    for t in range(1, 6):
        give([p], t)
        g = p.grad.array
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        r = (m / (1 - 0.9**t)) / (numpy.sqrt(v / (1 - 0.999**t)) + 1e-6) + 0.01 * x
        x = x - 0.1 * numpy.linalg.norm(x) / numpy.linalg.norm(r) * r
        optimizer.step()
    numpy.testing.assert_allclose(p.array, x, rtol=1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
def test_lars_scales_gradients_to_the_norm(nesterov):
    p = params("float64", [(4, 3)])[0]
    optimizer = core.optim.LARS([p], lr=0.1, weight_decay=0.01, nesterov=nesterov)
    b, x = numpy.zeros((4, 3)), p.array.copy()
    for t in range(5):
        give([p], t)
        g = p.grad.array
        norm, length = numpy.linalg.norm, numpy.linalg.norm(x)
        g = 1e-3 * length / (norm(g) + 0.01 * length + 1e-8) * (g + 0.01 * x)
        b = 0.9 * b + g
        x = x - 0.1 * (g + 0.9 * b if nesterov else b)
        optimizer.step()
    numpy.testing.assert_allclose(p.array, x, rtol=1e-12)


def test_lars_and_lamb_take_zeros_as_they_are():
    for name in ("LARS", "LAMB"):
        p = core.zeros(3).requires_grad_()
        p.grad = core.zeros(3)
        getattr(core.optim, name)([p]).step()
        assert p.tolist() == [0.0, 0.0, 0.0]


def test_muon_steps_are_nearly_orthogonal():
    p = core.zeros(6, 4).requires_grad_()
    give([p], 0)
    core.optim.Muon([p], lr=1.0, weight_decay=0.0).step()
    values = numpy.linalg.svd(p.array, compute_uv=False) / numpy.sqrt(6 / 4)
    assert values.min() > 0.6 and values.max() < 1.3
    with pytest.raises(ValueError, match=r"2D parameters.*\(3,\)"):
        core.optim.Muon([core.ones(3).requires_grad_()])


def test_lbfgs_solves_a_quadratic_and_refuses_groups():
    p = params("float64", [(5,)])[0]
    optimizer = core.optim.LBFGS([p], line_search_fn="strong_wolfe")
    scale = core.tensor([1.0, 10.0, 100.0, 3.0, 0.5], dtype=core.float64)

    def closure():
        optimizer.zero_grad()
        loss = (scale * p * p).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert abs(p.array).max() < 1e-6
    with pytest.raises(ValueError, match="parameter groups"):
        core.optim.LBFGS([{"params": [p]}, {"params": params(shapes=[(2,)])}])
    with pytest.raises(TypeError, match="closure"):
        optimizer.step()
    with pytest.raises(RuntimeError, match="strong_wolfe"):
        core.optim.LBFGS([p], line_search_fn="armijo").step(closure)
