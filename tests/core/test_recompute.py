"""Recomputation: the same numbers as without it, for less memory."""

import gc
import weakref

import pytest

import core
from core.recompute import CheckpointError, checkpoint, checkpoint_sequential


def two_layers(x, w):
    return ((x @ w).tanh() @ w).tanh()


@pytest.fixture
def xw():
    core.manual_seed(0)
    x = core.randn(3, 4, dtype=core.float64, requires_grad=True)
    return x, core.randn(4, 4, dtype=core.float64, requires_grad=True)


def gradients(x, w, wrap):
    """The result and the gradients at both leaves."""
    y = wrap(two_layers, x * 2, w)
    return [y, *core.autograd.grad((y * y).sum(), [x, w])]


def plainly(function, *args):
    return function(*args)


def test_results_and_gradients_are_bit_identical(xw):
    for plain, again in zip(gradients(*xw, plainly), gradients(*xw, checkpoint)):
        assert (plain == again).all()


def test_second_gradients(xw):
    x, w = xw
    core.gradgradcheck(lambda a, b: checkpoint(two_layers, a, b), (x, w))


def test_gradients_reach_tensors_that_are_no_argument(xw):
    x, w = xw
    checkpoint(lambda t: two_layers(t, w), x.detach()).sum().backward()
    again = w.grad
    w.grad = None
    two_layers(x.detach(), w).sum().backward()
    assert (w.grad == again).all()


def test_hooks_run_once(xw):
    x, w = xw
    seen = []
    for leaf in xw:
        leaf.register_hook(lambda g: seen.append(1))
    h = x * 2
    h.register_hook(lambda g: seen.append(1))
    checkpoint(two_layers, h, w).sum().backward()
    assert len(seen) == 3


def test_random_numbers_are_drawn_again_and_the_state_is_put_back(xw):
    x, _ = xw

    def noisy(t):
        return t * core.rand(3, 4, dtype=core.float64)

    core.manual_seed(5)
    y = checkpoint(noisy, x)
    after_forward = core.rand(2)
    y.sum().backward()
    after_backward = core.rand(2)
    core.manual_seed(5)
    mask = core.rand(3, 4, dtype=core.float64)
    assert (x.grad == mask).all() and (y == x * mask).all()
    assert (core.rand(2) == after_forward).all() and (core.rand(2) == after_backward).all()


def test_the_inside_is_not_kept(xw):
    x, _w = xw
    inner = []

    def f(t):
        h = t.exp()
        inner.append(weakref.ref(h))
        return (h * h).sum()

    gc.disable()
    try:
        y = checkpoint(f, x)
        assert inner[0]() is None
        y.backward()
        assert len(inner) == 2 and inner[1]() is None
    finally:
        gc.enable()


def test_several_results_and_other_arguments(xw):
    x, w = xw

    def f(t, scale, names, weight=None):
        return t * scale, {"names": names}, (t @ weight).sum()

    a, names, b = checkpoint(f, x, 3, ["n"], weight=w)
    assert names == {"names": ["n"]}
    (a.sum() + b).backward()
    assert core.allclose(x.grad, 3 + w.sum(1).expand(3, 4))


def test_an_argument_changed_in_place_raises(xw):
    x, w = xw
    h = x * 2
    y = checkpoint(two_layers, h, w)
    h.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_second_backward_raises(xw):
    y = checkpoint(two_layers, *xw).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_another_result_the_second_time_raises(xw):
    x, _ = xw
    sizes = iter([2, 3])
    y = checkpoint(lambda t: t[: next(sizes)] * 2, x)
    with pytest.raises(CheckpointError):
        y.sum().backward()


def test_nothing_is_recorded_under_no_grad(xw):
    with core.no_grad():
        assert checkpoint(two_layers, *xw).is_leaf


@pytest.mark.parametrize("segments", [1, 2, 3])
def test_a_sequence_in_segments(xw, segments):
    x, _ = xw
    steps = [core.exp, core.tanh, core.sigmoid, core.tanh]
    y = checkpoint_sequential(steps, segments, x)
    z = x
    for step in steps:
        z = step(z)
    assert (y == z).all()
    (a,) = core.autograd.grad(y.sum(), x)
    (b,) = core.autograd.grad(z.sum(), x)
    assert (a == b).all()
