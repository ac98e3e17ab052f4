"""The loss of classes over a linear layer, whole or in chunks that never hold all logits."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

from core.dtype import dtype as DType
from core.nn.functional.loss import cross_entropy
from core.nn.functional.products import linear
from core.ops.join import cat
from core.ops.parts import slice_axis
from core.ops.shape import reshape_array
from core.recompute import checkpoint

__all__ = ["linear_cross_entropy"]

POLICIES = ("auto", "accurate", "balanced", "compact")
KINDS = ("float16", "bfloat16", "float32", "float64")


@dataclasses.dataclass(slots=True, frozen=True)
class LinearCrossEntropyOptions:
    """How `linear_cross_entropy` cuts a batch into chunks, whose logits backward computes again.

    Sums are in float32 at least and backward may run twice, whatever `acc_policy`, `acc_dtype` and
    `allow_retain_graph` say: those are PyTorch's.

    Raises: ValueError for a setting that there is not.
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: DType | None = None

    def __post_init__(self) -> None:
        if self.acc_policy not in POLICIES:
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}, expected one of {POLICIES}")
        if self.chunking_method not in (None, "auto") and not self._parts():
            raise ValueError(f"invalid chunking_method: {self.chunking_method!r}")
        size = self.batch_chunk_size
        if size is not None and not (isinstance(size, int) and size > 0):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {size!r}")
        if self.acc_dtype is not None and self.acc_dtype.name not in KINDS:
            raise ValueError(f"acc_dtype must be None or one of {KINDS}, got {self.acc_dtype!r}")

    def _parts(self) -> int:
        """The N of "aspect_ratio:N", 0 for another method."""
        name, colon, parts = str(self.chunking_method).partition(":")
        parts = parts if colon else "1"
        return int(parts) if name == "aspect_ratio" and parts.isdigit() else 0

    def chunk(self, rows: int, features: int, classes: int) -> int:
        """How many rows are taken at a time: as many logits as there are inputs, divided by N.

        Raises: ValueError where a size is given too, and is another.
        """
        given = self.batch_chunk_size
        if self.chunking_method is None or (self.chunking_method == "auto" and given is not None):
            return max(1, min(rows, given or rows))
        parts = 2 if self.chunking_method == "auto" else self._parts()
        share = -(-rows // -(-classes // features))
        size = min((1 << (share - 1).bit_length()) // parts, rows)
        if given not in (None, size):
            raise ValueError(
                f"batch_chunk_size (={given}) and chunking_method ('{self.chunking_method}') give"
                f" different chunk sizes ({given} vs {size}); pass only one."
            )
        return max(1, size)


def linear_cross_entropy(
    input: Any,
    linear_weight: Any,
    target: Any,
    *,
    linear_bias: Any = None,
    weight: Any = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
) -> Any:
    """The cross entropy of linear(input, linear_weight, linear_bias), in chunks with `options`.

    Shape: (N, F) or (F,), (C, *D, F), (N, *D) or (N, C, *D) of probabilities -> () or (N, *D).
    Raises: RuntimeError where the sizes do not fit.
    """
    _check(input, linear_weight, linear_bias)
    classes, *dims, features = linear_weight.shape
    shape = (*input.shape[:-1], classes, *dims)
    if tuple(target.shape) == shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    ignore = -100 if ignore_index is None else ignore_index
    settings = {"weight": weight, "ignore_index": ignore, "label_smoothing": label_smoothing}
    if options is not None:
        if not dims and not label_smoothing and target.dtype.name == "int64":
            return _chunked(input, linear_weight, target, linear_bias, reduction, settings, options)
        warnings.warn(
            "linear_cross_entropy: options are ignored: chunks need label_smoothing == 0, a target"
            f" of int64 and no out_features, but there are label_smoothing={label_smoothing},"
            f" {target.dtype} and out_features={tuple(dims)}",
            stacklevel=2,
        )
    w = reshape_array(linear_weight, (math.prod(dims, start=classes), features))
    b = None if linear_bias is None else reshape_array(linear_bias, (-1,))
    logits = reshape_array(linear(input, w, b), shape)
    return cross_entropy(logits, target, reduction=reduction, **settings)


def _check(input: Any, w: Any, b: Any) -> None:
    have, want = tuple(input.shape), tuple(w.shape)
    if len(have) not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {len(have)}")
    if len(want) < 2:
        raise RuntimeError(f"expected linear_weight of at least 2 dims, got {len(want)}")
    if have[-1] != want[-1]:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), got"
            f" {have[-1]} and {want[-1]}, respectively"
        )
    if b is not None and tuple(b.shape) != want[:-1]:
        raise RuntimeError(f"expected linear_bias shape {want[:-1]}, got {tuple(b.shape)}")
    if len(want) > 2 and len(have) == 1:
        raise RuntimeError(
            f"a linear_weight of shape {want} requires batched input, (N, {want[-1]}), got {have}"
        )


def _chunked(
    x: Any, w: Any, target: Any, b: Any, reduction: str, settings: Any, options: Any
) -> Any:
    batched = len(x.shape) == 2
    rows = x.shape[0] if batched else 1
    if not batched:
        x, target = x.unsqueeze(0), target.unsqueeze(0)
    each = "none" if reduction == "none" else "sum"
    size = options.chunk(rows, w.shape[1], w.shape[0])

    def loss(part: Any, goal: Any) -> Any:
        return cross_entropy(linear(part, w, b), goal, reduction=each, **settings)

    parts = []
    for start in range(0, rows, size):
        count = min(size, rows - start)
        part, goal = (slice_axis(t, 0, start, count) for t in (x, target))
        parts.append(checkpoint(loss, part, goal))
    if each == "none":
        losses = cat(parts)
        return losses if batched else losses.squeeze(0)
    total = sum(parts[1:], start=parts[0])
    return total / _counted(target, settings) if reduction == "mean" else total


def _counted(target: Any, settings: Any) -> Any:
    """How much all rows count in a mean."""
    counts = target != settings["ignore_index"]
    weight = settings["weight"]
    return (counts if weight is None else weight[target * counts] * counts).sum()
