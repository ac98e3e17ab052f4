"""Streams and events: work in order on a GPU, and points in that work."""

from __future__ import annotations

from typing import Any

from core import backend
from core.backend import Device, cuda_module
from core.cuda.device import index_of


class Stream:
    """Work of one GPU in order, beside that of its other streams; `array_stream` is CuPy's."""

    def __init__(self, device: Any = None, priority: int = 0, array_stream: Any = None) -> None:
        self.device = Device("cuda", index_of(device))
        if array_stream is None:
            with backend.on(self.device):
                array_stream = cuda_module().cuda.Stream(non_blocking=True, priority=priority)
        self.array_stream = array_stream
        self.priority = priority

    @property
    def cuda_stream(self) -> int:
        """The address of CUDA's stream."""
        return self.array_stream.ptr

    def synchronize(self) -> None:
        """Wait for all work so far."""
        self.array_stream.synchronize()

    def query(self) -> bool:
        """Whether all work so far is over."""
        return bool(self.array_stream.done)

    def record_event(self, event: Event | None = None) -> Event:
        """The event (a new one unless given), which happens after all work so far."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let later work wait for an event; one that was never recorded is not waited for."""
        if event.array_event is not None:
            self.array_stream.wait_event(event.array_event)

    def wait_stream(self, stream: Stream) -> None:
        """Let later work wait for all that another stream has so far."""
        self.wait_event(stream.record_event())

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Stream) and other.device == self.device
        return same and other.cuda_stream == self.cuda_stream  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((self.device, self.cuda_stream))

    def __repr__(self) -> str:
        return f"<core.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


class Event:
    """A point in a stream's work."""

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ) -> None:
        self.enable_timing, self.blocking, self.interprocess = enable_timing, blocking, interprocess
        self.device: Device | None = None
        self.array_event: Any = None

    def record(self, stream: Stream | None = None) -> None:
        """Be the point after all work so far of a stream, the current one unless given."""
        stream = current_stream() if stream is None else stream
        with backend.on(stream.device):
            if self.array_event is None or self.device != stream.device:
                self.array_event = cuda_module().cuda.Event(
                    self.blocking, not self.enable_timing, self.interprocess
                )
                self.device = stream.device
            self.array_event.record(stream.array_stream)

    def wait(self, stream: Stream | None = None) -> None:
        """Let later work of a stream, the current one unless given, wait for this point."""
        (current_stream() if stream is None else stream).wait_event(self)

    def query(self) -> bool:
        """Whether the point was reached, or never recorded."""
        return self.array_event is None or bool(self.array_event.done)

    def synchronize(self) -> None:
        """Wait for the point."""
        if self.array_event is not None:
            self.array_event.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this point to another.

        Raises: ValueError unless both were recorded and made with `enable_timing=True`.
        """
        for event in (self, end_event):
            if event.array_event is None or not event.enable_timing:
                raise ValueError(
                    "Both events must be recorded, and made with enable_timing=True, before"
                    " calculating elapsed time."
                )
        return float(cuda_module().cuda.get_elapsed_time(self.array_event, end_event.array_event))

    def __repr__(self) -> str:
        return f"<core.cuda.Event {'uninitialized' if self.array_event is None else self.device}>"


def current_stream(device: Any = None) -> Stream:
    """This thread's stream of a GPU."""
    index = index_of(device)
    with backend.on(Device("cuda", index)):
        return Stream(index, array_stream=cuda_module().cuda.get_current_stream())


def default_stream(device: Any = None) -> Stream:
    """The stream of a GPU that work goes to unless another one was chosen."""
    return Stream(device, array_stream=cuda_module().cuda.Stream.null)


def set_stream(stream: Stream) -> None:
    """Make a stream, and its GPU, the current ones of this thread."""
    cuda_module().cuda.Device(stream.device.index).use()
    stream.array_stream.use()


class stream:  # noqa: N801 - PyTorch's name
    """A context in which a stream, and its GPU, are the current ones; None changes nothing."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream
        self._before: list[tuple[Any, Any]] = []

    def __enter__(self) -> None:
        if self.stream is None:
            return
        device = backend.on(self.stream.device)
        device.__enter__()
        self._before.append((device, cuda_module().cuda.get_current_stream()))
        self.stream.array_stream.use()

    def __exit__(self, *error: Any) -> None:
        if self.stream is None:
            return
        device, before = self._before.pop()
        before.use()
        device.__exit__(*error)
