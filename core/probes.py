"""What a profiler puts in when it starts, by those who stand above it and so cannot be named here.

A probe is called with `span(name)`, a context whose time the profiler notes, and returns what takes
it out again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Probe = Callable[[Callable[[str], Any]], Callable[[], None]]

probes: list[Probe] = []
