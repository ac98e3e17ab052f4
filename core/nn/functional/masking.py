"""Dropout and its relatives."""

from __future__ import annotations

import math
import warnings
from typing import Any

from core import random
from core.autograd.value import wrap
from core.backend import device_of, on, xp
from core.ops.creation import ones
from core.ops.dropout import dropped

__all__ = "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout".split()


def checked(p: float) -> float:
    """`p`, a probability.

    Raises: ValueError outside 0 to 1.
    """
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    return p


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Each element zero with probability `p`, else divided by 1 - p; only while `training`."""
    return _spread(input, checked(p), training, inplace, tuple(input.shape))


def _spread(input: Any, p: float, training: bool, inplace: bool, shape: Any) -> Any:
    if not training or p == 0.0:
        return input
    if not inplace:
        return dropped(input, p, shape)
    kept = dropped(ones(shape, dtype=input.dtype, device=input.device), p, shape)
    return input.mul_(kept)


def _by_channel(n: int) -> Any:
    def channels(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        checked(p)
        ndim = len(input.shape)
        _check_dims(n, ndim)
        # dropout2d of three dims is PyTorch's oldest form: batch, channels, positions.
        lead = 2 if n == 2 or ndim == n + 2 else 1
        if training and p > 0 and ndim < lead:
            raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
        shape = (*input.shape[:lead], *(1,) * (ndim - lead))
        return _spread(input, p, training, inplace, shape)

    channels.__name__ = channels.__qualname__ = f"dropout{n}d"
    channels.__doc__ = "Whole channels zero with probability `p`, else divided by 1 - p."
    return channels


def _check_dims(n: int, ndim: int) -> None:
    wanted = f"dropout{n}d: Expected {n + 1}D or {n + 2}D input"
    if n == 1 and ndim not in (2, 3):
        raise RuntimeError(f"{wanted}, but received a {ndim}D input.")
    if ndim not in (n + 1, n + 2):
        warnings.warn(f"{wanted}, received a {ndim}-D one: dropout is meant.", stacklevel=3)
    elif n == 2 and ndim == 3:
        text = "dropout2d: a 3D input is read as (N, C, L), as dropout1d would read it."
        warnings.warn(text, stacklevel=3)


dropout1d, dropout2d, dropout3d = (_by_channel(n) for n in (1, 2, 3))

_FLOOR = -1.7580993408473766  # what selu tends to on the left


def _alpha(input: Any, p: float, training: bool, inplace: bool, shape: Any) -> Any:
    """Elements set to the floor of selu, then scaled so that mean 0 and variance 1 stay."""
    if not training or checked(p) == 0.0:
        return input
    if p == 1:
        return input.mul_(0) if inplace else input * 0
    scale = 1 / math.sqrt((_FLOOR**2 * p + 1) * (1 - p))
    x = input.array
    with on(device_of(x)):
        kept = random.bernoulli(random.default_generator().reserve(), shape, 1 - p, xp(x))
        factor = wrap(xp(x).asarray(kept * scale, x.dtype))
        shift = wrap(xp(x).asarray(~kept * (scale * _FLOOR) - scale * p * _FLOOR, x.dtype))
    out = input * factor + shift
    return input.copy_(out) if inplace else out


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout that keeps mean and variance behind a selu.

    Source: Klambauer, Unterthiner, Mayr & Hochreiter (2017).
    """
    return _alpha(input, p, training, inplace, tuple(input.shape))


def feature_alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Any:
    """`alpha_dropout` of whole channels."""
    shape = (*input.shape[:2], *(1,) * (len(input.shape) - 2))
    return _alpha(input, p, training, inplace, shape)
