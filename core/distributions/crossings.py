"""Divergences of distributions over positive numbers, and of them from those of other families.

Where q's log-density is made of x, x squared and log x, p's entropy and moments are all it takes.
"""

from __future__ import annotations

import math
from typing import Any

from core.distributions.continuous import Exponential, Laplace, Normal, Uniform
from core.distributions.divergence import register_kl
from core.distributions.gammas import Gamma
from core.distributions.shares import Beta, Dirichlet
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


@register_kl(Exponential, Beta)
@register_kl(Exponential, Uniform)
@register_kl(Gamma, Beta)
@register_kl(Gamma, Uniform)
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
