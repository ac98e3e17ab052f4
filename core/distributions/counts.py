"""Distributions of how often something comes: Multinomial, Binomial, NegativeBinomial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.autograd.mode import no_grad
from core.distributions.discrete import Odds, OfCategories
from core.distributions.distribution import broadcast_all
from core.distributions.gammas import Gamma
from core.nn.functional import logsigmoid
from core.ops.arrange import broadcast_tensors
from core.ops.choice import where
from core.ops.exponential import xlogy
from core.ops.gamma import lgamma
from core.ops.sampling import poisson, rand


class Multinomial(OfCategories):
    """How often each number comes among `total_count` draws of a Categorical.

    Raises: NotImplementedError for a tensor of numbers of draws.
    Example:
        >>> from core import tensor
        >>> Multinomial(10, tensor([1.0, 3.0])).mean
        tensor([2.5000, 7.5000])
    """

    def __init__(
        self,
        total_count: int = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        super().__init__(probs, logits, validate_args)

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws, of the dtype of the probabilities."""
        with no_grad():
            drawn = self._categorical.sample((self.total_count, *sample_shape)).movedim(0, -1)
            zeros = self.probs.new_zeros((*sample_shape, *self.batch_shape, *self.event_shape))
            return zeros.scatter_add_(-1, drawn, self.probs.new_ones(drawn.shape))

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the probability of the counts in `value`."""
        counts = (value >= 0).all(-1) & (value.sum(-1) == self.total_count)
        self.check("value", value, counts, f"counts whose sum is {self.total_count}")
        logits, value = broadcast_tensors(self.logits, value)
        logits = logits.masked_fill((value == 0) & logits.isinf(), 0)
        orders = lgamma(value.sum(-1) + 1) - lgamma(value + 1).sum(-1)
        return orders + (logits * value).sum(-1)

    def entropy(self) -> Any:
        """The entropy of each distribution."""
        n, p = self.total_count, self.probs
        count = p.new_tensor(range(n + 1)).reshape(-1, *(1,) * p.dim())
        total = lgamma(p.new_tensor(n + 1.0))
        log_choices = total - lgamma(count + 1) - lgamma(n - count + 1)
        one_alone = (log_choices + xlogy(count, p) + xlogy(n - count, 1 - p)).exp()
        repeats = (one_alone * lgamma(count + 1)).sum((0, -1))
        return n * self._categorical.entropy() - total + repeats

    @property
    def mean(self) -> Any:
        """The mean counts."""
        return self.probs * self.total_count

    @property
    def variance(self) -> Any:
        """The variance of each count."""
        return self.total_count * self.probs * (1 - self.probs)


class _Trials(Odds):
    """Distributions of counts of trials, of which there are `total_count`."""

    parameters = ("total_count", "probs", "logits")

    def __init__(
        self, total_count: Any, probs: Any, logits: Any, validate_args: bool | None
    ) -> None:
        name, given = ("probs", probs) if logits is None else ("logits", logits)
        counts = total_count
        if given is not None:
            counts, given = broadcast_all(total_count, given)
            counts = counts.to(given.dtype)
        self.total_count = counts
        super().__init__(
            **{"probs": probs, "logits": logits, name: given}, validate_args=validate_args
        )


class Binomial(_Trials):
    """How many of `total_count` trials succeed, each with probability `probs`.

    Example:
        >>> Binomial(10, 0.25).mean
        tensor(2.5000)
    """

    def __init__(
        self,
        total_count: Any = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(total_count, probs, logits, validate_args)
        n = self.total_count
        self.check("parameter total_count", n, (n >= 0) & (n == n.floor()), "whole numbers from 0")

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws, of the dtype of the probabilities: from one rare outcome to the next."""
        with no_grad():
            shape = self.drawn_shape(sample_shape)
            rare = self.probs.clamp(max=0.5).minimum(1 - self.probs).expand(shape)
            left, found = self.total_count.expand(shape).clone(), rare.new_zeros(shape)
            while bool((left > 0).any()):
                u = 1 - self.noise(rand, rare, sample_shape)
                left = left - (u.log() / (-rare).log1p()).floor() - 1
                found = found + (left >= 0)
            return where(self.probs > 0.5, self.total_count - found, found)

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the probability of `value`."""
        n, logits = self.total_count, self.logits
        known = (value >= 0) & (value <= n) & (value == value.floor())
        self.check("value", value, known, "whole numbers up to total_count")
        orders = lgamma(n + 1) - lgamma(value + 1) - lgamma(n - value + 1)
        return orders + value * logits + n * logsigmoid(-logits)

    def entropy(self) -> Any:
        """The entropy of each distribution.

        Raises: NotImplementedError where total_count is not the same in all.
        """
        most = int(self.total_count.max())
        if bool((self.total_count != most).any()):
            raise NotImplementedError("Inhomogeneous total count not supported by `entropy`.")
        counts = self.probs.new_tensor(range(most + 1)).reshape(-1, *(1,) * self.probs.dim())
        logs = self.log_prob(counts)
        return -(logs.exp() * logs).sum(0)

    @property
    def mean(self) -> Any:
        """The mean of each distribution."""
        return self.total_count * self.probs

    @property
    def mode(self) -> Any:
        """The count that is most probable."""
        return ((self.total_count + 1) * self.probs).floor().minimum(self.total_count)

    @property
    def variance(self) -> Any:
        """The variance of each distribution."""
        return self.total_count * self.probs * (1 - self.probs)


class NegativeBinomial(_Trials):
    """How many trials succeed, each with probability `probs`, before `total_count` have failed."""

    def __init__(
        self,
        total_count: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(total_count, probs, logits, validate_args)
        n = self.total_count
        self.check("parameter total_count", n, n >= 0, "not negative")

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws, of the dtype of the probabilities: a Poisson number at a Gamma's rate."""
        with no_grad():
            rate = Gamma(self.total_count, (-self.logits).exp(), validate_args=False)
            return poisson(rate.sample(sample_shape))

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the probability of `value`."""
        known = (value >= 0) & (value == value.floor())
        self.check("value", value, known, "whole numbers from 0")
        n, logits = self.total_count, self.logits
        orders = lgamma(n + value) - lgamma(1 + value) - lgamma(n)
        orders = orders.masked_fill(n + value == 0, 0.0)
        return orders + n * logsigmoid(-logits) + value * logsigmoid(logits)

    @property
    def mean(self) -> Any:
        """The mean of each distribution."""
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Any:
        """The count that is most probable."""
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0)

    @property
    def variance(self) -> Any:
        """The variance of each distribution."""
        return self.mean / (-self.logits).sigmoid()
