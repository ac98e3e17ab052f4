"""The default group: one per process, and one per thread where threads are simulated ranks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ddp.group import ProcessGroup


class _Installed(threading.local):
    group: ProcessGroup | None = None


_thread = _Installed()
_process: ProcessGroup | None = None
_listeners: list[Callable[[ProcessGroup], None]] = []


def current_group() -> ProcessGroup | None:
    """The default group of this simulated rank, else of this process, else None."""
    return _thread.group if _thread.group is not None else _process


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
