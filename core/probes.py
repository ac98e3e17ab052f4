"""What a profiler puts in when it starts, by those who stand above it and so cannot be named here.

A probe is called with `span(name)`, a context whose time the profiler notes, and returns what takes
it out again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Probe = Callable[[Callable[[str], Any]], Callable[[], None]]

probes: list[Probe] = []


def put(owner: Any, name: str, new: Any) -> Callable[[], None]:
    """What puts back the thing of this name that `owner` had before, and now has `new` for."""
    before = vars(owner)[name]
    setattr(owner, name, new)

    def back() -> None:
        if vars(owner)[name] is new:  # else somebody has put in another one since
            setattr(owner, name, before)

    return back
