"""Distributions of shares that add up to one: Dirichlet's, and Beta, its first of two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.distributions.distribution import Distribution, broadcast_all
from core.dtype import finfo
from core.nn.functional import one_hot
from core.ops.choice import where
from core.ops.join import stack
from core.ops.sampling import rand
from core.ops.standard_gamma import standard_gamma


class Dirichlet(Distribution):
    """Shares along the last dimension, nearer to their means the larger the concentrations are.

    Example:
        >>> from core import tensor
        >>> Dirichlet(tensor([1.0, 3.0])).mean
        tensor([0.2500, 0.7500])
    """

    has_rsample = True
    parameters = ("concentration",)

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args)
        self.check("parameter concentration", concentration, concentration > 0, "positive")

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of the concentrations.

        Shares of gamma numbers, taken by their logarithms: small ones do not underflow. None is 0
        or 1, where densities are infinite.
        """
        a = self.concentration.expand(self.drawn_shape(sample_shape))
        u = 1 - self.noise(rand, a, sample_shape)
        limits = finfo(a.dtype)
        shares = (standard_gamma(a + 1).log() + u.log() / a).softmax(-1)
        return shares.clamp(limits.tiny, 1 - limits.eps / 2)

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density at `value`."""
        total = (value.sum(-1) - 1).abs() < 1e-6
        self.check("value", value, (value >= 0).all(-1) & total, "shares that add up to one")
        a = self.concentration
        return (a - 1).xlogy(value).sum(-1) + a.sum(-1).lgamma() - a.lgamma().sum(-1)

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        a, total = self.concentration, self.concentration.sum(-1)
        slopes = (total - a.shape[-1]) * total.digamma() - ((a - 1) * a.digamma()).sum(-1)
        return a.lgamma().sum(-1) - total.lgamma() + slopes

    @property
    def mean(self) -> Any:
        """The mean of each share."""
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self) -> Any:
        """Where the density is largest: the whole, where all concentrations are below 1."""
        above = (self.concentration - 1).clamp(min=0)
        shares = above / above.sum(-1, True)
        corner = one_hot(shares.argmax(-1), shares.shape[-1]).to(shares.dtype)
        return where((self.concentration < 1).all(-1).unsqueeze(-1), corner, shares)

    @property
    def variance(self) -> Any:
        """The variance of each share."""
        a, total = self.concentration, self.concentration.sum(-1, True)
        return a * (total - a) / (total.pow(2) * (total + 1))

    @property
    def mean_log(self) -> Any:
        """The mean of the logarithm of each share."""
        return self.concentration.digamma() - self.concentration.sum(-1, True).digamma()


class Beta(Distribution):
    """The first of two shares, of `concentration1` and `concentration0`.

    Example:
        >>> Beta(1.0, 3.0).mean
        tensor(0.2500)
    """

    has_rsample = True

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        both = stack(broadcast_all(concentration1, concentration0), -1)
        self.shares = Dirichlet(both, validate_args)
        super().__init__(both.shape[:-1], (), validate_args)

    @property
    def concentration1(self) -> Any:
        """The concentration of this share."""
        return self.shares.concentration[..., 0]

    @property
    def concentration0(self) -> Any:
        """The concentration of the rest."""
        return self.shares.concentration[..., 1]

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of both concentrations."""
        return self.shares.rsample(sample_shape)[..., 0]

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density at `value`."""
        self.check("value", value, (value >= 0) & (value <= 1), "from 0 to 1")
        return self.shares.log_prob(stack([value, 1 - value], -1))

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        return self.shares.entropy()

    @property
    def mean(self) -> Any:
        """The mean of each distribution."""
        return self.shares.mean[..., 0]

    @property
    def mode(self) -> Any:
        """Where the density is largest."""
        return self.shares.mode[..., 0]

    @property
    def variance(self) -> Any:
        """The variance of each distribution."""
        return self.shares.variance[..., 0]

    @property
    def mean_log(self) -> Any:
        """The mean of the logarithm."""
        return self.shares.mean_log[..., 0]
