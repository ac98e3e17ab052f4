"""NAdam: Adam that looks one step of momentum ahead."""

from __future__ import annotations

import math
from typing import Any

from core.backend import xp
from core.optim.check import check_positive
from core.optim.moments import Moments, check_moments
from core.optim.optimizer import number, scalar_dtype


def nadam(
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
    of_gradient: float,
    of_mean: float,
    root: float,
) -> None:
    """Nothing; `p` moved by the gradient and its running mean, over the root of the mean square.

    Source: Dozat (2016).
    """
    if shrink != 1:
        p *= shrink
    if decay:
        g = g + decay * p
    mean += (1 - beta1) * (g - mean)
    square *= beta2
    square += (1 - beta2) * (g * g)
    scale = xp(p).sqrt(square)
    scale /= root
    scale += eps
    p -= of_gradient * (g / scale)
    p -= of_mean * (mean / scale)


class NAdam(Moments):
    """NAdam: Adam with Nesterov's momentum.

    Raises: ValueError for options out of range.
    """

    method = staticmethod(nadam)

    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_moments(lr, betas, eps, weight_decay)
        check_positive("momentum_decay", momentum_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def scalars(self, group: dict[str, Any]) -> dict[str, float]:
        """The count of steps, and the product of the momenta of all of them."""
        return {"step": 0.0, "mu_product": 1.0}

    def numbers(self, group: dict[str, Any], scalars: dict[str, float]) -> dict[str, Any]:
        """The options, and how the gradient and its mean are weighed at this step."""
        beta1, beta2 = group["betas"]
        lr, step = number(group["lr"]), scalars["step"]
        now = beta1 * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"]))
        after = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * group["momentum_decay"]))
        kind = scalar_dtype().type
        product = scalars["mu_product"] = float(kind(scalars["mu_product"]) * kind(now))
        return self.options(group) | {
            "of_gradient": lr * (1 - now) / (1 - product),
            "of_mean": lr * after / (1 - product * after),
            "root": math.sqrt(1 - beta2**step),
        }
