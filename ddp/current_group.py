"""The default group: one per process, and one per thread where threads are simulated ranks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from core.data import worker
from ddp.group import ProcessGroup
from launch.world import claimed

# In the environment of a data worker: who the rank is that it serves.
_SERVED = "UNISON_WORKER_OF"


class Place(NamedTuple):
    """Who a rank is, among all and on its node."""

    rank: int
    size: int
    local_rank: int
    local_size: int


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
    if worker.is_worker():  # it has read the script, whose first lines make a group; it is no rank
        return 1
    return max(claimed(os.environ).size, int(os.environ.get("WORLD_SIZE", "1")))


def served() -> Place | None:
    """The rank for which this data worker makes batches; None in a process that is no worker."""
    if worker.get_worker_info() is None:  # also in a worker that still reads the script
        return None
    noted = os.environ.get(_SERVED)
    return None if noted is None else Place(*map(int, noted.split()))


def _note_for_workers() -> dict[str, str]:
    g = current_group()
    return {} if g is None else {_SERVED: f"{g.rank} {g.size} {g.local_rank} {g.local_size}"}


worker.notes.append(_note_for_workers)


def place(what: str) -> tuple[int, int]:
    """(rank, size) in the default group, (0, 1) where there are no other ranks.

    Raises: RuntimeError where there are some but no group yet: each would get the whole of `what`.
    """
    here = served() or current_group()
    if here is not None:
        return here.rank, here.size
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
