"""MobileNetV2: inverted residuals with depthwise convolutions.

Source: Sandler, Howard, Zhu, Zhmoginov & Chen (2018).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import core.nn.functional as F
from core.nn.activation import ReLU6
from core.nn.container import Sequential
from core.nn.conv import Conv2d
from core.nn.dropout import Dropout
from core.nn.init import kaiming_normal_, normal_, ones_, zeros_
from core.nn.linear import Linear
from core.nn.module import Module
from core.nn.normalization import BatchNorm2d, GroupNorm
from core.ops.shape import flatten
from core.vision.models.blocks import Conv2dNormActivation
from core.vision.models.registry import maker, no_weights

# Of each stage: how much it widens inside, its channels, its blocks, the stride of the first.
SETTING = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def rounded(width: float, divisor: int) -> int:
    """The multiple of `divisor` nearest to a width, but never less than nine tenths of it."""
    near = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return near + divisor if near < 0.9 * width else near


class InvertedResidual(Module):
    """Widen, convolve each channel by itself, narrow; added to the input where the shapes agree."""

    def __init__(
        self,
        inp: int,
        oup: int,
        stride: int,
        expand_ratio: int,
        norm_layer: Callable[..., Module] | None = None,
    ) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride should be 1 or 2 instead of {stride}")
        norm = norm_layer or BatchNorm2d
        hidden = round(inp * expand_ratio)
        block = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=ReLU6)
        widen = [block(inp, hidden, kernel_size=1)] if expand_ratio != 1 else []
        self.conv = Sequential(
            *widen,
            block(hidden, hidden, stride=stride, groups=hidden),
            Conv2d(hidden, oup, 1, 1, 0, bias=False),
            norm(oup),
        )
        self.stride = stride
        self.use_res_connect = stride == 1 and inp == oup
        self.out_channels = oup

    def forward(self, x: Any) -> Any:
        """The block's result."""
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(Module):
    """Stages of inverted residuals, the mean over the image, then one linear layer.

    Shape: (N, 3, H, W) -> (N, num_classes).
    """

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        inverted_residual_setting: Sequence[Sequence[int]] | None = None,
        round_nearest: int = 8,
        block: Callable[..., Module] | None = None,
        norm_layer: Callable[..., Module] | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        setting = SETTING if inverted_residual_setting is None else inverted_residual_setting
        if not setting or len(setting[0]) != 4:
            raise ValueError(
                "inverted_residual_setting should be non-empty or a 4-element list, got"
                f" {inverted_residual_setting}"
            )
        norm = norm_layer or BatchNorm2d
        make = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=ReLU6)
        channels = rounded(32 * width_mult, round_nearest)
        self.last_channel = rounded(1280 * max(1.0, width_mult), round_nearest)
        features: list[Module] = [make(3, channels, stride=2)]
        for ratio, width, blocks, stride in setting:
            out = rounded(width * width_mult, round_nearest)
            for i in range(blocks):
                step = stride if i == 0 else 1
                features.append(
                    (block or InvertedResidual)(channels, out, step, ratio, norm_layer=norm)
                )
                channels = out
        features.append(make(channels, self.last_channel, kernel_size=1))
        self.features = Sequential(*features)
        self.classifier = Sequential(Dropout(dropout), Linear(self.last_channel, num_classes))
        self._reset()

    def _reset(self) -> None:
        for module in self.modules():
            if isinstance(module, Conv2d):
                kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, (BatchNorm2d, GroupNorm)):
                ones_(module.weight)
            elif isinstance(module, Linear):
                normal_(module.weight, 0, 0.01)
            else:
                continue
            if module.bias is not None:
                zeros_(module.bias)

    def forward(self, x: Any) -> Any:
        """The score of each class."""
        x = F.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(flatten(x, 1))


@maker
def mobilenet_v2(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> MobileNetV2:
    """MobileNetV2: 3,504,872 parameters."""
    no_weights(weights)
    return MobileNetV2(**kwargs)
