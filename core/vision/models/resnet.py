"""Residual networks.

Source: He, Zhang, Ren & Sun (2016); groups: Xie et al. (2017); width: Zagoruyko & Komodakis (2016).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from core.nn.activation import ReLU
from core.nn.averaging import AdaptiveAvgPool2d
from core.nn.container import Sequential
from core.nn.conv import Conv2d
from core.nn.init import constant_, kaiming_normal_
from core.nn.linear import Linear
from core.nn.module import Module
from core.nn.normalization import BatchNorm2d, GroupNorm
from core.nn.pooling import MaxPool2d
from core.ops.shape import flatten
from core.vision.models.registry import maker, no_weights

Norm = Callable[..., Module]


def conv3x3(inp: int, out: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> Conv2d:
    """A 3x3 convolution that keeps the size at stride 1."""
    return Conv2d(inp, out, 3, stride, dilation, dilation, groups, bias=False)


def conv1x1(inp: int, out: int, stride: int = 1) -> Conv2d:
    """A 1x1 convolution."""
    return Conv2d(inp, out, 1, stride, bias=False)


class BasicBlock(Module):
    """Two 3x3 convolutions, added to their input."""

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        if groups != 1 or base_width != 64:
            raise ValueError("BasicBlock only supports groups=1 and base_width=64")
        if dilation > 1:
            raise NotImplementedError("Dilation > 1 not supported in BasicBlock")
        norm = norm_layer or BatchNorm2d
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm(planes)
        self.relu = ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Any) -> Any:
        """The block's result."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class Bottleneck(Module):
    """A 3x3 convolution between two of 1x1 that narrow and widen, added to their input.

    The stride stands on the 3x3 convolution.
    """

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        norm = norm_layer or BatchNorm2d
        width = int(planes * (base_width / 64.0)) * groups
        self.conv1 = conv1x1(inplanes, width)
        self.bn1 = norm(width)
        self.conv2 = conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm(width)
        self.conv3 = conv1x1(width, planes * self.expansion)
        self.bn3 = norm(planes * self.expansion)
        self.relu = ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Any) -> Any:
        """The block's result."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(Module):
    """Four stages of residual blocks, of which `layers` says how many, then one linear layer.

    Shape: (N, 3, H, W) -> (N, num_classes).
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        dilate = [False] * 3
        if replace_stride_with_dilation is not None:
            dilate = list(replace_stride_with_dilation)
        if len(dilate) != 3:
            raise ValueError(
                "replace_stride_with_dilation should be None or a 3-element tuple, got"
                f" {replace_stride_with_dilation}"
            )
        self._norm_layer = norm_layer or BatchNorm2d
        self.inplanes = 64
        self.dilation = 1
        self.groups = groups
        self.base_width = width_per_group
        self.conv1 = Conv2d(3, self.inplanes, 7, 2, 3, bias=False)
        self.bn1 = self._norm_layer(self.inplanes)
        self.relu = ReLU(inplace=True)
        self.maxpool = MaxPool2d(3, 2, 1)
        self.layer1 = self._make_layer(block, 64, layers[0])
        self.layer2 = self._make_layer(block, 128, layers[1], 2, dilate[0])
        self.layer3 = self._make_layer(block, 256, layers[2], 2, dilate[1])
        self.layer4 = self._make_layer(block, 512, layers[3], 2, dilate[2])
        self.avgpool = AdaptiveAvgPool2d((1, 1))
        self.fc = Linear(512 * block.expansion, num_classes)
        self._reset(zero_init_residual)

    def _reset(self, zero_init_residual: bool) -> None:
        for module in self.modules():
            if isinstance(module, Conv2d):
                kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, (BatchNorm2d, GroupNorm)):
                constant_(module.weight, 1)
                constant_(module.bias, 0)
        for module in self.modules() if zero_init_residual else ():
            last = {Bottleneck: "bn3", BasicBlock: "bn2"}.get(type(module))
            if last and getattr(module, last).weight is not None:
                constant_(getattr(module, last).weight, 0)

    def _make_layer(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        planes: int,
        blocks: int,
        stride: int = 1,
        dilate: bool = False,
    ) -> Sequential:
        first = self.dilation
        if dilate:
            self.dilation *= stride
            stride = 1
        downsample = None
        out = planes * block.expansion
        if stride != 1 or self.inplanes != out:
            downsample = Sequential(conv1x1(self.inplanes, out, stride), self._norm_layer(out))
        same = (self.groups, self.base_width)
        made = [
            block(self.inplanes, planes, stride, downsample, *same, first, self._norm_layer),
        ]
        self.inplanes = out
        for _ in range(1, blocks):
            made.append(block(out, planes, 1, None, *same, self.dilation, self._norm_layer))
        return Sequential(*made)

    def forward(self, x: Any) -> Any:
        """The score of each class."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(flatten(self.avgpool(x), 1))


def _resnet(block: Any, layers: Sequence[int], weights: Any, kwargs: Any, **own: Any) -> ResNet:
    no_weights(weights)
    return ResNet(block, layers, **{**own, **kwargs})


@maker
def resnet18(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet-18: 11,689,512 parameters."""
    return _resnet(BasicBlock, [2, 2, 2, 2], weights, kwargs)


@maker
def resnet34(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet-34: 21,797,672 parameters."""
    return _resnet(BasicBlock, [3, 4, 6, 3], weights, kwargs)


@maker
def resnet50(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet-50: 25,557,032 parameters."""
    return _resnet(Bottleneck, [3, 4, 6, 3], weights, kwargs)


@maker
def resnet101(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet-101: 44,549,160 parameters."""
    return _resnet(Bottleneck, [3, 4, 23, 3], weights, kwargs)


@maker
def resnet152(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet-152: 60,192,808 parameters."""
    return _resnet(Bottleneck, [3, 8, 36, 3], weights, kwargs)


@maker
def resnext50_32x4d(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNeXt-50 with 32 groups of width 4: 25,028,904 parameters."""
    return _resnet(Bottleneck, [3, 4, 6, 3], weights, kwargs, groups=32, width_per_group=4)


@maker
def resnext101_32x8d(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNeXt-101 with 32 groups of width 8: 88,791,336 parameters."""
    return _resnet(Bottleneck, [3, 4, 23, 3], weights, kwargs, groups=32, width_per_group=8)


@maker
def resnext101_64x4d(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNeXt-101 with 64 groups of width 4: 83,455,272 parameters."""
    return _resnet(Bottleneck, [3, 4, 23, 3], weights, kwargs, groups=64, width_per_group=4)


@maker
def wide_resnet50_2(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet-50 whose bottlenecks are twice as wide: 68,883,240 parameters."""
    return _resnet(Bottleneck, [3, 4, 6, 3], weights, kwargs, width_per_group=128)


@maker
def wide_resnet101_2(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet-101 whose bottlenecks are twice as wide: 126,886,696 parameters."""
    return _resnet(Bottleneck, [3, 4, 23, 3], weights, kwargs, width_per_group=128)
