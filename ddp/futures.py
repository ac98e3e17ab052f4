"""Futures: results that are there later, and what is made of them then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any


class Future:
    """A value that is there once it has been set, or once it is asked for and made.

    What `then` makes is made when it is asked for, in the thread that asks.
    Example:
        >>> later = Future()
        >>> doubled = later.then(lambda done: 2 * done.value())
        >>> later.set_result(3)
        >>> doubled.wait()
        6
    """

    def __init__(
        self, make: Callable[[], Any] | None = None, ready: Callable[[], bool] | None = None
    ) -> None:
        self._make, self._ready = make, ready
        self._set = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Any], Any]] = []

    def done(self) -> bool:
        """Whether `wait` would return at once."""
        return self._set.is_set() or (self._ready is not None and self._ready())

    def wait(self) -> Any:
        """The value, once it is there.

        Raises: what making it raised, or what `set_exception` was given.
        """
        make, self._make = self._make, None
        if make is not None:
            try:
                self.set_result(make())
            except Exception as error:  # raised below, and to all who wait
                self.set_exception(error)
        self._set.wait()
        if self._error is not None:
            raise self._error
        return self._value

    def value(self) -> Any:
        """The value, which is there.

        Raises: RuntimeError if it is not.
        """
        if not self.done():
            raise RuntimeError("the future has no value yet: wait() for it")
        return self.wait()

    def set_result(self, result: Any) -> None:
        """Give the value to all who wait for it.

        Raises: RuntimeError if there is one.
        """
        if self._set.is_set():
            raise RuntimeError("the future has a value already")
        self._value = result
        self._tell()

    def set_exception(self, error: BaseException) -> None:
        """Let all who wait for the value get this exception instead."""
        if not isinstance(error, BaseException):
            raise TypeError(f"expected an exception, got {error!r}")
        self._error = error
        self._tell()

    def _tell(self) -> None:
        self._set.set()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def then(self, callback: Callable[[Any], Any]) -> Future:
        """The future of `callback(self)`, called when this one is done and that one asked for."""

        def make() -> Any:
            self.wait()
            return callback(self)

        return Future(make, self.done)

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        """Let `callback(self)` be called once the value is there; at once if it is."""
        if self._set.is_set():
            callback(self)
        else:
            self._callbacks.append(callback)


class HasFuture:
    """A started operation whose results can be asked for as a future."""

    tensors: Sequence[Any] = ()  # what it writes to
    error: BaseException | None

    def is_completed(self) -> bool:
        """Whether the result is in place; never waits."""
        raise NotImplementedError

    def wait(self, timeout: float | timedelta | None = None) -> bool:
        """True, once the result is in place."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Nothing, once the result is in place."""
        self.wait()

    def is_success(self) -> bool:
        """Whether the result is in place, and nothing failed; never waits."""
        return self.is_completed() and self.error is None

    def exception(self) -> BaseException | None:
        """Why the operation failed; None while it has not."""
        return self.error

    def result(self) -> list[Any]:
        """The tensors that the operation writes to, once they are written."""
        self.wait()
        return list(self.tensors)

    def get_future(self) -> Future:
        """The future of the list of tensors that the operation writes to."""
        return Future(self.result, self.is_completed)


def collect_all(futures: Iterable[Future]) -> Future:
    """The future of the list of these futures, once all of them are done."""
    every = list(futures)

    def make() -> list[Future]:
        for future in every:
            future.wait()
        return every

    return Future(make, lambda: all(future.done() for future in every))


def wait_all(futures: Iterable[Future]) -> list[Any]:
    """The values of the futures, once all of them are done."""
    return [future.wait() for future in futures]
