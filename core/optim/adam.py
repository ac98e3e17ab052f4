"""Adam, and AdamW: the same with the weight decay taken out of the gradient."""

from __future__ import annotations

import math
from typing import Any

from core.autograd.value import Value
from core.backend import xp
from core.optim.check import check_fused
from core.optim.moments import Moments, check_moments
from core.optim.optimizer import number


def adam(
    p: Any,
    g: Any,
    mean: Any,
    square: Any,
    largest: Any = None,
    *,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float,
    shrink: float,
    step_size: float,
    root: float,
) -> None:
    """Nothing; `p` moved by the running mean of the gradient over the root of that of its square.

    `step_size` and `root` hold the corrections of both means for their start at zero.
    Source: Kingma & Ba (2015); Loshchilov & Hutter (2019) for `shrink`; Reddi et al. (2018) for
    `largest`.
    """
    module = xp(p)
    if shrink != 1:
        p *= shrink
    g = g + decay * p if decay else g
    scratch = g - mean
    scratch *= 1 - beta1
    mean += scratch
    module.multiply(g, g, out=scratch)
    scratch *= 1 - beta2
    square *= beta2
    square += scratch
    if largest is not None:
        square = module.maximum(largest, square, out=largest)
    module.sqrt(square, out=scratch)
    scratch += eps * root  # both sides of the quotient times the root: one pass less
    module.divide(mean, scratch, out=scratch)
    scratch *= step_size * root
    p -= scratch


def _check_tensors(lr: Any, betas: Any, foreach: Any) -> None:
    """Nothing; a mixture of numbers and tensors, or tensors with foreach, raises ValueError."""
    kinds = [isinstance(beta, Value) for beta in betas]
    if any(kinds) != all(kinds) or not all(isinstance(b, (float, Value)) for b in betas):
        raise ValueError("betas must be either both floats or both Tensors")
    for name, value in (("lr", lr), ("betas[0]", betas[0]), ("betas[1]", betas[1])):
        if foreach and isinstance(value, Value):
            raise ValueError(
                f"{name} as a Tensor is not supported for capturable=False and foreach=True"
            )
        if isinstance(value, Value) and value.array.size != 1:
            raise ValueError(f"Tensor {name} must be 1-element")


class Adam(Moments):
    """Adam: steps of the gradient's running mean over the root of its running square.

    Raises: ValueError for options out of range.
    """

    method = staticmethod(adam)

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_moments(lr, betas, eps, weight_decay)
        _check_tensors(lr, betas, foreach and not capturable)
        defaults = {
            "lr": lr,
            "betas": tuple(map(number, betas)),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)
        check_fused(fused, foreach)

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The means of the gradient and of its square, and with amsgrad the largest square."""
        kept = super().slots(group)
        return kept | {"max_exp_avg_sq": 0.0} if group["amsgrad"] else kept

    def numbers(self, group: dict[str, Any], scalars: dict[str, float]) -> dict[str, Any]:
        """The options, and the corrections at this step."""
        (beta1, beta2), step = group["betas"], scalars["step"]
        return self.options(group) | {
            "step_size": number(group["lr"]) / (1 - beta1**step),
            "root": math.sqrt(1 - beta2**step),
        }


class AdamW(Adam):
    """Adam with decoupled weight decay: p shrinks by lr * weight_decay, apart from the gradient.

    Raises: ValueError for options out of range.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a loaded state; the weight decay stays apart from the gradient."""
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
