"""Parameters that step together: their state side by side in flat memory, updated as one array."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy

from core.autograd.value import Value, wrap
from core.backend import device_of, on, xp
from core.dtype import float32

# A parameter below this many elements is gathered with others; on a GPU a launch costs more than
# the copy of a megabyte.
GATHERED = {"cpu": 1 << 14, "cuda": 1 << 18}
# Elements updated at a time on a CPU: p, g, two states and a result stay near the core. A quarter
# of it takes 15 % longer, for each block costs 3 us of calls; four times as much gains nothing.
BLOCK = 1 << 16


class Plan:
    """How the live parameters of a group are cut into spans, and whether that still holds."""

    def __init__(self, live: list[Any], spans: list[Span], names: dict[str, float]) -> None:
        self.live, self.spans, self.names = live, spans, names

    def holds(self, live: list[Any], state: Any, names: dict[str, float]) -> bool:
        """Whether these are the parameters, and their state is where the spans keep it."""
        same = len(live) == len(self.live) and all(map(operator.is_, live, self.live))
        return same and names == self.names and all(span.holds(state) for span in self.spans)


def plan(optimizer: Any, group: dict[str, Any], live: list[Any], slots: dict[str, float]) -> Plan:
    """A new plan: parameters of one dtype, device and count of steps share a span."""
    first, number_type = optimizer.first_scalars(group)
    together: dict[Any, list[Any]] = {}
    for i, p in enumerate(live):
        kept = optimizer.state[p] if slots or first else {}
        array = p.array
        device = device_of(array)
        fresh = not all(name in kept for name in slots)
        for name, value in first.items():
            if name not in kept:
                kept[name] = wrap(numpy.asarray(value, number_type))
        counts = tuple(float(kept[name]) for name in first)
        alone = not optimizer.elementwise or array.size >= GATHERED[device.type]
        key = (array.dtype, str(device), counts, fresh, i if alone else -1)
        together.setdefault(key, []).append(p)
    spans = []
    for (*_, fresh, i), params in together.items():
        span = Span(params, optimizer.state, slots, list(first), fresh)
        span.flat = optimizer.elementwise
        span.gathered = i < 0
        spans.append(span)
    return Plan(live, spans, slots)


class Span:
    """Parameters of one dtype, device and step count, and their state in flat memory."""

    flat = gathered = True

    def __init__(
        self,
        params: list[Any],
        state: Any,
        slots: dict[str, float],
        scalars: list[str],
        fresh: bool,
    ) -> None:
        self.params = params
        self.stateless = not (slots or scalars)
        self.kept = [{} if self.stateless else state[p] for p in params]
        self.fresh = fresh
        first = params[0].array
        self.dtype = first.dtype
        self.wide = first.dtype.itemsize >= 4
        self.cuts = [0]
        for p in params:
            self.cuts.append(self.cuts[-1] + p.array.size)
        self.shapes = [p.array.shape for p in params]
        self.device = device_of(first)
        with on(self.device):
            self.states = [self._laid_out(name, fill) for name, fill in slots.items()]
        self.counts = [self._counts(name) for name in scalars]
        self.names = scalars
        self.places = [_arrays(kept) for kept in self.kept]
        self.buffers: Any = None

    # ---- layout ----

    def _laid_out(self, name: str, fill: float) -> Any:
        """The flat array of one kind of state; the tensors of `state` become views of it."""
        first = self.params[0].array
        flat = xp(first).full(self.cuts[-1], fill, self.dtype)
        for kept, view in zip(self.kept, self.views(flat), strict=True):
            tensor = kept.get(name)
            if tensor is None:
                kept[name] = wrap(view)
            else:
                view[...] = tensor.array
                tensor.array = view
        return flat

    def _counts(self, name: str) -> Any:
        dtype = self.kept[0][name].array.dtype
        flat = numpy.array([float(kept[name]) for kept in self.kept], dtype)
        for i, kept in enumerate(self.kept):
            kept[name].array = flat[i : i + 1].reshape(())
        return flat

    def views(self, flat: Any) -> list[Any]:
        """The parts of a flat array that belong to each parameter, in their shapes."""
        cuts = self.cuts
        return [flat[cuts[i] : cuts[i + 1]].reshape(shape) for i, shape in enumerate(self.shapes)]

    def holds(self, state: Any) -> bool:
        """Whether the parameters and the state are still as this span laid them out."""
        dtype, is_ = self.dtype, operator.is_
        for p, kept, places, shape in zip(self.params, self.kept, self.places, self.shapes):
            if p.array.dtype is not dtype or p.array.shape != shape:
                return False
            if self.stateless:
                continue
            if state.get(p) is not kept:
                return False
            now = _arrays(kept)
            if len(now) != len(places) or not all(map(is_, now, places)):
                return False
        for count in self.counts:
            values = count.tolist()
            if values.count(values[0]) != len(values):
                return False
        return True

    # ---- numbers ----

    def scalars(self) -> dict[str, float]:
        """The numbers that all parameters of the span share."""
        return {name: float(count[0]) for name, count in zip(self.names, self.counts)}

    def set_scalars(self, scalars: dict[str, float]) -> None:
        """Nothing; the numbers replaced."""
        for name, count in zip(self.names, self.counts):
            count.fill(scalars[name])
        self.fresh = False

    # ---- running ----

    def run(self, method: Callable[..., None], numbers: dict[str, Any], negate: bool) -> None:
        """Nothing; the parameters moved by the method."""
        if "first" in numbers:
            numbers["first"] = self.fresh
        arrays = [p.array for p in self.params]
        gradients = [p.leaf.gradient.array for p in self.params]
        with on(self.device):
            if not self.gathered:
                self._run_one(method, numbers, negate, arrays[0], gradients[0])
            else:
                self._run_gathered(method, numbers, negate, arrays, gradients)
        for p in self.params:
            if p.version is not None:
                p.version[0] += 1
            else:
                p.version = [1]

    def _run_gathered(
        self,
        method: Callable[..., None],
        numbers: dict[str, Any],
        negate: bool,
        arrays: list[Any],
        gradients: list[Any],
    ) -> None:
        buffers = self.buffers
        module = xp(arrays[0])
        if buffers is None:
            p, g = (module.empty(self.cuts[-1], self.dtype) for _ in range(2))
            self.buffers = buffers = (p, g, self.views(p))
        p, g, views = buffers
        module.concatenate(arrays, axis=None, out=p)
        module.concatenate(gradients, axis=None, out=g)
        self._blocks(method, numbers, negate, p, g)
        for array, view in zip(arrays, views):
            array[...] = view

    def _run_one(
        self, method: Callable[..., None], numbers: dict[str, Any], negate: bool, p: Any, g: Any
    ) -> None:
        if not self.flat:
            states = [self.views(state)[0] for state in self.states]
            self._call(method, numbers, negate, p, g, states)
            return
        line = p.reshape(-1)  # a copy where the parameter has gaps or another order
        self._blocks(method, numbers, negate, line, g.reshape(-1))
        if not p.flags.c_contiguous:
            p[...] = line.reshape(p.shape)

    def _blocks(
        self, method: Callable[..., None], numbers: dict[str, Any], negate: bool, p: Any, g: Any
    ) -> None:
        size = p.size
        if size <= BLOCK or type(p) is not numpy.ndarray:
            self._call(method, numbers, negate, p, g, self.states)
            return
        for start in range(0, size, BLOCK):
            part = slice(start, start + BLOCK)
            states = [state[part] for state in self.states]
            self._call(method, numbers, negate, p[part], g[part], states)

    def _call(
        self,
        method: Callable[..., None],
        numbers: dict[str, Any],
        negate: bool,
        p: Any,
        g: Any,
        states: list[Any],
    ) -> None:
        if negate:
            g = -g
        if self.wide:
            method(p, g, *states, **numbers)
            return
        # Half types are computed in float32 and rounded once.
        wide = [array.astype(float32.numpy) for array in (p, *states)]
        method(wide[0], g.astype(float32.numpy), *wide[1:], **numbers)
        for narrow, result in zip((p, *states), wide):
            narrow[...] = result.astype(self.dtype)


def _arrays(kept: dict[str, Any]) -> list[Any]:
    return [value.array for value in kept.values() if isinstance(value, Value)]
