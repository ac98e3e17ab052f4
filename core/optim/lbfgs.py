"""L-BFGS: steps along an inverse Hessian that is estimated from the last gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.autograd.mode import enable_grad, no_grad
from core.autograd.value import Value, version_of, wrap
from core.backend import device_of, on, xp
from core.optim.check import check_lr
from core.optim.line_search import Point, strong_wolfe
from core.optim.norm import inner
from core.optim.optimizer import Optimizer, live_parameters, number


class Memory:
    """What is kept from step to step, as arrays and numbers; `state` holds the same as tensors."""

    names = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")

    def __init__(self, state: dict[str, Any]) -> None:
        self.d, self.t, changes, steps, ro, self.scale, self.gradient, self.loss = (
            _plain(state.get(name)) for name in self.names
        )
        self.changes, self.steps, self.ro = changes or [], steps or [], ro or []
        self.alphas = _plain(state.get("al"))

    def store(self, state: dict[str, Any]) -> None:
        """Nothing; `state` holds it all, in PyTorch's layout."""
        if self.alphas is not None:
            state["al"] = _kept(self.alphas)
        lists = (self.changes, self.steps, self.ro)
        values = (self.d, self.t, *lists, self.scale, self.gradient, self.loss)
        for name, value in zip(self.names, values):
            state[name] = _kept(value)

    def remember(self, gradient: Any, history: int) -> None:
        """Nothing; the last step and what it changed in the gradient are added."""
        y, s = gradient - self.gradient, self.d * self.t
        curvature = xp(y).asarray(inner(y, s))
        if curvature > 1e-10:
            if len(self.changes) == history:
                del self.changes[0], self.steps[0], self.ro[0]
            self.changes.append(y)
            self.steps.append(s)
            self.ro.append(xp(y).asarray(1 / curvature))
            self.scale = xp(y).asarray(curvature / inner(y, y))

    def direction(self, gradient: Any, history: int) -> Any:
        """Minus the gradient times the estimated inverse Hessian.

        Source: Nocedal & Wright (2006), algorithm 7.4.
        """
        q, pairs = -gradient, tuple(zip(self.changes, self.steps, self.ro))
        alphas = self.alphas = self.alphas or [None] * history
        for i in range(len(pairs) - 1, -1, -1):
            y, s, ro = pairs[i]
            alphas[i] = xp(q).asarray(inner(s, q) * ro)
            q -= alphas[i] * y
        q = q * self.scale
        for (y, s, ro), alpha in zip(pairs, alphas):
            q += (alpha - inner(y, q) * ro) * s
        return q


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value.array if isinstance(value, Value) else value


def _kept(value: Any) -> Any:
    if isinstance(value, list):
        return [_kept(v) for v in value]
    return wrap(xp(value).asarray(value)) if hasattr(value, "dtype") else value


class LBFGS(Optimizer):
    """L-BFGS, for smooth losses of the whole data set; `step` needs a closure.

    Raises: ValueError for options out of range, or several groups.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_lr(lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """The loss before the step; the parameters moved by up to `max_iter` iterations."""
        if closure is None:
            raise TypeError("LBFGS.step() needs a closure that computes the loss again")
        group = self.param_groups[0]
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")
        state = self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        with on(device_of(group["params"][0].array)):
            return self._step(closure, group, state)

    def _step(self, closure: Callable[[], Any], group: Any, state: Any) -> Any:
        with enable_grad():
            first = closure()
        state["func_evals"] += 1
        gradient = self._flat_gradient()
        if abs(gradient).max() <= group["tolerance_grad"]:
            return first
        memory = Memory(state)
        self._iterate(closure, group, state, memory, float(first), gradient)
        memory.store(state)
        return first

    def _iterate(
        self, closure: Any, group: Any, state: Any, memory: Memory, loss: float, gradient: Any
    ) -> None:
        lr, smallest = number(group["lr"]), group["tolerance_change"]
        evaluations = 1
        for i in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                memory.d, memory.scale = -gradient, 1
                memory.t = min(1.0, xp(gradient).asarray(1 / abs(gradient).sum())) * lr
            else:
                memory.remember(gradient, group["history_size"])
                memory.d, memory.t = memory.direction(gradient, group["history_size"]), lr
            memory.gradient, memory.loss = gradient.copy(), loss
            slope = inner(gradient, memory.d)
            if slope > -smallest:
                return
            start = Point(0, loss, gradient, slope)
            found, count = self._move(closure, group, memory, start, evaluations, i)
            loss, gradient = found.loss, found.gradient
            evaluations += count
            state["func_evals"] += count
            if evaluations >= group["max_eval"] or abs(loss - memory.loss) < smallest:
                return
            if abs(gradient).max() <= group["tolerance_grad"]:
                return
            if abs(memory.d * memory.t).max() <= smallest:
                return

    def _move(
        self, closure: Any, group: Any, memory: Memory, start: Point, evaluations: int, i: int
    ) -> tuple[Point, int]:
        """The point moved to, and how many times the closure ran."""
        d = memory.d
        if group["line_search_fn"] is None:
            self._add(memory.t, d)
            if i == group["max_iter"]:  # nobody would use the loss at the last point
                return start, 0
            return self._evaluate(closure, memory.t, d), 1
        before = [p.array.copy() for p in group["params"]]

        def at(t: Any) -> Point:
            self._add(t, d)
            point = self._evaluate(closure, t, d)
            self._restore(before)
            return point

        limit = group["max_eval"] - evaluations
        length = abs(d).max()
        found, count = strong_wolfe(at, start, memory.t, length, 1e-9, limit)
        memory.t = found.t
        self._add(found.t, d)
        return found, count

    def _evaluate(self, closure: Any, t: Any, d: Any) -> Point:
        with enable_grad():
            loss = float(closure())
        gradient = self._flat_gradient()
        return Point(t, loss, gradient, inner(gradient, d))

    # ---- the parameters as one array ----

    def _flat_gradient(self) -> Any:
        group = self.param_groups[0]
        live_parameters(group, 0)
        arrays = []
        for p in group["params"]:
            g = p.leaf.gradient if p.leaf is not None else None
            arrays.append(xp(p.array).zeros_like(p.array) if g is None else g.array)
        return xp(arrays[0]).concatenate(arrays, axis=None)

    def _add(self, t: Any, d: Any) -> None:
        start = 0
        for p in self.param_groups[0]["params"]:
            part = d[start : start + p.array.size].reshape(p.array.shape)
            xp(part).add(p.array, (t * part).astype(p.array.dtype), out=p.array)
            version_of(p)[0] += 1
            start += p.array.size

    def _restore(self, arrays: list[Any]) -> None:
        for p, array in zip(self.param_groups[0]["params"], arrays):
            p.array[...] = array
            version_of(p)[0] += 1
