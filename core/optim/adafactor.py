"""Adafactor: the mean square kept as a row and a column."""

from __future__ import annotations

from typing import Any

from core.autograd.value import wrap
from core.backend import device_of, on, xp
from core.dtype import finfo, float32, of
from core.optim.check import check_single
from core.optim.method import Method
from core.optim.norm import norm
from core.optim.optimizer import number, scalar_dtype


def adafactor(
    p: Any,
    g: Any,
    kept: tuple[Any, ...],
    *,
    lr: float,
    step: float,
    beta2_decay: float,
    weight_decay: float,
    eps1: float,
    eps2: float,
    d: float,
) -> None:
    """Nothing; `p` moved by the gradient over the root of its factored mean square.

    Source: Shazeer & Stern (2018).
    """
    module = xp(p)
    rate = min(lr, step**-0.5)
    length = float(norm(p)) / p.size**0.5
    if weight_decay:
        p *= 1 - lr * weight_decay
    square = _mean_square(g, kept, step**beta2_decay, eps1)
    update = g / module.sqrt(module.clip(square, eps1 * eps1, None))
    clipped = max(1.0, float(norm(update)) / (update.size**0.5 * d))
    p -= (max(eps2, length) * rate / clipped) * update


def _mean_square(g: Any, kept: tuple[Any, ...], weight: float, eps1: float) -> Any:
    square = g * g
    if len(kept) == 1:
        kept[0][...] += weight * (square - kept[0])
        return kept[0]
    row, column = kept
    row += weight * (square.mean(-1, keepdims=True) - row)
    column += weight * (square.mean(-2, keepdims=True) - column)
    return (row * column) / xp(g).clip(row.mean(-2, keepdims=True), eps1, None)


class Adafactor(Method):
    """Adafactor: adaptive steps whose state is a row and a column for each matrix.

    Raises: ValueError for options out of range.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_single(lr)
        values = [("Learning rate", lr), ("epsilon2", eps[1]), ("weight_decay", weight_decay)]
        for name, value in values if eps[0] is None else [*values, ("epsilon1", eps[0])]:
            if not value >= 0.0:
                raise ValueError(f"{name} should be >= 0 but is: {value}")
        if not beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if not d >= 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def step_group(self, i: int, group: dict[str, Any], live: list[Any]) -> None:
        """Nothing; the live parameters of one group moved, one after the other."""
        for p in live:
            kept = self.state[p]
            if not kept:
                self._start(p, kept)
            count = kept["step"].array
            count[...] += 1
            if p.array.size:
                with on(device_of(p.array)):
                    self._move(p, [t for name, t in kept.items() if name != "step"], group)
            p.version = p.version or [0]
            p.version[0] += 1

    def _start(self, p: Any, kept: dict[str, Any]) -> None:
        x = p.array
        shapes = {"variance": x.shape}
        if x.ndim > 1:
            columns = (*x.shape[:-2], 1, x.shape[-1])
            shapes = {"row_var": (*x.shape[:-1], 1), "col_var": columns}
        kept["step"] = wrap(xp(None).zeros((), scalar_dtype()))
        with on(device_of(x)):
            for name, shape in shapes.items():
                kept[name] = wrap(xp(x).zeros(shape, x.dtype))

    def _move(self, p: Any, kept: list[Any], group: dict[str, Any]) -> None:
        x, g = p.array, p.leaf.gradient.array
        g = -g if group["maximize"] else g
        eps1, eps2 = group["eps"]
        limits: Any = finfo(of(x.dtype))
        numbers = {
            "lr": number(group["lr"]),
            "step": float(self.state[p]["step"].array),
            "beta2_decay": group["beta2_decay"],
            "weight_decay": group["weight_decay"],
            "eps1": limits.eps if eps1 is None else eps1,
            "eps2": eps2,
            "d": group["d"],
        }
        arrays = [x, *(t.array for t in kept)]
        if x.dtype.itemsize >= 4:
            adafactor(x, g, tuple(arrays[1:]), **numbers)
            return
        wide = [array.astype(float32.numpy) for array in arrays]
        adafactor(wide[0], g.astype(float32.numpy), tuple(wide[1:]), **numbers)
        for array, result in zip(arrays, wide):
            array[...] = result.astype(array.dtype)
