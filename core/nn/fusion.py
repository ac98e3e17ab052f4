"""Convolutions and linear layers that take the batch norm behind them into their weights."""

from __future__ import annotations

import copy
from typing import Any

from core.autograd.mode import no_grad
from core.nn.parameter import Parameter
from core.ops.creation import zeros_like


def fuse_conv_bn_weights(
    conv_w: Any,
    conv_b: Any,
    bn_rm: Any,
    bn_rv: Any,
    bn_eps: float,
    bn_w: Any,
    bn_b: Any,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weights and bias of a convolution that also does the batch norm's work."""
    bias = zeros_like(bn_rm) if conv_b is None else conv_b
    scale = (bn_rv + bn_eps) ** -0.5
    scale = scale if bn_w is None else scale * bn_w
    shift = zeros_like(bn_rm) if bn_b is None else bn_b
    shape = [1] * conv_w.ndim
    shape[1 if transpose else 0] = -1
    weight = conv_w * scale.reshape(shape)
    made = (weight, (bias - bn_rm) * scale + shift)
    weight, bias = (Parameter(x.detach(), conv_w.requires_grad) for x in made)
    return weight, bias


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of `conv` that gives what `bn` gave behind it; both in evaluation mode."""
    if conv.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    fused = copy.deepcopy(conv)
    statistics = (bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias)
    with no_grad():
        made = fuse_conv_bn_weights(fused.weight, fused.bias, *statistics, transpose)
    fused.weight, fused.bias = made
    return fused


def fuse_linear_bn_weights(
    linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple[Parameter, Parameter]:
    """Weights and bias of a linear layer that also does the batch norm's work."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A copy of `linear` that gives what `bn` gave behind it; both in evaluation mode."""
    return fuse_conv_bn_eval(linear, bn)
