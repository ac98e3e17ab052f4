"""Distributions with densities: normal ones, uniform, exponential, Laplace's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from core.distributions.distribution import Distribution, broadcast_all
from core.dtype import finfo
from core.linalg import solve_triangular
from core.ops.arrange import broadcast_tensors
from core.ops.creation import full_like, zeros_like
from core.ops.matrices import cholesky, inv
from core.ops.sampling import rand, randn
from core.ops.sequences import eye

_LOG_2PI = math.log(2 * math.pi)


class LocationScale(Distribution):
    """Distributions that are moved by `loc` and stretched by `scale`."""

    has_rsample = True
    parameters = ("loc", "scale")

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, (), validate_args)
        self.check("parameter loc", self.loc, self.loc == self.loc, "real numbers")
        self.check("parameter scale", self.scale, self.scale > 0, "positive")

    @property
    def mean(self) -> Any:
        """The location."""
        return self.loc

    @property
    def mode(self) -> Any:
        """The location."""
        return self.loc


class Normal(LocationScale):
    """The normal distribution of mean `loc` and standard deviation `scale`.

    Example:
        >>> round(Normal(0.0, 1.0).entropy().item(), 4)
        1.4189
    """

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of `loc` and `scale`."""
        return self.loc + self.scale * self.noise(randn, self.loc, sample_shape)

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density at `value`."""
        z = (value - self.loc) / self.scale
        return -0.5 * (z * z + _LOG_2PI) - self.scale.log()

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        return self.scale.log() + 0.5 * (1 + _LOG_2PI)

    def cdf(self, value: Any) -> Any:
        """The probability of what is below `value`."""
        return 0.5 * (1 + ((value - self.loc) / (self.scale * math.sqrt(2))).erf())

    def icdf(self, value: Any) -> Any:
        """What lies above a part `value` of the probability."""
        return self.loc + self.scale * (2 * value - 1).erfinv() * math.sqrt(2)

    @property
    def variance(self) -> Any:
        """The square of the scale."""
        return self.scale.pow(2)

    @property
    def stddev(self) -> Any:
        """The scale."""
        return self.scale


class LogNormal(LocationScale):
    """What has a normal logarithm of mean `loc` and standard deviation `scale`."""

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of `loc` and `scale`."""
        return self._normal.rsample(sample_shape).exp()

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density at `value`."""
        self.check("value", value, value > 0, "positive")
        return self._normal.log_prob(value.log()) - value.log()

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        return self._normal.entropy() + self.loc

    @property
    def _normal(self) -> Normal:
        return Normal(self.loc, self.scale, validate_args=False)

    @property
    def mean(self) -> Any:
        """The mean of each distribution."""
        return (self.loc + self.scale.pow(2) / 2).exp()

    @property
    def mode(self) -> Any:
        """Where the density is largest."""
        return (self.loc - self.scale.pow(2)).exp()

    @property
    def variance(self) -> Any:
        """The variance of each distribution."""
        square = self.scale.pow(2)
        return square.expm1() * (2 * self.loc + square).exp()


class Laplace(LocationScale):
    """Laplace's distribution: two exponentials, back to back at `loc`."""

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of `loc` and `scale`."""
        u = 2 * self.noise(rand, self.loc, sample_shape) - 1
        # u reaches -1, whose logarithm below would be infinite.
        u = u.clamp(min=finfo(u.dtype).eps - 1)
        return self.loc - self.scale * u.sign() * (-u.abs()).log1p()

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density at `value`."""
        return -(2 * self.scale).log() - (value - self.loc).abs() / self.scale

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        return 1 + (2 * self.scale).log()

    @property
    def variance(self) -> Any:
        """The variance of each distribution."""
        return 2 * self.scale.pow(2)


class Uniform(Distribution):
    """The same density from `low` to below `high`."""

    has_rsample = True
    parameters = ("low", "high")

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_all(low, high)
        super().__init__(self.low.shape, (), validate_args)
        self.check("parameter low", self.low, self.low < self.high, "below high")

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of `low` and `high`."""
        u = self.noise(rand, self.low, sample_shape)
        return self.low + u * (self.high - self.low)

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density at `value`."""
        inside = (self.low <= value) & (value <= self.high)
        self.check("value", value, inside, "within low and high")
        within = (self.low <= value) & (value < self.high)
        return within.to(self.low.dtype).log() - (self.high - self.low).log()

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        return (self.high - self.low).log()

    @property
    def mode(self) -> Any:
        """NaN: the density is as large everywhere."""
        return full_like(self.high, math.nan)

    @property
    def mean(self) -> Any:
        """The middle."""
        return (self.high + self.low) / 2

    @property
    def variance(self) -> Any:
        """The variance of each distribution."""
        return (self.high - self.low).pow(2) / 12


class Exponential(Distribution):
    """The time until an event that happens at a `rate`."""

    has_rsample = True
    parameters = ("rate",)

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, (), validate_args)
        self.check("parameter rate", self.rate, self.rate > 0, "positive")

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of the rate."""
        u = self.noise(rand, self.rate, sample_shape)
        return -(-u).log1p() / self.rate

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density at `value`."""
        self.check("value", value, value >= 0, "not negative")
        return self.rate.log() - self.rate * value

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        return 1 - self.rate.log()

    @property
    def mode(self) -> Any:
        """Where the density is largest, 0."""
        return zeros_like(self.rate)

    @property
    def mean(self) -> Any:
        """The mean of each distribution."""
        return 1 / self.rate

    @property
    def variance(self) -> Any:
        """The variance of each distribution."""
        return self.rate.pow(-2)


class MultivariateNormal(Distribution):
    """Normal vectors with a covariance, its inverse, or its Cholesky factor.

    Raises: ValueError unless one of the three is given; LinAlgError if it is not positive definite.
    """

    has_rsample = True
    parameters = ("loc", "scale_tril")

    def __init__(
        self,
        loc: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        given = [m for m in (covariance_matrix, precision_matrix, scale_tril) if m is not None]
        if len(given) != 1:
            raise ValueError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be"
                " specified."
            )
        size = loc.shape[-1]
        if scale_tril is None:
            covariance = covariance_matrix if precision_matrix is None else inv(precision_matrix)
            scale_tril = cholesky(covariance)
        column, self.scale_tril = broadcast_tensors(loc.unsqueeze(-1), scale_tril)
        self.loc = column[..., 0]
        super().__init__(self.loc.shape[:-1], (size,), validate_args)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of the parameters."""
        z = self.noise(randn, self.loc, sample_shape)
        return self.loc + (self.scale_tril @ z.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density at `value`."""
        shift = (value - self.loc).unsqueeze(-1)
        factor = self.scale_tril.expand(*shift.shape[:-2], *self.scale_tril.shape[-2:])
        z = solve_triangular(factor, shift, upper=False).squeeze(-1)
        return -0.5 * (z.pow(2).sum(-1) + self.event_shape[0] * _LOG_2PI) - self.half_log_det

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        return self.half_log_det + 0.5 * self.event_shape[0] * (1 + _LOG_2PI)

    @property
    def half_log_det(self) -> Any:
        """Half the logarithm of the covariance's determinant."""
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    @property
    def covariance_matrix(self) -> Any:
        """The covariance."""
        return self.scale_tril @ self.scale_tril.mT

    @property
    def precision_matrix(self) -> Any:
        """The inverse of the covariance."""
        identity = eye(self.event_shape[0], dtype=self.loc.dtype, device=self.loc.device)
        root = solve_triangular(self.scale_tril, identity.expand_as(self.scale_tril), upper=False)
        return root.mT @ root

    @property
    def mean(self) -> Any:
        """The location."""
        return self.loc

    @property
    def mode(self) -> Any:
        """The location."""
        return self.loc

    @property
    def variance(self) -> Any:
        """The variance of each entry."""
        return self.scale_tril.pow(2).sum(-1)
