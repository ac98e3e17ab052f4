"""Divergences between families, and of those made of gamma draws, with long tails or of counts.

Where q's log-density is made of x, x squared and log x, p's entropy and moments are all it takes.
"""

from __future__ import annotations

import math
from typing import Any

from core.distributions.continuous import Exponential, Laplace, Normal, Uniform
from core.distributions.counts import Binomial
from core.distributions.discrete import Geometric
from core.distributions.divergence import kl_divergence, register_kl
from core.distributions.gammas import Gamma
from core.distributions.shares import Beta, Dirichlet
from core.distributions.tails import Cauchy, Gumbel, HalfNormal, Pareto
from core.ops.creation import full_like
from core.ops.gamma import EULER


def _mean_log(p: Any) -> Any:
    if isinstance(p, Uniform):
        return _mean_log_within(p.low, p.high)
    return -EULER - p.rate.log() if isinstance(p, Exponential) else p.mean_log


def _mean_log_within(low: Any, high: Any) -> Any:
    """The mean logarithm of what is uniform between two numbers."""
    return (high.xlogy(high) - low.xlogy(low)) / (high - low) - 1


@register_kl(Gamma, Gamma)
@register_kl(Exponential, Gamma)
@register_kl(Beta, Gamma)
def _to_gamma(p: Any, q: Any) -> Any:
    a = q.concentration
    normaliser = a.lgamma() - a * q.rate.log()
    return normaliser - p.entropy() - (a - 1) * _mean_log(p) + q.rate * p.mean


@register_kl(Gamma, Exponential)
@register_kl(Beta, Exponential)
def _to_exponential(p: Any, q: Any) -> Any:
    return q.rate * p.mean - q.rate.log() - p.entropy()


@register_kl(Uniform, Gamma)
def _uniform_gamma(p: Any, q: Any) -> Any:
    return _to_gamma(p, q).masked_fill(p.low < 0, math.inf)


@register_kl(Uniform, Exponential)
def _uniform_exponential(p: Any, q: Any) -> Any:
    return _to_exponential(p, q).masked_fill(p.low < 0, math.inf)


@register_kl(Uniform, Beta)
def _uniform_beta(p: Any, q: Any) -> Any:
    a, b = q.concentration1, q.concentration0
    logs = (a - 1) * _mean_log(p) + (b - 1) * _mean_log_within(1 - p.high, 1 - p.low)
    found = a.lgamma() + b.lgamma() - (a + b).lgamma() - p.entropy() - logs
    return found.masked_fill((p.low < 0) | (p.high > 1), math.inf)


@register_kl(Normal, Laplace)
def _normal_laplace(p: Any, q: Any) -> Any:
    z = (p.loc - q.loc) / p.scale
    distance = (-0.5 * z * z).exp() * math.sqrt(2 / math.pi) + z * (z * math.sqrt(0.5)).erf()
    return (2 * q.scale).log() + p.scale * distance / q.scale - p.entropy()


@register_kl(Beta, Normal)
@register_kl(Gamma, Normal)
@register_kl(Exponential, Normal)
@register_kl(Gumbel, Normal)
@register_kl(Laplace, Normal)
@register_kl(Uniform, Normal)
def _to_normal(p: Any, q: Any) -> Any:
    variance = q.scale.pow(2)
    squares = p.variance + (p.mean - q.loc).pow(2)
    return 0.5 * (variance * 2 * math.pi).log() + 0.5 * squares / variance - p.entropy()


@register_kl(Beta, Uniform)
def _beta_uniform(p: Any, q: Any) -> Any:
    outside = (q.low > 0) | (q.high < 1)
    return ((q.high - q.low).log() - p.entropy()).masked_fill(outside, math.inf)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Any, q: Any) -> Any:
    a, b = p.concentration, q.concentration
    wholes = a.sum(-1).lgamma() - b.sum(-1).lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
    return wholes + ((a - b) * p.mean_log).sum(-1)


@register_kl(Beta, Beta)
def _beta(p: Any, q: Any) -> Any:
    return _dirichlet(p.shares, q.shares)


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Any:
    distance = (p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)
    return distance.log() - (4 * p.scale * q.scale).log()


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Any, q: Any) -> Any:
    ratio, shift = p.scale / q.scale, (q.loc - p.loc) / q.scale
    tail = (shift + (1 + ratio).lgamma()).exp()
    return tail - ratio.log() - shift + ratio * EULER - (1 + EULER)


def _mean_fall(p: Any, t: Any) -> Any:
    """The mean of exp(-t x)."""
    if isinstance(p, Normal):
        return (0.5 * (t * p.scale).pow(2) - t * p.loc).exp()
    if isinstance(p, Uniform):
        return ((-t * p.low).exp() - (-t * p.high).exp()) / (t * (p.high - p.low))
    return (1 + t / p.rate).pow(-p.concentration if isinstance(p, Gamma) else -1)


@register_kl(Exponential, Gumbel)
@register_kl(Gamma, Gumbel)
@register_kl(Normal, Gumbel)
@register_kl(Uniform, Gumbel)
def _to_gumbel(p: Any, q: Any) -> Any:
    fall = (q.loc / q.scale).exp() * _mean_fall(p, 1 / q.scale)
    return q.scale.log() + (p.mean - q.loc) / q.scale + fall - p.entropy()


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: Any, q: Any) -> Any:
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Pareto, Pareto)
def _pareto(p: Any, q: Any) -> Any:
    ratio = q.alpha / p.alpha
    found = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return found.masked_fill(p.scale < q.scale, math.inf)


@register_kl(Geometric, Geometric)
def _geometric(p: Any, q: Any) -> Any:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Binomial, Binomial)
def _binomial(p: Any, q: Any) -> Any:
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError(
            "KL between Binomials where q.total_count > p.total_count is not implemented"
        )
    logs = (-p.probs).log1p() - (-q.probs).log1p()
    found = p.total_count * (p.probs * (p.logits - q.logits) + logs)
    return found.masked_fill(p.total_count > q.total_count, math.inf)


@register_kl(Exponential, Beta)
@register_kl(Exponential, Uniform)
@register_kl(Gamma, Beta)
@register_kl(Gamma, Uniform)
@register_kl(Gumbel, Beta)
@register_kl(Gumbel, Exponential)
@register_kl(Gumbel, Gamma)
@register_kl(Gumbel, Uniform)
@register_kl(Laplace, Beta)
@register_kl(Laplace, Exponential)
@register_kl(Laplace, Gamma)
@register_kl(Laplace, Uniform)
@register_kl(Normal, Beta)
@register_kl(Normal, Exponential)
@register_kl(Normal, Gamma)
@register_kl(Normal, Uniform)
def _infinite(p: Any, q: Any) -> Any:
    """P has values where q has no density."""
    return full_like(p.mean, math.inf)
