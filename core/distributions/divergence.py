"""kl_divergence: what one distribution costs where another was expected, by pairs of families."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from core.distributions.continuous import (
    Exponential,
    Laplace,
    MultivariateNormal,
    Normal,
    Uniform,
)
from core.distributions.discrete import Bernoulli, Categorical, OneHotCategorical, Poisson
from core.distributions.distribution import Distribution, Independent
from core.linalg import solve_triangular

Rule = TypeVar("Rule", bound=Callable[..., Any])
_RULES: dict[tuple[type, type], Callable[..., Any]] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Rule], Rule]:
    """The decorator that makes a function the divergence of two families."""

    def register(rule: Rule) -> Rule:
        _RULES[type_p, type_q] = rule
        return rule

    return register


def kl_divergence(p: Distribution, q: Distribution) -> Any:
    """The Kullback-Leibler divergence of p from q, in nats.

    Raises: NotImplementedError for families without a rule.
    """
    for kind_p in type(p).__mro__:
        for kind_q in type(q).__mro__:
            if (kind_p, kind_q) in _RULES:
                return _RULES[kind_p, kind_q](p, q)
    raise NotImplementedError(
        f"no divergence is registered for {type(p).__name__} and {type(q).__name__}"
    )


@register_kl(Categorical, Categorical)
@register_kl(OneHotCategorical, OneHotCategorical)
def _categorical(p: Any, q: Any) -> Any:
    terms = p.probs * (p.logits - q.logits)
    terms = terms.masked_fill((q.probs == 0).expand_as(terms), float("inf"))
    return terms.masked_fill((p.probs == 0).expand_as(terms), 0.0).sum(-1)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Any:
    yes = p.probs.xlogy(p.probs) - p.probs.xlogy(q.probs)
    rest_p, rest_q = 1 - p.probs, 1 - q.probs
    return yes + rest_p.xlogy(rest_p) - rest_p.xlogy(rest_q)


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Any:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Normal, Normal)
def _normal(p: Any, q: Any) -> Any:
    ratio = (p.scale / q.scale).pow(2)
    shift = ((p.loc - q.loc) / q.scale).pow(2)
    return 0.5 * (ratio + shift - 1 - ratio.log())


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Any:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * (-distance / p.scale).exp() - 1


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Any:
    outside = (q.low > p.low) | (q.high < p.high)
    return ((q.high - q.low) / (p.high - p.low)).log().masked_fill(outside, float("inf"))


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate(p: Any, q: Any) -> Any:
    whitened = solve_triangular(q.scale_tril, p.scale_tril, upper=False)
    shift = solve_triangular(q.scale_tril, (q.loc - p.loc).unsqueeze(-1), upper=False)
    squares = whitened.pow(2).sum((-2, -1)) + shift.pow(2).sum((-2, -1))
    return q.half_log_det - p.half_log_det + 0.5 * (squares - p.event_shape[0])


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Any:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("the two have different numbers of reinterpreted dimensions")
    return p.summed(kl_divergence(p.base_dist, q.base_dist))
