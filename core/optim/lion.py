"""Lion: steps of one size, by the sign of the momentum."""

from __future__ import annotations

from typing import Any

from core.backend import xp
from core.optim.check import check_betas, check_lr, check_positive
from core.optim.method import Method
from core.optim.optimizer import number


def lion(
    p: Any, g: Any, mean: Any, *, lr: float, beta1: float, beta2: float, shrink: float
) -> None:
    """Nothing; `p` moved by lr against the sign of the gradient mixed with its running mean.

    Source: Chen et al. (2023), Symbolic Discovery of Optimization Algorithms.
    """
    if shrink != 1:
        p *= shrink
    p -= lr * xp(p).sign(beta1 * mean + (1 - beta1) * g)
    mean *= beta2
    mean += (1 - beta2) * g


class Lion(Method):
    """Lion: sign momentum with decoupled weight decay; it keeps one array per parameter.

    Raises: ValueError for options out of range.
    """

    method = staticmethod(lion)

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_betas(betas)
        check_positive("weight_decay", weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
        }
        super().__init__(params, defaults)

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The mean of the gradient."""
        return {"exp_avg": 0.0}

    def scalars(self, group: dict[str, Any]) -> dict[str, float]:
        """Nothing: steps are not counted."""
        return {}

    def numbers(self, group: dict[str, Any], scalars: dict[str, float]) -> dict[str, Any]:
        """The options."""
        lr, (beta1, beta2) = number(group["lr"]), group["betas"]
        shrink = 1 - lr * group["weight_decay"]
        return {"lr": lr, "beta1": beta1, "beta2": beta2, "shrink": shrink}
