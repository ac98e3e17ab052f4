"""RAdam: Adam that waits until the mean square can be trusted."""

from __future__ import annotations

import math
from typing import Any

from core.backend import xp
from core.optim.check import check_betas, check_lr, check_positive
from core.optim.method import Method
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


class RAdam(Method):
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
        check_lr(lr)
        check_positive("epsilon", eps)
        check_betas(betas)
        check_positive("weight_decay", weight_decay)
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

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The means of the gradient and of its square."""
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def numbers(self, group: dict[str, Any], scalars: dict[str, float]) -> dict[str, Any]:
        """The options, and the rectification at this step: 0 while the variance is uncertain."""
        beta1, beta2 = group["betas"]
        lr, step, decay = number(group["lr"]), scalars["step"], group["weight_decay"]
        apart = group["decoupled_weight_decay"]
        return {
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "decay": 0 if apart else decay,
            "shrink": 1 - lr * decay if apart else 1,
            "step_size": lr / (1 - beta1**step),
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
