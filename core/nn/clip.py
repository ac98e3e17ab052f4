"""Gradients made smaller where they are too large."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.autograd.value import Value, version_of, wrap
from core.backend import device_of, to_device, xp
from core.ops.promotion import accumulates_in


def _listed(parameters: Any) -> list[Any]:
    return [parameters] if isinstance(parameters, Value) else list(parameters)


def _power(g: Any, p: float) -> Any:
    """The part of one array in a p-norm: a sum of powers, or the largest size."""
    module = xp(g)
    wide = g.astype(accumulates_in(g.dtype), copy=False)
    if p == math.inf:
        return module.abs(wide).max() if g.size else wide.dtype.type(0)
    if p == 2:
        return module.vdot(wide, wide)
    return (module.abs(wide) ** p).sum()


def get_total_norm(
    tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: Any = None
) -> Any:
    """The norm of all tensors as one vector.

    Raises: RuntimeError where it is not finite and that is an error.
    """
    arrays = [x.array for x in _listed(tensors)]
    if not arrays:
        return wrap(numpy.asarray(0.0, "float32"))
    p, where = float(norm_type), device_of(arrays[0])
    module = xp(arrays[0])
    parts = module.stack([to_device(module.asarray(_power(g, p)), where) for g in arrays])
    total = parts.max() if p == math.inf else parts.sum()
    if p not in (1.0, math.inf):
        total = module.sqrt(total) if p == 2 else total ** (1 / p)
    total = module.asarray(total, arrays[0].dtype)
    if error_if_nonfinite and not bool(module.isfinite(total)):
        raise RuntimeError(
            f"The total norm of order {p} for gradients from `parameters` is non-finite, so it"
            " cannot be clipped. To disable this error and scale the gradients by the non-finite"
            " norm anyway, set `error_if_nonfinite=False`"
        )
    return wrap(total)


def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Any, foreach: Any = None
) -> None:
    """Scale all gradients so that their norm, now `total_norm`, is at most `max_norm`."""
    total = total_norm.array
    factor = xp(total).minimum(max_norm / (total + total.dtype.type(1e-6)), 1.0)
    for param in _listed(parameters):
        if param.grad is not None:
            g = param.grad.array
            g *= to_device(xp(total).asarray(factor), device_of(g)).astype(g.dtype)
            version_of(param.grad)[0] += 1


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: Any = None,
) -> Any:
    """The norm of all gradients, which are then scaled down to `max_norm` where it is larger."""
    listed = _listed(parameters)
    gradients = [param.grad for param in listed if param.grad is not None]
    total = get_total_norm(gradients, norm_type, error_if_nonfinite)
    clip_grads_with_norm_(listed, float(max_norm), total)
    return total


def clip_grad_value_(parameters: Any, clip_value: float, foreach: Any = None) -> None:
    """Every element of the gradients brought between -clip_value and clip_value."""
    bound = float(clip_value)
    for param in _listed(parameters):
        if param.grad is not None:
            g = param.grad.array
            xp(g).clip(g, -bound, bound, out=g)
            version_of(param.grad)[0] += 1
