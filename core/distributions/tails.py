"""Distributions with long tails, or half of one: Cauchy, Gumbel, Pareto, Weibull, half normals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from core.distributions.continuous import Exponential, LocationScale, Normal
from core.distributions.distribution import Distribution, broadcast_all
from core.dtype import finfo
from core.ops.choice import where
from core.ops.creation import full_like, zeros_like
from core.ops.gamma import EULER
from core.ops.sampling import rand


class Cauchy(LocationScale):
    """The ratio of two normal numbers, which has no mean, moved by `loc` and stretched."""

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of `loc` and `scale`."""
        return self.icdf(self.noise(rand, self.loc, sample_shape))

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density at `value`."""
        z = (value - self.loc) / self.scale
        return -math.log(math.pi) - self.scale.log() - (z * z).log1p()

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        return math.log(4 * math.pi) + self.scale.log()

    def cdf(self, value: Any) -> Any:
        """The probability of what is below `value`."""
        return ((value - self.loc) / self.scale).atan() / math.pi + 0.5

    def icdf(self, value: Any) -> Any:
        """What lies above a part `value` of the probability."""
        return (math.pi * (value - 0.5)).tan() * self.scale + self.loc

    @property
    def mean(self) -> Any:
        """NaN: there is none."""
        return full_like(self.loc, math.nan)

    @property
    def variance(self) -> Any:
        """Infinite."""
        return full_like(self.loc, math.inf)


class Gumbel(LocationScale):
    """The largest of many numbers, whose tails fall as those of normal ones do."""

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of `loc` and `scale`."""
        limits, u = finfo(self.loc.dtype), self.noise(rand, self.loc, sample_shape)
        return self.loc - self.scale * (-u.clamp(limits.tiny, 1 - limits.eps).log()).log()

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density at `value`."""
        z = (self.loc - value) / self.scale
        return z - z.exp() - self.scale.log()

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        return self.scale.log() + (1 + EULER)

    def cdf(self, value: Any) -> Any:
        """The probability of what is below `value`."""
        return (-((self.loc - value) / self.scale).exp()).exp()

    @property
    def mean(self) -> Any:
        """The mean of each distribution."""
        return self.loc + self.scale * EULER

    @property
    def variance(self) -> Any:
        """The variance of each distribution."""
        return (math.pi / math.sqrt(6) * self.scale).pow(2)


class _Half(Distribution):
    """The absolute values of what is symmetric about zero."""

    has_rsample = True
    whole: Any

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        self.base_dist = self.whole(0, scale, validate_args=False)
        super().__init__(self.base_dist.batch_shape, (), validate_args)
        self.check("parameter scale", self.scale, self.scale > 0, "positive")

    @property
    def scale(self) -> Any:
        """That of the whole."""
        return self.base_dist.scale

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of the scale."""
        return self.base_dist.rsample(sample_shape).abs()

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density at `value`."""
        self.check("value", value, value >= 0, "not negative")
        return where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        return self.base_dist.entropy() - math.log(2)

    def cdf(self, value: Any) -> Any:
        """The probability of what is below `value`."""
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, value: Any) -> Any:
        """What lies above a part `value` of the probability."""
        return self.base_dist.icdf((value + 1) / 2)

    @property
    def mode(self) -> Any:
        """Zero."""
        return zeros_like(self.scale)


class HalfNormal(_Half):
    """The absolute value of a normal number of mean 0 and standard deviation `scale`."""

    whole = Normal

    @property
    def mean(self) -> Any:
        """The mean of each distribution."""
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Any:
        """The variance of each distribution."""
        return self.scale.pow(2) * (1 - 2 / math.pi)


class HalfCauchy(_Half):
    """The absolute value of a number of Cauchy's."""

    whole = Cauchy

    @property
    def mean(self) -> Any:
        """Infinite."""
        return full_like(self.scale, math.inf)

    @property
    def variance(self) -> Any:
        """Infinite."""
        return self.base_dist.variance


class Pareto(Distribution):
    """What is `scale` or more, and more than x with a probability of (scale / x) ** alpha."""

    has_rsample = True
    parameters = ("alpha", "scale")

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = broadcast_all(scale, alpha)
        super().__init__(self.scale.shape, (), validate_args)
        self.check("parameter scale", self.scale, self.scale > 0, "positive")
        self.check("parameter alpha", self.alpha, self.alpha > 0, "positive")

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of scale and alpha."""
        logarithm = Exponential(self.alpha, validate_args=False).rsample(sample_shape)
        return self.scale * logarithm.exp()

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density at `value`."""
        self.check("value", value, value >= self.scale, "no less than scale")
        return self.alpha.log() - self.alpha * (value / self.scale).log() - value.log()

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        return (self.scale / self.alpha).log() + (1 + 1 / self.alpha)

    @property
    def mean(self) -> Any:
        """The mean of each distribution; infinite up to an alpha of 1."""
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Any:
        """The scale."""
        return self.scale

    @property
    def variance(self) -> Any:
        """The variance of each distribution; infinite up to an alpha of 2."""
        a = self.alpha.clamp(min=2)
        return self.scale.pow(2) * a / ((a - 1).pow(2) * (a - 2))


class Weibull(Distribution):
    """A time to failure: the rate of failing goes with the time to the power concentration - 1."""

    has_rsample = True
    parameters = ("scale", "concentration")

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        super().__init__(self.scale.shape, (), validate_args)
        self.check("parameter scale", self.scale, self.scale > 0, "positive")
        k = self.concentration
        self.check("parameter concentration", k, k > 0, "positive")

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of scale and concentration."""
        one = Exponential(full_like(self.scale, 1.0), validate_args=False)
        return self.scale * one.rsample(sample_shape).pow(1 / self.concentration)

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density at `value`."""
        self.check("value", value, value > 0, "positive")
        k, z = self.concentration, value / self.scale
        return (k / self.scale).log() + (k - 1) * z.log() - z.pow(k)

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        part = 1 / self.concentration
        return EULER * (1 - part) + (self.scale * part).log() + 1

    def _moment(self, n: int) -> Any:
        """The mean of the n-th power, for a scale of 1."""
        return (1 + n / self.concentration).lgamma().exp()

    @property
    def mean(self) -> Any:
        """The mean of each distribution."""
        return self.scale * self._moment(1)

    @property
    def mode(self) -> Any:
        """Where the density is largest."""
        k = self.concentration
        return self.scale * ((k - 1) / k) ** (1 / k)

    @property
    def variance(self) -> Any:
        """The variance of each distribution."""
        return self.scale.pow(2) * (self._moment(2) - self._moment(1).pow(2))
