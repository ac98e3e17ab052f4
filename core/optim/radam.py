"""RAdam: Adam that waits until the mean square can be trusted."""

from __future__ import annotations

import math
from typing import Any

from core.backend import xp
from core.optim.moments import Moments, check_moments
from core.optim.optimizer import number


def radam(
    p: Any,
    g: Any,
    mean: Any,
    square: Any,
    *,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float,
    shrink: float,
    step_size: float,
    rectified: float,
) -> None:
    """Nothing; `p` moved by the running mean, over the root of the square where `rectified` is set.

    Source: Liu et al. (2020).
    """
    if shrink != 1:
        p *= shrink
    if decay:
        g = g + decay * p
    mean += (1 - beta1) * (g - mean)
    square *= beta2
    square += (1 - beta2) * (g * g)
    if rectified:
        scale = xp(p).sqrt(square)
        scale += eps
        p -= (step_size * rectified) * (mean / scale)
    else:
        p -= step_size * mean


class RAdam(Moments):
    """RAdam: Adam whose first steps, of uncertain variance, are those of momentum.

    Raises: ValueError for options out of range.
    """

    method = staticmethod(radam)

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_moments(lr, betas, eps, weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def numbers(self, group: dict[str, Any], scalars: dict[str, float]) -> dict[str, Any]:
        """The options, and the rectification at this step: 0 while the variance is uncertain."""
        (beta1, beta2), step = group["betas"], scalars["step"]
        return self.options(group) | {
            "step_size": number(group["lr"]) / (1 - beta1**step),
            "rectified": _rectified(beta2, step),
        }


def _rectified(beta2: float, step: float) -> float:
    correction = 1 - beta2**step
    limit = 2 / (1 - beta2) - 1
    length = limit - 2 * step * beta2**step / correction
    if length <= 5:
        return 0.0
    ratio = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
    return math.sqrt(correction * ratio)
