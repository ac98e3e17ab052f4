"""Losses that want a margin between what is right and what is wrong."""

from __future__ import annotations

from typing import Any

from core.autograd.adapt import adaptable
from core.autograd.place import where_it_lies
from core.autograd.value import called, wrap
from core.backend import xp
from core.nn.functional.loss import legacy_reduction, reduced
from core.nn.functional.regression import weighed
from core.ops.activation import log_sigmoid, softplus_at
from core.ops.choice import choose, clamp_min, minimum, relu
from core.ops.distance import pairwise_distance
from core.ops.exponential import sqrt
from core.ops.gather import gather
from core.ops.reduce import mean, sum

__all__ = (
    "hinge_embedding_loss soft_margin_loss multilabel_soft_margin_loss cosine_embedding_loss"
    " margin_ranking_loss triplet_margin_loss triplet_margin_with_distance_loss"
    " multi_margin_loss multilabel_margin_loss"
).split()


@adaptable
def hinge_embedding_loss(
    input: Any,
    target: Any,
    margin: float = 1.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """The input where the target is 1, how far it is below the margin where it is -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    far = choose(target != 1, clamp_min(margin - input, 0), 0)
    return reduced(far + choose(target != -1, input, 0), reduction)


@adaptable
def soft_margin_loss(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """log(1 + exp(-target * input)) for targets 1 and -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    loss = softplus_at(-target * input, 1, float("inf"))
    return reduced(loss, reduction, "SoftMarginLossBackward0")


def multilabel_soft_margin_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """The mean over classes of the cross-entropy between targets 0 or 1 and sigmoid(input)."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    loss = -(target * log_sigmoid(input) + (1 - target) * log_sigmoid(-input))
    return reduced(called(mean(weighed(loss, weight), -1), "DivBackward0"), reduction)


@adaptable
def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """1 - cosine where the target is 1, how far the cosine is above the margin where it is -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    dims = len(target.shape)
    if dims > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if {len(input1.shape), len(input2.shape)} != {dims + 1}:
        raise RuntimeError(
            f"{dims}D target tensor expects {dims + 1}D input tensors, but found inputs with sizes"
            f" {list(input1.shape)} and {list(input2.shape)}."
        )
    eps = 1e-12
    squares = (sum(input1 * input1, -1) + eps) * (sum(input2 * input2, -1) + eps)
    cosine = sum(input1 * input2, -1) / sqrt(squares)
    near = choose(target == 1, 1 - cosine, 0)
    return reduced(near + choose(target == -1, clamp_min(cosine - margin, 0), 0), reduction)


@adaptable
def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """How far input1 falls short of being larger (1) or smaller (-1) than input2 by the margin."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    sizes = [list(x.shape) for x in (input1, input2, target)]
    if not len(sizes[0]) == len(sizes[1]) == len(sizes[2]):
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes:"
            f" input1: {sizes[0]}, input2: {sizes[1]}, target: {sizes[2]}"
        )
    return reduced(clamp_min(-target * (input1 - input2) + float(margin), 0), reduction)


@adaptable
def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """How far the negative falls short of being further away than the positive by the margin."""
    reduction = legacy_reduction(size_average, reduce, reduction)

    def distance(a: Any, b: Any) -> Any:
        return pairwise_distance(a, b, p, eps)

    return _triplet(anchor, positive, negative, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Any = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """The triplet loss with any distance."""
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet(anchor, positive, negative, distance, margin, swap, reduction)


def _triplet(
    anchor: Any,
    positive: Any,
    negative: Any,
    distance: Any,
    margin: float,
    swap: bool,
    reduction: str,
) -> Any:
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    dims = [len(x.shape) for x in (anchor, positive, negative)]
    if not dims[0] == dims[1] == dims[2]:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of"
            f" dimensions, but got: anchor {dims[0]}D, positive {dims[1]}D, and negative"
            f" {dims[2]}D inputs"
        )
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(clamp_min(near - far + margin, 0), reduction)


def _check_reduction(reduction: str) -> None:
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")


@adaptable
@where_it_lies
def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """How far the right class falls short of being above the others by the margin.

    Shape: (N, C) or (C,), (N,) or () -> () or (N,).
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_reduction(reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    one = len(input.shape) < 2
    x = input.reshape(1, -1) if one else input
    column = target.reshape(-1, 1)
    short = relu(x - gather(x, 1, column) + margin)
    short = short if p == 1 else short * short
    others = xp(x.array).arange(x.shape[1]) != column.array
    loss = sum(short * wrap(others.astype(x.array.dtype)), 1) / x.shape[1]
    if weight is not None:
        loss = loss * wrap(weight.array[column.array[:, 0]])
    scalar = one and not target.array.ndim
    return reduced(loss.squeeze(0) if scalar else loss, reduction, "MultiMarginLossBackward0")


@adaptable
@where_it_lies
def multilabel_margin_loss(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """How far the target classes (up to the first -1) fall short of being 1 above all others.

    Shape: (N, C) or (C,), the same of class numbers -> () or (N,).
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_reduction(reduction)
    if input.dim() and not input.shape[-1]:
        raise RuntimeError(
            "Expected non-empty vector or matrix with optional 0-dim batch size, but got:"
            f" {list(input.shape)}"
        )
    if target.shape != input.shape:
        raise RuntimeError(
            f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}"
        )
    one = len(input.shape) < 2
    x, t = (v.reshape(1, -1) if one else v for v in (input, target))
    module = xp(x.array)
    classes = x.shape[1]
    counted = module.cumsum(t.array < 0, 1) == 0
    safe = module.where(counted, t.array, 0)
    hit = (safe[:, :, None] == module.arange(classes)) & counted[:, :, None]
    wrong = ~hit.any(1)
    picked = gather(x, 1, wrap(safe))
    short = relu(1 - (picked.unsqueeze(2) - x.unsqueeze(1)))
    pairs = counted[:, :, None] & wrong[:, None, :]
    loss = sum(short * wrap(pairs.astype(x.array.dtype)), (1, 2)) / classes
    return reduced(loss.squeeze(0) if one else loss, reduction, "MultilabelMarginLossBackward0")
