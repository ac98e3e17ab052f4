"""ASGD: stochastic gradient descent, with the average of where it has been."""

from __future__ import annotations

from typing import Any

from core.optim.check import check_lr, check_positive
from core.optim.method import Method
from core.optim.optimizer import number, scalar_dtype


def asgd(
    p: Any, g: Any, average: Any, *, eta: float, mu: float, shrink: float, weight_decay: float
) -> None:
    """Nothing; `p` moved by -eta times the gradient, and `average` towards it by `mu`.

    Source: Polyak & Juditsky (1992).
    """
    if weight_decay:
        g = g + weight_decay * p
    p *= shrink
    p -= eta * g
    if mu == 1:
        average[...] = p
    else:
        average += mu * (p - average)


class ASGD(Method):
    """Averaged stochastic gradient descent; the average is `state[p]["ax"]`.

    Raises: ValueError for options out of range.
    """

    method = staticmethod(asgd)

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check_positive("weight_decay", weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The average."""
        return {"ax": 0.0}

    def scalars(self, group: dict[str, Any]) -> dict[str, float]:
        """The count of steps, the step size, and the weight of the next average."""
        return {"step": 0.0, "eta": number(group["lr"]), "mu": 1.0}

    def numbers(self, group: dict[str, Any], scalars: dict[str, float]) -> dict[str, Any]:
        """The step size and weight kept from the last step, replaced by those of the next."""
        eta, mu, step = scalars["eta"], scalars["mu"], scalars["step"]
        lr, lambd = number(group["lr"]), group["lambd"]
        kind = scalar_dtype().type  # rounded as PyTorch does, also after a load made them wider
        scalars["eta"] = float(kind(lr / (1 + lambd * lr * step) ** group["alpha"]))
        scalars["mu"] = float(kind(1 / max(1, step - group["t0"])))
        return {
            "eta": eta,
            "mu": mu,
            "shrink": 1 - lambd * eta,
            "weight_decay": group["weight_decay"],
        }
