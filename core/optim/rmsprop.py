"""RMSprop: steps divided by the root of the running mean square of the gradient."""

from __future__ import annotations

from typing import Any

from core.backend import xp
from core.optim.check import check_lr, check_positive
from core.optim.method import Method
from core.optim.optimizer import number


def rmsprop(
    p: Any,
    g: Any,
    square: Any,
    buffer: Any = None,
    mean: Any = None,
    *,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
) -> None:
    """Nothing; `p` moved by the gradient over the root of its mean square, or of its variance.

    Source: Tieleman & Hinton (2012); Graves (2013) for `mean`.
    """
    module = xp(p)
    if weight_decay:
        g = g + weight_decay * p
    square *= alpha
    square += (1 - alpha) * (g * g)
    if mean is None:
        scale = module.sqrt(square)
    else:
        mean += (1 - alpha) * (g - mean)
        scale = module.sqrt(square - mean * mean)
    scale += eps
    if buffer is None:
        p -= lr * (g / scale)
    else:
        buffer *= momentum
        buffer += g / scale
        p -= lr * buffer


def centered_rmsprop(p: Any, g: Any, square: Any, mean: Any, **numbers: Any) -> None:
    """Nothing; `p` moved as by `rmsprop`, with a mean and without momentum."""
    rmsprop(p, g, square, None, mean, **numbers)


class RMSprop(Method):
    """RMSprop: steps of even size in every direction, with momentum if wanted.

    Raises: ValueError for options out of range.
    """

    method = staticmethod(rmsprop)

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_positive("epsilon", eps)
        check_positive("momentum", momentum)
        check_positive("weight_decay", weight_decay)
        check_positive("alpha", alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The mean square; with momentum its buffer; where centered, the mean."""
        kept = {"square_avg": 0.0}
        if group["momentum"] > 0:
            kept["momentum_buffer"] = 0.0
        if group["centered"]:
            kept["grad_avg"] = 0.0
        return kept

    def function(self, group: dict[str, Any]) -> Any:
        """The text for what this group keeps."""
        alone = group["centered"] and not group["momentum"] > 0
        return centered_rmsprop if alone else rmsprop

    def numbers(self, group: dict[str, Any], scalars: dict[str, float]) -> dict[str, Any]:
        """The options."""
        return {
            "lr": number(group["lr"]),
            "alpha": group["alpha"],
            "eps": group["eps"],
            "weight_decay": group["weight_decay"],
            "momentum": group["momentum"],
        }
