"""LAMB: Adam whose steps are as long as a share of each parameter's norm."""

from __future__ import annotations

import math
from typing import Any

from core.backend import xp
from core.optim.moments import Moments, check_moments
from core.optim.norm import ratio
from core.optim.optimizer import number


def lamb(
    p: Any,
    g: Any,
    mean: Any,
    square: Any,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    correction: float,
    root: float,
) -> None:
    """Nothing; `p` moved along Adam's direction, by lr times its own norm.

    Source: You et al. (2020), Large Batch Optimization for Deep Learning.
    """
    mean += (1 - beta1) * (g - mean)
    square *= beta2
    square += (1 - beta2) * (g * g)
    scale = xp(p).sqrt(square)
    scale /= root
    scale += eps
    direction = (mean / correction) / scale
    if weight_decay:
        direction += weight_decay * p
    p -= (lr * ratio(p, direction)) * direction


class LAMB(Moments):
    """LAMB: layer-wise adaptive steps, for very large batches.

    Raises: ValueError for options out of range.
    """

    method = staticmethod(lamb)
    elementwise = False

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
    ) -> None:
        check_moments(lr, betas, eps, weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
        }
        super().__init__(params, defaults)

    def numbers(self, group: dict[str, Any], scalars: dict[str, float]) -> dict[str, Any]:
        """The options, and the corrections at this step."""
        (beta1, beta2), step = group["betas"], scalars["step"]
        return {
            "lr": number(group["lr"]),
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "weight_decay": group["weight_decay"],
            "correction": 1 - beta1**step,
            "root": math.sqrt(1 - beta2**step),
        }
