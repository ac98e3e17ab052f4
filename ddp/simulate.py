"""`simulate`: many ranks in one process, for tests, teaching and debugging."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from core.random import Generator, using
from ddp.backends.thread import ThreadWorld
from ddp.current_group import use_group

# A rank that ignores everything else gets this long to notice that it was told to stop.
STOP_SECONDS = 2.0

# What every simulated rank enters in its own thread: functions of (rank, size) that give contexts.
rank_contexts: list[Callable[[int, int], AbstractContextManager[Any]]] = [
    lambda rank, size: using(Generator())
]


class SimulationTimeoutError(TimeoutError):
    """A simulation took longer than its timeout; the text says where each rank was."""


def simulate(
    fn: Callable[..., Any], size: int, args: Sequence[Any] = (), timeout: float = 20.0
) -> list[Any]:
    """The results of `fn(*args)` on `size` ranks that are threads of this process, in rank order.

    Raises: what the first failing rank raised, with its traceback and its rank as `error.rank`;
        SimulationTimeoutError after `timeout` seconds.
    Example:
        >>> from ddp.current_group import current_group
        >>> simulate(lambda: current_group().rank ** 2, size=4)
        [0, 1, 4, 9]
    """
    if size < 1:
        raise ValueError(f"simulate expected size >= 1, got {size}")
    world = ThreadWorld(size)
    results: list[Any] = [None] * size
    threads = [
        threading.Thread(
            target=_run_rank, args=(world, r, fn, args, timeout, results), name=f"rank {r}"
        )
        for r in range(size)
    ]
    for thread in threads:
        thread.daemon = True
        thread.start()
    late = _join(threads, time.monotonic() + timeout)
    text, failure = _where(late, timeout), world.first_failure
    if late:
        _stop(world, late)
    if failure is not None:
        _raise_first(*failure, size)
    if late:
        raise SimulationTimeoutError(text)
    return results


def _run_rank(
    world: ThreadWorld,
    rank: int,
    fn: Callable[..., Any],
    args: Sequence[Any],
    timeout: float,
    results: list[Any],
) -> None:
    failure: BaseException | None = None
    try:
        with contextlib.ExitStack() as contexts:
            for context in rank_contexts:
                contexts.enter_context(context(rank, world.size))
            contexts.enter_context(use_group(world.group(rank, timeout)))
            results[rank] = fn(*args)
    except BaseException as error:  # handed to the thread that called simulate
        failure = error
    world.end(rank, failure)


class _Stop(BaseException):
    """Raised inside a rank that did not end in time."""


def _join(threads: list[threading.Thread], deadline: float) -> list[threading.Thread]:
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [thread for thread in threads if thread.is_alive()]


def _stop(world: ThreadWorld, threads: list[threading.Thread]) -> None:
    """Nothing; ranks that wait raise, and ranks that run Python code are interrupted."""
    world.stop()
    for thread in _join(threads, time.monotonic() + 0.1):
        ident = ctypes.c_ulong(thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(_Stop))
    _join(threads, time.monotonic() + STOP_SECONDS)


def _where(threads: list[threading.Thread], timeout: float) -> str:
    frames = sys._current_frames()
    lines = [f"{len(threads)} simulated ranks did not end within {timeout:g} s"]
    for thread in threads:
        frame = frames.get(thread.ident or 0)
        if frame is not None:
            lines.append(f"  {thread.name}: at {frame.f_code.co_filename}:{frame.f_lineno}")
    return "\n".join(lines)


def _raise_first(rank: int, error: BaseException, size: int) -> None:
    error.rank = rank  # type: ignore[attr-defined]
    if hasattr(error, "add_note"):
        error.add_note(f"(raised on simulated rank {rank} of {size})")
    raise error
