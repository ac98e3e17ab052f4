"""class Method: an optimizer that is one function of arrays, run over flat memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.autograd.mode import no_grad
from core.optim.optimizer import Optimizer, live_parameters, scalar_dtype, with_grad
from core.optim.span import Span, plan


class Method(Optimizer):
    """An optimizer whose subclass says what is kept for a parameter, and how it moves.

    `method(p, g, *state, **numbers)` moves the array `p` in place, given its gradient and the
    arrays that `slots` names; `numbers` are what `numbers(group, scalars)` returns. An elementwise
    method sees flat memory of many parameters at once; the others one parameter in its shape.
    """

    method: Callable[..., None]
    elementwise = True

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The arrays kept for each parameter: their names, and what fills them at first."""
        return {}

    def scalars(self, group: dict[str, Any]) -> dict[str, float]:
        """The numbers kept for each parameter, and their first values."""
        return {"step": 0.0}

    def numbers(self, group: dict[str, Any], scalars: dict[str, float]) -> dict[str, Any]:
        """What the method is called with; `scalars` (the step already counted) may be changed."""
        raise NotImplementedError

    def function(self, group: dict[str, Any]) -> Callable[..., None]:
        """The method's text; an optimizer with several chooses by the options."""
        return type(self).method

    def shaped(self, numbers: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
        """The numbers for one parameter's shape, where a method is not elementwise."""
        return numbers

    @no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """The closure's loss, if there is a closure; the parameters moved by one step.

        Raises: RuntimeError for a gradient that was not reduced over the ranks.
        """
        loss = with_grad(closure)
        live = [live_parameters(group, i) for i, group in enumerate(self.param_groups)]
        for i, group in enumerate(self.param_groups):
            if live[i]:
                self.step_group(i, group, live[i])
        return loss

    def step_group(self, i: int, group: dict[str, Any], live: list[Any]) -> None:
        """Nothing; the live parameters of one group moved."""
        plans = self.__dict__.setdefault("plans", {})
        found = plans.get(i)
        slots = self.slots(group)
        if found is None or not found.holds(live, self.state, slots):
            found = plans[i] = plan(self, group, live, slots)
        for span in found.spans:
            self._step_span(span, group)

    def _step_span(self, span: Span, group: dict[str, Any]) -> None:
        scalars = span.scalars()
        if "step" in scalars:
            scalars["step"] += 1
        numbers = self.numbers(group, scalars)
        numbers = self.shaped(numbers, span.shapes[0])
        span.run(self.function(group), numbers, group.get("maximize", False))
        span.set_scalars(scalars)

    def first_scalars(self, group: dict[str, Any]) -> tuple[dict[str, float], Any]:
        """The first values of the numbers kept for a parameter, and their dtype."""
        return self.scalars(group), scalar_dtype()
