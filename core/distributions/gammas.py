"""Distributions made of gamma draws: Gamma, Chi2, InverseGamma, Snedecor's F, Student's t."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from core.distributions.distribution import Distribution, broadcast_all
from core.dtype import finfo
from core.ops.choice import where
from core.ops.incomplete import igamma
from core.ops.sampling import randn
from core.ops.standard_gamma import standard_gamma


class Gamma(Distribution):
    """The waiting time for `concentration` events that happen at a `rate`.

    Example:
        >>> Gamma(3.0, 2.0).mean
        tensor(1.5000)
    """

    has_rsample = True
    parameters: ClassVar[tuple[str, ...]] = ("concentration", "rate")

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.rate.shape, (), validate_args)
        self.check(
            "parameter concentration", self.concentration, self.concentration > 0, "positive"
        )
        self.check("parameter rate", self.rate, self.rate > 0, "positive")

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of concentration and rate."""
        shape = self.drawn_shape(sample_shape)
        return _above_zero(standard_gamma(self.concentration.expand(shape)) / self.rate)

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density at `value`."""
        self.check("value", value, value >= 0, "not negative")
        a = self.concentration
        return a.xlogy(self.rate) + (a - 1).xlogy(value) - self.rate * value - a.lgamma()

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        a = self.concentration
        return a - self.rate.log() + a.lgamma() + (1 - a) * a.digamma()

    def cdf(self, value: Any) -> Any:
        """The probability of what is below `value`."""
        self.check("value", value, value >= 0, "not negative")
        return igamma(self.concentration, self.rate * value)

    @property
    def mean(self) -> Any:
        """The mean of each distribution."""
        return self.concentration / self.rate

    @property
    def mode(self) -> Any:
        """Where the density is largest."""
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Any:
        """The variance of each distribution."""
        return self.concentration / self.rate.pow(2)

    @property
    def mean_log(self) -> Any:
        """The mean of the logarithm."""
        return self.concentration.digamma() - self.rate.log()


class Chi2(Gamma):
    """The sum of `df` squares of standard normal numbers."""

    parameters = ("df",)

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        super().__init__(0.5 * df, 0.5, validate_args)

    @property
    def df(self) -> Any:
        """How many squares: the degrees of freedom."""
        return self.concentration * 2


class InverseGamma(Distribution):
    """One over a number of Gamma's."""

    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.base_dist = Gamma(concentration, rate, validate_args)
        super().__init__(self.base_dist.batch_shape, (), validate_args)

    @property
    def concentration(self) -> Any:
        """That of the Gamma number."""
        return self.base_dist.concentration

    @property
    def rate(self) -> Any:
        """That of the Gamma number."""
        return self.base_dist.rate

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of concentration and rate."""
        return 1 / self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density at `value`."""
        self.check("value", value, value > 0, "positive")
        return self.base_dist.log_prob(1 / value) - 2 * value.log()

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        a = self.concentration
        return a + self.rate.log() + a.lgamma() - (1 + a) * a.digamma()

    def cdf(self, value: Any) -> Any:
        """The probability of what is below `value`."""
        return 1 - self.base_dist.cdf(1 / value)

    @property
    def mean(self) -> Any:
        """The mean of each distribution; infinite up to a concentration of 1."""
        a = self.concentration
        return where(a > 1, self.rate / (a - 1), math.inf)

    @property
    def mode(self) -> Any:
        """Where the density is largest."""
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Any:
        """The variance of each distribution; infinite up to a concentration of 2."""
        a = self.concentration
        return where(a > 2, self.rate.square() / ((a - 1).square() * (a - 2)), math.inf)


class FisherSnedecor(Distribution):
    """The ratio of two numbers of Chi2, each divided by its degrees of freedom."""

    has_rsample = True
    parameters = ("df1", "df2")

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None) -> None:
        self.df1, self.df2 = broadcast_all(df1, df2)
        super().__init__(self.df1.shape, (), validate_args)
        self.check("parameter df1", self.df1, self.df1 > 0, "positive")
        self.check("parameter df2", self.df2, self.df2 > 0, "positive")

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of both degrees of freedom."""
        above, below = (
            Gamma(df / 2, df, validate_args=False).rsample(sample_shape)
            for df in (self.df1, self.df2)
        )
        return _above_zero(above / below)

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density at `value`."""
        self.check("value", value, value > 0, "positive")
        a, b, ratio = self.df1 / 2, self.df2 / 2, self.df1 / self.df2
        whole = (a + b).lgamma() - a.lgamma() - b.lgamma()
        return whole + a * ratio.log() + (a - 1) * value.log() - (a + b) * (ratio * value).log1p()

    @property
    def mean(self) -> Any:
        """The mean of each distribution; NaN up to two degrees of freedom below."""
        return where(self.df2 > 2, self.df2 / (self.df2 - 2), math.nan)

    @property
    def mode(self) -> Any:
        """Where the density is largest; NaN up to two degrees of freedom above."""
        found = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return where(self.df1 > 2, found, math.nan)

    @property
    def variance(self) -> Any:
        """The variance of each distribution; NaN up to four degrees of freedom below."""
        a, b = self.df1, self.df2
        found = 2 * b.pow(2) * (a + b - 2) / (a * (b - 2).pow(2) * (b - 4))
        return where(b > 4, found, math.nan)


class StudentT(Distribution):
    """Student's t: a normal number over the root of a Chi2's share, moved and stretched."""

    has_rsample = True
    parameters = ("df", "loc", "scale")

    def __init__(
        self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(self.df.shape, (), validate_args)
        self.check("parameter df", self.df, self.df > 0, "positive")
        self.check("parameter loc", self.loc, self.loc == self.loc, "real numbers")
        self.check("parameter scale", self.scale, self.scale > 0, "positive")

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of the parameters."""
        z = self.noise(randn, self.df, sample_shape)
        square = Chi2(self.df, validate_args=False).rsample(sample_shape)
        return self.loc + self.scale * (z * (square / self.df).rsqrt())

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density at `value`."""
        z = (value - self.loc) / self.scale
        half = 0.5 * (self.df + 1)
        return -half * (z * z / self.df).log1p() - self.scale.log() - self._log_beta

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        half = 0.5 * (self.df + 1)
        slope = half.digamma() - (0.5 * self.df).digamma()
        return self.scale.log() + half * slope + self._log_beta

    @property
    def _log_beta(self) -> Any:
        """The logarithm of the beta function of half of df and of a half, and of the root of df."""
        whole = math.lgamma(0.5) - (0.5 * (self.df + 1)).lgamma()
        return 0.5 * self.df.log() + (0.5 * self.df).lgamma() + whole

    @property
    def mean(self) -> Any:
        """The location; NaN up to one degree of freedom."""
        return where(self.df > 1, self.loc, math.nan)

    @property
    def mode(self) -> Any:
        """The location."""
        return self.loc

    @property
    def variance(self) -> Any:
        """The variance of each distribution: infinite up to df = 2, NaN up to 1."""
        found = where(self.df > 2, self.scale.pow(2) * self.df / (self.df - 2), math.inf)
        return where(self.df > 1, found, math.nan)


def _above_zero(x: Any) -> Any:
    """Draws that have a logarithm."""
    return x.clamp(min=finfo(x.dtype).tiny)
