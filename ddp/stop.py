"""Whether the ranks are to stop: asked of one of them by a signal, answered by all together."""

from __future__ import annotations

from typing import Any

import numpy

from ddp.board import stop_requested
from ddp.group import ReduceOp
from ddp.lifecycle import default_group


def should_stop(group: Any = None) -> bool:
    """Whether SIGUSR1 or SIGTERM has reached any rank: one answer on all ranks, at the same step.

    A collective (one byte per call), so every rank asks at the same place, such as the end of a
    step; then all save and return, and the job ends with status 0. The signals are heard under
    `launch` only. After SIGTERM a rank has 30 s, under Open MPI's mpirun 0.24 s: SIGUSR1 is safe.
    Example:
        >>> from ddp.simulate import simulate
        >>> simulate(should_stop, size=2)
        [False, False]
    """
    asked = numpy.array([stop_requested()], numpy.uint8)
    default_group(group).all_reduce(asked, ReduceOp.MAX, label="should_stop")
    return bool(asked[0])
