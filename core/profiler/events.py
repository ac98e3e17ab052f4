"""What a profiler noted: each event with what lies within it, and sums of events of one name."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

from core.profiler.table import table, time_text

OP, BACKWARD, USER = "op", "backward", "user"
_STEP = "ProfilerStep#"


class Interval(NamedTuple):
    """A time from start to end, in microseconds."""

    start: float
    end: float

    def elapsed_us(self) -> float:
        """Its length."""
        return self.end - self.start


class Measured:
    """The means, and the times as texts, of an event or of the sum of several."""

    count: int
    cpu_time_total: float
    device_time_total: float

    @property
    def cpu_time(self) -> float:
        """The mean time, in microseconds."""
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def device_time(self) -> float:
        """The mean time on the GPU, in microseconds."""
        return self.device_time_total / self.count if self.count else 0.0

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_str") and "_time" in name:
            return time_text(getattr(self, name.removesuffix("_str")))
        if "cuda" in name:
            newer = name.replace("cuda", "device")
            warnings.warn(
                f"`{name}` is deprecated, please use `{newer}` instead.", FutureWarning, 2
            )
            return getattr(self, newer)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class FunctionEvent(Measured):
    """One op, node of the graph or named piece of code, from its begin to its end."""

    count = 1
    node_id = -1
    is_async = is_remote = is_legacy = False
    sequence_nr = -1

    def __init__(self, name: str, kind: str, thread: int, parent: FunctionEvent | None) -> None:
        self.trace_name = name
        self.name = self.key = "ProfilerStep*" if name.startswith(_STEP) else name
        self.kind, self.thread = kind, thread
        self.cpu_parent = parent
        self.cpu_children: list[FunctionEvent] = []
        self.start = self.end = 0  # nanoseconds of the monotonic clock
        self.id = 0
        self.input_shapes: list[list[int]] = []
        self.stack: list[str] = []
        self.flops = 0
        self.use_device: str | None = None
        self.cpu_memory: int | None = None  # what its result takes, where that is known
        self.device_memory: int | None = None
        self.on_gpu: Any = None  # what its GPU took, in microseconds; until it is known, the events
        self.dropped = False

    @property
    def scope(self) -> int:
        """0 in forward, 1 in backward, 7 for a named piece of code."""
        return {OP: 0, BACKWARD: 1, USER: 7}[self.kind]

    @property
    def is_user_annotation(self) -> bool:
        """Whether it is a named piece of code."""
        return self.kind == USER

    @property
    def time_range(self) -> Interval:
        """Its begin and end, in microseconds of the monotonic clock."""
        return Interval(self.start / 1000, self.end / 1000)

    @property
    def cpu_time_total(self) -> float:  # type: ignore[override]
        """Its time, in microseconds."""
        return (self.end - self.start) / 1000

    @property
    def self_cpu_time_total(self) -> float:
        """Its time without what lies within it."""
        return (self.end - self.start - sum(c.end - c.start for c in self.cpu_children)) / 1000

    @property
    def device_time_total(self) -> float:  # type: ignore[override]
        """The GPU's time, in microseconds: its own if measured, else of what lies within."""
        return (
            sum(c.device_time_total for c in self.cpu_children)
            if self.on_gpu is None
            else self.on_gpu
        )

    @property
    def self_device_time_total(self) -> float:
        """The GPU's time without that of what lies within it."""
        return self.device_time_total - sum(c.device_time_total for c in self.cpu_children)

    @property
    def cpu_memory_usage(self) -> int:
        """The bytes of what it made that is left at its end."""
        known = self.cpu_memory
        return sum(c.cpu_memory_usage for c in self.cpu_children) if known is None else known

    @property
    def self_cpu_memory_usage(self) -> int:
        """Its bytes without those of what lies within it."""
        return self.cpu_memory_usage - sum(c.cpu_memory_usage for c in self.cpu_children)

    @property
    def device_memory_usage(self) -> int:
        """The bytes on the GPU of what it made that is left at its end."""
        known = self.device_memory
        return sum(c.device_memory_usage for c in self.cpu_children) if known is None else known

    @property
    def self_device_memory_usage(self) -> int:
        """Its bytes on the GPU without those of what lies within it."""
        return self.device_memory_usage - sum(c.device_memory_usage for c in self.cpu_children)

    def __repr__(self) -> str:
        return (
            f"<FunctionEvent id={self.id} name={self.name} cpu_time={self.cpu_time_str}"
            f" cpu_children={[c.id for c in self.cpu_children]} thread={self.thread}"
            f" input_shapes={self.input_shapes} cpu_memory_usage={self.cpu_memory_usage}>"
        )


_SUMMED = """
count flops cpu_time_total self_cpu_time_total device_time_total self_device_time_total
cpu_memory_usage self_cpu_memory_usage device_memory_usage self_device_memory_usage
""".split()
_FROM_THE_FIRST = """
key node_id is_async is_remote use_device input_shapes stack scope cpu_children cpu_parent is_legacy
is_user_annotation
""".split()


class FunctionEventAvg(Measured):
    """The sums over events of one name."""

    key: str | None = None
    input_shapes: Any
    stack: list[str]

    def __init__(self) -> None:
        for name in _SUMMED:
            setattr(self, name, 0)

    def add(self, other: Any) -> FunctionEventAvg:
        """This one, with another event, or another sum, added.

        Raises: AssertionError for one of another name.
        """
        if self.key is None:
            for name in _FROM_THE_FIRST:
                setattr(self, name, getattr(other, name))
        if other.key != self.key:
            raise AssertionError(f"Expected keys to match, but got {other.key} vs {self.key}")
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    __iadd__ = add

    def __repr__(self) -> str:
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str}"
            f" cpu_time={self.cpu_time_str}  self_cuda_time={self.self_device_time_total_str}"
            f" cuda_time={self.device_time_str} input_shapes={self.input_shapes}"
            f" cpu_memory_usage={self.cpu_memory_usage}"
            f" cuda_memory_usage={self.device_memory_usage}>"
        )


class EventList(list[Any]):
    """Events, or sums of events, in order."""

    def __init__(
        self,
        events: Iterable[Any] = (),
        use_device: str | None = None,
        profile_memory: bool = False,
        with_flops: bool = False,
    ) -> None:
        super().__init__(events)
        self.use_device, self.profile_memory = use_device, profile_memory
        self.with_flops = with_flops

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all, in microseconds, none counted twice."""
        return sum(event.self_cpu_time_total for event in self)

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int = 55,
        max_shapes_column_width: int = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
        time_unit: str | None = None,
    ) -> str:
        """The events as a table, the largest first by what `sort_by` names."""
        widths = (max_name_column_width, max_shapes_column_width, max_src_column_width)
        return table(self, sort_by, row_limit, widths, header, top_level_events_only, time_unit)

    def key_averages(
        self,
        group_by_input_shapes: bool = False,
        group_by_stack_n: int = 0,
        group_by_overload_name: bool = False,
    ) -> EventList:
        """The sums over events of one name, and of one shape of inputs or stack if asked for."""
        sums: dict[Any, FunctionEventAvg] = {}
        for event in self:
            shapes = str(event.input_shapes) if group_by_input_shapes else ""
            key = (event.key, event.is_user_annotation, shapes, *event.stack[:group_by_stack_n])
            sums.setdefault(key, FunctionEventAvg()).add(event)
        for found in sums.values():
            found.stack = found.stack[:group_by_stack_n]
            if not group_by_input_shapes:
                found.input_shapes = ""
        return EventList(sums.values(), self.use_device, self.profile_memory, self.with_flops)

    def total_average(self) -> FunctionEventAvg:
        """The sum over all events."""
        total = FunctionEventAvg()
        for event in self:
            total.add(event)
            total.key = None
        total.key = "Total"
        return total

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Write a line with the stack and the time of each event: what flame graphs are made of.

        Raises: ValueError for another metric than self_cpu_time_total or self_cuda_time_total.
        """
        if metric not in (known := ["self_cpu_time_total", "self_cuda_time_total"]):
            raise ValueError(f"metric should be one of: {known}")
        plain = str.maketrans(" ;\t\n", "____")
        with open(path, "w", encoding="utf-8") as file:
            for event in self:
                time = int(getattr(event, metric.replace("cuda", "device")))
                if event.stack and time > 0:
                    frames = (frame.translate(plain) for frame in reversed(event.stack))
                    file.write(f"{';'.join(frames)} {time}\n")

    def __str__(self) -> str:
        return self.table()
