"""Muon: momentum whose steps are orthogonal matrices."""

from __future__ import annotations

import math
from typing import Any

from core.autograd.value import Value
from core.backend import to_host, xp
from core.dtype import bfloat16, float32
from core.optim.check import check_single
from core.optim.method import Method
from core.optim.norm import inner, norm

# The quintic iteration of Jordan et al. (2024), steep at zero rather than exact at one.
COEFFICIENTS = (3.4445, -4.775, 2.0315)


def muon(
    p: Any,
    g: Any,
    buffer: Any,
    *,
    step_size: float,
    shrink: float,
    momentum: float,
    nesterov: bool,
    coefficients: tuple[float, float, float],
    eps: float,
    count: int,
) -> None:
    """Nothing; `p` moved by the orthogonal matrix nearest to its momentum.

    Source: Jordan et al. (2024), Muon.
    """
    buffer += (1 - momentum) * (g - buffer)
    update = g + momentum * (buffer - g) if nesterov else buffer
    update = orthogonal(update, coefficients, eps, count)
    p *= shrink
    p -= step_size * update.astype(p.dtype)


def orthogonal(x: Any, coefficients: tuple[float, float, float], eps: float, count: int) -> Any:
    """A matrix with the singular vectors of `x`, its singular values all near one.

    Shape: (M, N) -> (M, N).
    Dtype: float32, every step rounded to bfloat16 as in PyTorch.
    """
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    x = rounded(x.T if tall else x)
    x = rounded(x / xp(x).maximum(rounded(norm(x)), eps))
    for _ in range(count):
        gram = rounded(inner(x, x.T))
        x = rounded(a * x + inner(rounded(b * gram + c * inner(gram, gram)), x))
    return x.T if tall else x


def rounded(x: Any) -> Any:
    """The float32 numbers next to `x` that bfloat16 has too."""
    return x.astype(bfloat16.numpy).astype(float32.numpy)


class Muon(Method):
    """Muon: for the matrices of hidden layers; give other parameters to AdamW.

    Raises: ValueError for options out of range, or a parameter that is no matrix.
    """

    method = staticmethod(muon)
    elementwise = False

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_single(lr)
        values = (("Learning rate", lr), ("momentum", momentum), ("weight decay", weight_decay))
        for name, value in values:
            if not value >= 0.0:
                raise ValueError(f"{name} should be >= 0 but is: {value}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        if ns_steps >= 100:
            raise ValueError(f"Number of steps must be less than 100, got {ns_steps}")
        if len(ns_coefficients) != 3:
            raise ValueError(f"Coefficients must be a tuple of exactly 3 values, {ns_coefficients}")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Nothing; one more group of matrices."""
        super().add_param_group(param_group)
        for p in param_group["params"]:
            if p.array.ndim != 2:
                raise ValueError(
                    "Muon only supports 2D parameters whereas we found a parameter with size:"
                    f" {tuple(p.array.shape)}"
                )

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The momentum."""
        return {"momentum_buffer": 0.0}

    def scalars(self, group: dict[str, Any]) -> dict[str, float]:
        """Nothing: steps are not counted."""
        return {}

    def shaped(self, numbers: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
        """The numbers with the step size for a matrix of this shape."""
        rows, columns = shape
        if numbers.pop("match_rms"):
            factor = 0.2 * math.sqrt(max(rows, columns))
        else:
            factor = math.sqrt(max(1, rows / columns))
        return numbers | {"step_size": float(factor * numbers["step_size"])}

    def numbers(self, group: dict[str, Any], scalars: dict[str, float]) -> dict[str, Any]:
        """The options; the step size still waits for the shape."""
        lr = group["lr"]
        if isinstance(lr, Value):  # steps are reckoned in its dtype
            lr = to_host(lr.array).reshape(())[()]
        return {
            "step_size": lr,
            "match_rms": group["adjust_lr_fn"] == "match_rms_adamw",
            "shrink": float(1 - lr * group["weight_decay"]),
            "momentum": group["momentum"],
            "nesterov": group["nesterov"],
            "coefficients": group["ns_coefficients"],
            "eps": group["eps"],
            "count": group["ns_steps"],
        }
