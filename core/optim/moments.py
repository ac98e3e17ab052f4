"""What the methods share that keep running means of the gradient and of its square."""

from __future__ import annotations

from typing import Any

from core.optim.check import check_betas, check_lr, check_positive
from core.optim.method import Method
from core.optim.optimizer import number


def check_moments(lr: Any, betas: Any, eps: Any, weight_decay: Any) -> None:
    """Nothing; an option out of range raises ValueError."""
    check_lr(lr)
    check_positive("epsilon", eps)
    check_betas(betas)
    check_positive("weight_decay", weight_decay)


class Moments(Method):
    """A method with two running means, whose weight decay may stand apart from the gradient."""

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The means of the gradient and of its square."""
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def options(self, group: dict[str, Any]) -> dict[str, Any]:
        """The numbers that no step changes: `shrink` is weight decay apart, `decay` the other."""
        beta1, beta2 = group["betas"]
        lr, decay = number(group["lr"]), group["weight_decay"]
        apart = group["decoupled_weight_decay"]
        return {
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "decay": 0 if apart else decay,
            "shrink": 1 - lr * decay if apart else 1,
        }
