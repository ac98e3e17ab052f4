"""The loss of a target whose alignment with the input is unknown."""

from __future__ import annotations

from typing import Any

import numpy

from core.autograd.adapt import adaptable
from core.autograd.place import where_it_lies
from core.autograd.value import wrap
from core.backend import to_host, xp
from core.nn.functional.convolution import placed
from core.nn.functional.loss import reduced
from core.ops.choice import choose
from core.ops.ctc import ctc_each
from core.ops.reduce import mean

__all__ = ["ctc_loss"]


def _counts(lengths: Any) -> numpy.ndarray:
    if hasattr(lengths, "array"):
        return to_host(lengths.array).astype(numpy.int64).reshape(-1)
    if not isinstance(lengths, (list, tuple)) or not all(isinstance(n, int) for n in lengths):
        raise TypeError(f"ctc_loss(): lengths must be a Tensor or tuple of ints, not {lengths!r}")
    return numpy.asarray(lengths, numpy.int64)


def _extended(targets: Any, sizes: numpy.ndarray, blank: int) -> numpy.ndarray:
    """Each target with blanks between and around its labels, as rows."""
    host = to_host(targets.array)
    width = int(sizes.max(initial=0))
    out = numpy.full((sizes.size, 2 * width + 1), blank, numpy.int64)
    starts = numpy.cumsum(sizes) - sizes
    for i, size in enumerate(sizes.tolist()):
        row = host[i, :size] if host.ndim == 2 else host[starts[i] : starts[i] + size]
        out[i, 1 : 2 * size : 2] = row
    return out


def _check(shape: Any, lengths: numpy.ndarray, sizes: numpy.ndarray, blank: int) -> None:
    steps, batch, classes = shape
    if lengths.size != batch or sizes.size != batch:
        raise RuntimeError(
            f"input_lengths and target_lengths must be of size {batch}, the batch, got"
            f" {lengths.size} and {sizes.size}"
        )
    if lengths.max(initial=0) > steps:
        raise RuntimeError(
            f"Expected input_lengths to have value at most {steps}, but got value"
            f" {int(lengths.max())}"
        )
    if not 0 <= blank < classes:
        raise RuntimeError(f"blank must be in label range 0 to {classes - 1}, got {blank}")


@adaptable
@where_it_lies
def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """Minus the log-probability of the targets over all alignments; mean also over target lengths.

    Shape: (T, N, C) or (T, C), (N, S) or (sum of lengths,), (N,), (N,) -> () or (N,).
    Source: Graves, Fernandez, Gomez & Schmidhuber (2006).
    """
    one = len(log_probs.shape) == 2
    x = log_probs.unsqueeze(1) if one else log_probs
    if one and len(targets.shape) == 1:
        targets = targets.unsqueeze(0)
    lengths, sizes = _counts(input_lengths), _counts(target_lengths)
    _check(tuple(x.shape), lengths, sizes, blank)
    module = xp(x.array)
    extended = placed(x, _extended(targets, sizes, blank))
    loss = ctc_each(x, extended, placed(x, lengths), placed(x, 2 * sizes + 1))
    if zero_infinity:
        loss = choose(wrap(~module.isinf(loss.array)), loss, 0)
    if reduction == "mean":
        divisor = placed(x, numpy.maximum(sizes, 1)).astype(x.array.dtype)
        return mean(loss / wrap(divisor))
    return reduced(loss.squeeze(0) if one else loss, reduction)
