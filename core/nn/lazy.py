"""Layers that learn their input's size from their first input."""

from __future__ import annotations

from typing import Any

from core.nn import conv, normalization
from core.nn.linear import Linear
from core.nn.module import Module
from core.nn.parameter import Buffer, Parameter
from core.ops.creation import empty
from core.tensor import Tensor


class _Uninitialized(Tensor):
    """What uninitialized parameters and buffers share: a shape that is not known yet."""

    __slots__ = ()
    is_lazy = True
    becomes: type

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Take a shape, and become what stands here."""
        made = empty(tuple(shape), device=device or self.device, dtype=dtype or self.dtype)
        self.array = made.array
        self.version = None
        self.__class__ = self.becomes

    def __repr__(self, **options: Any) -> str:  # type: ignore[override]
        return f"<{type(self).__name__}>"


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter whose shape is not known yet."""

    __slots__ = ()
    becomes = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        return Parameter.__new__(cls, empty(0, device=device, dtype=dtype), requires_grad)


def is_lazy(param: Any) -> bool:
    """Whether a parameter or buffer waits for its shape."""
    return bool(getattr(param, "is_lazy", False))


class UninitializedBuffer(_Uninitialized, Buffer):
    """A buffer whose shape is not known yet."""

    __slots__ = ()
    becomes = Tensor

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> Any:
        data = empty(0, device=device, dtype=dtype)
        return Buffer.__new__(cls, data, persistent=persistent)


class LazyModule(Module):
    """What the lazy layers share: the hook that makes them real at their first call."""

    cls_to_become: type

    def _wait(self, requires: dict[str, bool], device: Any, dtype: Any) -> None:
        """Let each tensor of `requires` wait for its shape; the hook ends the waiting."""
        for name, wanted in requires.items():
            if not wanted:
                continue
            if name in self._buffers:
                made: Any = UninitializedBuffer(device=device, dtype=dtype)
            else:
                made = UninitializedParameter(device=device, dtype=dtype)
            setattr(self, name, made)
        self._awake = self.register_forward_pre_hook(LazyModule._on_first_call)

    def has_uninitialized_params(self) -> bool:
        """Whether something here still waits for its shape."""
        every = [*self._parameters.values(), *self._buffers.values()]
        return any(isinstance(x, _Uninitialized) for x in every)

    def initialize_parameters(self, input: Any) -> None:
        """Take the shapes that fit this input, and draw the weights."""
        raise NotImplementedError

    def _on_first_call(self, args: Any) -> None:
        waiting = self.has_uninitialized_params()
        self.initialize_parameters(*args)
        self._awake.remove()
        del self.__dict__["_awake"]
        self.__class__ = self.cls_to_become
        if waiting:
            self.reset_parameters()


class LazyLinear(LazyModule, Linear):
    """A Linear that learns in_features from its first input."""

    cls_to_become = Linear

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(0, 0, False)
        self.out_features = out_features
        self._wait({"weight": True, "bias": bias}, device, dtype)

    def initialize_parameters(self, input: Any) -> None:
        """Take the width of the input."""
        if self.has_uninitialized_params():
            self.in_features = input.shape[-1]
            self.weight.materialize((self.out_features, self.in_features))
            if self.bias is not None:
                self.bias.materialize((self.out_features,))


class _LazyConv(LazyModule):
    dims: int
    transposed: bool

    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        *args: Any,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(0, 0, kernel_size, *args, bias=False, **kwargs)  # type: ignore[call-arg]
        self.out_channels = out_channels
        self._wait({"weight": True, "bias": bias}, device, dtype)

    def initialize_parameters(self, input: Any) -> None:
        """Take the channels of the input."""
        if not self.has_uninitialized_params():
            return
        self.in_channels = input.shape[-self.dims - 1]
        if self.in_channels % self.groups:
            raise ValueError("in_channels must be divisible by groups")
        pair = (self.in_channels, self.out_channels)
        first, second = pair if self.transposed else pair[::-1]
        self.weight.materialize((first, second // self.groups, *self.kernel_size))
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))


class _LazyNorm(LazyModule):
    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        tracked = track_running_stats
        where = (device, dtype)
        super().__init__(0, eps, momentum, affine, tracked, *where, bias=bias)  # type: ignore[call-arg]
        names = {"weight": affine, "bias": affine and bias}
        names |= {"running_mean": tracked, "running_var": tracked}
        self._wait(names, device, dtype)

    def initialize_parameters(self, input: Any) -> None:
        """Take the channels of the input."""
        if not self.has_uninitialized_params():
            return
        batch = "Batch" in self.cls_to_become.__name__
        lead = 1 if batch or len(input.shape) == self.dims[-1] else 0
        self.num_features = input.shape[lead]
        for x in (self.weight, self.bias, self.running_mean, self.running_var):
            if x is not None:
                x.materialize((self.num_features,))


class LazyConv1d(_LazyConv, conv.Conv1d):
    """A Conv1d that learns in_channels from its first input."""

    cls_to_become = conv.Conv1d


class LazyConvTranspose1d(_LazyConv, conv.ConvTranspose1d):
    """A ConvTranspose1d that learns in_channels from its first input."""

    cls_to_become = conv.ConvTranspose1d


class LazyBatchNorm1d(_LazyNorm, normalization.BatchNorm1d):
    """A BatchNorm1d that learns num_features from its first input."""

    cls_to_become = normalization.BatchNorm1d


class LazyInstanceNorm1d(_LazyNorm, normalization.InstanceNorm1d):
    """A InstanceNorm1d that learns num_features from its first input."""

    cls_to_become = normalization.InstanceNorm1d


class LazyConv2d(_LazyConv, conv.Conv2d):
    """A Conv2d that learns in_channels from its first input."""

    cls_to_become = conv.Conv2d


class LazyConvTranspose2d(_LazyConv, conv.ConvTranspose2d):
    """A ConvTranspose2d that learns in_channels from its first input."""

    cls_to_become = conv.ConvTranspose2d


class LazyBatchNorm2d(_LazyNorm, normalization.BatchNorm2d):
    """A BatchNorm2d that learns num_features from its first input."""

    cls_to_become = normalization.BatchNorm2d


class LazyInstanceNorm2d(_LazyNorm, normalization.InstanceNorm2d):
    """A InstanceNorm2d that learns num_features from its first input."""

    cls_to_become = normalization.InstanceNorm2d


class LazyConv3d(_LazyConv, conv.Conv3d):
    """A Conv3d that learns in_channels from its first input."""

    cls_to_become = conv.Conv3d


class LazyConvTranspose3d(_LazyConv, conv.ConvTranspose3d):
    """A ConvTranspose3d that learns in_channels from its first input."""

    cls_to_become = conv.ConvTranspose3d


class LazyBatchNorm3d(_LazyNorm, normalization.BatchNorm3d):
    """A BatchNorm3d that learns num_features from its first input."""

    cls_to_become = normalization.BatchNorm3d


class LazyInstanceNorm3d(_LazyNorm, normalization.InstanceNorm3d):
    """A InstanceNorm3d that learns num_features from its first input."""

    cls_to_become = normalization.InstanceNorm3d
