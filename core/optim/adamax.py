"""Adamax: Adam with the largest gradient so far in place of the mean square."""

from __future__ import annotations

from typing import Any

from core.backend import xp
from core.optim.method import Method
from core.optim.moments import check_moments
from core.optim.optimizer import number


def adamax(
    p: Any,
    g: Any,
    mean: Any,
    largest: Any,
    *,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    step_size: float,
) -> None:
    """Nothing; `p` moved by the gradient's running mean over its decaying maximum.

    Source: Kingma & Ba (2015), section 7.
    """
    module = xp(p)
    if weight_decay:
        g = g + weight_decay * p
    mean += (1 - beta1) * (g - mean)
    largest *= beta2
    module.maximum(largest, abs(g) + eps, out=largest)
    p -= step_size * (mean / largest)


class Adamax(Method):
    """Adamax: Adam by the infinity norm.

    Raises: ValueError for options out of range.
    """

    method = staticmethod(adamax)

    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_moments(lr, betas, eps, weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The gradient's mean, and its decaying maximum."""
        return {"exp_avg": 0.0, "exp_inf": 0.0}

    def numbers(self, group: dict[str, Any], scalars: dict[str, float]) -> dict[str, Any]:
        """The options, and the step size corrected for the mean's start at zero."""
        beta1, beta2 = group["betas"]
        return {
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "weight_decay": group["weight_decay"],
            "step_size": number(group["lr"]) / (1 - beta1 ** scalars["step"]),
        }
