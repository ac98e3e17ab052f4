"""What people know as torch.autograd.profiler: the older form of core.profiler."""

from __future__ import annotations

import warnings
from typing import Any

from core.profiler.events import EventList
from core.profiler.recording import Recording
from core.profiler.recording import record_function as record_function
from core.profiler.trace import write_trace


class profile:  # noqa: N801 - PyTorch's name
    """A context that notes where time goes, and is then a list of events; `enabled=False` is none.

    `use_kineto`, `use_cpu`, `with_modules` and `experimental_config` are not needed.
    """

    def __init__(
        self,
        enabled: bool = True,
        *,
        use_cuda: bool = False,
        use_device: str | None = None,
        record_shapes: bool = False,
        with_flops: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_modules: bool = False,
        use_kineto: bool = False,
        use_cpu: bool = True,
        experimental_config: Any = None,
    ) -> None:
        if use_cuda:
            warnings.warn(
                "The attribute `use_cuda` will be deprecated soon, please use"
                " ``use_device = 'cuda'`` instead.",
                FutureWarning,
                stacklevel=2,
            )
        self.enabled = enabled
        gpu = enabled and (use_cuda or use_device == "cuda")
        self._recording = Recording(record_shapes, profile_memory, with_stack, with_flops, gpu)
        self._entered = False
        self._events: EventList | None = None

    def __enter__(self) -> profile | None:
        if not self.enabled:
            return None
        if self._entered:
            raise RuntimeError("Profiler context manager is not reentrant")
        self._entered = True
        self._recording.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.enabled:
            self._events = self._recording.stop()

    @property
    def function_events(self) -> EventList:
        """The events.

        Raises: RuntimeError before the context is left.
        """
        if self._events is None:
            raise RuntimeError("Profiler didn't finish running")
        return self._events

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all events, in microseconds."""
        return self.function_events.self_cpu_time_total

    def key_averages(
        self,
        group_by_input_shape: bool = False,
        group_by_stack_n: int = 0,
        group_by_overload_name: bool = False,
    ) -> EventList:
        """The sums over events of one name."""
        return self.function_events.key_averages(group_by_input_shape, group_by_stack_n)

    def total_average(self) -> Any:
        """The sum over all events."""
        return self.function_events.total_average()

    def table(self, *args: Any, **kwargs: Any) -> str:
        """The events as a table."""
        return self.function_events.table(*args, **kwargs)

    def export_chrome_trace(self, path: str) -> None:
        """Write a file for chrome://tracing or Perfetto."""
        write_trace(path, self.function_events, {})

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Write the stacks, with the time of each."""
        self.function_events.export_stacks(path, metric)

    def __str__(self) -> str:
        return repr(self) if self._events is None else str(self._events)
