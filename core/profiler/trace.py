"""Events as a file for chrome://tracing, Perfetto, or TensorBoard's profiler."""

from __future__ import annotations

import gzip
import json
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from core.profiler.events import USER, EventList


def write_trace(path: str, events: EventList, metadata: dict[str, Any]) -> None:
    """Write the events to a file, compressed where its name ends in .gz."""
    process = os.getpid()
    names = [{"ph": "M", "name": "process_name", "pid": process, "tid": 0, "ts": 0,
              "args": {"name": "python"}}]  # fmt: skip
    whole = {
        "schemaVersion": 1,
        "deviceProperties": [],
        "host_name": socket.gethostname(),
        "displayTimeUnit": "ms",
        "traceName": path,
        **metadata,
        "traceEvents": names + [_entry(event, process) for event in events],
    }
    opened = gzip.open if path.endswith(".gz") else open
    with opened(path, "wt", encoding="utf-8") as file:
        json.dump(whole, file)


def _entry(event: Any, process: int) -> dict[str, Any]:
    args: dict[str, Any] = {"External id": event.id, "Ev Idx": event.id}
    if event.input_shapes:
        args["Input Dims"] = event.input_shapes
    if event.stack:
        args["Call stack"] = ";".join(reversed(event.stack))
    if event.on_gpu is not None:
        args["GPU time (us)"] = event.on_gpu
    return {
        "ph": "X",
        "cat": "user_annotation" if event.kind == USER else "cpu_op",
        "name": event.trace_name,
        "pid": process,
        "tid": event.thread,
        "ts": event.time_range.start,
        "dur": event.time_range.elapsed_us(),
        "args": args,
    }


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False
) -> Callable[[Any], None]:
    """What writes each trace to a new file in a folder that TensorBoard is told of.

    `worker_name` is, unless given, the host and the number of the process.
    """

    def write(profiler: Any) -> None:
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        ending = ".gz" if use_gzip else ""
        name = f"{worker}.{time.time_ns()}.pt.trace.json{ending}"
        profiler.export_chrome_trace(os.path.join(dir_name, name))

    return write
