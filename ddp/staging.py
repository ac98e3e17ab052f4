"""Arrays of a GPU in a group that moves the CPU's: there through pinned memory and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from core.backend import device_of, to_device, xp
from core.pinned import from_pinned, to_pinned


def needs_host(array: Any, group: Any) -> bool:
    """Whether `array` is on a device whose memory the group does not move."""
    return group.array_type is numpy.ndarray and type(array) is not numpy.ndarray


class Staged:
    """Started work on a host copy of `array`; waiting brings the result back."""

    def __init__(self, array: Any, start: Callable[[Any], Any]) -> None:
        self.array, self.host = array, to_pinned(array)
        self.work = start(self.host)

    def wait(self) -> None:
        """Nothing; `array` holds the result."""
        if self.work is not None:
            self.work.wait()
        from_pinned(self.host, self.array)


def on_host(array: Any, group: Any, change: Callable[[Any], Any]) -> None:
    """Nothing; `change`, a collective of `group`, has changed `array`, or its copy on the host."""
    if not needs_host(array, group):
        change(array)
        return
    host = to_pinned(array)
    change(host)
    from_pinned(host, array)


def made_of(x: Any, shape: Any, group: Any, fill: Callable[[Any, Any], Any]) -> Any:
    """An array where `x` lies, after `fill(out, x)`, a collective of `group`, perhaps on copies."""
    if not needs_host(x, group):
        out = xp(x).empty(shape, x.dtype)
        fill(out, x)
        return out
    host = numpy.empty(shape, x.dtype)
    fill(host, to_pinned(x))
    return to_device(host, device_of(x))
