"""Probability distributions under the names of torch.distributions: draws, densities, entropies."""

from core.distributions import crossings as _crossings  # noqa: F401 - it registers divergences
from core.distributions.continuous import Exponential as Exponential
from core.distributions.continuous import Laplace as Laplace
from core.distributions.continuous import LogNormal as LogNormal
from core.distributions.continuous import MultivariateNormal as MultivariateNormal
from core.distributions.continuous import Normal as Normal
from core.distributions.continuous import Uniform as Uniform
from core.distributions.counts import Binomial as Binomial
from core.distributions.counts import Multinomial as Multinomial
from core.distributions.counts import NegativeBinomial as NegativeBinomial
from core.distributions.discrete import Bernoulli as Bernoulli
from core.distributions.discrete import Categorical as Categorical
from core.distributions.discrete import Geometric as Geometric
from core.distributions.discrete import OneHotCategorical as OneHotCategorical
from core.distributions.discrete import (
    OneHotCategoricalStraightThrough as OneHotCategoricalStraightThrough,
)
from core.distributions.discrete import Poisson as Poisson
from core.distributions.distribution import Distribution as Distribution
from core.distributions.distribution import Independent as Independent
from core.distributions.divergence import kl_divergence as kl_divergence
from core.distributions.divergence import register_kl as register_kl
from core.distributions.gammas import Chi2 as Chi2
from core.distributions.gammas import FisherSnedecor as FisherSnedecor
from core.distributions.gammas import Gamma as Gamma
from core.distributions.gammas import InverseGamma as InverseGamma
from core.distributions.gammas import StudentT as StudentT
from core.distributions.mixture import MixtureSameFamily as MixtureSameFamily
from core.distributions.shares import Beta as Beta
from core.distributions.shares import Dirichlet as Dirichlet
from core.distributions.tails import Cauchy as Cauchy
from core.distributions.tails import Gumbel as Gumbel
from core.distributions.tails import HalfCauchy as HalfCauchy
from core.distributions.tails import HalfNormal as HalfNormal
from core.distributions.tails import Pareto as Pareto
from core.distributions.tails import Weibull as Weibull

__all__ = [
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "Cauchy",
    "Chi2",
    "Dirichlet",
    "Distribution",
    "Exponential",
    "FisherSnedecor",
    "Gamma",
    "Geometric",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "Independent",
    "InverseGamma",
    "Laplace",
    "LogNormal",
    "MixtureSameFamily",
    "Multinomial",
    "MultivariateNormal",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "Pareto",
    "Poisson",
    "StudentT",
    "Uniform",
    "Weibull",
    "kl_divergence",
    "register_kl",
]
