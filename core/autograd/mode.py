"""What a thread is doing with the ops it calls: recording them, or not; and what watches them."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


INFERRING: Any = 0  # what `fast` is in inference mode: as false as False, and another object


class Mode(threading.local):
    """The calling thread's state. `watchers` see every op before it runs (autocast, anomaly mode).

    `fast` is `recording`, or None while anything watches: the quick paths read it alone.
    """

    recording = True
    fast: bool | None = True
    accelerated = True  # off while a definition is being replayed
    inference = False
    watchers: tuple[Any, ...] = ()

    def record(self, on: bool) -> None:
        """Switch recording on or off."""
        self.recording = on
        self.fast = None if self.watchers else INFERRING if self.inference and not on else on

    def watch(self, watchers: tuple[Any, ...]) -> None:
        """Let exactly these watchers see the ops from here on."""
        self.watchers = watchers
        self.record(self.recording)


mode = Mode()


def watched(op: Any, run: Callable[[Any], Any], args: Any) -> Any:
    """The result of an op whose arguments, and `after` it whose result, watchers see."""
    watchers = mode.watchers
    for watcher in watchers:
        args = watcher(op, args)
    mode.watch(())
    try:
        out = run(args)
    finally:
        mode.watch(watchers)
    for watcher in watchers:
        after = getattr(watcher, "after", None)
        if after is not None:
            after(op, out)
    return out


def is_grad_enabled() -> bool:
    """Whether ops on this thread are being recorded for backward."""
    return mode.recording


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode`."""
    return mode.inference


class _Decorator:
    """A context manager that also decorates functions, entering anew at each call."""

    def again(self) -> Any:
        return type(self)()

    def __call__(self, function: F) -> F:
        if inspect.isgeneratorfunction(function):
            return _generator(self, function)

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.again():
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


def _generator(manager: _Decorator, function: Any) -> Any:
    """A generator function whose body, but not its consumer, runs inside the context."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with manager.again():
            generator = function(*args, **kwargs)
        step, given = generator.send, None
        while True:
            try:
                with manager.again():
                    item = step(given)
            except StopIteration as end:
                return end.value
            try:
                given = yield item
                step = generator.send
            except GeneratorExit:
                with manager.again():
                    generator.close()
                raise
            except BaseException as error:
                step, given = generator.throw, error

    return wrapped


class no_grad(_Decorator):  # noqa: N801 - PyTorch's name
    """A context, or decorator, in which nothing is recorded."""

    recording = False

    def __new__(cls, function: Any = None) -> Any:
        self = super().__new__(cls)
        return self if function is None else self(function)

    def __enter__(self) -> None:
        self.before = mode.recording
        mode.record(self.recording)

    def __exit__(self, *_: Any) -> None:
        mode.record(self.before)


class enable_grad(no_grad):  # noqa: N801 - PyTorch's name
    """A context, or decorator, in which ops are recorded, also inside `no_grad`."""

    recording = True


class set_grad_enabled(_Decorator):  # noqa: N801 - PyTorch's name
    """Recording switched on or off: at once as a function, for a block as a context."""

    def __init__(self, mode_: bool) -> None:
        self.before = mode.recording
        self.recording = bool(mode_)
        mode.record(self.recording)

    def again(self) -> Any:
        return type(self)(self.recording)

    def __call__(self, function: F) -> F:
        mode.record(self.before)
        return super().__call__(function)

    def __enter__(self) -> None:
        mode.record(self.recording)

    def __exit__(self, *_: Any) -> None:
        mode.record(self.before)


class inference_mode(_Decorator):  # noqa: N801 - PyTorch's name
    """A context, or decorator, like `no_grad` whose results can never be recorded later."""

    inference: bool

    def __new__(cls, mode: Any = True) -> Any:
        self = super().__new__(cls)
        self.inference = True if callable(mode) else bool(mode)
        return self(mode) if callable(mode) else self

    def again(self) -> Any:
        return type(self)(self.inference)

    def __enter__(self) -> None:
        self.before = mode.inference, mode.recording
        mode.inference = self.inference
        mode.record(mode.recording and not self.inference)

    def __exit__(self, *_: Any) -> None:
        mode.inference, recording = self.before
        mode.record(recording)


class watching(_Decorator):  # noqa: N801 - reads as a statement
    """A context in which `watcher(op, args) -> args` sees this thread's ops before they run."""

    def __init__(self, watcher: Any) -> None:
        self.watcher = watcher

    def again(self) -> Any:
        return type(self)(self.watcher)

    def __enter__(self) -> None:
        self.before = mode.watchers
        mode.watch((*self.before, self.watcher))

    def __exit__(self, *_: Any) -> None:
        mode.watch(self.before)
