"""VGG networks.

Source: Simonyan & Zisserman (2015).
"""

from __future__ import annotations

from typing import Any

from core.nn.activation import ReLU
from core.nn.averaging import AdaptiveAvgPool2d
from core.nn.container import Sequential
from core.nn.conv import Conv2d
from core.nn.dropout import Dropout
from core.nn.init import constant_, kaiming_normal_, normal_
from core.nn.linear import Linear
from core.nn.module import Module
from core.nn.normalization import BatchNorm2d
from core.nn.pooling import MaxPool2d
from core.ops.shape import flatten
from core.vision.models.registry import maker, no_weights

# Widths of the 3x3 convolutions; M is a pooling.
LAYERS = {
    11: "64 M 128 M 256 256 M 512 512 M 512 512 M",
    13: "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
    16: "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    19: "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}


class VGG(Module):
    """Features of an image, then three linear layers.

    Shape: (N, 3, H, W) -> (N, num_classes).
    """

    def __init__(
        self,
        features: Module,
        num_classes: int = 1000,
        init_weights: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool = AdaptiveAvgPool2d((7, 7))
        self.classifier = Sequential(
            Linear(512 * 7 * 7, 4096), ReLU(True), Dropout(dropout),
            Linear(4096, 4096), ReLU(True), Dropout(dropout),
            Linear(4096, num_classes),
        )  # fmt: skip
        if init_weights:
            self._reset()

    def _reset(self) -> None:
        for module in self.modules():
            if isinstance(module, Conv2d):
                kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                constant_(module.bias, 0)
            elif isinstance(module, BatchNorm2d):
                constant_(module.weight, 1)
                constant_(module.bias, 0)
            elif isinstance(module, Linear):
                normal_(module.weight, 0, 0.01)
                constant_(module.bias, 0)

    def forward(self, x: Any) -> Any:
        """The score of each class."""
        return self.classifier(flatten(self.avgpool(self.features(x)), 1))


def make_layers(cfg: Any, batch_norm: bool = False) -> Sequential:
    """The convolutions and poolings of a list of widths, in which "M" is a pooling."""
    layers: list[Module] = []
    channels = 3
    for entry in cfg:
        if entry == "M":
            layers.append(MaxPool2d(2, 2))
            continue
        width = int(entry)
        layers.append(Conv2d(channels, width, 3, padding=1))
        layers += [BatchNorm2d(width), ReLU(True)] if batch_norm else [ReLU(True)]
        channels = width
    return Sequential(*layers)


def _vgg(depth: int, batch_norm: bool, weights: Any, kwargs: Any) -> VGG:
    no_weights(weights)
    return VGG(make_layers(LAYERS[depth].split(), batch_norm), **kwargs)


@maker
def vgg11(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-11: 132,863,336 parameters."""
    return _vgg(11, False, weights, kwargs)


@maker
def vgg11_bn(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-11 with batch norms: 132,868,840 parameters."""
    return _vgg(11, True, weights, kwargs)


@maker
def vgg13(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-13: 133,047,848 parameters."""
    return _vgg(13, False, weights, kwargs)


@maker
def vgg13_bn(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-13 with batch norms: 133,053,736 parameters."""
    return _vgg(13, True, weights, kwargs)


@maker
def vgg16(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-16: 138,357,544 parameters."""
    return _vgg(16, False, weights, kwargs)


@maker
def vgg16_bn(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-16 with batch norms: 138,365,992 parameters."""
    return _vgg(16, True, weights, kwargs)


@maker
def vgg19(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-19: 143,667,240 parameters."""
    return _vgg(19, False, weights, kwargs)


@maker
def vgg19_bn(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-19 with batch norms: 143,678,248 parameters."""
    return _vgg(19, True, weights, kwargs)
