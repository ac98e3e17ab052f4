"""Adagrad: steps divided by the root of the sum of all squared gradients."""

from __future__ import annotations

from typing import Any

from core.autograd.value import wrap
from core.backend import device_of, on, xp
from core.optim.check import check_fused, check_lr, check_positive
from core.optim.method import Method
from core.optim.optimizer import number, scalar_dtype


def adagrad(
    p: Any, g: Any, total: Any, *, step_size: float, weight_decay: float, eps: float
) -> None:
    """Nothing; `p` moved by the gradient over the root of the sum of its squares so far.

    Source: Duchi, Hazan & Singer (2011).
    """
    if weight_decay:
        g = g + weight_decay * p
    total += g * g
    scale = xp(p).sqrt(total)
    scale += eps
    p -= step_size * (g / scale)


class Adagrad(Method):
    """Adagrad: what has moved much moves less.

    Raises: ValueError for options out of range.
    """

    method = staticmethod(adagrad)

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_positive("lr_decay", lr_decay)
        check_positive("weight_decay", weight_decay)
        check_positive("initial_accumulator_value", initial_accumulator_value)
        check_positive("epsilon", eps)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        check_fused(fused, foreach)
        for group in self.param_groups:
            for p in group["params"]:
                self._start(p, group)

    def _start(self, p: Any, group: dict[str, Any]) -> None:
        """PyTorch's Adagrad has its state from the beginning, and it is saved so."""
        x = p.array
        with on(device_of(x)):
            total = xp(x).full(x.shape, group["initial_accumulator_value"], x.dtype)
        count = wrap(xp(None).zeros((), scalar_dtype()))
        self.state[p] = {"step": count, "sum": wrap(total)}

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The sum of the squared gradients."""
        return {"sum": self.defaults["initial_accumulator_value"]}

    def numbers(self, group: dict[str, Any], scalars: dict[str, float]) -> dict[str, Any]:
        """The options, and the learning rate decayed."""
        return {
            "step_size": number(group["lr"]) / (1 + (scalars["step"] - 1) * group["lr_decay"]),
            "weight_decay": group["weight_decay"],
            "eps": group["eps"],
        }
