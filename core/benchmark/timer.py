"""class Timer: how long a statement takes, the GPU waited for, on so many threads."""

from __future__ import annotations

import contextlib
import sys
import textwrap
import timeit
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from core import cuda
from core.benchmark.measurement import Measurement, TaskSpec
from core.settings import get_num_threads, set_num_threads

_LEAST = 1e-9  # seconds: no statement takes less, and nothing is divided by zero
_SHARE = 1e-4  # the part of a measurement that the clock itself may take
_MOST_RUNS = 2**31 - 1
Callback = Callable[[int, float], Any] | None


def timer() -> float:
    """The seconds of a clock, once the GPU, where there is one, has done its work."""
    if cuda.is_available():
        cuda.synchronize()
    return timeit.default_timer()


class Timer:
    """A statement that can be measured; `core`, and `torch` where it is imported, are known to it.

    Raises: ValueError for a statement that is no text, or not Python.
    """

    def __init__(
        self,
        stmt: str = "pass",
        setup: str = "pass",
        global_setup: str = "",
        timer: Callable[[], float] = timer,
        globals: dict[str, Any] | None = None,
        label: str | None = None,
        sub_label: str | None = None,
        description: str | None = None,
        env: str | None = None,
        num_threads: int = 1,
        language: str = "python",
    ) -> None:
        if not isinstance(stmt, str):
            raise ValueError("Currently only a `str` stmt is supported.")
        if language not in ("py", "python"):
            raise ValueError(f"statements are Python: there is no compiler for `{language}`")
        if global_setup:
            raise ValueError(f"global_setup is C++ only, got `{global_setup}`: use `setup`")
        stmt, setup = _block(stmt), _block(setup)
        known: dict[str, Any] = {
            name: sys.modules[name] for name in ("core", "torch") if name in sys.modules
        }
        self._timer = timeit.Timer(stmt, setup, timer, {**known, **(globals or {})})
        self._task = TaskSpec(
            stmt, setup, global_setup, label, sub_label, description, env, num_threads
        )

    def timeit(self, number: int = 1_000_000) -> Measurement:
        """One time of `number` runs."""
        with _threads(self._task.num_threads):
            self._time(max(number // 100, 2))
            return self._measured(number, [self._time(number)])

    def blocked_autorange(
        self, callback: Callback = None, min_run_time: float = 0.2
    ) -> Measurement:
        """Times until they add up to `min_run_time`, each of as many runs as hide the clock's own.

        `callback(number, seconds)` is told of each.
        """
        with _threads(self._task.num_threads):
            number = self._runs(min_run_time)
            return self._measured(number, self._times(number, min_run_time, None, callback, None))

    def adaptive_autorange(
        self,
        threshold: float = 0.1,
        *,
        min_run_time: float = 0.01,
        max_run_time: float = 10.0,
        callback: Callback = None,
    ) -> Measurement:
        """Times until their quartiles are closer than `threshold` of the median, four at least."""

        def close(times: list[float]) -> bool:
            return len(times) > 3 and self._measured(number, times).meets_confidence(threshold)

        with _threads(self._task.num_threads):
            number = self._runs(0.05)
            times = self._times(number, min_run_time, max_run_time, callback, close)
            return self._measured(number, times)

    def _time(self, number: int) -> float:
        return max(self._timer.timeit(number), _LEAST)

    def _times(
        self,
        number: int,
        least: float,
        most: float | None,
        callback: Callback,
        enough: Callable[[list[float]], bool] | None,
    ) -> list[float]:
        times: list[float] = []
        while sum(times) < least or not (enough is None or enough(times)):
            times.append(self._time(number))
            if callback is not None:
                callback(number, times[-1])
            if most is not None and sum(times) > most:
                break
        return times

    def _runs(self, min_run_time: float) -> int:
        """How many runs take so long that the clock's own time is no part of it; a warm-up, too."""
        own, number = float(numpy.median([self._time(0) for _ in range(5)])), 1
        while True:
            taken = self._time(number)
            hidden = own / taken <= _SHARE and taken >= min_run_time / 1000
            if hidden or taken > min_run_time or number * 10 > _MOST_RUNS:
                return number
            number *= 10

    def _measured(self, number: int, times: list[float]) -> Measurement:
        return Measurement(number, times, self._task)


def _block(text: str) -> str:
    """A piece of code without the indentation of the text that it stands in."""
    return textwrap.dedent(text).removeprefix("\n").rstrip()


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = get_num_threads()
    if count != before:
        set_num_threads(count)
    try:
        yield
    finally:
        if count != before:
            set_num_threads(before)
