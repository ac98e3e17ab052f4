"""Vision transformers: an image as a sequence of patches.

Source: Dosovitskiy et al. (2021); Xiao et al. (2021) for stems of convolutions.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from core.nn.activation import GELU, ReLU, Tanh
from core.nn.attention import MultiheadAttention
from core.nn.container import Sequential
from core.nn.conv import Conv2d
from core.nn.dropout import Dropout
from core.nn.init import normal_, trunc_normal_, xavier_uniform_, zeros_
from core.nn.linear import Linear
from core.nn.module import Module
from core.nn.normalization import BatchNorm2d, LayerNorm
from core.nn.parameter import Parameter
from core.ops.creation import empty, zeros
from core.ops.join import cat
from core.vision.models.blocks import MLP, Conv2dNormActivation
from core.vision.models.registry import maker, no_weights

Norm = Callable[..., Module]
NORM = partial(LayerNorm, eps=1e-6)


class ConvStemConfig(NamedTuple):
    """One convolution of a stem that takes the place of the cut into patches."""

    out_channels: int
    kernel_size: int
    stride: int
    norm_layer: Norm = BatchNorm2d
    activation_layer: Norm = ReLU


class MLPBlock(MLP):
    """Two linear layers with a GELU between them."""

    def __init__(self, in_dim: int, mlp_dim: int, dropout: float) -> None:
        super().__init__(in_dim, [mlp_dim, in_dim], activation_layer=GELU, dropout=dropout)
        for module in self.modules():
            if isinstance(module, Linear):
                xavier_uniform_(module.weight)
                normal_(module.bias, std=1e-6)


class EncoderBlock(Module):
    """Self-attention, then two linear layers, each after a norm and added to its input."""

    def __init__(
        self,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Norm = NORM,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.ln_1 = norm_layer(hidden_dim)
        self.self_attention = MultiheadAttention(
            hidden_dim, num_heads, dropout=attention_dropout, batch_first=True
        )
        self.dropout = Dropout(dropout)
        self.ln_2 = norm_layer(hidden_dim)
        self.mlp = MLPBlock(hidden_dim, mlp_dim, dropout)

    def forward(self, input: Any) -> Any:
        """The sequence, each element with what it attends to."""
        if input.dim() != 3:
            raise RuntimeError(
                f"Expected (batch_size, seq_length, hidden_dim) got {list(input.shape)}"
            )
        x = self.ln_1(input)
        x, _ = self.self_attention(x, x, x, need_weights=False)
        x = self.dropout(x) + input
        return x + self.mlp(self.ln_2(x))


class Encoder(Module):
    """Positions added to the sequence, then the blocks and a last norm."""

    def __init__(
        self,
        seq_length: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Norm = NORM,
    ) -> None:
        super().__init__()
        self.pos_embedding = Parameter(normal_(empty(1, seq_length, hidden_dim), std=0.02))
        self.dropout = Dropout(dropout)
        options = (num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer)
        blocks = {f"encoder_layer_{i}": EncoderBlock(*options) for i in range(num_layers)}
        self.layers = Sequential(OrderedDict(blocks))
        self.ln = norm_layer(hidden_dim)

    def forward(self, input: Any) -> Any:
        """The encoded sequence."""
        if input.dim() != 3:
            raise RuntimeError(
                f"Expected (batch_size, seq_length, hidden_dim) got {list(input.shape)}"
            )
        return self.ln(self.layers(self.dropout(input + self.pos_embedding)))


class VisionTransformer(Module):
    """An encoder over the patches of an image and one more place, from which the classes are read.

    Shape: (N, 3, image_size, image_size) -> (N, num_classes).
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        representation_size: int | None = None,
        norm_layer: Norm = NORM,
        conv_stem_configs: Sequence[ConvStemConfig] | None = None,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ValueError(
                f"Input shape indivisible by patch size: {image_size} is no multiple of"
                f" {patch_size}"
            )
        self.image_size = image_size
        self.patch_size = patch_size
        self.hidden_dim = hidden_dim
        self.mlp_dim = mlp_dim
        self.attention_dropout = attention_dropout
        self.dropout = dropout
        self.num_classes = num_classes
        self.representation_size = representation_size
        self.norm_layer = norm_layer
        self.conv_proj = _projection(conv_stem_configs, patch_size, hidden_dim)
        self.class_token = Parameter(zeros(1, 1, hidden_dim))
        self.seq_length = (image_size // patch_size) ** 2 + 1
        self.encoder = Encoder(
            self.seq_length, num_layers, num_heads, hidden_dim, mlp_dim, dropout,
            attention_dropout, norm_layer,
        )  # fmt: skip
        self.heads = _heads(hidden_dim, representation_size, num_classes)

    def _process_input(self, x: Any) -> Any:
        n, _, h, w = x.shape
        for name, size in (("height", h), ("width", w)):
            if size != self.image_size:
                raise RuntimeError(
                    f"Wrong image {name}! Expected {self.image_size} but got {size}!"
                )
        return self.conv_proj(x).reshape(n, self.hidden_dim, -1).permute(0, 2, 1)

    def forward(self, x: Any) -> Any:
        """The score of each class."""
        x = self._process_input(x)
        token = self.class_token.expand(x.shape[0], -1, -1)
        return self.heads(self.encoder(cat([token, x], 1))[:, 0])


def _projection(stem: Sequence[ConvStemConfig] | None, patch: int, width: int) -> Module:
    """The cut into patches, or a stem of convolutions; the last of them freshly drawn."""
    if stem is None:
        last = Conv2d(3, width, patch, patch)
        trunc_normal_(last.weight, std=math.sqrt(1 / (3 * patch * patch)))
        zeros_(last.bias)
        return last
    layers: OrderedDict[str, Module] = OrderedDict()
    channels = 3
    for i, (out, kernel, stride, norm, activation) in enumerate(stem):
        layers[f"conv_bn_relu_{i}"] = Conv2dNormActivation(
            channels, out, kernel, stride, norm_layer=norm, activation_layer=activation
        )
        channels = out
    last = layers["conv_last"] = Conv2d(channels, width, 1)
    normal_(last.weight, mean=0.0, std=math.sqrt(2.0 / width))
    zeros_(last.bias)
    return Sequential(layers)


def _heads(width: int, representation: int | None, classes: int) -> Sequential:
    layers: OrderedDict[str, Module] = OrderedDict()
    if representation is not None:
        first = layers["pre_logits"] = Linear(width, representation)
        trunc_normal_(first.weight, std=math.sqrt(1 / width))
        zeros_(first.bias)
        layers["act"] = Tanh()
    head = layers["head"] = Linear(width if representation is None else representation, classes)
    zeros_(head.weight)
    zeros_(head.bias)
    return Sequential(layers)


def _vit(
    patch: int, layers: int, heads: int, width: int, mlp: int, weights: Any, kwargs: Any
) -> VisionTransformer:
    no_weights(weights)
    sizes = {"patch_size": patch, "num_layers": layers, "num_heads": heads}
    sizes |= {"hidden_dim": width, "mlp_dim": mlp, "image_size": 224}
    return VisionTransformer(**{**sizes, **kwargs})


@maker
def vit_b_16(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT-B/16: 86,567,656 parameters."""
    return _vit(16, 12, 12, 768, 3072, weights, kwargs)


@maker
def vit_b_32(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT-B/32: 88,224,232 parameters."""
    return _vit(32, 12, 12, 768, 3072, weights, kwargs)


@maker
def vit_l_16(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT-L/16: 304,326,632 parameters."""
    return _vit(16, 24, 16, 1024, 4096, weights, kwargs)


@maker
def vit_l_32(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT-L/32: 306,535,400 parameters."""
    return _vit(32, 24, 16, 1024, 4096, weights, kwargs)


@maker
def vit_h_14(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT-H/14: 632,045,800 parameters."""
    return _vit(14, 32, 16, 1280, 5120, weights, kwargs)
