"""Anomaly mode: a failing gradient names the forward line that it belongs to."""

import threading

import pytest

import core


class Broken(core.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        raise KeyError("broken on purpose")


def undefined(x):
    return x.sqrt() * 0  # the line to be named


@pytest.fixture
def anomaly():
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
        context = core.autograd.detect_anomaly()
    with context:
        yield


# pytest.warns resets the filter that keeps NumPy's own warnings silent.
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nan_in_backward_raises_and_names_the_forward_line(anomaly):
    y = undefined(core.zeros(2, requires_grad=True)).sum()
    with (
        pytest.warns(UserWarning, match=r"(?s)SqrtBackward0.*# the line to be named"),
        pytest.raises(RuntimeError, match="'SqrtBackward0' returned nan values in its 0th output"),
    ):
        y.backward()


def test_an_exception_in_backward_keeps_its_type(anomaly):
    y = Broken.apply(core.zeros(2, requires_grad=True)).sum()
    with (
        pytest.warns(UserWarning, match=r"(?s)BrokenBackward.*y = Broken.apply"),
        pytest.raises(KeyError),
    ):
        y.backward()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_without_a_forward_in_the_mode_the_warning_says_so():
    y = undefined(core.zeros(2, requires_grad=True)).sum()
    with (
        core.autograd.set_detect_anomaly(True),
        pytest.warns(UserWarning, match="No forward pass information available"),
        pytest.raises(RuntimeError, match="nan"),
    ):
        y.backward()


def test_nan_alone_can_be_let_pass():
    x = core.zeros(2, requires_grad=True)
    with core.autograd.set_detect_anomaly(True, check_nan=False):
        undefined(x).sum().backward()
    assert x.grad.isnan().all()


def test_outside_the_mode_nan_passes_and_nothing_is_traced():
    x = core.zeros(2, requires_grad=True)
    y = undefined(x).sum()
    y.backward()
    assert x.grad.isnan().all()


def test_the_mode_ends_where_it_began():
    assert not core.is_anomaly_enabled()
    with core.autograd.set_detect_anomaly(True):
        assert core.is_anomaly_enabled()
        with core.autograd.set_detect_anomaly(False):
            assert not core.is_anomaly_enabled()
        assert core.is_anomaly_enabled()
    assert not core.is_anomaly_enabled()
    core.autograd.set_detect_anomaly(True)
    core.autograd.set_detect_anomaly(False)
    assert not core.is_anomaly_enabled()


def test_values_are_the_same_in_the_mode():
    x = core.randn(5, requires_grad=True)
    (plain,) = core.autograd.grad((x * x).exp().sum(), x)
    with core.autograd.set_detect_anomaly(True):
        (watched,) = core.autograd.grad((x * x).exp().sum(), x)
    assert (plain == watched).all()


def test_the_mode_belongs_to_its_thread():
    seen = []
    with core.autograd.set_detect_anomaly(True):
        thread = threading.Thread(target=lambda: seen.append(core.is_anomaly_enabled()))
        thread.start()
        thread.join()
    assert seen == [False]
