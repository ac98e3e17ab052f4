"""Losses of numbers, probabilities and distributions, elementwise and then reduced."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.autograd.adapt import adaptable
from core.autograd.place import where_it_lies
from core.autograd.value import wrap
from core.nn.functional.loss import alike, legacy_reduction, reduced
from core.notice import notice
from core.ops.activation import log_sigmoid
from core.ops.choice import choose, clamp
from core.ops.elementwise import abs
from core.ops.entropy import binary_entropy, logit_entropy
from core.ops.exponential import exp, log, xlogy
from core.ops.reduce import sum

__all__ = (
    "l1_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits"
    " kl_div poisson_nll_loss gaussian_nll_loss"
).split()


def weighed(x: Any, weight: Any) -> Any:
    """The elements times their weight, where there is one."""
    return x if weight is None else x * weight


@adaptable
def l1_loss(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """The absolute differences, averaged, summed or as they are."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    alike(input, target)
    return reduced(weighed(abs(input - target), weight), reduction)


@adaptable
def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """Squared differences below `beta`, absolute ones above."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    alike(input, target)
    apart = input - target
    d = abs(apart)
    if not beta:
        return reduced(d, reduction)
    far = d >= beta
    short = choose(far, 0, apart)  # an infinite one, squared, would have no slope of 0
    d = choose(far, d - 0.5 * beta, short * short * (0.5 / beta))
    return reduced(d, reduction, "SmoothL1LossBackward0")


@adaptable
def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    """Squared differences below `delta`, `delta` times the absolute ones above."""
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    alike(input, target)
    apart = input - target
    d = abs(apart)
    far = d >= delta
    short = choose(far, 0, apart)
    loss = choose(far, (d - 0.5 * delta) * delta, short * short * 0.5)
    return reduced(weighed(loss, weight), reduction, "HuberLossBackward0")


def _check_same(name: str, input: Any, target: Any) -> None:
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(
            f"{name}: target size ({list(target.shape)}) must be the same as input size"
            f" ({list(input.shape)})"
        )


@adaptable
def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """The cross-entropy between targets and probabilities.

    Raises: RuntimeError for an input that is no probability.
    """
    _check_same("binary_cross_entropy", input, target)
    x = input.array
    if type(x) is numpy.ndarray and not (bool((x >= 0).all()) and bool((x <= 1).all())):
        raise RuntimeError("all elements of input should be between 0 and 1")
    reduction = legacy_reduction(size_average, reduce, reduction)
    loss = weighed(binary_entropy(input, target), weight)
    return reduced(loss, reduction, "BinaryCrossEntropyBackward0")


@adaptable
def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """The cross-entropy between targets and sigmoid(input), without overflow."""
    _check_same("binary_cross_entropy_with_logits", input, target)
    reduction = legacy_reduction(size_average, reduce, reduction)
    if pos_weight is None:
        loss = logit_entropy(input, target)
    else:
        loss = (1 - target) * input - ((pos_weight - 1) * target + 1) * log_sigmoid(input)
    loss = weighed(loss, weight)
    return reduced(loss, reduction, "BinaryCrossEntropyWithLogitsBackward0")


@adaptable
def kl_div(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """The divergence of the distribution with log-probabilities `input` from the target's.

    "batchmean" divides the sum by the batch: the divergence as it is defined.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if log_target:
        loss = exp(target) * (target - input)
    else:
        loss = xlogy(target, target) - target * input
    if reduction == "batchmean":
        return sum(loss) / input.shape[0] if input.shape else sum(loss)
    if reduction == "mean":
        notice(
            "kl_div: reduction 'mean' divides the sum by the number of elements, 'batchmean' by the"
            " batch, as the divergence is defined."
        )
    return reduced(loss, reduction)


@adaptable
def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: Any = None,
    eps: float = 1e-8,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """Minus the log-likelihood of counts under Poisson distributions."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if log_input:
        loss = exp(input) - target * input
    else:
        loss = input - target * log(input + eps)
    if full:
        safe = choose(target > 1, target, 1)
        stirling = safe * log(safe) - safe + log(safe * (2 * math.pi)) * 0.5
        loss = loss + choose(target > 1, stirling, 0)
    return reduced(loss, reduction)


def _homoscedastic(size: tuple[int, ...], var: tuple[int, ...]) -> bool:
    """Whether variances are as many as numbers but along one dim, where there is one for all."""
    return len(size) == len(var) and [v for n, v in zip(size, var) if n != v] == [1]


@where_it_lies
def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    """Minus the log-likelihood of numbers under normal distributions of the given variances.

    Raises: ValueError for a variance that is negative or of another shape.
    """
    if isinstance(var, float):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = input.detach() * 0 + var
    if tuple(var.shape) != tuple(input.shape):
        if tuple(input.shape[:-1]) == tuple(var.shape):
            var = var.unsqueeze(-1)
        elif not _homoscedastic(tuple(input.shape), tuple(var.shape)):
            raise ValueError("var is of incorrect size")
    if bool((var.array < 0).any()):
        raise ValueError("var has negative entry/entries")
    held = clamp(var.detach(), eps)
    # The clamp is not part of the graph: variances below eps keep their gradient.
    var = var + wrap(held.array - var.array)
    loss = (log(var) + (input - target) ** 2 / var) * 0.5
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)
