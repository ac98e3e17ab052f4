"""assert_close passes where PyTorch's does, in its words; gradcheck finds what is wrong."""

import hypothesis
import hypothesis.strategies as st
import numpy
import pytest

torch = pytest.importorskip("torch", reason="the oracle: pip install unison-ddp[parity]")

import core  # noqa: E402 - after the skip


def complaint(check, *args, **kwargs):
    """What a check says; None if it passes."""
    try:
        check(*args, **kwargs)
    except AssertionError as error:
        return str(error)
    return None


@hypothesis.given(
    st.sampled_from(["float32", "float64", "int64", "bool"]),
    st.lists(st.integers(1, 4), max_size=3),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 1e-8, 1e-6, 1e-4, 1.0]),
    st.booleans(),
)
@hypothesis.settings(max_examples=200)
def test_the_same_verdict_and_the_same_words(dtype, shape, seed, noise, special):
    rng = numpy.random.default_rng(seed)
    a = rng.standard_normal(shape) * 3
    b = a + noise * rng.standard_normal(shape)
    if special:
        a = numpy.where(rng.random(shape) < 0.3, numpy.inf, a)
        b = numpy.where(rng.random(shape) < 0.3, numpy.inf, b)
    if dtype in ("int64", "bool"):
        a, b = numpy.nan_to_num(a), numpy.nan_to_num(b, posinf=5)
        a = numpy.clip(a, -9, 9)
    a, b = numpy.asarray(a).astype(dtype), numpy.asarray(b).astype(dtype)
    ours = complaint(core.testing.assert_close, core.from_numpy(a), core.from_numpy(b))
    theirs = complaint(torch.testing.assert_close, torch.from_numpy(a), torch.from_numpy(b))
    assert (ours is None) == (theirs is None)
    if ours is not None:
        assert ours.splitlines()[0] == theirs.splitlines()[0]
        assert "Mismatched" not in theirs or ours.splitlines()[2] == theirs.splitlines()[2]


PAIRS = [
    lambda m: (m.ones(2), m.ones(3)),
    lambda m: (m.ones(2), m.ones(2).double()),
    lambda m: ([m.ones(2)], [m.ones(2), m.ones(2)]),
    lambda m: ({"a": m.ones(2)}, {"b": m.ones(2)}),
    lambda m: ({"a": m.ones(2)}, {"a": m.zeros(2)}),
    lambda m: ([1, 2.0], [1, 2.0]),
    lambda m: (1.0, 1.1),
    lambda m: (m.tensor(float("nan")), m.tensor(float("nan"))),
    lambda m: (m.ones(2, 2), m.ones(2, 2).t()),
]


@pytest.mark.parametrize("i", range(len(PAIRS)))
@pytest.mark.parametrize(
    "options", [{}, {"equal_nan": True}, {"check_dtype": False}, {"msg": "mine"}]
)
def test_structures_and_options(i, options):
    ours = complaint(core.testing.assert_close, *PAIRS[i](core), **options)
    theirs = complaint(torch.testing.assert_close, *PAIRS[i](torch), **options)
    assert (ours is None) == (theirs is None)
    assert ours is None or "msg" not in options or ours == "mine"


def test_tolerances_come_in_pairs():
    for m in (core, torch):
        with pytest.raises(ValueError):
            m.testing.assert_close(m.ones(2), m.ones(2), rtol=0.1)


# ---- gradcheck ----


def leaf(*values):
    return core.tensor(values, dtype=core.float64, requires_grad=True)


class Wrong(core.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 2.1 * x


class WrongLater(Wrong):
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 2 * x.detach()


def test_right_gradients_pass():
    x, y = leaf(0.5, -0.3), leaf(1.5, 2.0)
    assert core.autograd.gradcheck(lambda a, b: (a.exp() * b, (a * b).sum()), (x, y))
    assert core.autograd.gradgradcheck(lambda a, b: a.tanh() * b**2, (x, y))
    assert core.autograd.gradcheck(lambda a, n: a * n, (x, 3))


def test_a_wrong_gradient_is_found():
    with pytest.raises(core.testing.GradcheckError, match=r"(?s)Jacobian mismatch.*numerical"):
        core.autograd.gradcheck(Wrong.apply, (leaf(0.5, 2.0),))
    assert not core.autograd.gradcheck(Wrong.apply, (leaf(0.5),), raise_exception=False)


def test_a_wrong_second_gradient_is_found():
    assert core.autograd.gradcheck(WrongLater.apply, (leaf(0.5, 2.0),))
    with pytest.raises(core.testing.GradcheckError):
        core.autograd.gradgradcheck(WrongLater.apply, (leaf(0.5, 2.0),))


def test_the_inputs_are_put_back():
    x = leaf(0.1, 0.2, 0.3)
    core.autograd.gradcheck(lambda a: a.sin(), x)
    assert x.tolist() == [0.1, 0.2, 0.3] and x.grad is None


@pytest.mark.parametrize("x", [core.ones(2), core.ones(2, requires_grad=True)])
def test_inputs_that_cannot_be_checked(x):
    with pytest.raises(ValueError):
        core.autograd.gradcheck(lambda a: a * 2, (x,))
