"""Losses of classes and of numbers."""

from __future__ import annotations

from typing import Any

import numpy

from core.autograd.adapt import adaptable
from core.autograd.inplace import watch
from core.autograd.place import where_it_lies
from core.autograd.value import called, wrap
from core.backend import device_of, on, xp
from core.notice import notice
from core.ops.loss import (
    log_softmax_axis,
    pick_rows,
    picked_total,
    softmax_nll,
    squared_difference,
)
from core.ops.positions import check_range
from core.ops.promotion import accumulates_in
from core.ops.reduce import mean, sum
from core.ops.shape import permute, reshape_array

_INT64 = numpy.dtype("int64")
__all__ = "cross_entropy nll_loss mse_loss".split()


def reduced(x: Any, reduction: str, label: str | None = None) -> Any:
    """The elements of a loss as they are ("none"), their mean or their sum.

    The node of the result bears `label`, PyTorch's name of the loss as a whole.

    Raises: ValueError for another reduction.
    """
    if reduction == "mean":
        x = mean(x)
    elif reduction == "sum":
        x = sum(x)
    else:
        check_reduction(reduction)
    return x if label is None else called(x, label)


def check_reduction(reduction: str) -> bool:
    """Raise ValueError unless `reduction` is none, mean or sum."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return True


def legacy_reduction(size_average: Any, reduce: Any, reduction: str) -> str:
    """The reduction that PyTorch's two old flags mean; `reduction` where they are not used."""
    if size_average is None and reduce is None:
        return reduction
    meant = "none" if reduce is False else "sum" if size_average is False else "mean"
    notice(f"size_average and reduce are deprecated; please use reduction={meant!r} instead.")
    return meant


def alike(input: Any, target: Any) -> None:
    """Warn where an input and its target are of different shapes, and so are broadcast."""
    if input.array.shape != target.array.shape:
        notice(
            f"Using a target size ({target.shape}) that is different to the input size"
            f" ({input.shape}). This will likely lead to incorrect results due to broadcasting."
            " Please ensure they have the same size."
        )


# ---- classes ----------------------------------------------------------------------------------


def _as_rows(x: Any) -> Any:
    """(N, C, *D) or (C,) as (rows, C)."""
    shape = x.array.shape
    if len(shape) == 1:
        return reshape_array(x, (1, *shape))
    if len(shape) == 2:
        return x
    last = permute(x, 0, *range(2, len(shape)), 1)
    return reshape_array(last, (-1, shape[1]))


def _check_classes(input: Any, target: Any, weight: Any) -> None:
    shape, want = input.array.shape, target.array.shape
    if not shape:
        raise ValueError("Expected input batch_size and classes, got a number")
    if (shape[0],) + shape[2:] != want and not (len(shape) == 1 and want == ()):
        if shape[:1] != want[:1]:
            raise ValueError(
                f"Expected input batch_size ({shape[0]}) to match target batch_size"
                f" ({want[0] if want else 1})."
            )
        raise RuntimeError(f"Expected target size {[shape[0], *shape[2:]]}, got {list(want)}")
    if target.array.dtype.kind not in "iu":
        raise RuntimeError(f"expected scalar type Long but found {target.dtype.name}")
    classes = shape[0] if len(shape) == 1 else shape[1]
    if weight is not None and tuple(weight.shape) != (classes,):
        raise RuntimeError(
            "weight tensor should be defined either for all"
            f" {classes} classes or no classes but got weight tensor of shape:"
            f" {list(weight.shape)}"
        )


class Classes:
    """The targets of rows, as indices that are safe to use, and how much each row counts.

    `each` is 1 (or the class's weight) per row and 0 for ignored ones; None where all count 1.
    """

    def __init__(self, target: Any, weight: Any, ignore_index: int, classes: int) -> None:
        rows = target.array.reshape(-1)
        module = xp(rows)
        ignored = rows == ignore_index
        # On a GPU nobody looks: that would wait for it. PyTorch does not look there either.
        anything = numpy.count_nonzero(ignored) > 0 if module is numpy else rows.size > 0
        self.target = module.where(ignored, 0, rows) if anything else rows
        check_range(self.target, 0, classes, IndexError, "Target {index} is out of bounds.")
        self.count = rows.size
        self.each = None
        if weight is not None:
            self.each = weight.array[self.target]
        if anything:
            ones = ~ignored
            self.each = ones if self.each is None else self.each * ones

    def mean(self, each: Any) -> Any:
        """The sum of losses over how much all rows count; NaN, with gradients of zero, for none."""
        dtype, counts = each.array.dtype, self.each
        total = counts.sum(keepdims=True).reshape(()).astype(dtype)  # type: ignore[union-attr]
        where = xp(total).where
        none = total == 0
        safe, lost = (
            where(none, dtype.type(1), total),
            where(none, dtype.type("nan"), dtype.type(0)),
        )
        return sum(each) / wrap(safe) + wrap(lost)

    def scales(self, reduction: str, dtype: Any) -> tuple[Any, Any]:
        """What to multiply each row's loss with, or None, and what their sum."""
        mean_ = reduction == "mean"
        if self.each is None:
            whole = 1.0 / self.count if self.count else float("nan")
            return None, whole if mean_ else 1.0
        each = self.each.astype(accumulates_in(dtype))
        return each, 1 / each.sum(keepdims=True).reshape(()) if mean_ else 1.0


@adaptable
@where_it_lies
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Minus the log of softmax(input) at the target classes, or averaged over target probabilities.

    Shape: (N, C, *D) and (N, *D), or (N, C, *D) of probabilities -> () or (N, *D).
    Raises: IndexError for a target that is no class; ValueError or RuntimeError for shapes.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    check_reduction(reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if input.array.shape == target.array.shape and target.array.dtype.kind in "fV":
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        return _soft_targets(input, target, weight, reduction, label_smoothing)
    if weight is None and not label_smoothing and reduction != "none":
        if _simple(input, target, ignore_index):
            scale = 1.0 / target.array.size if reduction == "mean" else 1.0
            return watch(softmax_nll(input, target.array, None, scale), target)
    _check_classes(input, target, weight)
    x = _as_rows(input)
    with on(device_of(target.array)):
        classes = Classes(target, weight, ignore_index, x.array.shape[1])
        scales = None if label_smoothing else classes.scales(reduction, x.array.dtype)
    if scales is None:
        return _smoothed(x, target, weight, classes, reduction, label_smoothing)
    if reduction == "none":
        return called(_each(log_softmax_axis(x, 1), classes, target), _nll_label(input, reduction))
    out = watch(softmax_nll(x, classes.target, *scales), target)
    return called(out, "NllLoss2DBackward0") if input.array.ndim > 2 else out


def _nll_label(input: Any, reduction: str) -> str:
    """PyTorch's name of the node: three dims, or more than four, are viewed as an image's."""
    ndim = input.array.ndim
    if ndim > 2 and ndim != 4 and reduction == "none":
        return "ViewBackward0"
    return "NllLoss2DBackward0" if ndim > 2 else "NllLossBackward0"


def _each(logs: Any, classes: Classes, target: Any) -> Any:
    """Minus the picked elements, each times how much its row counts."""
    picked = -watch(pick_rows(logs, classes.target), target)
    if classes.each is not None:
        picked = picked * wrap(classes.each.astype(logs.array.dtype))
    return reshape_array(picked, tuple(target.shape))


def _total(each: Any, classes: Classes, reduction: str) -> Any:
    """The reduced loss of rows that are weighted already."""
    if reduction != "mean":
        return reduced(each, reduction)
    if classes.each is None:
        return mean(each)
    return classes.mean(each)


def _smoothed(
    x: Any, target: Any, weight: Any, classes: Classes, reduction: str, smoothing: float
) -> Any:
    """The loss against targets of which a part is spread evenly over all classes."""
    logs = log_softmax_axis(x, 1)
    picked = _each(logs, classes, target)
    spread = -sum(logs if weight is None else logs * weight, 1)
    if classes.each is not None:
        spread = spread * wrap((classes.each != 0).astype(x.array.dtype))
    spread = reshape_array(spread, tuple(target.shape))
    share = smoothing / x.shape[1]
    first = _total(picked, classes, reduction)
    if reduction == "mean" and classes.each is not None:
        second = classes.mean(spread)
    else:
        second = reduced(spread, reduction)
    return first * (1.0 - smoothing) + second * share


def _soft_targets(input: Any, target: Any, weight: Any, reduction: str, smoothing: float) -> Any:
    axis = 0 if len(input.shape) == 1 else 1
    if smoothing:
        target = target * (1.0 - smoothing) + smoothing / input.shape[axis]
    products = log_softmax_axis(input, axis) * target
    if weight is not None:
        products = products * reshape_array(weight, (-1,) + (1,) * (len(input.shape) - axis - 1))
    if reduction == "none":
        return -sum(products, axis)
    total = -sum(products)
    rows = input.numel() // input.shape[axis] if input.shape[axis] else 0
    return called(total / rows, "DivBackward1") if reduction == "mean" else total


def _simple(input: Any, target: Any, ignore_index: int) -> bool:
    """Whether there are rows of the CPU with one class for each, none of them to be ignored.

    Anything else, also what is to be refused, goes the long way.
    """
    x, t = input.array, target.array
    if type(x) is not numpy.ndarray or type(t) is not numpy.ndarray or x.ndim != 2:
        return False
    if t.dtype is not _INT64 or x.dtype.char not in "fd" or t.shape != x.shape[:1] or not t.size:
        return False
    places = t.view(numpy.uint64)  # where what is below zero is large
    return ignore_index < 0 and int(places[places.argmax()]) < x.shape[1]


@adaptable
@where_it_lies
def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """Minus the given log-probabilities at the target classes.

    Shape: (N, C, *D), (N, *D) -> () or (N, *D).
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    check_reduction(reduction)
    if weight is None and reduction != "none" and _simple(input, target, ignore_index):
        count = target.array.size if reduction == "mean" else 1
        return watch(picked_total(input, target.array, count), target)
    _check_classes(input, target, weight)
    x = _as_rows(input)
    with on(device_of(target.array)):
        classes = Classes(target, weight, ignore_index, x.shape[1])
    loss = _total(_each(x, classes, target), classes, reduction)
    return called(loss, _nll_label(input, reduction))


@adaptable
def mse_loss(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """The squared differences, averaged, summed or as they are."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    alike(input, target)
    return reduced(squared_difference(input, target), reduction, "MseLossBackward0")
