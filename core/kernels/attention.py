"""Attention on the CPU without mask or dropout: a few heads at a time, scores in the cache."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.kernels.piece import is_plain, row_sums
from core.ops.attention import attention

_SCORES = 1 << 17  # elements of scores in one piece
_MILD = 40.0  # exponentials of scores up to here, and their sums, are far from the ends of float32


def _parts(weights: Any) -> Any:
    """Slices of the first axis whose scores are one piece."""
    step = max(1, _SCORES // math.prod(weights.shape[1:]))
    return (slice(i, i + step) for i in range(0, len(weights), step))


def _weights(q: Any, k: Any, is_causal: bool, scale: float) -> Any:
    """The softmax of the scores; None where a row of them is not finite."""
    length, size = q.shape[-2], k.shape[-2]
    out = numpy.empty((*q.shape[:-1], size), q.dtype)
    hidden = None
    if is_causal:
        later = numpy.arange(size) > numpy.arange(length).reshape(-1, 1)
        hidden = numpy.where(later, q.dtype.type(-math.inf), q.dtype.type(0))
    for part in _parts(out):
        scores = numpy.matmul(q[part] * scale, k[part].swapaxes(-1, -2), out=out[part])
        mild = -_MILD < scores.min() and scores.max() < _MILD
        if hidden is not None:
            scores += hidden
        if not mild and not _lowered(scores):
            return None
        numpy.exp(scores, out=scores)
        scores *= 1 / row_sums(scores)
    return out


def _lowered(scores: Any) -> bool:
    """Whether the scores have finite row maxima; these are then taken off."""
    peak = scores.max(-1, keepdims=True)
    scores -= peak
    return bool(numpy.isfinite(peak).all())


def _gradients(g: Any, q: Any, k: Any, v: Any, weights: Any, scale: float) -> tuple[Any, ...]:
    gq, gk, gv = (numpy.empty(x.shape, x.dtype) for x in (q, k, v))
    for part in _parts(weights):
        w = weights[part]
        numpy.matmul(w.swapaxes(-1, -2), g[part], out=gv[part])
        h = numpy.matmul(g[part], v[part].swapaxes(-1, -2))
        h *= w
        h -= w * row_sums(h)
        h *= scale
        numpy.matmul(h, k[part], out=gq[part])
        numpy.matmul(h.swapaxes(-1, -2), q[part], out=gk[part])
    return gq, gk, gv


def fast_attention(q, k, v, mask, p, is_causal, scale):
    """What `attention` gives where every query has keys of its own kind."""
    if mask is not None or p or not is_plain(q, k, v) or not q.shape[-1]:
        return NotImplemented
    if q.ndim < 3 or q.shape[:-2] != k.shape[:-2] or k.shape[:-1] != v.shape[:-1]:
        return NotImplemented
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    weights = _weights(q, k, is_causal, scale)
    if weights is None:
        return NotImplemented
    out = numpy.matmul(weights, v)
    return out, lambda g: (*_gradients(g, q, k, v, weights, scale), None, None, None, None)


FUSED = ((attention, fast_attention),)
