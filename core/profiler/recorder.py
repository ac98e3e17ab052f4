"""What is happening now, thread by thread: events that begin within others, and end."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from core.autograd.record import shares
from core.autograd.value import Value
from core.backend import MODULE_OF
from core.cuda.stream import Event
from core.profiler.events import OP, USER, FunctionEvent

now = time.perf_counter_ns
# Frames that no user wrote: of our packages, and of the machinery that imports a script.
_ROOT = __file__.rpartition(os.path.join("core", "profiler"))[0]
_OURS = (*(f"{_ROOT}{name}{os.sep}" for name in ("core", "ddp", "launch")), "<frozen ")


class Recorder:
    """Writes down what one thread, or every thread that no other recorder has, is doing."""

    def __init__(self, shapes: bool, memory: bool, stacks: bool, flops: bool, gpu: bool) -> None:
        self.shapes, self.memory, self.stacks = shapes, memory, stacks
        self.flops, self.gpu = flops, gpu
        self.events: list[FunctionEvent] = []
        self._open = _Open()

    @property
    def current(self) -> FunctionEvent:
        """The innermost event that this thread is in."""
        return self._open.events[-1]

    def inside(self, name: str) -> bool:
        """Whether the event that this thread is in has this name."""
        events = self._open.events
        return bool(events) and events[-1].trace_name == name

    def begin(self, name: str, kind: str = OP, args: Any = ()) -> FunctionEvent:
        """The event that begins here, in the one that this thread is in."""
        events = self._open.events
        parent = events[-1] if events else None
        event = FunctionEvent(name, kind, threading.get_ident(), parent)
        if self.shapes and kind == OP:
            event.input_shapes = [list(getattr(a, "shape", ())) for a in args]
        if self.stacks:
            event.stack = _stack()
        if parent is not None:
            parent.cpu_children.append(event)
        self.events.append(event)
        events.append(event)
        if self.gpu and any(_on_gpu(a) for a in args):
            event.on_gpu = Event(enable_timing=True), Event(enable_timing=True)
            event.on_gpu[0].record()
        event.start = now()
        return event

    def end(self, event: FunctionEvent, out: Any = None, args: Any = ()) -> None:
        """Nothing; the event is over, and whatever did not end within it."""
        event.end = now()
        if event.on_gpu is not None:
            event.on_gpu[1].record()
        events = self._open.events
        while event in events:
            last = events.pop()
            last.end = last.end or event.end
        if self.memory and out is not None:
            event.cpu_memory, event.device_memory = _made(out, args)
        if self.flops and out is not None:
            event.flops = _operations(event.name, out, args)

    def drop(self, event: FunctionEvent) -> None:
        """Nothing; what was tried came to nothing, and what lies within it counts by itself."""
        self.end(event)
        event.dropped = True
        parent = event.cpu_parent
        for child in event.cpu_children:
            child.cpu_parent = parent
        if parent is not None:
            parent.cpu_children[-1:] = event.cpu_children  # for it was the last to begin there

    def finished(self) -> list[FunctionEvent]:
        """The events in the order in which they began, those that are still open cut off here."""
        end = now()
        events = sorted((e for e in self.events if not e.dropped), key=lambda event: event.start)
        for number, event in enumerate(events):
            event.id, event.end = number, event.end or end
            event.use_device = "cuda" if self.gpu else None
            if event.on_gpu is not None:
                event.on_gpu = _elapsed(*event.on_gpu)
        return events


class _Open(threading.local):
    """The events that a thread is in, innermost last."""

    def __init__(self) -> None:
        self.events: list[FunctionEvent] = []


# ---- who records this thread ------------------------------------------------------------------

_of_thread: dict[int, Recorder] = {}
_lock = threading.Lock()


def here() -> Recorder | None:
    """What records this thread: its own recorder, or the only one there is."""
    own = _of_thread.get(threading.get_ident())
    if own is not None:
        return own
    every = [*_of_thread.values()]
    return every[0] if len(every) == 1 else None


def open_here(recorder: Recorder, install: Callable[[], None]) -> None:
    """Let a recorder record this thread; before the first one `install` is called.

    Raises: RuntimeError if another one does.
    """
    with _lock:
        if threading.get_ident() in _of_thread:
            raise RuntimeError("Profiler is already enabled on this thread")
        if not _of_thread:
            install()
        _of_thread[threading.get_ident()] = recorder


def close(recorder: Recorder, remove: Callable[[], None]) -> None:
    """Let a recorder record no more; after the last one `remove` is called."""
    with _lock:
        for thread in [thread for thread, one in _of_thread.items() if one is recorder]:
            del _of_thread[thread]
        if not _of_thread:
            remove()


@contextlib.contextmanager
def span(name: str) -> Iterator[Callable[[], None]]:
    """A context whose time is an event, where anything records; gives what drops it."""
    recorder = here()
    if recorder is None or recorder.inside(name):
        yield lambda: None
        return
    event = recorder.begin(name, USER)
    try:
        yield lambda: recorder.drop(event)
    finally:
        if not event.dropped:
            recorder.end(event)


# ---- what is noted of an event ----------------------------------------------------------------


def _on_gpu(x: Any) -> bool:
    return type(x) in MODULE_OF and type(x) is not numpy.ndarray


def _elapsed(start: Event, end: Event) -> float:
    end.synchronize()
    return start.elapsed_time(end) * 1000


def _stack() -> list[str]:
    """The user's frames, innermost first."""
    found = []
    frame: Any = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_OURS):
            found.append(f"{code.co_filename}({frame.f_lineno}): {code.co_name}")
        frame = frame.f_back
    return found


def _made(out: Any, args: Any) -> tuple[int, int]:
    """The bytes of new memory in a result, on the CPU and on GPUs."""
    if isinstance(out, (tuple, list)):
        parts = [_made(part, args) for part in out]
        return sum(cpu for cpu, _ in parts), sum(gpu for _, gpu in parts)
    x = out.array if isinstance(out, Value) else out
    if isinstance(x, numpy.generic):
        return x.nbytes, 0
    if type(x) not in MODULE_OF or any(type(a) is type(x) and shares(x, a) for a in args):
        return 0, 0
    return (0, x.nbytes) if _on_gpu(x) else (x.nbytes, 0)


# Where the length of the sums of products stands: the argument, and its first axis that counts.
_INNER = {"linear": (0, -1), "matmul": (0, -1), "mv": (0, -1), "dot": (0, -1), "addmm": (1, -1),
          "baddbmm": (1, -1), "convolution": (1, 1)}  # fmt: skip


def _operations(name: str, out: Any, args: Any) -> int:
    """The additions and multiplications of a product, a convolution, a sum or a product of two."""
    short = name.removeprefix("aten::")
    out = out[0] if isinstance(out, tuple) else out
    if short in _INNER:
        argument, axis = _INNER[short]
        return 2 * int(out.size) * int(numpy.prod(args[argument].shape[axis:]))
    if short == "unison::conv_relu_pool":
        _, w, _, _, tile = args
        return 2 * int(out.size) * math.prod(tile) * math.prod(w.shape[1:])
    return int(out.size) if short in ("add", "mul") else 0
