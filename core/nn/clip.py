"""Gradients made smaller where they are too large."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy

from core.autograd.place import where_it_lies
from core.autograd.value import Value, version_of, wrap
from core.backend import device_of, on, to_device, xp
from core.notice import notice
from core.ops.promotion import accumulates_in


def _listed(parameters: Any) -> list[Any]:
    return [parameters] if isinstance(parameters, Value) else list(parameters)


def _reduced(parameters: Any) -> list[Any]:
    """The parameters; their ranks would clip differently while gradients wait to be reduced."""
    listed = _listed(parameters)
    for i, param in enumerate(listed):
        if param.leaf is not None and param.leaf.local and param.leaf.gradient is not None:
            raise RuntimeError(
                f"parameter {i}, of shape {tuple(param.array.shape)}, has a gradient of this rank"
                " alone: clip it once it is reduced over the ranks, after a backward outside"
                " no_sync()"
            )
    return listed


@where_it_lies
def _power(g: Any, p: float) -> Any:
    """The part of one array in a p-norm: a sum of powers, or the largest size."""
    module = xp(g)
    wide = g.astype(accumulates_in(g.dtype), copy=False)
    if p == math.inf:
        return module.asarray(module.abs(wide).max() if g.size else wide.dtype.type(0))
    if p == 2:
        return module.asarray(module.vdot(wide, wide))
    return module.asarray((module.abs(wide) ** p).sum())


def get_total_norm(
    tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: Any = None
) -> Any:
    """The norm of all tensors as one vector.

    Raises: RuntimeError where it is not finite and that is an error.
    """
    arrays = [x.array for x in _listed(tensors)]
    if not arrays:
        return wrap(numpy.asarray(0.0, "float32"))
    p = float(norm_type)
    total = _of_parts([_power(g, p) for g in arrays], arrays[0], p)
    if error_if_nonfinite and not bool(wrap(total).isfinite()):
        raise RuntimeError(
            f"The total norm of order {p} for gradients from `parameters` is non-finite, so it"
            " cannot be clipped. To disable this error and scale the gradients by the non-finite"
            " norm anyway, set `error_if_nonfinite=False`"
        )
    return wrap(total)


def _of_parts(parts: list[Any], like: Any, p: float) -> Any:
    """The norm, on the device and in the dtype of `like`, whose parts lie where their arrays do."""
    module, where = xp(like), device_of(like)
    with on(where):
        joined = module.stack([to_device(part, where) for part in parts])
        total = joined.max() if p == math.inf else joined.sum()
        if p not in (1.0, math.inf):
            total = module.sqrt(total) if p == 2 else total ** (1 / p)
        return module.asarray(total, like.dtype)


def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Any, foreach: Any = None
) -> None:
    """Scale all gradients so that their norm, now `total_norm`, is at most `max_norm`."""
    factor = _factor(total_norm.array, max_norm)
    for param in _listed(parameters):
        if param.grad is not None:
            _scale(param.grad.array, factor)
            version_of(param.grad)[0] += 1


@where_it_lies
def _factor(total: Any, max_norm: float) -> Any:
    module = xp(total)
    return module.asarray(module.minimum(max_norm / (total + total.dtype.type(1e-6)), 1.0))


@where_it_lies
def _scale(g: Any, factor: Any) -> None:
    g *= to_device(factor, device_of(g)).astype(g.dtype)


@where_it_lies
def _clip(g: Any, bound: float) -> None:
    xp(g).clip(g, -bound, bound, out=g)


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: Any = None,
) -> Any:
    """The norm of all gradients, which are then scaled down to `max_norm` where it is larger."""
    listed = _reduced(parameters)
    if not listed and isinstance(parameters, Iterator):
        notice("`parameters` is an empty generator, no gradient clipping will occur.")
    gradients = [param.grad for param in listed if param.grad is not None]
    total = get_total_norm(gradients, norm_type, error_if_nonfinite)
    clip_grads_with_norm_(listed, float(max_norm), total)
    return total


def clip_grad_norm(*args: Any, **kwargs: Any) -> Any:
    """What `clip_grad_norm_` gives, by its old name, with a FutureWarning."""
    text = "`clip_grad_norm` is now deprecated in favor of `clip_grad_norm_`."
    warnings.warn(text, FutureWarning, stacklevel=2)
    return clip_grad_norm_(*args, **kwargs)


def clip_grad_value_(parameters: Any, clip_value: float, foreach: Any = None) -> None:
    """Every element of the gradients brought between -clip_value and clip_value."""
    bound = float(clip_value)
    for param in _reduced(parameters):
        if param.grad is not None:
            _clip(param.grad.array, bound)
            version_of(param.grad)[0] += 1
