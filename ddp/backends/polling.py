"""How a rank waits for another process: it looks for a while, then it sleeps between looks."""

from __future__ import annotations

import os
import time
from typing import Any

from ddp.call import CollectiveError
from ddp.work import Engine, Work

# So long a rank looks without a rest before it sleeps, which costs 60 us. While every rank has a
# core of its own it gives it to nobody: beside other programs sched_yield takes 0.4 to 3 ms, the
# rank that waited for this one yields then as well, and so on for ever (28 us became 400). Where
# ranks share cores each look keeps from running the rank that is waited for: 4 ranks on 2 cores
# met in 7 us with one look, then sched_yield, against 200 us with 200 looks.
AWAKE_SECONDS = 1e-3
_SLEEP_SECONDS = 1e-4
# Now and then a rank that waits looks whether the others still live.
_PEERS_SECONDS = 0.1


class PollEngine(Engine):
    """Looks again and again, without holding the processor for long."""

    def __init__(self) -> None:
        super().__init__()
        # Whether the ranks of this node are more than its cores.
        self.crowded = False

    def wait_until(self, work: Work) -> None:
        """Nothing, once `work` is done or has failed."""
        self.progress()
        start = time.monotonic()
        next_check, suspected = start + _PEERS_SECONDS, False
        while not work.done:
            now = time.monotonic()
            if work.remaining() <= 0:
                work.expire()
                return
            if now > next_check:
                next_check = now + _PEERS_SECONDS
                suspected = _check_peers(work, suspected)
            if now > start + AWAKE_SECONDS:
                time.sleep(_SLEEP_SECONDS)
            elif self.crowded:
                os.sched_yield()
            self.progress()


def more_ranks_than_cores(node: Any) -> bool:
    """Whether the ranks of the communicator `node`, all of one machine, must share cores."""
    mine = (
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    return len(set().union(*node.allgather(sorted(mine)))) < node.Get_size()


def _check_peers(work: Work, suspected: bool) -> bool:
    """Whether another rank has failed; the second time in a row `work` fails as well.

    The other may have failed after it sent its part, which then arrives in between.
    """
    try:
        work.owner.check_peers()
    except CollectiveError as error:
        if suspected:
            work.fail(error)
        return True
    return False
