"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

from core.optim.check import check_fused, check_lr, check_positive
from core.optim.method import Method
from core.optim.optimizer import number


def sgd(
    p: Any,
    g: Any,
    buffer: Any = None,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first: bool,
) -> None:
    """Nothing; `p` moved by -lr times the gradient, or times its running sum."""
    if weight_decay:
        g = g + weight_decay * p
    if buffer is not None:
        if first:
            buffer[...] = g
        else:
            buffer *= momentum
            buffer += g if dampening == 0 else (1 - dampening) * g
        g = g + momentum * buffer if nesterov else buffer
    p -= lr * g


class SGD(Method):
    """Stochastic gradient descent: p -= lr * g, with momentum that of a heavy ball.

    Raises: ValueError for options out of range.
    """

    method = staticmethod(sgd)

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_positive("momentum", momentum)
        check_positive("weight_decay", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        check_fused(fused, foreach)

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The momentum buffer, where there is momentum."""
        return {"momentum_buffer": 0.0} if group["momentum"] else {}

    def scalars(self, group: dict[str, Any]) -> dict[str, float]:
        """Nothing: steps are not counted."""
        return {}

    def numbers(self, group: dict[str, Any], scalars: dict[str, float]) -> dict[str, Any]:
        """The options; the span fills in whether this is a parameter's first step."""
        return {
            "lr": number(group["lr"]),
            "momentum": group["momentum"],
            "dampening": group["dampening"],
            "weight_decay": number(group["weight_decay"]),
            "nesterov": group["nesterov"],
            "first": False,
        }
