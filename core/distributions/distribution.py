"""What all distributions have in common, and Independent: dimensions that count as one event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from core.autograd.mode import no_grad
from core.dtype import get_default_dtype
from core.ops.arrange import broadcast_tensors
from core.ops.creation import tensor
from core.size import Size
from core.tensor import Tensor


class Distribution:
    """A batch of distributions of one family: `batch_shape` of them, each over `event_shape`.

    A subclass defines `rsample` or `sample`, `log_prob`, and what else it can say.
    Raises: ValueError for parameters out of their range, unless `validate_args` is False.
    """

    has_rsample = False
    parameters: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, batch_shape: Sequence[int], event_shape: Sequence[int], validate_args: bool | None
    ) -> None:
        self.batch_shape, self.event_shape = Size(batch_shape), Size(event_shape)
        self._validates = validate_args is not False

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws that do not depend on the parameters in any gradient.

        Shape: -> sample_shape + batch_shape + event_shape.
        """
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of the parameters.

        Raises: NotImplementedError where there is no such function.
        """
        raise NotImplementedError(f"{type(self).__name__} has no differentiable samples")

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density, or of the probability, at `value`."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob")

    def entropy(self) -> Any:
        """The entropy of each distribution, in nats."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy")

    def perplexity(self) -> Any:
        """The exponential of the entropy."""
        return self.entropy().exp()

    @property
    def mode(self) -> Any:
        """Where the density, or the probability, of each distribution is largest."""
        raise NotImplementedError(f"{type(self).__name__} has no mode")

    @property
    def mean(self) -> Any:
        """The mean of each distribution."""
        raise NotImplementedError(f"{type(self).__name__} has no mean")

    @property
    def variance(self) -> Any:
        """The variance of each distribution."""
        raise NotImplementedError(f"{type(self).__name__} has no variance")

    @property
    def stddev(self) -> Any:
        """The standard deviation of each distribution."""
        return self.variance.sqrt()

    def drawn_shape(self, sample_shape: Sequence[int]) -> Size:
        """The shape of what is drawn for a sample_shape."""
        return Size((*sample_shape, *self.batch_shape, *self.event_shape))

    def noise(self, draw: Any, like: Any, sample_shape: Sequence[int]) -> Any:
        """Numbers of that shape by `rand` or `randn`, of the dtype and on the device of `like`."""
        return draw(self.drawn_shape(sample_shape), dtype=like.dtype, device=like.device)

    def check(self, name: str, value: Any, ok: Any, what: str) -> None:
        """None, if `ok` is true everywhere or nothing is to be checked.

        Raises: ValueError naming the parameter, or "value", and what it should be.
        """
        if self._validates and not bool(ok.all()):
            raise ValueError(
                f"Expected {name} of {type(self).__name__} to be {what}, but found invalid"
                f" values:\n{value}"
            )

    def __repr__(self) -> str:
        given = [(name, vars(self)[name]) for name in self.parameters if name in vars(self)]
        shown = [f"{name}: {p if p.numel() == 1 else p.size()}" for name, p in given]
        return f"{type(self).__name__}({', '.join(shown)})"


class Independent(Distribution):
    """A distribution whose last `reinterpreted_batch_ndims` batch dimensions count as one event.

    Raises: ValueError if it has fewer.
    """

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        batch, count = base_distribution.batch_shape, reinterpreted_batch_ndims
        if count > len(batch):
            raise ValueError(
                "Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual"
                f" {count} vs {len(batch)}"
            )
        cut = len(batch) - count
        super().__init__(batch[:cut], (*batch[cut:], *base_distribution.event_shape), validate_args)
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, count
        self.has_rsample = base_distribution.has_rsample

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws that do not depend on the parameters in any gradient."""
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws as differentiable functions of the parameters."""
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density of each event."""
        return self.summed(self.base_dist.log_prob(value))

    def entropy(self) -> Any:
        """The entropy of each event."""
        return self.summed(self.base_dist.entropy())

    @property
    def mode(self) -> Any:
        """Where the density of each event is largest."""
        return self.base_dist.mode

    @property
    def mean(self) -> Any:
        """The mean of each event."""
        return self.base_dist.mean

    @property
    def variance(self) -> Any:
        """The variance within each event."""
        return self.base_dist.variance

    def summed(self, x: Any) -> Any:
        """The sums over the dimensions that became part of the event."""
        count = self.reinterpreted_batch_ndims
        return x.sum(tuple(range(-count, 0))) if count else x

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"


def broadcast_all(*values: Any) -> tuple[Any, ...]:
    """Numbers and tensors as tensors of one shape; numbers take the dtype of the first tensor."""
    first = next((v for v in values if isinstance(v, Tensor)), None)
    dtype = get_default_dtype() if first is None else first.dtype
    device = None if first is None else first.device
    made = [v if isinstance(v, Tensor) else tensor(v, dtype=dtype, device=device) for v in values]
    return tuple(broadcast_tensors(*made))
