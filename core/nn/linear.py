"""Layers that multiply with a matrix."""

from __future__ import annotations

import math
from typing import Any

import core.nn.functional as F
from core.nn import init
from core.nn.module import Module
from core.nn.parameter import Parameter
from core.ops.creation import empty


class Identity(Module):
    """The input as it is; whatever the arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """The input."""
        return input


class Linear(Module):
    """A product with a matrix, plus a bias.

    Shape: (..., in_features) -> (..., out_features).
    Example:
        >>> from core import nn, zeros
        >>> nn.Linear(3, 2)(zeros(5, 3)).shape
        core.Size([5, 2])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in_features, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        reset_bias(self.bias, self.in_features)

    def forward(self, input: Any) -> Any:
        """The product."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features},"
            f" bias={self.bias is not None}"
        )


def reset_bias(bias: Any, fan_in: int) -> None:
    """Draw a new bias, uniform within 1 / sqrt(fan_in), where there is one."""
    if bias is not None:
        bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0
        init.uniform_(bias, -bound, bound)
