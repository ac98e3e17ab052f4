"""How a rank waits for another process: it looks, lets others run, and sleeps, in that order."""

from __future__ import annotations

import os
import time
from typing import Any

from ddp.call import CollectiveError
from ddp.work import Engine, Work

# While every rank has a core of its own nobody needs this one: a small collective is over within
# 10 us. Where ranks share cores each look keeps from running the rank that is waited for: 4 ranks
# on 2 cores met in 7 us with one look, then sched_yield, against 200 us with 200 looks.
SPIN_SECONDS = 1e-4
# sched_yield costs 0.4 us and comes back at once where nothing else wants to run; sleep costs
# 60 us and is for ranks that are late, which may want this core.
YIELD_SECONDS = 1e-3
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
        spin_until = start if self.crowded else start + SPIN_SECONDS
        next_check, suspected = start + _PEERS_SECONDS, False
        while not work.done:
            now = time.monotonic()
            if work.remaining() <= 0:
                work.expire()
                return
            if now > next_check:
                next_check = now + _PEERS_SECONDS
                suspected = _check_peers(work, suspected)
            if now > spin_until:
                let_others_run(now - start)
            self.progress()


def let_others_run(waited: float) -> None:
    """Nothing; another process or thread has had this core, after `waited` seconds for longer."""
    if waited < YIELD_SECONDS:
        os.sched_yield()
    else:
        time.sleep(_SLEEP_SECONDS)


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
