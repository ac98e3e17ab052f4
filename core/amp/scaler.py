"""GradScaler: gradients of half precision kept in range, and steps without overflow."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy

from core.autograd.mode import no_grad
from core.autograd.value import RemovableHandle, Value, version_of, wrap
from core.backend import device_count, device_of, on, xp
from core.dtype import float16, of

READY, UNSCALED, STEPPED = "ready", "unscaled", "stepped"


class _Record:
    """What happened to one optimizer since the last update."""

    def __init__(self) -> None:
        self.stage = READY
        self.overflow: bool | None = None


class GradScaler:
    """Scales losses so that half-precision gradients neither vanish nor overflow.

    A step whose gradients are not finite is left out, and the scale falls by `backoff_factor`,
    never below `min_scale`; after `growth_interval` good steps it grows. `max_skipped` bad steps
    in a row raise. Hooks of `register_overflow_hook` let ranks agree on what is left out.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
        *,
        min_scale: float = 2.0**-16,
        max_skipped: int = 50,
    ) -> None:
        if enabled and device == "cuda" and not device_count():
            warnings.warn(
                "GradScaler is enabled for cuda, but CUDA is not available.  Disabling.",
                stacklevel=2,
            )
            enabled = False
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._device, self._enabled = device, enabled
        self._scale, self._tracker = float(init_scale), 0
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self.min_scale, self.max_skipped, self.skipped = min_scale, max_skipped, 0
        self._records: dict[int, _Record] = {}
        self._used = False
        self._first = ""  # the first gradient that was not finite, in words
        self._hooks: dict[int, Callable[[bool], bool]] = {}

    # ---- a step ----

    def scale(self, outputs: Any) -> Any:
        """The outputs (a tensor, or containers of tensors) times the scale."""
        if not self._enabled:
            return outputs
        self._used = True
        if isinstance(outputs, Value):
            array = outputs.array
            with on(device_of(array)):
                factor = wrap(xp(array).full((), self._scale, numpy.float32))
            return outputs * factor
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(self.scale(x) for x in outputs)
        if hasattr(outputs, "__iter__"):
            return map(self.scale, outputs)
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Any) -> None:
        """Nothing; the optimizer's gradients are divided by the scale.

        Raises: RuntimeError if it, or the step, is done already; ValueError for float16 gradients.
        """
        if not self._enabled:
            return
        self._need_scale("unscale_")
        record = self._records.setdefault(id(optimizer), _Record())
        if record.stage == UNSCALED:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        if record.stage == STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        overflow = self._unscale(optimizer)
        for hook in tuple(self._hooks.values()):
            overflow = bool(hook(overflow))
        record.overflow = overflow
        record.stage = UNSCALED

    @no_grad()
    def _unscale(self, optimizer: Any) -> bool:
        inverse = numpy.float32(1.0 / self._scale)
        finite: list[Any] = []
        where: list[tuple[int, int, Any]] = []
        for i, group in enumerate(optimizer.param_groups):
            for j, p in enumerate(group["params"]):
                g = p.grad
                if g is None:
                    continue
                if of(g.array.dtype) is float16:
                    raise ValueError("Attempting to unscale FP16 gradients.")
                with on(device_of(g.array)):
                    finite.append(xp(g.array).isfinite(g.array).all())
                    g.array *= g.array.dtype.type(inverse)
                where.append((i, j, p))
                version_of(g)[0] += 1
        # The GPU is asked once for each, after all its work has been started.
        for ok, place in zip(finite, where):
            if not ok:
                self._first = _described(optimizer, *place)
                return True
        return False

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """What `optimizer.step` returns; None where the gradients were not finite.

        Raises: RuntimeError for a second step before `update`, or a closure.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._need_scale("step")
        record = self._records.setdefault(id(optimizer), _Record())
        if record.stage == STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if record.stage == READY:
            self.unscale_(optimizer)
        record.stage = STEPPED
        if not record.overflow:
            return optimizer.step(*args, **kwargs)
        optimizer.steps_taken = getattr(optimizer, "steps_taken", 0) + 1  # for the schedulers
        return None

    def update(self, new_scale: Any = None) -> None:
        """Nothing; the scale is that of the next step.

        Raises: RuntimeError after `max_skipped` steps in a row that were left out.
        """
        if not self._enabled:
            return
        self._need_scale("update")
        found = [r.overflow for r in self._records.values() if r.overflow is not None]
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not found:
            raise AssertionError("No inf checks were recorded prior to update.")
        elif any(found):
            self._scale = max(_single(self._scale * self._backoff_factor), self.min_scale)
            self._tracker = 0
        else:
            self._grow()
        self._records = {}
        self._count(any(found))

    def _grow(self) -> None:
        self._tracker += 1
        if self._tracker < self._growth_interval:
            return
        self._tracker = 0
        grown = _single(self._scale * self._growth_factor)
        if math.isfinite(grown):
            self._scale = grown

    def _count(self, overflow: bool) -> None:
        self.skipped = self.skipped + 1 if overflow else 0
        if self.skipped >= self.max_skipped:
            raise RuntimeError(
                f"{self.skipped} steps in a row were left out because gradients were not finite;"
                f" the scale is down to {self._scale:g}. The first of the last step's was that of"
                f" {self._first or 'a parameter on another rank'}."
            )

    def _need_scale(self, what: str) -> None:
        if not self._used:
            raise AssertionError(
                f"Attempted {what} but _scale is None.  This may indicate your script did not use"
                " scaler.scale(loss or outputs) earlier in the iteration."
            )

    def register_overflow_hook(self, hook: Callable[[bool], bool]) -> RemovableHandle:
        """A handle of `hook(overflow) -> overflow`, run at each unscaling on every rank."""
        return RemovableHandle(self._hooks, hook)

    # ---- options ----

    def get_scale(self) -> float:
        """The scale; 1 where disabled."""
        return self._scale if self._enabled else 1.0

    def is_enabled(self) -> bool:
        """Whether this scaler does anything."""
        return self._enabled

    def get_growth_factor(self) -> float:
        """What the scale is multiplied by after good steps."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Nothing; the growth factor is replaced."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by after a bad step."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Nothing; the backoff factor is replaced."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """How many good steps in a row make the scale grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Nothing; the growth interval is replaced."""
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        """The scale and what it depends on; nothing where disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing; the scaler goes on where the saved one stood.

        Raises: RuntimeError for the state of a disabled scaler.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled"
                " instance of GradScaler."
            )
        self._scale = float(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._tracker = state_dict["_growth_tracker"]


def _single(x: float) -> float:
    """`x` rounded to float32, in which PyTorch keeps the scale; beyond its range infinity."""
    return float(numpy.float32(x)) if abs(x) < 3.4e38 else math.inf


def _described(optimizer: Any, i: int, j: int, p: Any) -> str:
    group = optimizer.param_groups[i]
    name = f" {group['param_names'][j]!r}" if "param_names" in group else ""
    return f"parameter{name} {j} of group {i}, of shape {tuple(p.array.shape)}"
