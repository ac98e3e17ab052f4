"""The bad end of a rank: claim the report, say it once, leave; no wait without a limit."""

import os
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from ddp.board import Board, State
from launch import report, status
from launch.ledger import Ledger
from launch.supervisor import DEFERRING, REPORTED
from launch.world import World

# How long the reporting rank waits for others to fail in the same way ("ranks 0-3").
GATHERING = 0.15
# How long an abort may take before the process leaves without it.
ABORTING = 2.0


class Ending:
    """Ends this process, and with it the job, on the first call of `fail`."""

    def __init__(self, world: World, ledger: Ledger, link: int, stderr: int = 2) -> None:
        self.world = world
        self.board: Board | None = None
        # Set where the launcher does not end a job for a rank's exit status (srun): MPI's abort.
        self.abort: Callable[[int], None] | None = None
        self._ledger = ledger
        self._link = link
        self._stderr = stderr
        self._once = threading.Lock()
        self._pid = os.getpid()

    def detach(self) -> None:
        """Let go of the supervisor: in a forked child, whose end is not the end of the rank."""
        os.close(self._link)

    def tell(self, word: bytes) -> None:
        """Say one word to the supervisor."""
        os.write(self._link, word)

    def fail(self, code: int, text: str, details: str | Callable[[], str] = "") -> NoReturn:
        """End with status `code`; the first rank to come here reports `text`, then `details`."""
        if os.getpid() != self._pid:
            # A forked data worker is not the rank: it ends, and its parent decides.
            report.say(details if isinstance(details, str) and details else f"{text}\n")
            os._exit(code)
        if not self._once.acquire(blocking=False):
            # Another thread of this rank is ending the job.
            time.sleep(DEFERRING)
            os._exit(code)
        if self.board is not None:
            self.board.set_state(State.FAILED)
        mark = _mark(code, text + (details if isinstance(details, str) else ""))
        self._ledger.note(self.world.rank, mark)
        if self._ledger.claim(self.world.rank):
            self._report(mark, text, details if isinstance(details, str) else details())
            self.tell(REPORTED)
        else:
            self.tell(REPORTED)
            time.sleep(DEFERRING)
        self._leave(code)

    def say(self, text: str) -> None:
        """Write lines to the job's stderr, and to the rank's own where that is another."""
        report.say(text)
        if self._stderr != 2:
            report.say(text, self._stderr)

    def _report(self, mark: int, text: str, details: str) -> None:
        world = self.world
        if world.size > 1:
            time.sleep(GATHERING)
        same = self._ledger.failed(mark)
        known = [*same, *self._ledger.failed(status.UNEVEN)]
        others = [rank for rank in self._ledger.failed() if rank not in known]
        host = os.uname().nodename
        lines = (
            f"launch: {report.ranks_text(same)} of {world.size} (host {host}, pid {self._pid}) "
            f"{text}\n"
        )
        if others:
            lines += f"launch: {report.ranks_text(others)} failed as well\n"
        tag = f"[rank {world.rank}/{world.size} {host} {self._pid}] "
        self.say(lines + (tag if details.startswith("Traceback") else "") + details)

    def _leave(self, code: int) -> NoReturn:
        if self.abort is not None:
            leaving = threading.Timer(ABORTING, os._exit, (code,))
            leaving.daemon = True
            leaving.start()
            time.sleep(GATHERING)
            self.abort(code)
        os._exit(code)


def _mark(code: int, text: str) -> int:
    """A number that failures of one kind share: of ranks that disagree, each tells it its way."""
    return code if code in (status.MISMATCH, status.UNEVEN) else report.digest(text)
