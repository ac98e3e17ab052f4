"""Parts that several models are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from core.nn.activation import ReLU
from core.nn.container import Sequential
from core.nn.conv import Conv2d
from core.nn.dropout import Dropout
from core.nn.linear import Linear
from core.nn.module import Module
from core.nn.normalization import BatchNorm2d

Layer = Callable[..., Module]


class Conv2dNormActivation(Sequential):
    """A convolution that keeps the size at stride 1, then a norm, then an activation.

    The convolution has a bias where no norm follows, unless `bias` says otherwise.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: Any = None,
        groups: int = 1,
        norm_layer: Layer | None = BatchNorm2d,
        activation_layer: Layer | None = ReLU,
        dilation: int = 1,
        inplace: bool | None = True,
        bias: bool | None = None,
    ) -> None:
        padding = (kernel_size - 1) // 2 * dilation if padding is None else padding
        bias = norm_layer is None if bias is None else bias
        conv = Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        )
        layers: list[Module] = [conv]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(_activation(activation_layer, inplace))
        super().__init__(*layers)
        self.out_channels = out_channels


class MLP(Sequential):
    """Linear layers, each with a norm, an activation and dropout; the last only with dropout."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: Sequence[int],
        norm_layer: Layer | None = None,
        activation_layer: Layer = ReLU,
        inplace: bool | None = None,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        layers: list[Module] = []
        options = {} if inplace is None else {"inplace": inplace}
        for width in hidden_channels[:-1]:
            layers.append(Linear(in_channels, width, bias=bias))
            if norm_layer is not None:
                layers.append(norm_layer(width))
            layers += [_activation(activation_layer, inplace), Dropout(dropout, **options)]
            in_channels = width
        layers.append(Linear(in_channels, hidden_channels[-1], bias=bias))
        layers.append(Dropout(dropout, **options))
        super().__init__(*layers)


def _activation(layer: Layer, inplace: bool | None) -> Module:
    return layer() if inplace is None else layer(inplace=inplace)
