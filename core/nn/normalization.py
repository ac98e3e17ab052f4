"""Normalisation layers."""

from __future__ import annotations

import warnings
from typing import Any

import core.nn.functional as F
from core.backend import device_of, on
from core.dtype import int64
from core.nn.init import ones_, zeros_
from core.nn.module import Module
from core.nn.parameter import Parameter
from core.ops.creation import empty, full, ones, zeros


def reset_affine(module: Any) -> None:
    """Set a norm's weights to one and its biases to zero, where it has them."""
    if module.weight is not None:
        ones_(module.weight)
    if module.bias is not None:
        zeros_(module.bias)


class NormWithStatistics(Module):
    """What the batch and instance norms share: weights, and the statistics seen so far."""

    _version = 2
    dims: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        made = [Parameter(empty(num_features, device=device, dtype=dtype)) for _ in range(2)]
        self.register_parameter("weight", made[0] if affine else None)
        self.register_parameter("bias", made[1] if affine and bias else None)
        counted = full((), 0, dtype=int64, device=device)
        tracked = {
            "running_mean": zeros(num_features, device=device, dtype=dtype),
            "running_var": ones(num_features, device=device, dtype=dtype),
            "num_batches_tracked": counted,
        }
        for name, x in tracked.items():
            self.register_buffer(name, x if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the statistics."""
        if self.track_running_stats:
            zeros_(self.running_mean)
            ones_(self.running_var)
            zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Forget the statistics, and set the weights to one and the biases to zero."""
        self.reset_running_stats()
        reset_affine(self)

    def _check_input_dim(self, input: Any) -> None:
        if len(input.shape) not in self.dims:
            wanted = " or ".join(f"{n}D" for n in self.dims)
            raise ValueError(f"expected {wanted} input (got {len(input.shape)}D input)")

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any
    ) -> None:
        version = local_metadata.get("version", None)
        key = prefix + "num_batches_tracked"
        if (version is None or version < 2) and self.track_running_stats and key not in state_dict:
            state_dict[key] = self.num_batches_tracked
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    def extra_repr(self) -> str:
        """Settings."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine},"
            f" bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(NormWithStatistics):
    """Each channel with mean 0 and variance 1 over the batch, or by the statistics seen so far."""

    def forward(self, input: Any) -> Any:
        """The normalised input."""
        self._check_input_dim(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        tracked = self.num_batches_tracked
        if self.training and tracked is not None:
            with on(device_of(tracked.array)):
                tracked.array += 1
            if self.momentum is None:
                momentum = 1.0 / float(tracked)
        by_batch = self.training or self.running_mean is None
        followed = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if followed else None,
            self.running_var if followed else None,
            self.weight,
            self.bias,
            by_batch,
            momentum,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """Batch norm of vectors or sequences.

    Shape: (N, C) or (N, C, L) -> the same.
    """

    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch norm of images.

    Shape: (N, C, H, W) -> the same.
    """

    dims = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch norm of volumes.

    Shape: (N, C, D, H, W) -> the same.
    """

    dims = (5,)


class _InstanceNorm(NormWithStatistics):
    """Each channel of each sample with mean 0 and variance 1."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        where = (device, dtype)
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, *where, bias=bias
        )

    def forward(self, input: Any) -> Any:
        """The normalised input."""
        self._check_input_dim(input)
        batched = len(input.shape) == self.dims[1]
        self._check_channels(input.shape, int(batched))
        out = F.instance_norm(
            input if batched else input.unsqueeze(0),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return out if batched else out.squeeze(0)

    def _check_channels(self, shape: Any, dim: int) -> None:
        if shape[dim] == self.num_features:
            return
        if self.affine:
            raise ValueError(
                f"expected input's size at dim={dim} to match num_features ({self.num_features}),"
                f" but got: {shape[dim]}."
            )
        warnings.warn(
            f"input's size at dim={dim} does not match num_features. You can silence this warning"
            " by not passing in num_features, which is not used because affine=False",
            stacklevel=3,
        )


class InstanceNorm1d(_InstanceNorm):
    """Instance norm of sequences.

    Shape: (N, C, L) or (C, L) -> the same.
    """

    dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Instance norm of images.

    Shape: (N, C, H, W) or (C, H, W) -> the same.
    """

    dims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Instance norm of volumes.

    Shape: (N, C, D, H, W) or (C, D, H, W) -> the same.
    """

    dims = (4, 5)


class LayerNorm(Module):
    """The last dims with mean 0 and variance 1, then scaled and shifted per element."""

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        one = isinstance(normalized_shape, int)
        self.normalized_shape = (normalized_shape,) if one else tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        for name, wanted in (("weight", True), ("bias", bias)):
            made = None
            if elementwise_affine and wanted:
                made = Parameter(empty(self.normalized_shape, device=device, dtype=dtype))
            self.register_parameter(name, made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weights to one and the biases to zero."""
        reset_affine(self)

    def forward(self, input: Any) -> Any:
        """The normalised input."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Settings."""
        return (
            f"{self.normalized_shape}, eps={self.eps},"
            f" elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """The last dims divided by the root of their mean square, then scaled per element."""

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        one = isinstance(normalized_shape, int)
        self.normalized_shape = (normalized_shape,) if one else tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        made = None
        if elementwise_affine:
            made = Parameter(empty(self.normalized_shape, device=device, dtype=dtype))
        self.register_parameter("weight", made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weights to one."""
        if self.weight is not None:
            ones_(self.weight)

    def forward(self, input: Any) -> Any:
        """The normalised input."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Settings."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(Module):
    """Each group of channels of each sample with mean 0 and variance 1."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        made = [Parameter(empty(num_channels, device=device, dtype=dtype)) for _ in range(2)]
        self.register_parameter("weight", made[0] if affine else None)
        self.register_parameter("bias", made[1] if affine and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weights to one and the biases to zero."""
        reset_affine(self)

    def forward(self, input: Any) -> Any:
        """The normalised input."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Settings."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine},"
            f" bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """Each element divided by a power of the mean square of the channels around it."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Any) -> Any:
        """The normalised input."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """Settings."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
