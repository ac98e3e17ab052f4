"""One recording from its start to its end, and code that is named in it."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from core.cuda.device import is_available, synchronize
from core.profiler.events import USER, EventList, FunctionEvent
from core.profiler.recorder import Recorder, close, here, open_here
from core.profiler.wrappers import install, remove


class Recording:
    """What happens between `start` and `stop`: on this thread, and on those that no other has."""

    def __init__(
        self,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        gpu: bool = False,
    ) -> None:
        if gpu and not is_available():
            warnings.warn("CUDA is not available, disabling CUDA profiling", stacklevel=4)
            gpu = False
        self._recorder = Recorder(record_shapes, profile_memory, with_stack, with_flops, gpu)

    def start(self) -> None:
        """Nothing; from now on it is recorded.

        Raises: RuntimeError if this thread is being recorded.
        """
        if self._recorder.gpu:
            synchronize()
        open_here(self._recorder, install)

    def stop(self) -> EventList:
        """What happened."""
        recorder = self._recorder
        if recorder.gpu:
            synchronize()
        close(recorder, remove)
        device = "cuda" if recorder.gpu else None
        return EventList(recorder.finished(), device, recorder.memory, recorder.flops)


class record_function:  # noqa: N801 - PyTorch's name
    """A context, or decorator, whose code is an event of this name wherever something records."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name, self.args = name, args
        self._begun: list[tuple[Recorder, FunctionEvent] | None] = []

    def __enter__(self) -> record_function:
        recorder = here()
        begun = None if recorder is None else (recorder, recorder.begin(self.name, USER))
        self._begun.append(begun)
        return self

    def __exit__(self, *error: object) -> None:
        begun = self._begun.pop()
        if begun is not None:
            recorder, event = begun
            recorder.end(event)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **kwargs)

        return run
