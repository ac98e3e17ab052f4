"""Arrays of a GPU in a group that moves the CPU's: there through pinned memory and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

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
