"""What was measured: the times of a statement, their median and spread."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Iterable
from typing import Any

import numpy

_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
_MOST_FIGURES = 4
_LEAST_INTERVAL = 25e-9  # seconds: a clock says no more
_WIDE, _VERY_WIDE = 0.1, 0.25  # spreads, as parts of the median, that are warned of


@dataclasses.dataclass(repr=False, frozen=True)
class TaskSpec:
    """What is measured, in words; those that are equal are one task."""

    stmt: str
    setup: str
    global_setup: str = ""
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1

    @property
    def title(self) -> str:
        """The label, or the statement where there is none."""
        if self.label is None and "\n" in self.stmt:
            part = f" ({self.sub_label})" if self.sub_label else ""
            return f"stmt:{part}\n{textwrap.indent(self.stmt, '  ')}"
        part = f": {self.sub_label}" if self.sub_label else ""
        return f"{self.stmt if self.label is None else self.label}{part}"

    def setup_str(self) -> str:
        """The set-up, unless it does nothing."""
        if self.setup in ("pass", ""):
            return ""
        many = "\n" in self.setup
        return f"setup:\n{textwrap.indent(self.setup, '  ')}" if many else f"setup: {self.setup}"

    def summarize(self) -> str:
        """Title, description and set-up, in lines."""
        parts = [part for part in (self.title, self.description, self.setup_str()) if part]
        return "\n".join(f"{part}\n" if "\n" in part else part for part in parts)


@dataclasses.dataclass(repr=False)
class Measurement:
    """One or more times of a statement, each of `number_per_run` runs; also what its task has."""

    number_per_run: int
    raw_times: list[float]
    task_spec: TaskSpec
    metadata: dict[Any, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "task_spec":
            raise AttributeError(name)
        return getattr(self.task_spec, name)

    @property
    def times(self) -> list[float]:
        """The seconds of one run, once for each measurement."""
        return [time / self.number_per_run for time in self.raw_times]

    def _part(self, share: float) -> float:
        return float(numpy.quantile(self.times, share))

    @property
    def median(self) -> float:
        """The time that half of them are below."""
        return self._part(0.5)

    @property
    def mean(self) -> float:
        """Their mean."""
        return float(numpy.mean(self.times))

    @property
    def iqr(self) -> float:
        """How far apart the quartiles are."""
        return self._part(0.75) - self._part(0.25)

    @property
    def significant_figures(self) -> int:
        """How many figures of the median can be trusted, going by those between the quartiles."""
        times, count = sorted(self.times), len(self.times)
        between = times[count // 4 : math.ceil(3 * count / 4)]
        interval = max(1.645 * float(numpy.std(between)) / math.sqrt(len(between)), _LEAST_INTERVAL)
        return min(max(math.floor(math.log10(self.median / interval)), 1), _MOST_FIGURES)

    def meets_confidence(self, threshold: float = _WIDE) -> bool:
        """Whether the quartiles are closer than this part of the median."""
        return self.iqr / self.median < threshold

    @property
    def has_warnings(self) -> bool:
        """Whether they are too far apart."""
        return not self.meets_confidence()

    @property
    def as_row_name(self) -> str:
        """What stands before the row of a table."""
        return self.sub_label or self.stmt or "[Unknown]"

    def __repr__(self) -> str:
        count, median = len(self.times), self.median
        unit, scale = select_unit(median)
        several, head = count > 1, "Median: " if count > 1 else ""
        lines = [object.__repr__(self), self.task_spec.summarize(), ""]
        lines[-1] = f"  {head}{median / scale:.2f} {unit}"
        if count >= 4:
            low, high = self._part(0.25) / scale, self._part(0.75) / scale
            lines.append(f"  IQR:    {self.iqr / scale:.2f} {unit} ({low:.2f} to {high:.2f})")
        lines.append(
            f"  {count} measurement{'s' * several}, {self.number_per_run} runs"
            f" {'per measurement,' if several else ','} {self.num_threads}"
            f" thread{'s' * (self.num_threads > 1)}"
        )
        return "\n".join([*lines, *self._warning()])

    def _warning(self) -> list[str]:
        if not self.has_warnings:
            return []
        gross = not self.meets_confidence(_VERY_WIDE)
        return [
            f"  WARNING: Interquartile range is {self.iqr / self.median * 100:.1f}% of the median"
            " measurement.",
            "           This suggests significant environmental influence."
            if gross
            else "           This could indicate system fluctuation.",
        ]

    @staticmethod
    def merge(measurements: Iterable[Measurement]) -> list[Measurement]:
        """One measurement for each task, with the times of all that have it."""
        tasks: dict[TaskSpec, list[float]] = {}
        for measurement in measurements:
            tasks.setdefault(measurement.task_spec, []).extend(measurement.times)
        return [Measurement(1, times, task) for task, times in tasks.items()]


def select_unit(t: float) -> tuple[str, float]:
    """The unit in which so many seconds are a number from 1 to 1000, and its length in seconds."""
    unit = {-3: "ns", -2: "us", -1: "ms"}.get(math.floor(math.log10(t)) // 3, "s")
    return unit, _UNITS[unit]


def magnitude(x: float) -> int:
    """The exponent of the least power of ten that `x` does not exceed."""
    return math.ceil(math.log10(abs(x)))


def trim_sigfig(x: float, n: int) -> float:
    """`x` to `n` figures.

    Example:
        >>> trim_sigfig(3.14159, 2)
        3.1
    """
    scale = 10.0 ** (magnitude(x) - n)
    return float(numpy.round(x / scale) * scale)
