"""The default group: one per process, and one per thread where threads are simulated ranks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.data.worker import is_worker
from ddp.group import ProcessGroup
from launch.world import claimed


class _Installed(threading.local):
    group: ProcessGroup | None = None


_thread = _Installed()
_process: ProcessGroup | None = None
_listeners: list[Callable[[ProcessGroup], None]] = []


def current_group() -> ProcessGroup | None:
    """The default group of this simulated rank, else of this process, else None."""
    return _thread.group if _thread.group is not None else _process


def promised_size() -> int:
    """How many ranks the job has, as who started it says."""
    if is_worker():  # it has read the script, whose first lines make a group; it is no rank
        return 1
    return max(claimed(os.environ).size, int(os.environ.get("WORLD_SIZE", "1")))


def place(what: str) -> tuple[int, int]:
    """(rank, size) in the default group, (0, 1) where there are no other ranks.

    Raises: RuntimeError where there are some but no group yet: each would get the whole of `what`.
    """
    group = current_group()
    if group is not None:
        return group.rank, group.size
    if (size := promised_size()) > 1:
        raise RuntimeError(
            f"{what} was made before the process group of this job of {size} ranks, so each rank"
            " would get all samples: call ddp.init_process_group() first"
        )
    return 0, 1


def set_group(group: ProcessGroup | None) -> None:
    """Nothing; `group` is the default: of this simulated rank, or of the process outside of one."""
    global _process
    if _thread.group is not None and group is not None:
        _thread.group = group
    elif _thread.group is None:
        _process = group
        if group is not None:
            for listener in _listeners:
                listener(group)


def when_set(listener: Callable[[ProcessGroup], None]) -> Callable[[], None]:
    """What ends it that `listener` is told of each new default group of the process."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


@contextmanager
def use_group(group: ProcessGroup) -> Iterator[ProcessGroup]:
    """A context in which `group` is the default of this thread."""
    before, _thread.group = _thread.group, group
    try:
        yield group
    finally:
        _thread.group = before
