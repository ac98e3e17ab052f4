"""The distribution of how often each of several things comes: Multinomial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.autograd.mode import no_grad
from core.distributions.discrete import OfCategories
from core.ops.arrange import broadcast_tensors
from core.ops.exponential import xlogy
from core.ops.gamma import lgamma


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
