"""Mixtures: one of several distributions of a family, chosen by a Categorical."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.autograd.mode import no_grad
from core.distributions.discrete import Categorical
from core.distributions.distribution import Distribution


class MixtureSameFamily(Distribution):
    """What a component draws whose number, in the last batch dimension, a Categorical draws.

    Raises: ValueError unless both fit together.
    Example:
        >>> from core import tensor
        >>> from core.distributions import Normal
        >>> halves = Categorical(tensor([0.5, 0.5]))
        >>> MixtureSameFamily(halves, Normal(tensor([-1.0, 3.0]), tensor([1.0, 1.0]))).mean
        tensor(1.)
    """

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        _check(mixture_distribution, component_distribution)
        shape, event = component_distribution.batch_shape[:-1], component_distribution.event_shape
        super().__init__(shape, event, validate_args)
        self.mixture_distribution = mixture_distribution
        self.component_distribution = component_distribution
        self._at = -1 - len(event)  # where the components stand in what they draw

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws that do not depend on the parameters in any gradient."""
        with no_grad():
            chosen = self.mixture_distribution.sample(sample_shape)
            drawn = self.component_distribution.sample(sample_shape)
            for _ in range(-self._at):
                chosen = chosen.unsqueeze(-1)
            one = [*drawn.shape]
            one[self._at] = 1
            return drawn.gather(self._at, chosen.expand(one)).squeeze(self._at)

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density, or of the probability, at `value`."""
        logs = self.component_distribution.log_prob(value.unsqueeze(self._at))
        return (logs + self.mixture_distribution.logits.log_softmax(-1)).logsumexp(-1)

    def cdf(self, value: Any) -> Any:
        """The probability that a draw is at most `value`."""
        below = self.component_distribution.cdf(value.unsqueeze(self._at))  # type: ignore[attr-defined]
        return (below * self.mixture_distribution.probs).sum(-1)

    @property
    def mean(self) -> Any:
        """The mean of each mixture."""
        return (self._shares() * self.component_distribution.mean).sum(self._at)

    @property
    def variance(self) -> Any:
        """The variance of each mixture: that of its components, and that of their means."""
        shares, parts = self._shares(), self.component_distribution
        apart = parts.mean - self.mean.unsqueeze(self._at)
        return (shares * parts.variance).sum(self._at) + (shares * apart * apart).sum(self._at)

    def _shares(self) -> Any:
        shares = self.mixture_distribution.probs
        return shares.reshape((*shares.shape, *(1,) * len(self.event_shape)))

    def __repr__(self) -> str:
        return (
            f"MixtureSameFamily(\n  {self.mixture_distribution},\n  {self.component_distribution})"
        )


def _check(mixture: Any, components: Any) -> None:
    if not isinstance(mixture, Categorical):
        raise ValueError("the mixture distribution needs to be a Categorical")
    if not isinstance(components, Distribution) or not components.batch_shape:
        raise ValueError("the component distribution needs to be a Distribution with a batch dim")
    *outer, count = components.batch_shape
    for n, m in zip(reversed(mixture.batch_shape), reversed(outer)):
        if n != m and 1 not in (n, m):
            raise ValueError(
                f"mixture_distribution.batch_shape {tuple(mixture.batch_shape)} does not fit"
                f" component_distribution.batch_shape[:-1] {tuple(outer)}"
            )
    found = mixture.logits.shape[-1]
    if found != count:
        raise ValueError(f"the mixture is of {found} components, but there are {count}")
