"""Adadelta: steps as large as the steps before, by the units of the parameter."""

from __future__ import annotations

from typing import Any

from core.backend import xp
from core.optim.check import check_lr, check_positive
from core.optim.method import Method
from core.optim.optimizer import number


def adadelta(
    p: Any,
    g: Any,
    square: Any,
    moved: Any,
    *,
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float,
) -> None:
    """Nothing; `p` moved by the gradient times the ratio of past steps to past gradients.

    Source: Zeiler (2012).
    """
    module = xp(p)
    if weight_decay:
        g = g + weight_decay * p
    square *= rho
    square += (1 - rho) * (g * g)
    delta = module.sqrt(moved + eps)
    delta /= module.sqrt(square + eps)
    delta *= g
    moved *= rho
    moved += (1 - rho) * (delta * delta)
    p -= lr * delta


class Adadelta(Method):
    """Adadelta: a learning rate per parameter from the running squares of gradients and steps.

    Raises: ValueError for options out of range.
    """

    method = staticmethod(adadelta)

    def __init__(
        self,
        params: Any,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_positive("epsilon", eps)
        check_positive("weight_decay", weight_decay)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The mean squares of the gradients and of the steps."""
        return {"square_avg": 0.0, "acc_delta": 0.0}

    def numbers(self, group: dict[str, Any], scalars: dict[str, float]) -> dict[str, Any]:
        """The options."""
        return {
            "lr": number(group["lr"]),
            "rho": group["rho"],
            "eps": group["eps"],
            "weight_decay": group["weight_decay"],
        }
