"""Devices, streams and events of simulated GPUs, under CuPy's names.

Work is done at once, in the calling thread, but for collectives: these stay on their stream until
all ranks have joined, and what comes later on that stream waits for them.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TOTAL_BYTES = 16 << 30


def device_count() -> int:
    """The number of simulated GPUs."""
    return int(os.environ.get("UNISON_SIMULATED_GPUS") or 0)


class CUDARuntimeError(RuntimeError):
    """What CuPy raises where the CUDA runtime returns an error."""


class _Current(threading.local):
    def __init__(self) -> None:
        self.id = 0
        self.may_wait = True
        self.streams: dict[int, Stream] = {}


_current = _Current()


def check_ordinal(index: int) -> None:
    """Raise CUDARuntimeError unless there is a device `index`."""
    if not 0 <= index < max(device_count(), 1):
        raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")


# ---- where the CPU waits for a GPU -------------------------------------------------------------


class DeviceSynchronized(RuntimeError):  # noqa: N818 - CuPy's name
    """What CuPy raises where the CPU waits for a GPU and must not."""


@contextmanager
def allow_synchronize(allow: bool) -> Iterator[None]:
    """A context in which this thread may wait for a GPU, or may not."""
    before, _current.may_wait = _current.may_wait, allow
    try:
        yield
    finally:
        _current.may_wait = before


def declare_synchronize() -> None:
    """Raise DeviceSynchronized where waiting is not allowed: called before every wait.

    Stricter than CuPy, which sees copies to the CPU and `Device.synchronize` only.
    """
    if not _current.may_wait:
        raise DeviceSynchronized("Device synchronization was detected while disallowed.")


class Device:
    """One simulated GPU; as a context manager, the current one of this thread."""

    def __init__(self, device: int | None = None) -> None:
        self.id = _current.id if device is None else int(device)
        self._before: list[int] = []

    def __int__(self) -> int:
        return self.id

    def __enter__(self) -> Device:
        check_ordinal(self.id)
        self._before.append(_current.id)
        _current.id = self.id
        return self

    def __exit__(self, *_: Any) -> None:
        _current.id = self._before.pop()

    def use(self) -> Device:
        """This device, from now on the current one of this thread."""
        check_ordinal(self.id)
        _current.id = self.id
        return self

    def synchronize(self) -> None:
        """Wait for all work of the device's streams."""
        declare_synchronize()
        with self:
            for stream in (*_all_streams.get(self.id, {}).values(), Stream.null):
                stream.synchronize()

    @property
    def pci_bus_id(self) -> str:
        """Where it is plugged in."""
        return f"0000:{self.id:02X}:00.0"

    @property
    def compute_capability(self) -> str:
        """That of an H200."""
        return "90"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"


# ---- streams ----------------------------------------------------------------------------------


class Task:
    """Work that stays on a stream until somebody says that it is over."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def finish(self) -> None:
        """The work is over."""
        self._over.set()

    @property
    def done(self) -> bool:
        """Whether the work is over."""
        return self._over.is_set()

    def wait(self) -> None:
        """Return once the work is over."""
        self._over.wait()


_all_streams: dict[int, weakref.WeakValueDictionary[int, Stream]] = {}
_names = iter(range(1, 1 << 62))


class Stream:
    """Work in order. Only a Task is ever under way when a call returns."""

    null: Stream

    def __init__(
        self,
        null: bool = False,
        non_blocking: bool = False,
        ptds: bool = False,
        priority: int | None = None,
    ) -> None:
        self.ptr = 0 if null else next(_names) << 8
        self.device_id = -1 if null else _current.id
        self.is_non_blocking = non_blocking
        self.priority = priority or 0
        self._tasks: dict[int, list[Task]] = {}
        if not null:
            known = _all_streams.setdefault(self.device_id, weakref.WeakValueDictionary())
            known[self.ptr] = self

    @property
    def tasks(self) -> list[Task]:
        """The work on it; every device has a null stream of its own, under one name."""
        return self._tasks.setdefault(_current.id if self.device_id < 0 else self.device_id, [])

    @tasks.setter
    def tasks(self, tasks: list[Task]) -> None:
        self._tasks[_current.id if self.device_id < 0 else self.device_id] = tasks

    def __enter__(self) -> Stream:
        self._before = _current.streams.get(_current.id)
        return self.use()

    def __exit__(self, *_: Any) -> None:
        if self._before is None:
            _current.streams.pop(_current.id, None)
        else:
            _current.streams[_current.id] = self._before

    def use(self) -> Stream:
        """This stream, from now on the current one of this thread and device."""
        if self.device_id not in (-1, _current.id):
            raise CUDARuntimeError("cudaErrorInvalidResourceHandle: a stream of another device")
        _current.streams[_current.id] = self
        return self

    def add(self, task: Task) -> None:
        """Put work on this stream (what a library does with the stream's pointer)."""
        self.tasks = [t for t in self.tasks if not t.done] + [task]

    @property
    def done(self) -> bool:
        """Whether all work so far is over."""
        return all(task.done for task in self.tasks)

    def synchronize(self) -> None:
        """Wait for all work so far."""
        declare_synchronize()
        for task in self.tasks:
            task.wait()
        self.tasks = []

    def record(self, event: Event | None = None) -> Event:
        """The event, which happens once all work so far is over."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let later work of this stream wait for the event."""
        self.tasks += [task for task in event.tasks if not task.done]

    @property
    def is_capturing(self) -> bool:
        """Whether a graph is being made: simulated GPUs make none."""
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self.ptr == other.ptr

    def __hash__(self) -> int:
        return hash(self.ptr)

    def __repr__(self) -> str:
        return f"<Stream {self.ptr} (device {self.device_id})>"


Stream.null = Stream(null=True)


class Event:
    """A point in a stream's work, and when it was reached."""

    def __init__(
        self, block: bool = False, disable_timing: bool = False, interprocess: bool = False
    ) -> None:
        self.timed = not disable_timing
        self.tasks: list[Task] = []
        self.recorded = False
        self.time = 0.0

    def record(self, stream: Stream | None = None) -> None:
        """Be the point after all work so far of a stream, the current one unless given."""
        stream = get_current_stream() if stream is None else stream
        self.tasks = [task for task in stream.tasks if not task.done]
        self.recorded, self.time = True, time.perf_counter()

    @property
    def done(self) -> bool:
        """Whether the point was reached; so is an event that was never recorded."""
        return all(task.done for task in self.tasks)

    def synchronize(self) -> None:
        """Wait for the point."""
        declare_synchronize()
        for task in self.tasks:
            task.wait()
        self.tasks = []


def get_current_stream(device_id: int = -1) -> Stream:
    """This thread's stream of a device, the current one unless given."""
    return _current.streams.get(_current.id if device_id == -1 else device_id, Stream.null)


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    """Milliseconds between two events.

    Raises: CUDARuntimeError where one was not recorded or keeps no time.
    """
    for event in (start_event, end_event):
        if not (event.recorded and event.timed):
            raise CUDARuntimeError("cudaErrorInvalidResourceHandle: invalid resource handle")
    return 1e3 * (end_event.time - start_event.time)


def stream_at(pointer: int) -> Stream:
    """The stream whose `ptr` this is (what a library finds behind the pointer)."""
    return next(
        (found[pointer] for found in _all_streams.values() if pointer in found), Stream.null
    )


def settle(stream: Stream | None = None) -> None:
    """Wait for what a stream, the current one unless given, has before it: work by hand is next."""
    stream = stream or _current.streams.get(_current.id, Stream.null)
    with allow_synchronize(True):  # by hand: a GPU's stream would do it
        if stream.tasks:
            stream.synchronize()


def current_id() -> int:
    """The index of this thread's current device."""
    return _current.id
