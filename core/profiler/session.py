"""class profile: a recording, or one in each cycle of a schedule."""

from __future__ import annotations

import enum
import json
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from core.cuda.device import is_available
from core.profiler.events import EventList
from core.profiler.recording import Recording, record_function
from core.profiler.schedule import ProfilerAction
from core.profiler.trace import write_trace


class ProfilerActivity(enum.Enum):
    """Whose time is noted."""

    CPU = 0
    CUDA = 1


def supported_activities() -> set[ProfilerActivity]:
    """Whose time can be noted here."""
    return {ProfilerActivity.CPU} | ({ProfilerActivity.CUDA} if is_available() else set())


def _record_always(step: int) -> ProfilerAction:
    return ProfilerAction.RECORD


_RECORDING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


class profile:  # noqa: N801 - PyTorch's name
    """A context that notes where the time and the bytes of ops, of backward and of steps go.

    With a `schedule`, in the steps that it names: `step()` says that the next one begins, and
    `on_trace_ready(self)` is called after each cycle. Shapes and stacks take time of their own.
    `with_modules` and `experimental_config` are not needed.
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[Any], Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        experimental_config: Any = None,
        acc_events: bool = False,
        use_cuda: bool | None = None,
    ) -> None:
        self.activities = _chosen(activities, use_cuda)
        self.record_shapes, self.profile_memory = record_shapes, profile_memory
        self.with_stack, self.with_flops = with_stack, with_flops
        self.acc_events, self.on_trace_ready = acc_events, on_trace_ready
        self.schedule = schedule or _record_always
        self.record_steps = schedule is not None
        self.step_num = 0
        self.current_action = self.schedule(0)
        self._metadata: dict[str, Any] = {}
        self._recording: Recording | None = None
        self._events: EventList | None = None
        self._step: record_function | None = None

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Nothing; the first step begins."""
        self._change(ProfilerAction.NONE, self.current_action)
        self._begin_step()

    def step(self) -> None:
        """Nothing; the next step begins."""
        self._end_step()
        before, self.step_num = self.current_action, self.step_num + 1
        self.current_action = self.schedule(self.step_num)
        self._change(before, self.current_action)
        self._begin_step()

    def stop(self) -> None:
        """Nothing; no step begins any more."""
        self._end_step()
        self._change(self.current_action, None)

    def _begin_step(self) -> None:
        if self.record_steps:
            self._step = record_function(f"ProfilerStep#{self.step_num}")
            self._step.__enter__()

    def _end_step(self) -> None:
        if self._step is not None:
            self._step.__exit__()
            self._step = None

    def _change(self, before: ProfilerAction, after: ProfilerAction | None) -> None:
        """Go from what is done at one step to what is done at the next; None is after the last."""
        if before is ProfilerAction.WARMUP and after in (ProfilerAction.NONE, None):
            self._events = EventList()
            if after is not None:
                warnings.warn("Incorrect schedule: WARMUP followed by NONE", stacklevel=3)
        goes_on = after in _RECORDING and before is not ProfilerAction.RECORD_AND_SAVE
        if before in _RECORDING and not goes_on:
            self._save(before, after)
        if after in _RECORDING and not (before in _RECORDING and goes_on):
            self._recording = Recording(
                self.record_shapes,
                self.profile_memory,
                self.with_stack,
                self.with_flops,
                ProfilerActivity.CUDA in self.activities,
            )
            self._recording.start()

    def _save(self, before: ProfilerAction, after: ProfilerAction | None) -> None:
        assert self._recording is not None
        found, self._recording = self._recording.stop(), None
        if self.acc_events and self._events is not None:
            found[:0] = self._events
        self._events = found
        if before is ProfilerAction.RECORD and after is not None:
            warnings.warn(f"Incorrect schedule: RECORD followed by {after.name}", stacklevel=4)
        elif self.on_trace_ready is not None:
            self.on_trace_ready(self)

    # ---- what was found ----

    def events(self) -> EventList:
        """The events of the last cycle, or with `acc_events` of all.

        Raises: AssertionError before the first one is over.
        """
        if self._events is None:
            raise AssertionError("Profiler must be initialized before accessing events")
        return self._events

    def key_averages(
        self,
        group_by_input_shape: bool = False,
        group_by_stack_n: int = 0,
        group_by_overload_name: bool = False,
    ) -> EventList:
        """The sums over events of one name; `.table(sort_by=...)` prints them."""
        return self.events().key_averages(group_by_input_shape, group_by_stack_n)

    def export_chrome_trace(self, path: str) -> None:
        """Write a file for chrome://tracing or Perfetto, compressed if its name ends in .gz."""
        write_trace(path, self.events(), self._metadata)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Write the stacks, with the time of each."""
        self.events().export_stacks(path, metric)

    def add_metadata(self, key: str, value: str) -> None:
        """Write a text into the trace, beside the events."""
        self._metadata[key] = value

    def add_metadata_json(self, key: str, value: str) -> None:
        """Write what a JSON text says into the trace, beside the events."""
        self._metadata[key] = json.loads(value)

    preset_metadata_json = add_metadata_json


def _chosen(activities: Any, use_cuda: bool | None) -> list[ProfilerActivity]:
    supported = supported_activities()
    listed = [a for a in ProfilerActivity if a in supported] if activities is None else activities
    chosen = list(dict.fromkeys(listed))
    if use_cuda is not None:
        warnings.warn(
            "`use_cuda` is deprecated, use `activities` argument instead", FutureWarning, 3
        )
        chosen = [a for a in chosen if a is not ProfilerActivity.CUDA]
        chosen += [ProfilerActivity.CUDA] * use_cuda
    if not chosen:
        raise AssertionError("No valid profiler activities found")
    for activity in chosen:
        if not isinstance(activity, ProfilerActivity):
            raise TypeError(f"Expected ProfilerActivity, got {type(activity)}")
    return chosen
