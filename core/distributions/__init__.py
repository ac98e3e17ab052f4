"""Probability distributions under the names of torch.distributions: draws, densities, entropies."""

from core.distributions.continuous import Exponential as Exponential
from core.distributions.continuous import Laplace as Laplace
from core.distributions.continuous import LogNormal as LogNormal
from core.distributions.continuous import MultivariateNormal as MultivariateNormal
from core.distributions.continuous import Normal as Normal
from core.distributions.continuous import Uniform as Uniform
from core.distributions.counts import Multinomial as Multinomial
from core.distributions.discrete import Bernoulli as Bernoulli
from core.distributions.discrete import Categorical as Categorical
from core.distributions.discrete import Geometric as Geometric
from core.distributions.discrete import OneHotCategorical as OneHotCategorical
from core.distributions.discrete import Poisson as Poisson
from core.distributions.distribution import Distribution as Distribution
from core.distributions.distribution import Independent as Independent
from core.distributions.divergence import kl_divergence as kl_divergence
from core.distributions.divergence import register_kl as register_kl

__all__ = [
    "Bernoulli",
    "Categorical",
    "Distribution",
    "Exponential",
    "Geometric",
    "Independent",
    "Laplace",
    "LogNormal",
    "Multinomial",
    "MultivariateNormal",
    "Normal",
    "OneHotCategorical",
    "Poisson",
    "Uniform",
    "kl_divergence",
    "register_kl",
]
