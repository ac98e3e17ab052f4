"""Collectives that NCCL has under way: how they are waited for, and who watches them.

NCCL has no deadlines and says of errors only when asked, so a thread asks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from core.backend import on
from ddp.call import Call, CollectiveError, CollectiveTimeoutError
from ddp.futures import HasFuture
from ddp.work import Work

_POLL_SECONDS = 0.05


class NcclWork(HasFuture):
    """A started collective of GPU arrays; `wait()` orders it before what is computed next."""

    def __init__(self, group: Any, call: Call) -> None:
        self.group, self.call = group, call
        self.at_end: Callable[[], None] | None = None
        self.agreed: Work | None = None  # until it is handed to NCCL
        self.event: Any = None  # once it is
        self.after: Callable[[], None] | None = None  # what is left to do with the result

    @property
    def error(self) -> BaseException | None:  # type: ignore[override]
        """Why it failed; None while it has not."""
        return self.group.failure

    @property
    def done(self) -> bool:
        """Whether the result is in place."""
        return self.event is not None and bool(self.event.done)

    def is_completed(self) -> bool:
        """Whether the result is in place; never waits."""
        if self.agreed is not None:
            self.agreed.is_completed()
        return self.done

    def wait(self, timeout: float | timedelta | None = None) -> bool:
        """True; the current stream goes on when the result is in place, the CPU at once.

        Raises: CollectiveError if the ranks do not agree, or the group has failed.
        """
        assert self.agreed is not None
        self.agreed.wait(timeout)
        if self.group.failure is not None:
            raise self.group.failure
        with on(self.group.device):
            self.group.module.cuda.get_current_stream().wait_event(self.event)
            if self.after is not None:
                self.after()
                self.after = None
        if self.at_end is not None:
            self.at_end()
        return True


class Watched:
    """What NCCL has under way, and what it reads and writes, kept until its event has passed."""

    def __init__(self, group: Any) -> None:
        self.group = group
        self.lock = threading.Lock()
        self.entries: list[tuple[Any, float, Call, Any]] = []  # event, deadline, call, arrays
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._watch, name="unison-nccl", daemon=True)
        self.thread.start()

    def add(self, event: Any, seconds: float, call: Call, arrays: Any) -> None:
        """Watch a collective; drop those that are over."""
        with self.lock:
            self.entries = [entry for entry in self.entries if not entry[0].done]
            self.entries.append((event, time.monotonic() + seconds, call, arrays))

    def _watch(self) -> None:
        with on(self.group.device):
            while not self.stopped.wait(_POLL_SECONDS):
                error = self.problem()
                if error is not None:
                    self.group.give_up(error)
                    return

    def problem(self) -> CollectiveError | None:
        """What is wrong with a collective under way; forgets those that are over."""
        group = self.group
        with self.lock:
            self.entries = [entry for entry in self.entries if not entry[0].done]
            waiting = list(self.entries)
        try:
            group.communicator.check_async_error()
        except group.nccl.NcclError as error:
            call = waiting[0][2] if waiting else "no call"
            return CollectiveError(f"rank {group.rank}: NCCL failed under {call}: {error}")
        late = [entry for entry in waiting if time.monotonic() > entry[1]]
        if late:
            text = f"{late[0][2]} did not finish on the GPU before its deadline"
            return CollectiveTimeoutError(group.explain(text))
        return None

    def stop(self) -> None:
        """Nothing; the thread is over."""
        self.stopped.set()
        if threading.current_thread() is not self.thread:
            self.thread.join()
        self.entries = []
