"""A started operation, and the engine that carries the operations of one rank forward.

An operation is a generator of conditions: it yields a function that says whether it may go on.
Nothing here knows arrays or transports.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any, Protocol

from ddp.call import Call, CollectiveError, CollectiveTimeoutError
from ddp.futures import HasFuture

Steps = Generator[Callable[[], bool], None, Any]


def seconds_of(timeout: float | timedelta) -> float:
    """A time in seconds, however it is given."""
    return timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)


class Owner(Protocol):
    """The group that started an operation."""

    engine: Engine

    def explain(self, text: str) -> str:
        """`text` with what is known of the other ranks."""

    def fail(self, error: BaseException) -> None:
        """Nothing; the group learns that one of its operations failed."""

    def check_peers(self) -> None:
        """None, if no other rank of the group has given up."""


class Work(HasFuture):
    """An operation that was started; `wait()` returns when its result is in place.

    Raises: (from `wait`) CollectiveError with the ranks, the call and its file and line.
    """

    def __init__(
        self, owner: Owner, call: Call, steps: Steps, seconds: float, collective: bool
    ) -> None:
        self.owner = owner
        self.collective = collective
        self.call = call
        self.value: Any = None
        self.error: BaseException | None = None
        self.done = False
        self._steps = steps
        self._condition: Callable[[], bool] | None = None
        self._interrupted: BaseException | None = None
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self.at_end: Callable[[], None] | None = None
        owner.engine.works.append(self)

    def is_completed(self) -> bool:
        """Whether the result is in place (or the operation failed); never waits."""
        self.owner.engine.progress()
        return self.done

    def wait(self, timeout: float | timedelta | None = None) -> bool:
        """True, once the result is in place; `timeout` replaces the deadline."""
        if timeout is not None:
            self._seconds = seconds_of(timeout)
            self._deadline = time.monotonic() + self._seconds
        if not self.done:
            self.owner.engine.wait_until(self)
        if self.error is not None:
            if isinstance(self.error, CollectiveError):
                # Its text says all; the frames of the generators would bury the user's.
                self.error.with_traceback(None)
            raise self.error
        return True

    def source_rank(self) -> int:
        """The rank in the group whose message a receive has got."""
        return int(self.value)

    @property
    def ready(self) -> bool:
        """Whether `step` would do something."""
        return not self.done and (
            self._condition is None or self._interrupted is not None or self._condition()
        )

    def step(self) -> None:
        """Nothing; the operation goes as far as it can without waiting."""
        while self.ready:
            try:
                self._advance()
            except StopIteration as stop:
                self._finish(stop.value)
            except Exception as error:  # kept for wait(), which raises it in the caller's frame
                self.fail(error)

    def remaining(self) -> float:
        """The seconds left until the deadline."""
        return self._deadline - time.monotonic()

    def expire(self) -> None:
        """Nothing; the operation fails because its deadline has passed."""
        text = f"{self.call} did not finish within {self._seconds:g} s"
        self.fail(CollectiveTimeoutError(self.owner.explain(text)))

    def fail(self, error: BaseException) -> None:
        """Nothing; the operation is over, and `wait` raises `error`."""
        if not self.done:
            self.error = error
            # Messages that still come must find the memory they were meant for.
            self.owner.engine.abandoned.append(self._condition)
            self._steps.close()
            self._finish(None)
            self.owner.fail(error)

    def _advance(self) -> None:
        if self._interrupted is None:
            self._condition = next(self._steps)
        else:
            self._condition = self._steps.throw(self._interrupted)

    def fail_soon(self, error: BaseException) -> None:
        """Nothing; the next step of the operation, in its own thread, fails with `error`."""
        self._interrupted = error

    def _finish(self, value: Any) -> None:
        self.value = value
        self.done = True
        self._condition = None
        self.owner.engine.works.remove(self)
        if self.at_end is not None:
            self.at_end()


class Engine(ABC):
    """What carries the outstanding operations of one rank forward and knows how to wait.

    All groups of a rank share one engine: an operation that was started but not waited for must
    go on while the rank waits in another one, or ranks that wait in another order never meet.
    """

    def __init__(self) -> None:
        self.works: list[Work] = []
        self.abandoned: list[Any] = []  # what failed operations were waiting for

    def progress(self) -> None:
        """Nothing; each outstanding operation goes as far as it can without waiting."""
        for work in tuple(self.works):
            work.step()

    @abstractmethod
    def wait_until(self, work: Work) -> None:
        """Nothing, once `work` is done or has failed."""
