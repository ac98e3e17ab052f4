"""Events as a table, laid out as PyTorch's profiler lays it out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

_WIDTH, _GAP = 12, "  "
_FLOPS = ("FLOPs", "KFLOPs", "MFLOPs", "GFLOPs", "TFLOPs", "PFLOPs")
Row = Callable[[Any], Any]


def time_text(us: float, unit: str | None = None) -> str:
    """Microseconds in a unit, by default the largest that leaves one or more."""
    if unit == "s" or (unit is None and us >= 1e6):
        return f"{us / 1e6:.3f}s"
    if unit == "ms" or (unit is None and us >= 1e3):
        return f"{us / 1e3:.3f}ms"
    return f"{us:.3f}us"


def memory_text(count: int) -> str:
    """Bytes in the largest unit that leaves one or more."""
    for power, unit in ((30, "GB"), (20, "MB"), (10, "KB")):
        if abs(count) >= 1 << power:
            return f"{count / (1 << power):.2f} {unit}"
    return f"{count} B"


def _share(part: float, whole: float) -> str:
    return f"{part * 100.0 / whole:.2f}%" if whole else "NaN"


def _cut(text: str, width: int | None) -> str:
    return text if width is None or len(text) < width - 3 else f"{text[: width - 3]}..."


def _end_of(text: str, width: int) -> str:
    return text if len(text) <= width else f"...{text[len(text) - width + 3 :]}"


def table(
    events: Any,
    sort_by: str | None,
    row_limit: int,
    widths: tuple[int | None, int | None, int | None],
    header: str | None,
    top_level_only: bool,
    unit: str | None,
) -> str:
    """The text of the table; nothing for no events."""
    if not events:
        return ""
    columns = _columns(events, widths, unit)
    if sort_by is not None:
        name = sort_by.replace("cuda", "device")
        ordered = sorted(events, key=lambda event: getattr(event, name), reverse=True)
    else:
        ordered = list(events)
    if top_level_only:
        ordered = [event for event in ordered if event.cpu_parent is None]
    shown = ordered if row_limit < 0 else ordered[:row_limit]
    rule = _GAP.join("-" * width for _, width, _, _ in columns) + _GAP
    lines = ["=" * len(rule.rstrip()), header] if header is not None else []
    if top_level_only:
        lines += ["=" * len(rule.rstrip()), "This report only display top-level ops statistics"]
    lines += [rule, _line(columns, [title for title, *_ in columns]), rule]
    for event in shown:
        lines += _rows(columns, event)
    return "\n".join([*lines, rule, *_totals(events, unit), ""])


def _line(columns: Any, cells: list[str]) -> str:
    aligned = [
        f"{cell:{side}{width}}" for cell, (_, width, side, _) in zip(cells, columns, strict=True)
    ]
    return _GAP.join(aligned) + _GAP


def _rows(columns: Any, event: Any) -> list[str]:
    """The lines of one event: one, and below it its stack."""
    cells = [of(event) for *_, of in columns]
    if not isinstance(cells[-1], list):
        return [_line(columns, [str(cell) for cell in cells])]
    *cells, frames = cells
    first = _line(columns, [*map(str, cells), frames[0] if frames else ""])
    blank = [""] * len(cells)
    return [first, *(_line(columns, [*blank, frame]) for frame in [*frames[1:], ""])]


def _totals(events: Any, unit: str | None) -> list[str]:
    lines = [f"Self CPU time total: {time_text(_sum(events, 'self_cpu_time_total'), unit)}"]
    if _has_device_time(events):
        total = time_text(_sum(events, "self_device_time_total"), unit)
        lines.append(f"Self {events.use_device.upper()} time total: {total}")
    return lines


def _sum(events: Any, name: str) -> float:
    return sum(getattr(event, name) for event in events)


def _has_device_time(events: Any) -> bool:
    return any(event.self_device_time_total > 0 for event in events)


def _columns(events: Any, widths: Any, unit: str | None) -> list[tuple[str, int, str, Row]]:
    """Title, width, side and content of each column."""
    name_width, shapes_width, source_width = widths

    def within(longest: int, most: int | None) -> int:
        return longest + 4 if most is None else min(longest + 4, most)

    longest = within(max(len(event.key) for event in events), name_width)
    columns: list[tuple[str, int, str, Row]] = [
        ("Name", longest, ">", lambda event: _cut(event.key, name_width))
    ]
    columns += [(title, _WIDTH, ">", of) for title, of in _numbers(events, unit)]
    if any(event.input_shapes for event in events):
        wide = within(max(len(str(event.input_shapes)) for event in events), shapes_width)
        columns.append(("Input Shapes", wide, ">", lambda event: str(event.input_shapes)[:wide]))
    flops = [event.flops for event in events if event.flops > 0] if events.with_flops else []
    frames = list(itertools.chain.from_iterable(event.stack for event in events))
    if flops:
        title, of = _flops(min(flops))
        columns.append((title, _WIDTH, ">", of))
    if frames:
        room = within(max(map(len, frames)), source_width)
        columns.append(
            ("Source Location", room, "<", lambda event: [_end_of(f, room) for f in event.stack])
        )
    return columns


def _flops(least: int) -> tuple[str, Row]:
    power = min(int(math.log10(least) / 3), len(_FLOPS) - 1)
    scale = 10.0 ** (-3 * power)
    return f"Total {_FLOPS[power]}", lambda e: f"{e.flops * scale:8.3f}" if e.flops > 0 else "--"


def _numbers(events: Any, unit: str | None) -> list[tuple[str, Row]]:
    """Title and content of the columns of times, bytes and counts."""
    whole = _sum(events, "self_cpu_time_total")
    columns: list[tuple[str, Row]] = [
        ("Self CPU %", lambda e: _share(e.self_cpu_time_total, whole)),
        ("Self CPU", lambda e: time_text(e.self_cpu_time_total, unit)),
        ("CPU total %", lambda e: _share(e.cpu_time_total, whole)),
        ("CPU total", lambda e: time_text(e.cpu_time_total, unit)),
        ("CPU time avg", lambda e: time_text(e.cpu_time, unit)),
    ]
    if _has_device_time(events):
        on_device, name = _sum(events, "self_device_time_total"), events.use_device.upper()
        columns += [
            (f"Self {name}", lambda e: time_text(e.self_device_time_total, unit)),
            (f"Self {name} %", lambda e: _share(e.self_device_time_total, on_device)),
            (f"{name} total", lambda e: time_text(e.device_time_total, unit)),
            (f"{name} time avg", lambda e: time_text(e.device_time, unit)),
        ]
    if events.profile_memory:
        columns.append(("CPU Mem", lambda e: memory_text(e.cpu_memory_usage)))
        columns.append(("Self CPU Mem", lambda e: memory_text(e.self_cpu_memory_usage)))
        if events.use_device and any(e.self_device_memory_usage > 0 for e in events):
            name = events.use_device.upper()
            columns.append((f"{name} Mem", lambda e: memory_text(e.device_memory_usage)))
            columns.append((f"Self {name} Mem", lambda e: memory_text(e.self_device_memory_usage)))
    columns.append(("# of Calls", lambda e: e.count))
    return columns
