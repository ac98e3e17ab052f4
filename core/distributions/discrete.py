"""Distributions of whole numbers: Bernoulli, Categorical, Geometric, Poisson."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from core.autograd.mode import enable_grad, no_grad
from core.distributions.distribution import Distribution, broadcast_all
from core.dtype import finfo
from core.nn.functional import binary_cross_entropy_with_logits, one_hot
from core.ops.arrange import broadcast_tensors
from core.ops.creation import full_like, zeros_like
from core.ops.sampling import bernoulli, multinomial, poisson, rand


def _kept(function: Any) -> Any:
    """A property that is computed once, with its gradients also where a draw is what asks first."""
    return cached_property(enable_grad(function))


def _one_of(probs: Any, logits: Any) -> None:
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")


def _inside(probs: Any) -> Any:
    """Probabilities kept where their logarithms are finite."""
    eps = finfo(probs.dtype).eps
    return probs.clamp(eps, 1 - eps)


class Categorical(Distribution):
    """Whole numbers below n, with the n probabilities, or log-odds, along the last dimension.

    Example:
        >>> from core import tensor
        >>> round(Categorical(tensor([1.0, 3.0])).log_prob(tensor(1)).exp().item(), 6)
        0.75
    """

    parameters = ("probs", "logits")

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        _one_of(probs, logits)
        given = logits if probs is None else probs
        if given.dim() < 1:
            raise ValueError("the parameter of a Categorical must have at least one dimension")
        super().__init__(given.shape[:-1], (), validate_args)
        if probs is None:
            self.check("parameter logits", logits, logits == logits, "real numbers")
            self.logits = logits - logits.logsumexp(-1, keepdim=True)
        else:
            self.check("parameter probs", probs, probs >= 0, "not negative")
            self.probs = probs / probs.sum(-1, keepdim=True)
        self._num_events = given.shape[-1]

    @_kept
    def probs(self) -> Any:
        """The probabilities."""
        return self.logits.softmax(-1)

    @_kept
    def logits(self) -> Any:
        """The logarithms of the probabilities."""
        return _inside(self.probs).log()

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws, of int64."""
        with no_grad():
            rows = self.probs.reshape(-1, self._num_events)
            found = multinomial(rows, math.prod(sample_shape), True)
            return found.t().reshape((*sample_shape, *self.batch_shape))

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the probability of `value`."""
        in_range = (value >= 0) & (value < self._num_events)
        self.check("value", value, in_range, f"whole numbers below {self._num_events}")
        value, logits = broadcast_tensors(value.long().unsqueeze(-1), self.logits)
        return logits.gather(-1, value[..., :1]).squeeze(-1)

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        return -(self.logits.clamp(min=finfo(self.logits.dtype).min) * self.probs).sum(-1)

    @property
    def mode(self) -> Any:
        """The number that is most probable."""
        return self.probs.argmax(-1)

    @property
    def mean(self) -> Any:
        """NaN: the numbers are names."""
        return full_like(self.probs[..., 0], math.nan)

    @property
    def variance(self) -> Any:
        """NaN: the numbers are names."""
        return self.mean


class OfCategories(Distribution):
    """Vectors made of what a Categorical draws."""

    parameters = ("probs", "logits")

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._categorical = Categorical(probs, logits, validate_args)
        shape = (logits if probs is None else probs).shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    @property
    def probs(self) -> Any:
        """The probabilities."""
        return self._categorical.probs

    @property
    def logits(self) -> Any:
        """The logarithms of the probabilities."""
        return self._categorical.logits


class OneHotCategorical(OfCategories):
    """Vectors with a single one, at a place that a Categorical draws."""

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws, of the dtype of the probabilities."""
        drawn = self._categorical.sample(sample_shape)
        return one_hot(drawn, self.event_shape[0]).to(self.probs.dtype)

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the probability of `value`."""
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        return self._categorical.entropy()

    @property
    def mode(self) -> Any:
        """The vector that is most probable."""
        return one_hot(self._categorical.mode, self.event_shape[0]).to(self.probs.dtype)

    @property
    def mean(self) -> Any:
        """The probabilities."""
        return self.probs

    @property
    def variance(self) -> Any:
        """The variance of each entry."""
        return self.probs * (1 - self.probs)


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """The same, with draws whose gradients are those of the probabilities.

    Source: Bengio, Leonard & Courville (2013).
    """

    has_rsample = True

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as functions of the probabilities, as far as gradients go."""
        return self.sample(sample_shape) + (self.probs - self.probs.detach())


class Odds(Distribution):
    """Distributions whose parameter is a probability, or its log-odds, per element."""

    parameters: ClassVar[tuple[str, ...]] = ("probs", "logits")

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        _one_of(probs, logits)
        (given,) = broadcast_all(logits if probs is None else probs)
        super().__init__(given.shape, (), validate_args)
        if probs is None:
            self.check("parameter logits", given, given == given, "real numbers")
            self.logits = given
        else:
            self.check("parameter probs", given, (given >= 0) & (given <= 1), "within 0 and 1")
            self.probs = given

    @_kept
    def probs(self) -> Any:
        """The probabilities."""
        return self.logits.sigmoid()

    @_kept
    def logits(self) -> Any:
        """The log-odds."""
        inside = _inside(self.probs)
        return inside.log() - (-inside).log1p()


class Bernoulli(Odds):
    """1 with probability `probs`, else 0."""

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws, of the dtype of the probabilities."""
        with no_grad():
            return bernoulli(self.probs.expand(self.drawn_shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the probability of `value`."""
        self.check("value", value, (value == 0) | (value == 1), "0 or 1")
        logits, value = broadcast_tensors(self.logits, value)
        return -binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    @property
    def mode(self) -> Any:
        """The number that is more probable; NaN where both are as probable."""
        return (self.probs >= 0.5).to(self.probs.dtype).masked_fill(self.probs == 0.5, math.nan)

    @property
    def mean(self) -> Any:
        """The probability of 1."""
        return self.probs

    @property
    def variance(self) -> Any:
        """The variance of each distribution."""
        return self.probs * (1 - self.probs)


class Geometric(Odds):
    """How often a trial fails before it first succeeds, with probability `probs`."""

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws, of the dtype of the probabilities."""
        with no_grad():
            probs = self.probs.expand(self.drawn_shape(sample_shape))
            u = self.noise(rand, probs, sample_shape)
            return ((-u).log1p() / (-probs).log1p()).floor()

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the probability of `value`."""
        self.check("value", value, (value >= 0) & (value == value.floor()), "whole numbers from 0")
        value, probs = broadcast_tensors(value, self.probs)
        # 0 failures of a trial that cannot fail: 0 * log(0) is 0 here.
        fails = probs.masked_fill((probs == 1) & (value == 0), 0.0)
        return value * (-fails).log1p() + probs.log()

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        logits, probs = self.logits, self.probs
        return binary_cross_entropy_with_logits(logits, probs, reduction="none") / probs

    @property
    def mode(self) -> Any:
        """The most probable number, 0."""
        return zeros_like(self.probs)

    @property
    def mean(self) -> Any:
        """The mean of each distribution."""
        return 1 / self.probs - 1

    @property
    def variance(self) -> Any:
        """The variance of each distribution."""
        return (1 / self.probs - 1) / self.probs


class Poisson(Distribution):
    """How many events happen at a `rate`."""

    parameters = ("rate",)

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, (), validate_args)
        self.check("parameter rate", self.rate, self.rate >= 0, "not negative")

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws, of the dtype of the rate."""
        with no_grad():
            return poisson(self.rate.expand(self.drawn_shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the probability of `value`."""
        self.check("value", value, (value >= 0) & (value == value.floor()), "whole numbers from 0")
        rate, value = broadcast_tensors(self.rate, value)
        return value.xlogy(rate) - rate - (value + 1).lgamma()

    @property
    def mode(self) -> Any:
        """The largest of the most probable numbers."""
        return self.rate.floor()

    @property
    def mean(self) -> Any:
        """The rate."""
        return self.rate

    @property
    def variance(self) -> Any:
        """The rate."""
        return self.rate
