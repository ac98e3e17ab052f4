"""Attention: values averaged with weights that queries and keys give."""

from __future__ import annotations

import math
from typing import Any

from numpy import ndarray

from core.autograd.dispatch import composite
from core.autograd.place import where_it_lies
from core.autograd.value import wrap
from core.backend import device_of, on, xp
from core.ops.choice import choose
from core.ops.dropout import dropped
from core.ops.linalg import matmul
from core.ops.loss import softmax_axis
from core.ops.shape import reshape_array, transpose


@composite
def attention(q, k, v, mask, p, is_causal, scale):
    """softmax(q @ k.T * scale + mask) @ v over the last two dims, with dropout of the weights.

    A query whose scores are all minus infinity takes nothing, and has a gradient of zeros.
    Shape: (..., L, E), (..., S, E), (..., S, F), (..., L, S) or None -> (..., L, F).
    """
    weights = _weights_or_none(_scores(q, k, mask, is_causal, scale))
    if p:
        weights = dropped(weights, p, tuple(weights.shape))
    return matmul(weights, v)


def attention_weights(q: Any, k: Any, mask: Any, is_causal: bool, scale: float | None) -> Any:
    """How much each query takes of each value; a bool mask keeps where True, another is added."""
    scores = _scores(q, k, mask, is_causal, scale)
    return softmax_axis(scores, len(scores.shape) - 1)


@where_it_lies
def _weights_or_none(scores: Any) -> Any:
    """The softmax of the scores; zeros for a query that may look at nothing, not NaN."""
    last = len(scores.shape) - 1
    x = scores.array
    nothing = (x == -math.inf).all(last, keepdims=True)
    if type(x) is ndarray and not nothing.any():  # a GPU would have to be waited for
        return softmax_axis(scores, last)
    nothing = wrap(nothing)
    return choose(nothing, 0, softmax_axis(choose(nothing, 0, scores), last))


@where_it_lies
def _scores(q: Any, k: Any, mask: Any, is_causal: bool, scale: float | None) -> Any:
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1]) if q.shape[-1] else 1.0
    scores = matmul(q * scale, transpose(k, -2, -1))
    if is_causal:
        scores = masked(scores, causal_mask(scores))
    if mask is None:
        return scores
    return masked(scores, mask) if mask.array.dtype.kind == "b" else scores + mask


def masked(scores: Any, keep: Any) -> Any:
    """The scores where `keep` is True, minus infinity elsewhere."""
    return choose(keep, scores, -math.inf)


def causal_mask(scores: Any) -> Any:
    """True where a key is not later than the query, for scores (..., L, S)."""
    module = xp(scores.array)
    length, size = scores.shape[-2:]
    with on(device_of(scores.array)):
        return wrap(module.arange(size) <= module.arange(length).reshape(-1, 1))


def repeated_heads(x: Any, times: int) -> Any:
    """Each head of (..., H, S, E) so many times in a row."""
    if times == 1:
        return x
    shape = tuple(x.shape)
    wide = reshape_array(x, (*shape[:-2], 1, *shape[-2:])).expand(*shape[:-2], times, *shape[-2:])
    return reshape_array(wide, (*shape[:-3], shape[-3] * times, *shape[-2:]))
