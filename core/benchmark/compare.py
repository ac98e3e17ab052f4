"""class Compare: many measurements as tables, one for each label."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any

from core.benchmark.measurement import Measurement, magnitude, select_unit, trim_sigfig

_BOLD, _END = "\033[1m", "\033[0m"
_BEST, _GOOD, _BAD, _VERY_BAD = "\033[92m", "\033[34m", "\033[2m\033[91m", "\033[31m"
_BETWEEN = "  |  "
_WORDS = {"ns": "nanosecond", "us": "microsecond", "ms": "millisecond", "s": "second"}
_VARIANCE = "(! XX%) Measurement has high variance, where XX is the IQR / median * 100.\n"


class Colorize(enum.Enum):
    """Among which times of a table the best and the worst are coloured."""

    NONE = "none"
    COLUMNWISE = "columnwise"
    ROWWISE = "rowwise"


class Compare:
    """Measurements as text: a table for each label, a row for each sub_label, threads, env.

    A column for each description. Measurements of one task are put together.
    """

    def __init__(self, results: Iterable[Measurement]) -> None:
        self._results: list[Measurement] = []
        self.extend_results(results)
        self._trim, self._highlight, self._colorize = False, False, Colorize.NONE

    def extend_results(self, results: Iterable[Measurement]) -> None:
        """Nothing; more measurements are shown.

        Raises: ValueError for anything else.
        """
        for result in (results := list(results)):
            if not isinstance(result, Measurement):
                raise ValueError(
                    f"Expected an instance of `Measurement`, got {type(result)} instead."
                )
        self._results += results

    def trim_significant_figures(self) -> None:
        """Nothing; only the figures that can be trusted are shown."""
        self._trim = True

    def colorize(self, rowwise: bool = False) -> None:
        """Nothing; the best and the worst of each column, or row, are coloured."""
        self._colorize = Colorize.ROWWISE if rowwise else Colorize.COLUMNWISE

    def highlight_warnings(self) -> None:
        """Nothing; times that vary much are marked."""
        self._highlight = True

    def print(self) -> None:
        """Nothing; the tables are printed."""
        print(self)

    def __str__(self) -> str:
        labels: dict[str | None, list[Measurement]] = {}
        for result in Measurement.merge(self._results):
            labels.setdefault(result.label, []).append(result)
        tables = [
            _Table(results, self._trim, self._highlight, self._colorize)
            for results in labels.values()
        ]
        return "\n".join(table.text() for table in tables)


class _Table:
    """The measurements of one label."""

    def __init__(
        self, results: list[Measurement], trim: bool, highlight: bool, colorize: Colorize
    ) -> None:
        self.label, self.trim, self.colorize = results[0].label, trim, colorize
        self.unit, self.scale = select_unit(min(result.median for result in results))
        self.warned = highlight and any(result.has_warnings for result in results)
        self.several_envs = len(dict.fromkeys(_env(result) for result in results)) > 1
        self.env_width = max(len(_env(result)) for result in results) if self.several_envs else 0
        self.columns = list(dict.fromkeys(result.description for result in results))
        self.rows: dict[Any, dict[Any, Measurement]] = {}
        for result in results:
            key = (result.num_threads, _env(result), result.as_row_name)
            self.rows.setdefault(key, {})[result.description] = result
        # By threads and env alone: the rows within keep the order in which they were measured.
        self.keys = sorted(self.rows, key=lambda key: key[:2])
        self.highlight = [
            highlight and any(r.has_warnings for r in self.column(name)) for name in self.columns
        ]
        self.digits = [self._digits(name) for name in self.columns]

    def column(self, name: str | None, threads: int | None = None) -> list[Measurement]:
        """The measurements of a column, of one number of threads where that is said."""
        return [
            self.rows[key][name]
            for key in self.keys
            if name in self.rows[key] and threads in (None, key[0])
        ]

    def _digits(self, name: str | None) -> tuple[int, int]:
        """How wide the numbers of a column are, and how many decimals they have."""
        found = [(magnitude(r.median / self.scale), r) for r in self.column(name)]
        most, decimals = max(digits for digits, _ in found), 1
        if self.trim:
            decimals = min(max(r.significant_figures - digits, 0) for digits, r in found)
        return most + decimals + (1 if decimals else 0), decimals

    def text(self) -> str:
        """The table."""
        texts = [["", *map(str, self.columns)], *self._texts()]
        widths = [max(map(len, cells)) for cells in zip(*texts, strict=True)]
        head = _BETWEEN.join(c.center(w) for c, w in zip(texts[0], widths, strict=True))
        lines, threads = [head], None
        for key, cells in zip(self.keys, texts[1:], strict=True):
            if key[0] != threads:
                threads = key[0]
                lines.append(f"{threads} threads: ".ljust(len(head), "-"))
            shown = self._coloured(key, cells[1:], widths[1:])
            lines.append(_BETWEEN.join([cells[0].ljust(widths[0]), *shown]))
        title = f"[{f' {self.label or str()} '.center(len(head) - 2, '-')}]"
        end = f"\nTimes are in {_WORDS[self.unit]}s ({self.unit}).\n"
        return "\n".join([title, *lines, end]) + (_VARIANCE if self.warned else "")

    def _texts(self) -> list[list[str]]:
        """Name and numbers of each row."""
        out, before = [], (None, None)
        for key in self.keys:
            new = self.several_envs and key[:2] != before
            before = key[:2]
            env = (f"({key[1]})" if new else "").ljust(self.env_width + 4)
            row = self.rows[key]
            cells = [self._number(row.get(n), i) for i, n in enumerate(self.columns)]
            out.append([f"  {env}{key[2]}", *cells])
        return out

    def _number(self, result: Measurement | None, i: int) -> str:
        width, decimals = self.digits[i]
        if result is None:
            return " " * (max(width, decimals + 2 if decimals else 1) + 7 * self.highlight[i])
        value = result.median / self.scale
        if self.trim:
            value = trim_sigfig(value, result.significant_figures)
        spread = f" (! {result.iqr / result.median * 100:.0f}%)" if result.has_warnings else ""
        return f"{value:>{width}.{decimals}f}" + (f"{spread:>7}" if self.highlight[i] else "")

    def _coloured(self, key: Any, cells: list[str], widths: list[int]) -> list[str]:
        row, shown = self.rows[key], []
        for name, cell, width in zip(self.columns, cells, widths, strict=True):
            text, result = cell.center(width), row.get(name)
            if result is not None and self.colorize is not Colorize.NONE:
                wise = self.colorize is Colorize.ROWWISE
                among = row.values() if wise else self.column(name, key[0])
                text = _colour(text, result.median, min(r.median for r in among))
            shown.append(text)
        return shown


def _env(result: Measurement) -> str:
    return result.env or "Unspecified env"


def _colour(text: str, time: float, best: float) -> str:
    if time <= best * 1.01 or time <= best + 100e-9:
        return f"{_BEST}{_BOLD}{text}{_END}{_END}"
    if time <= best * 1.1:
        return f"{_GOOD}{_BOLD}{text}{_END}{_END}"
    if time >= best * 5:
        return f"{_VERY_BAD}{_BOLD}{text}{_END}{_END}"
    return f"{_BAD}{text}{_END}{_END}" if time >= best * 2 else text
