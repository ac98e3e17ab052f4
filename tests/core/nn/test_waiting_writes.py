"""What is written between a call and the first look at its result: neither feels the other."""

import copy

import pytest

import core
import core.nn.functional as F
from core.testing import assert_close
from tests.core.nn.test_waiting import CONV, IMAGES, POOL, read


@pytest.mark.parametrize("write", ["in place", "by NumPy"])
@pytest.mark.parametrize("what", ["input", "weight", "bias"])
@pytest.mark.parametrize("pool", [False, True])
def test_what_is_written_before_it_is_read_changes_nothing(pool, what, write):
    conv, x = copy.deepcopy(CONV), core.from_numpy(IMAGES.copy())
    expected = read_at_once(conv, x, pool)
    with core.no_grad():
        y = POOL(F.relu(conv(x))) if pool else conv(x)
        written = {"input": x, "weight": conv.weight, "bias": conv.bias}[what]
        if write == "in place":
            written.mul_(2)
        else:
            written.detach().numpy()[...] = 7
    assert_close(y, expected, rtol=0, atol=1e-13)


def read_at_once(conv, x, pool):
    with core.no_grad():
        y = conv(x)
        read(y)
        y = F.relu(y)
        read(y)
        return POOL(y) if pool else conv(x) * 1


WRITES = {
    "in place": lambda y: y.zero_(),
    "alias": lambda y: y.detach().zero_(),
    "by NumPy": lambda y: y.detach().numpy().fill(0),
    "data": lambda y: setattr(y, "data", core.zeros(1)),
    "relu_": lambda y: y.relu_().add_(1),
    "requires_grad": lambda y: y.requires_grad_(),
}


@pytest.mark.parametrize("let_go", [False, True])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("write", WRITES)
def test_what_is_written_to_a_result_changes_nothing_that_was_made_of_it(write, which, let_go):
    results = []
    for at_once in (False, True):
        with core.no_grad():
            y = CONV(core.from_numpy(IMAGES))
            h = F.relu(y)
            z = POOL(h)
            for t in (y, h, z) if at_once else ():
                read(t)
            written = (y, h)[which]
            if let_go:
                h = h if which else None
                y = None if which else y
            WRITES[write](written)
        results.append((z, h) if which == 0 and not let_go else (z,))
    for a, b in zip(*results, strict=True):
        assert_close(a, b, rtol=0, atol=1e-13)
        assert a.requires_grad == b.requires_grad


def test_what_is_written_to_a_relu_in_place_changes_no_pool_of_it():
    with core.no_grad():
        y = CONV(core.from_numpy(IMAGES))
        h = y.relu_()
        z = POOL(h)
        h.mul_(2)
        assert_close(z * 2, POOL(h), rtol=0, atol=1e-13)


@pytest.mark.parametrize("pool", [False, True])
def test_a_bias_may_be_written_before_backward(pool):
    gradients = []
    for write in (False, True):
        conv = copy.deepcopy(CONV)
        y = conv(core.from_numpy(IMAGES))
        y = POOL(F.relu(y)) if pool else y
        read(y)
        if write:
            with core.no_grad():
                conv.bias.zero_()
        (y * y).sum().backward()
        gradients.append(conv.weight.grad)
    assert_close(*gradients, rtol=0, atol=0)


@pytest.mark.parametrize("pool", [False, True])
def test_a_step_of_the_optimizer_before_it_is_read_is_refused_by_backward(pool):
    conv = copy.deepcopy(CONV)
    y = (
        POOL(F.relu(conv(core.from_numpy(IMAGES).requires_grad_())))
        if pool
        else conv(core.from_numpy(IMAGES).requires_grad_())
    )
    with core.no_grad():
        conv.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("pool", [False, True])
def test_gradients_go_to_what_the_input_was_at_the_call(pool):
    results = []
    for at_once in (False, True):
        leaf = core.from_numpy(IMAGES).requires_grad_()
        x = leaf * 2
        y = CONV(x)
        if at_once:
            read(y)
        if pool:
            y = F.relu(y)
            if at_once:
                read(y)
            y = POOL(y)
        x.detach_()
        results.append(core.autograd.grad(y.sum(), leaf)[0])
    assert_close(*results, rtol=0, atol=1e-14)
