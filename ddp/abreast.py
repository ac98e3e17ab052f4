"""Computations abreast: each runs by itself up to a layer that needs what all of them have there.

Logical shards of one rank are computed one after the other; a SyncBatchNorm stops each of them
until all have come. One of them runs at any time, so nothing depends on timing.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from core import random
from core.autograd.mode import mode


class Meeting:
    """Where a computation of this thread gets what all of them make together."""

    def __init__(self, group: Any) -> None:
        self.group = group

    def meet(self, value: Any, together: Callable[[list[Any]], list[Any]]) -> Any:
        """This computation's part of `together(values)`, the values of all of them in order."""
        return together([value])[0]


class NoMeeting(Meeting):
    """Where there is one computation only, although there were several: in backward."""

    def meet(self, value: Any, together: Callable[[list[Any]], list[Any]]) -> Any:
        """Never; the others are not computed again at the same time."""
        raise RuntimeError(
            f"rank {self.group.rank}: a SyncBatchNorm inside checkpoint(...) cannot be computed"
            " again with several logical shards per rank: use as many ranks as shards, or leave it"
            " out of the part that is checkpointed"
        )


class _Here(threading.local):
    meeting: Meeting | None = None


_here = _Here()


def current_meeting() -> Meeting | None:
    """The meeting that this thread's computation takes part in, None where it is alone."""
    return _here.meeting


@contextlib.contextmanager
def at(meeting: Meeting | None) -> Iterator[None]:
    """A context whose computation meets others in `meeting`."""
    before, _here.meeting = _here.meeting, meeting
    try:
        yield
    finally:
        _here.meeting = before


class _CancelledError(BaseException):
    """Ends a computation whose result nobody waits for."""


class _Member(Meeting):
    """One computation, in a thread that runs only between `resume` and its next meeting."""

    def __init__(self, group: Any, compute: Callable[[], Any]) -> None:
        super().__init__(group)
        self.compute = compute
        self.turn, self.pause = threading.Semaphore(0), threading.Semaphore(0)
        self.waiting = self.cancelled = False
        self.value: Any = None
        self.together: Callable[[list[Any]], list[Any]] | None = None
        self.error: BaseException | None = None
        self.recording, self.watchers = mode.recording, mode.watchers
        self.generator = random.default_generator()
        context = contextvars.copy_context()
        self.thread = threading.Thread(target=context.run, args=(self._run,), daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self.turn.acquire()
        mode.record(self.recording)
        mode.watch(self.watchers)
        try:
            if not self.cancelled:
                with random.using(self.generator), at(self):
                    self.value = self.compute()
        except _CancelledError:
            pass
        except BaseException as error:  # raised by `resume`, in the calling thread
            self.error = error
        self.waiting = False
        self.pause.release()

    def meet(self, value: Any, together: Callable[[list[Any]], list[Any]]) -> Any:
        """This computation's part of what all values together give."""
        self.value, self.together, self.waiting = value, together, True
        self.pause.release()
        self.turn.acquire()
        if self.cancelled:
            raise _CancelledError
        return self.value

    def resume(self) -> None:
        """Nothing; the computation has come to its next meeting, or to its end."""
        self.turn.release()
        self.pause.acquire()
        if self.error is not None:
            raise self.error

    def cancel(self) -> None:
        """Nothing; the thread has ended."""
        self.cancelled = True
        self.turn.release()
        self.thread.join()


def abreast(
    group: Any,
    computations: Sequence[Callable[[], Any]],
    around: Callable[[int], contextlib.AbstractContextManager[Any]],
) -> list[Any]:
    """What the computations return, each of which runs inside `around(its number)` only.

    Raises: what the first failing one raised; RuntimeError where only some come to a meeting.
    """
    members = [_Member(group, compute) for compute in computations]
    try:
        while True:
            for i, member in enumerate(members):
                with around(i):
                    member.resume()
            waiting = [member.waiting for member in members]
            if not any(waiting):
                return [member.value for member in members]
            if not all(waiting):
                raise RuntimeError(
                    f"rank {group.rank}: the logical shards went different ways: some came to a"
                    " SyncBatchNorm that others left out"
                )
            together = members[0].together
            assert together is not None
            parts = together([member.value for member in members])
            for member, part in zip(members, parts, strict=True):
                member.value = part
    finally:
        for member in members:
            member.cancel()
