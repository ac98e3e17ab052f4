"""Gamma draws and what is made of them: gradients, modes, missing moments, divergences."""

import itertools

import numpy
import pytest

import core
from core import distributions
from core.ops.standard_gamma import standard_gamma, standard_gamma_grad

torch = pytest.importorskip("torch")

ALPHA = [0.01, 0.3, 0.9, 1.0, 2.5, 40.0, 3000.0]
# Where the number lies: in standard deviations from the mean, or parts of it.
PLACES = [
    ("mean", 1e-3),
    ("mean", 0.5),
    ("deviations", -1.0),
    ("deviations", 0.5),
    ("deviations", 4),
]


def places():
    for a, (unit, k) in itertools.product(ALPHA, PLACES):
        x = a * k if unit == "mean" else a + k * a**0.5
        if x > 0 and (x > a / 2 or a < 100):
            yield a, x


BETAS = [module.Beta(1e-3, 1e-3) for module in (distributions, torch.distributions)]


def double(x):
    return core.tensor(x, dtype=core.float64)


def test_draws_move_with_their_concentration_as_their_shares_stay():
    a, x = (numpy.array(values) for values in zip(*places(), strict=True))
    found = standard_gamma_grad(double(x), double(a)).numpy()
    # The share below x stays: dx/da = -(dP/da) / (dP/dx). Here by differences of either share.
    h = 2e-6 * a
    log_density = (a - 1) * numpy.log(x) - x - core.lgamma(double(a)).numpy()
    for share, sign in ((core.igamma, -1.0), (core.igammac, 1.0)):
        up, down = (share(double(b), double(x)).numpy() for b in (a + h, a - h))
        slope = sign * (up - down) / (2 * h) / numpy.exp(log_density)
        told = share(double(a), double(x)).numpy() < 0.7
        numpy.testing.assert_allclose(found[told], slope[told], rtol=2e-7)
    theirs = torch._standard_gamma_grad(torch.tensor(a), torch.tensor(x)).numpy()
    numpy.testing.assert_allclose(found, theirs, rtol=1e-4)  # its own error is 7e-5


def test_very_large_concentrations_go_on_smoothly():
    a = double([0.999e6, 1.001e6])
    below, above = standard_gamma_grad(a + 2 * a.sqrt(), a).tolist()
    assert below > above > 1 and below - above == pytest.approx(1e-6, rel=0.01)


def test_draws_of_tiny_concentrations_are_not_zero_and_of_half_types_their_type():
    core.manual_seed(0)
    x = standard_gamma(core.full((100,), 1e-3))
    assert x.dtype is core.float32 and bool((x > 0).all()) and bool((x < 1e-30).any())
    assert standard_gamma(core.ones(3, dtype=core.bfloat16)).dtype is core.bfloat16
    shares = distributions.Dirichlet(core.full((3,), 1e-3)).sample((50,))
    assert bool(core.isfinite(shares).all()) and (shares.sum(-1) - 1).abs().max() < 1e-6
    for d in (
        distributions.Gamma(1e-3, 1e9),
        distributions.Beta(1e-3, 1e-3),
        distributions.FisherSnedecor(1e-2, 1e-2),
    ):
        x = d.sample((500,))
        assert bool(core.isfinite(d.log_prob(x[core.isfinite(x)])).all())
    bounds = [(x.min().item(), x.max().item()) for x in (d.sample((500,)) for d in BETAS)]
    assert bounds[0] == pytest.approx(bounds[1], rel=1e-7)


def test_the_gradient_has_no_gradient():
    a = double([2.0]).requires_grad_()
    (g,) = core.autograd.grad(standard_gamma(a).sum(), a, create_graph=True)
    with pytest.raises(NotImplementedError, match="_standard_gamma_grad"):
        g.sum().backward()


def test_distributions_are_those_of_their_shares():
    core.manual_seed(1)
    for a in (0.4, 1.0, 6.0):
        u = core.igamma(double(a), standard_gamma(core.full((4000,), a, dtype=core.float64)))
        ranked = u.sort()[0].numpy()
        even = (numpy.arange(4000) + 0.5) / 4000
        assert abs(ranked - even).max() < 1.95 / 4000**0.5  # Kolmogorov and Smirnov: one in 1000


MEANS = {
    "Gamma": {"concentration": [0.6, 2.0], "rate": [1.5, 3.0]},
    "Chi2": {"df": [0.6, 4.0]},
    "Beta": {"concentration1": [0.6, 2.0], "concentration0": [1.5, 0.3]},
    "Dirichlet": {"concentration": [[0.6, 2.0, 1.0]]},
    "InverseGamma": {"concentration": [6.0, 9.0], "rate": [1.5, 3.0]},
    "FisherSnedecor": {"df1": [3.0, 5.0], "df2": [12.0, 15.0]},
}
COUNT = 8000


@pytest.mark.parametrize("name", MEANS)
def test_gradients_of_draws_are_those_of_the_mean_on_the_average(name):
    core.manual_seed(2)
    params = {k: double(v).requires_grad_() for k, v in MEANS[name].items()}
    d = getattr(distributions, name)(**params)
    weight = double([0.3, -1.0, 2.0])[: d.mean.shape[-1]]
    loss = (d.mean * weight).sum() + sum(0 * p.sum() for p in params.values())
    expected = core.autograd.grad(loss, list(params.values()))
    # Each draw with parameters of its own, so that each has its gradient.
    own = {
        k: p.detach().expand(COUNT, *p.shape).clone().requires_grad_() for k, p in params.items()
    }
    drawn = getattr(distributions, name)(**own).rsample()
    found = core.autograd.grad((drawn * weight).sum(), list(own.values()))
    for each, want in zip(found, expected, strict=True):
        error = each.std(0) / COUNT**0.5
        assert bool(((each.mean(0) - want).abs() < 5 * error + 1e-9).all())


MODES = {
    "Gamma": {"concentration": [0.5, 3.0], "rate": [2.0, 2.0]},
    "InverseGamma": {"concentration": [0.5, 3.0], "rate": [2.0, 2.0]},
    "FisherSnedecor": {"df1": [1.0, 2.0, 3.0, 8.0], "df2": [1.0, 2.0, 4.0, 8.0]},
    "StudentT": {"df": [0.5, 1.0, 1.5, 2.0, 3.0], "loc": [1.0, 2.0, 3.0, 4.0, 5.0]},
    "Beta": {"concentration1": [0.5, 3.0, 0.4, 2.0], "concentration0": [0.2, 2.0, 0.9, 1.0]},
    "Dirichlet": {"concentration": [[0.5, 0.2, 0.3], [3.0, 2.0, 0.5], [1.0, 2.0, 0.5]]},
}


@pytest.mark.parametrize("name", MODES)
def test_modes_and_moments_that_are_not_there_are_pytorchs(name):
    ours, theirs = (
        getattr(module, name)(**{k: lib.tensor(v) for k, v in MODES[name].items()})
        for module, lib in ((distributions, core), (torch.distributions, torch))
    )
    for moment in ("mode", "mean", "variance", "stddev"):
        expected = getattr(theirs, moment).numpy()
        numpy.testing.assert_allclose(getattr(ours, moment).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["Cauchy", "HalfCauchy", "HalfNormal", "Gumbel"])
def test_shares_below_a_number_and_their_inverses_are_pytorchs(name):
    given = {"scale": 0.7} if name.startswith("Half") else {"loc": 0.3, "scale": 0.7}
    x, u = [0.1, 1.0, 4.0], [0.1, 0.5, 0.9]
    ours, theirs = (getattr(m, name)(**given) for m in (distributions, torch.distributions))
    expected = theirs.cdf(torch.tensor(x))
    numpy.testing.assert_allclose(ours.cdf(core.tensor(x)).numpy(), expected, rtol=2e-6)
    if name != "Gumbel":
        expected = theirs.icdf(torch.tensor(u))
        numpy.testing.assert_allclose(ours.icdf(core.tensor(u)).numpy(), expected, rtol=2e-6)


def test_numbers_of_trials():
    with pytest.raises(NotImplementedError, match="Inhomogeneous"):
        distributions.Binomial(core.tensor([3.0, 4.0]), core.tensor([0.5, 0.5])).entropy()
    few, many = (distributions.Binomial(n, core.tensor(0.5)) for n in (3, 4))
    assert distributions.kl_divergence(many, few).item() == float("inf")
    with pytest.raises(NotImplementedError, match=r"q\.total_count > p\.total_count"):
        distributions.kl_divergence(few, many)
    with pytest.raises(ValueError, match="parameter total_count of Binomial"):
        distributions.Binomial(1.5, 0.5)
    with pytest.raises(ValueError, match="must be specified, but not both"):
        distributions.NegativeBinomial(2)
    for p, count in ((0.0, 0.0), (1.0, 7.0)):
        assert distributions.Binomial(7, p).sample((4,)).tolist() == [count] * 4


def test_shares_below_a_number_are_pytorchs():
    found = []
    for module, lib in ((distributions, core), (torch.distributions, torch)):
        x = lib.tensor([0.1, 2.0, 9.0], dtype=lib.float64, requires_grad=True)
        a, rate = (lib.tensor(v, dtype=lib.float64) for v in (2.5, 0.7))
        shares = module.Gamma(a, rate).cdf(x) + module.InverseGamma(a, rate).cdf(x)
        shares.sum().backward()
        found.append((shares.detach().numpy(), x.grad.numpy()))
    numpy.testing.assert_allclose(found[0], found[1], rtol=1e-11)


FAMILIES = {
    "Exponential": {"rate": [0.5, 2.0]},
    "Gamma": {"concentration": [0.5, 3.0], "rate": [2.0, 0.3]},
    "Beta": {"concentration1": [0.5, 3.0], "concentration0": [2.0, 0.3]},
    "Normal": {"loc": [0.5, -1.0], "scale": [2.0, 0.3]},
    "Laplace": {"loc": [0.5, -1.0], "scale": [2.0, 0.3]},
    "Gumbel": {"loc": [0.5, -1.0], "scale": [2.0, 0.7]},
    "Uniform": {"low": [-0.5, 0.1], "high": [2.0, 1.3]},
}


@pytest.mark.parametrize("pair", list(itertools.permutations(FAMILIES, 2)), ids="-".join)
def test_divergences_between_families_are_pytorchs(pair):
    found = []
    for module, lib in ((distributions, core), (torch.distributions, torch)):
        made, params = [], []
        for name in pair:
            given = {k: lib.tensor(v, dtype=lib.float64) for k, v in FAMILIES[name].items()}
            params += [p.requires_grad_() for p in given.values()]
            made.append(getattr(module, name)(**given))
        try:
            result = module.kl_divergence(*made)
        except NotImplementedError:
            found.append(())
            continue
        grads = [None] * len(params)
        if result.requires_grad and bool(lib.isfinite(result).all()):
            result.sum().backward()
            grads = [None if p.grad is None else p.grad.numpy() for p in params]
        found.append((result.detach().numpy(), *grads))
    for i, (a, b) in enumerate(zip(*found, strict=True)):
        assert (a is None) == (b is None)
        if a is not None:  # PyTorch's trigamma, in the gradients, is right to nine digits
            rtol, atol = (1e-8, 1e-9) if i else (1e-12, 0)
            numpy.testing.assert_allclose(a, b, rtol, atol)
