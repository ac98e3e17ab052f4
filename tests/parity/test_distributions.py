"""Every distribution: densities, entropies, moments, divergences and their gradients are PyTorch's.

Draws are other numbers than PyTorch's; they are held to the distribution's own moments.
"""

import itertools

import numpy
import pytest

import core
from core import distributions

torch = pytest.importorskip("torch")

# name: (parameters, a value of the support)
LOC, SCALE = [[0.5, -1.0, 2.0]] * 2, [[0.3], [2.0]]
TRIL = [[1.0, 0.0, 0.0], [0.5, 2.0, 0.0], [-0.3, 0.2, 0.7]]
CASES = {
    "Normal": ({"loc": LOC, "scale": SCALE}, [0.1, 2.0, -3.0]),
    "LogNormal": ({"loc": LOC, "scale": SCALE}, [0.1, 2.0, 3.0]),
    "Laplace": ({"loc": LOC, "scale": SCALE}, [0.1, 2.0, -3.0]),
    "Uniform": ({"low": LOC, "high": [[2.5], [3.0]]}, [0.6, 1.0, 2.25]),
    "Exponential": ({"rate": SCALE}, [0.1, 2.0, 3.0]),
    "Poisson": ({"rate": SCALE}, [0.0, 2.0, 5.0]),
    "Bernoulli": ({"probs": [0.1, 0.5, 0.9]}, [1.0, 0.0, 1.0]),
    "Bernoulli logits": ({"logits": [0.1, -5.0, 9.0]}, [1.0, 0.0, 1.0]),
    "Geometric": ({"probs": [0.1, 0.5, 0.9]}, [3.0, 0.0, 1.0]),
    "Geometric logits": ({"logits": [0.1, -0.5, 0.9]}, [3.0, 0.0, 1.0]),
    "Categorical": ({"probs": [[1.0, 2.0, 0.0], [0.2, 0.2, 0.6]]}, [0, 2]),
    "Categorical logits": ({"logits": [[1.0, 2.0, 0.0], [0.2, -8.2, 0.6]]}, [0, 2]),
    "OneHotCategorical": ({"logits": [[1.0, 2.0, 0.0], [0.2, -8.2, 0.6]]}, [[0, 1, 0], [1, 0, 0]]),
    "Multinomial": ({"logits": [[1.0, 2.0, 0.0], [0.2, -8.2, 0.6]]}, [[0, 1, 0], [1, 0, 0]]),
    "MultivariateNormal": ({"loc": LOC, "scale_tril": TRIL}, [0.1, 2.0, -3.0]),
    "Gamma": ({"concentration": [[0.5, 1.0, 7.5]] * 2, "rate": SCALE}, [0.1, 2.0, 3.0]),
    "Chi2": ({"df": [0.5, 3.0, 7.0]}, [0.1, 2.0, 3.0]),
    "InverseGamma": ({"concentration": [[0.5, 1.5, 7.5]] * 2, "rate": SCALE}, [0.1, 2.0, 3.0]),
    "FisherSnedecor": ({"df1": [1.5, 3.0, 7.0], "df2": [[5.0], [9.0]]}, [0.1, 2.0, 3.0]),
    "StudentT": ({"df": [1.5, 3.0, 7.0], "loc": LOC, "scale": SCALE}, [0.1, 2.0, -3.0]),
    "Beta": ({"concentration1": [0.5, 1.0, 3.0], "concentration0": SCALE}, [0.1, 0.5, 0.9]),
    "Dirichlet": ({"concentration": [[0.5, 1.0, 3.0], [2.0, 0.7, 1.2]]}, [[0.2, 0.3, 0.5]]),
    "Cauchy": ({"loc": LOC, "scale": SCALE}, [0.1, 2.0, -3.0]),
    "Gumbel": ({"loc": LOC, "scale": SCALE}, [0.1, 2.0, -3.0]),
    "HalfNormal": ({"scale": [0.3, 1.0, 2.0]}, [0.1, 2.0, 3.0]),
    "HalfCauchy": ({"scale": [0.3, 1.0, 2.0]}, [0.1, 2.0, 3.0]),
    "Pareto": ({"scale": SCALE, "alpha": [0.5, 1.5, 7.0]}, [2.5, 3.0, 4.0]),
    "Weibull": ({"scale": SCALE, "concentration": [0.5, 1.5, 7.0]}, [0.5, 1.0, 2.0]),
    "Binomial": ({"total_count": 4.0, "probs": [0.1, 0.5, 0.9]}, [3.0, 0.0, 1.0]),
    "Binomial logits": ({"total_count": 4.0, "logits": [0.1, -5.0, 9.0]}, [3.0, 0.0, 1.0]),
    "NegativeBinomial": (
        {"total_count": [[2.5], [4.0]], "probs": [0.1, 0.5, 0.9]},
        [3.0, 0.0, 1.0],
    ),
    "NegativeBinomial logits": ({"total_count": 4.0, "logits": [0.1, -3.0, 2.0]}, [3.0, 0.0, 1.0]),
}
NAMES = sorted(CASES)
MOMENTS = ("mean", "variance", "stddev")


def made(module, name, requires_grad=True):
    """The distribution of a case, its parameters, and the case's value, of one of the libraries."""
    given, value = CASES[name]
    kind = name.split()[0]
    lib = core if module is distributions else torch
    params = {k: lib.tensor(v, dtype=lib.float64) for k, v in given.items()}
    for p in params.values():
        p.requires_grad_(requires_grad)
    dtype = lib.int64 if kind == "Categorical" else lib.float64
    return getattr(module, kind)(**params), params, lib.tensor(value, dtype=dtype)


def assert_same(ours, theirs, tol=1e-12):
    assert tuple(ours.shape) == tuple(theirs.shape)
    numpy.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=tol, atol=tol
    )


# PyTorch's trigamma, which is in the slopes of their entropies, is right to nine digits.
OF_GAMMAS = ("Beta", "Chi2", "Dirichlet", "Gamma", "InverseGamma", "StudentT")


def assert_all_same(name, found):
    """The values, and after them their gradients."""
    for i, (ours, theirs) in enumerate(zip(*found, strict=True)):
        assert_same(ours, theirs, 1e-8 if i and name in OF_GAMMAS else 1e-12)


def gradients(result, params):
    result.sum().backward()
    return [p.grad for p in params.values()]


@pytest.mark.parametrize("name", NAMES)
def test_log_prob_and_its_gradients(name):
    found = []
    for module in (distributions, torch.distributions):
        d, params, value = made(module, name)
        result = d.log_prob(value)
        found.append((result, *gradients(result, params)))
    for ours, theirs in zip(*found, strict=True):
        assert_same(ours, theirs)


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize(
    "name", [n for n in NAMES if not n.startswith(("Poisson", "Fisher", "Neg"))]
)
def test_entropy_and_its_gradients_also_after_a_draw(name, drawn):
    found = []
    for module in (distributions, torch.distributions):
        d, params, _ = made(module, name)
        if drawn:
            d.sample()
        result = d.entropy()
        pairs = zip(params.values(), gradients(result, params), strict=True)
        found.append((result, *[g for p, g in pairs if g is not None]))
    assert_all_same(name, found)


def test_counts_of_several_draws():
    found = []
    for module, lib in ((distributions, core), (torch.distributions, torch)):
        p = lib.tensor([[1.0, 2.0, 0.5], [0.2, 0.3, 0.6]], dtype=lib.float64, requires_grad=True)
        d = module.Multinomial(4, p)
        result = d.log_prob(lib.tensor([[1.0, 3.0, 0.0]], dtype=lib.float64))
        drawn = d.sample((5,))
        assert drawn.dtype is lib.float64 and drawn.sum(-1).tolist() == [[4.0, 4.0]] * 5
        found.append((result, d.mean, d.variance, *gradients(result, {"p": p})))
    for ours, theirs in zip(*found, strict=True):
        assert_same(ours, theirs)
    # PyTorch's entropy has the precision of float32 here: the definition says it better.
    d = distributions.Multinomial(4, core.tensor([0.5, 0.2, 0.3], dtype=core.float64))
    counts = [c for c in itertools.product(range(5), repeat=3) if sum(c) == 4]
    logs = d.log_prob(core.tensor(counts, dtype=core.float64))
    assert_same(d.entropy(), -(logs.exp() * logs).sum())


@pytest.mark.parametrize("name", NAMES)
def test_shapes_moments_and_what_it_says_of_itself(name):
    ours, theirs = (made(m, name, False)[0] for m in (distributions, torch.distributions))
    assert tuple(ours.batch_shape) == tuple(theirs.batch_shape)
    assert tuple(ours.event_shape) == tuple(theirs.event_shape)
    assert ours.has_rsample == theirs.has_rsample
    # Of a transformed one PyTorch shows nothing, of a broadcast factor all numbers.
    if name not in ("LogNormal", "MultivariateNormal"):
        assert repr(ours) == repr(theirs).replace("torch.", "core.")
    for moment in MOMENTS:
        numpy.testing.assert_allclose(
            getattr(ours, moment).numpy(), getattr(theirs, moment).numpy(), rtol=1e-12
        )


@pytest.mark.parametrize("name", [n for n in NAMES if n != "Multinomial"])
def test_modes(name):
    ours, theirs = (made(m, name, False)[0] for m in (distributions, torch.distributions))
    assert_same(ours.mode, theirs.mode)


def test_the_mode_and_the_perplexity_of_events():
    found = []
    for module in (distributions, torch.distributions):
        bernoulli, normal = (made(module, name, False)[0] for name in ("Bernoulli", "Normal"))
        d = module.Independent(normal, 1)
        found.append((d.mode, d.perplexity(), bernoulli.perplexity()))
    for ours, theirs in zip(*found, strict=True):
        assert_same(ours, theirs)


def straight_through(module, lib):
    logits = lib.tensor([[1.0, 2.0, 0.0], [0.2, -8.2, 0.6]], dtype=lib.float64, requires_grad=True)
    drawn = module.OneHotCategoricalStraightThrough(logits=logits).rsample((4,))
    assert drawn.detach().sum(-1).round().tolist() == [[1.0, 1.0]] * 4
    weights = lib.arange(3.0, dtype=lib.float64)
    return lib.autograd.grad((drawn * weights).sum(), logits)


def mixed(module, lib, event):
    def numbers(*shape):
        drawn = numpy.random.default_rng(len(shape)).standard_normal(shape)
        return lib.tensor(drawn.tolist(), dtype=lib.float64, requires_grad=True)

    logits, loc, scale = numbers(2, 4), numbers(2, 4, *event), numbers(*event, 1, 1, 1)[0, 0, 0]
    parts = module.Normal(loc, scale.exp() if event else lib.full_like(loc, 0.7))
    parts = module.Independent(parts, 1) if event else parts
    d = module.MixtureSameFamily(module.Categorical(logits=logits), parts)
    assert d.sample((5,)).shape == (5, 2, *event) and not d.has_rsample
    value = numbers(6, 2, *event).detach()
    logs = d.log_prob(value)
    grads = lib.autograd.grad(logs.sum() + d.variance.sum(), (logits, loc))
    return logs, d.mean, d.variance, d.stddev, *grads, *([] if event else [d.cdf(value)])


@pytest.mark.parametrize("event", [(), (3,)])
def test_mixtures_of_one_family(event):
    found = mixed(distributions, core, event), mixed(torch.distributions, torch, event)
    for ours, theirs in zip(*found, strict=True):
        assert_same(ours, theirs)


def test_draws_of_a_mixture_are_of_its_components():
    core.manual_seed(0)
    chosen = distributions.Categorical(core.tensor([0.25, 0.75]))
    parts = distributions.Uniform(core.tensor([0.0, 10.0]), core.tensor([1.0, 12.0]))
    drawn = distributions.MixtureSameFamily(chosen, parts).sample((4000,))
    low, high = drawn < 1, drawn >= 10
    assert bool((low | high).all()) and abs(high.float().mean().item() - 0.75) < 0.03


def test_mixtures_that_do_not_fit_are_refused():
    normal = distributions.Normal(core.zeros(2, 3), core.ones(2, 3))
    for mixture, parts, why in (
        (normal, normal, "needs to be a Categorical"),
        (distributions.Categorical(core.ones(4)), normal, "is of 4 components, but there are 3"),
        (distributions.Categorical(core.ones(5, 3)), normal, "does not fit"),
        (distributions.Categorical(core.ones(3)), distributions.Normal(0.0, 1.0), "batch dim"),
    ):
        with pytest.raises(ValueError, match=why):
            distributions.MixtureSameFamily(mixture, parts)


def test_straight_through_draws_have_the_gradients_of_probabilities():
    (ours,), (theirs,) = (
        straight_through(*m) for m in ((distributions, core), (torch.distributions, torch))
    )
    assert_same(ours, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_draws_have_the_shapes_dtypes_and_moments_they_should(name):
    core.manual_seed(0)
    ours, theirs = (made(m, name, False)[0] for m in (distributions, torch.distributions))
    for shape in ((), (3,), (2, 1)):
        x, y = ours.sample(shape), theirs.sample(shape)
        assert tuple(x.shape) == tuple(y.shape) and str(x.dtype)[5:] == str(y.dtype)[6:]
    assert not ours.sample().requires_grad
    if name.startswith("Categorical"):
        counts = numpy.stack([(ours.sample((20_000,)) == k).double().mean(0) for k in range(3)], -1)
        numpy.testing.assert_allclose(counts, ours.probs.numpy(), atol=0.02)
        return
    count = 20_000
    x = ours.sample((count,)).numpy()
    if name == "Cauchy":  # it has no mean: what is spread evenly is the share below each draw
        shares = ours.cdf(core.tensor(x)).numpy().mean(0)
        assert (abs(shares - 0.5) <= 6 / (12 * count) ** 0.5).all()
        return
    # Six standard errors: the seed is fixed, so this holds or does not, for ever.
    error = 6 * ours.stddev.numpy() / count**0.5
    assert (abs(x.mean(0) - ours.mean.numpy()) <= error + 1e-12).all()


@pytest.mark.parametrize(
    "name", [n for n in NAMES if getattr(distributions, n.split()[0]).has_rsample]
)
def test_rsample_carries_the_gradients_of_its_parameters(name):
    d, params, _ = made(distributions, name)
    x = d.rsample((4,))
    grads = gradients(x, params)
    assert x.requires_grad and all(g is not None for g in grads)
    if "loc" in params:
        per_draw = 4 * x[0].numel() / params["loc"].numel()
        expected = x.sum().item() if name == "LogNormal" else per_draw * params["loc"].numel()
        at = list(params).index("loc")
        numpy.testing.assert_allclose(grads[at].sum().item(), expected)


NO_KL = "LogNormal Multinomial InverseGamma FisherSnedecor StudentT HalfCauchy Weibull Negative"
KL = [n for n in NAMES if not n.startswith(tuple(NO_KL.split()))]


@pytest.mark.parametrize("name", KL)
def test_kl_divergence_and_its_gradients(name):
    found = []
    for module in (distributions, torch.distributions):
        p, params, _ = made(module, name)
        q, others, _ = made(module, name, False)
        lib = core if module is distributions else torch
        factor = 0.9 if name in ("Bernoulli", "Binomial", "Geometric", "Pareto") else 1.25
        moved = {k: v if k == "total_count" else v * factor for k, v in others.items()}
        if name == "Categorical":
            moved = {
                k: v + lib.tensor([0.1, 0.2, 0.3], dtype=lib.float64) for k, v in others.items()
            }
        if name == "Uniform":
            moved = {"low": others["low"] - 1, "high": others["high"] + 1}
        result = module.kl_divergence(p, type(q)(**moved))
        found.append((result, *gradients(result, params)))
    assert_all_same(name, found)


def test_independent_dimensions_count_as_one_event():
    found = []
    for module in (distributions, torch.distributions):
        base = made(module, "Normal", False)[0]
        d = module.Independent(base, 1)
        value = made(module, "Normal", False)[2]
        found.append((d.log_prob(value), d.entropy(), module.kl_divergence(d, d), d.mean))
        assert tuple(d.batch_shape) == (2,) and tuple(d.event_shape) == (3,)
    for ours, theirs in zip(*found, strict=True):
        assert_same(ours, theirs)


def test_the_normals_cdf_and_its_inverse():
    ours, theirs = (made(m, "Normal", False) for m in (distributions, torch.distributions))
    assert_same(ours[0].cdf(ours[2]), theirs[0].cdf(theirs[2]))
    p = [0.1, 0.5, 0.99]
    assert_same(
        ours[0].icdf(core.tensor(p, dtype=core.float64)),
        theirs[0].icdf(torch.tensor(p, dtype=torch.float64)),
    )


def test_a_covariance_and_a_precision_are_the_same_normal():
    tril = core.tensor(TRIL, dtype=core.float64)
    loc = core.zeros(3, dtype=core.float64)
    by_factor = distributions.MultivariateNormal(loc, scale_tril=tril)
    for given in ("covariance_matrix", "precision_matrix"):
        other = distributions.MultivariateNormal(loc, **{given: getattr(by_factor, given)})
        core.testing.assert_close(other.scale_tril, tril, rtol=1e-9, atol=1e-9)


WRONG = {
    "Normal": {"loc": 0.0, "scale": -1.0},
    "Uniform": {"low": 1.0, "high": 0.0},
    "Exponential": {"rate": 0.0},
    "Poisson": {"rate": -1.0},
    "Bernoulli": {"probs": 1.5},
    "Categorical": {"probs": [-0.5, 1.5]},
    "Gamma": {"concentration": 0.0, "rate": 1.0},
    "Dirichlet": {"concentration": [-0.5, 1.5]},
    "StudentT": {"df": -1.0},
}


@pytest.mark.parametrize("name", WRONG)
def test_parameters_out_of_range_are_named(name):
    kwargs = WRONG[name]
    kwargs = {k: core.tensor(v) if isinstance(v, list) else v for k, v in kwargs.items()}
    with pytest.raises(ValueError, match=f"Expected parameter .* of {name} to be"):
        getattr(distributions, name)(**kwargs)
    getattr(distributions, name)(**kwargs, validate_args=False)


def test_nan_of_a_policy_is_found_before_it_draws():
    with pytest.raises(ValueError, match="Categorical"):
        distributions.Categorical(core.tensor([float("nan"), 1.0]))
    with pytest.raises(ValueError, match="Categorical"):
        distributions.Categorical(logits=core.tensor([float("nan"), 1.0]))


def test_values_outside_of_the_support_are_refused():
    for d, value in (
        (distributions.Categorical(core.ones(3)), core.tensor(3)),
        (distributions.Bernoulli(0.5), core.tensor(0.5)),
        (distributions.Uniform(0.0, 1.0), core.tensor(2.0)),
    ):
        with pytest.raises(ValueError, match="Expected value"):
            d.log_prob(value)


def test_neither_or_both_parameters_are_refused():
    for kwargs in ({}, {"probs": core.ones(2), "logits": core.ones(2)}):
        for kind in (distributions.Categorical, distributions.Bernoulli):
            with pytest.raises(ValueError, match="must be specified, but not both"):
                kind(**kwargs)


def test_families_without_a_rule_are_named():
    with pytest.raises(NotImplementedError, match="Normal and Poisson"):
        distributions.kl_divergence(distributions.Normal(0, 1), distributions.Poisson(1))
