"""Rprop: steps that grow while the gradient keeps its sign, whatever its size."""

from __future__ import annotations

from typing import Any

from core.backend import xp
from core.optim.check import check_lr
from core.optim.method import Method
from core.optim.optimizer import number


def rprop(
    p: Any,
    g: Any,
    before: Any,
    size: Any,
    *,
    shrink: float,
    grow: float,
    smallest: float,
    largest: float,
) -> None:
    """Nothing; `p` moved by `size` against the gradient's sign, where that sign did not turn.

    Source: Riedmiller & Braun (1993); this is the variant without backtracking.
    """
    module = xp(p)
    agreement = g * before
    turned = agreement < 0
    size *= module.where(turned, shrink, module.where(agreement > 0, grow, 1.0)).astype(size.dtype)
    module.clip(size, smallest, largest, out=size)
    before[...] = module.where(turned, module.zeros_like(g), g)
    p -= module.sign(before) * size


class Rprop(Method):
    """Rprop: resilient steps, for gradients of the whole data set.

    Raises: ValueError for options out of range.
    """

    method = staticmethod(rprop)

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The gradient before, and each element's step size."""
        return {"prev": 0.0, "step_size": number(group["lr"])}

    def numbers(self, group: dict[str, Any], scalars: dict[str, float]) -> dict[str, Any]:
        """The options."""
        (shrink, grow), (smallest, largest) = group["etas"], group["step_sizes"]
        return {"shrink": shrink, "grow": grow, "smallest": smallest, "largest": largest}
