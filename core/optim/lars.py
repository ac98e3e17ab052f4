"""LARS: momentum whose steps are as long as a share of each parameter's norm."""

from __future__ import annotations

from typing import Any

from core.backend import xp
from core.optim.check import check_lr, check_positive
from core.optim.method import Method
from core.optim.norm import norm
from core.optim.optimizer import number


def lars(
    p: Any,
    g: Any,
    buffer: Any = None,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
    trust_coefficient: float | None,
    eps: float,
) -> None:
    """Nothing; `p` moved by momentum of gradients scaled to a share of its norm.

    Source: You, Gitman & Ginsburg (2017), Large Batch Training of Convolutional Networks.
    """
    module = xp(p)
    scale: Any = 1
    if trust_coefficient is not None:
        length = norm(p)
        below = norm(g) + weight_decay * length + eps
        usable = (length > 0) & (below > eps)
        scale = module.where(usable, trust_coefficient * length / below, 1).astype(p.dtype)
    g = scale * (g + weight_decay * p)
    if buffer is not None:
        buffer *= momentum
        buffer += g
        g = g + momentum * buffer if nesterov else buffer
    p -= lr * g


class LARS(Method):
    """LARS: layer-wise adaptive rates for SGD; `trust_coefficient=None` in a group gives plain SGD.

    Raises: ValueError for options out of range.
    """

    method = staticmethod(lars)
    elementwise = False

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0,
        nesterov: bool = False,
        trust_coefficient: float | None = 1e-3,
        eps: float = 1e-8,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_positive("momentum", momentum)
        check_positive("weight_decay", weight_decay)
        check_positive("epsilon", eps)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "trust_coefficient": trust_coefficient,
            "eps": eps,
            "maximize": maximize,
            "foreach": foreach,
        }
        super().__init__(params, defaults)

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The momentum buffer, where there is momentum."""
        return {"momentum_buffer": 0.0} if group["momentum"] else {}

    def scalars(self, group: dict[str, Any]) -> dict[str, float]:
        """Nothing: steps are not counted."""
        return {}

    def numbers(self, group: dict[str, Any], scalars: dict[str, float]) -> dict[str, Any]:
        """The options."""
        names = ("momentum", "weight_decay", "nesterov", "trust_coefficient", "eps")
        return {"lr": number(group["lr"])} | {name: group[name] for name in names}
