"""The life of one rank, in the child of its supervisor: start MPI, watch, run the script, end together."""

import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, NoReturn

from ddp import board as boards
from ddp.board import Board, State
from launch import mpi, report, script, status
from launch.ledger import Ledger
from launch.options import Options
from launch.status import UsageError
from launch.supervisor import ENDED, MPI_IS_UP, REPORTED
from launch.watchdog import Finding, Watchdog, roll_call
from launch.world import ALONE, World

if TYPE_CHECKING:
    from mpi4py import MPI

# How long the reporting rank waits for others to fail in the same way ("ranks 0-3").
GATHERING = 0.15
# How long a rank that failed later waits for the end, so that the first one's status counts.
DEFERRING = 3.0


class Rank:
    """One rank of the job; `run` ends the process."""

    def __init__(self, options: Options, claim: World, ledger: Ledger, link: int) -> None:
        self.options = options
        self.world = claim
        self._ledger = ledger
        self._link = link
        self._comm: MPI.Intracomm | None = None
        self._board: Board | None = None
        self._watchdog: Watchdog | None = None
        self._ending = threading.Lock()
        self._signals: list[int] = []
        self._pid = os.getpid()

    def run(self) -> int:
        """The status with which the interpreter may end in peace: 0 at the end of the script."""
        faulthandler.enable()
        try:
            self._start()
        except UsageError as error:
            self._refuse(str(error))
        self._export()
        self._install_handlers()
        self._run_script()
        self._end_together()
        return 0

    # ---- start ----

    def _start(self) -> None:
        if self.world.launcher != ALONE:
            self._comm, self.world = mpi.start(self.world)
            self._say(MPI_IS_UP)
        self._agree()
        self._board = self._make_board()
        if self._comm is not None:
            mpi.tidy(self._comm, self.world)
        self._ledger.unlink()

    def _agree(self) -> None:
        assert self.options.script is not None
        found = script.problem(self.options.script)
        problems = [found] if self._comm is None else self._comm.allgather(found)
        bad = [rank for rank, problem in enumerate(problems) if problem]
        if bad:
            where = "" if len(bad) == self.world.size else f" on {report.ranks_text(bad)}"
            raise UsageError(f"{problems[bad[0]]}{where}")
        if self.options.shards % self.world.size:
            raise UsageError(
                f"--shards {self.options.shards} cannot be shared by {self.world.size} ranks: "
                "the number of ranks must divide it"
            )

    def _make_board(self) -> Board:
        path = f"{self._ledger.path}-board"
        rank, size, comm = self.world.rank, self.world.size, self._comm
        creates = self.world.local_rank == 0
        board = Board(path, rank, size, create=True) if creates else None
        if comm is not None:
            comm.Barrier()
        board = board or Board(path, rank, size, create=False)
        if comm is not None:
            comm.Barrier()
        if creates:
            os.unlink(path)
        boards.install(board)
        return board

    def _export(self) -> None:
        world = self.world
        os.environ.update(
            RANK=str(world.rank),
            WORLD_SIZE=str(world.size),
            LOCAL_RANK=str(world.local_rank),
            LOCAL_WORLD_SIZE=str(world.local_size),
        )
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault(
            "MASTER_PORT", str(20_000 + report.digest(self._ledger.path) % 40_000)
        )
        if self.options.shards:
            os.environ["UNISON_SHARDS"] = str(self.options.shards)
        if self.options.check:
            os.environ["UNISON_CHECK"] = "1"

    def _install_handlers(self) -> None:
        assert self._board is not None
        threading.excepthook = self._thread_failed
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._on_signal)
        for stream in (sys.stdout, sys.stderr):
            # Whole lines reach mpirun in one piece, and nothing is lost when a job is killed.
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        self._board.set_state(State.COMPUTING)
        self._watchdog = Watchdog(
            self._board,
            range(self.world.size),
            self.options.timeout,
            self._watchdog_found,
            self._signalled,
        )

    # ---- the script, and its ends ----

    def _run_script(self) -> None:
        assert self.options.script is not None
        try:
            script.run(self.options.script)
        except SystemExit as error:
            self._exited(error)
        except KeyboardInterrupt:
            self.fail(status.INTERRUPTED, "interrupted (SIGINT)")
        except BaseException as error:
            # The one place that ends a job for an exception: everything else would hang the peers.
            self.fail(status.EXCEPTION, _one_line(error), report.trimmed(error))

    def _exited(self, error: SystemExit) -> None:
        if error.code is None or error.code == 0:
            return
        if isinstance(error.code, int):
            self.fail(error.code & 0xFF or 1, f"called sys.exit({error.code})")
        self.fail(status.EXCEPTION, f"sys.exit: {error.code}")

    def _end_together(self) -> None:
        assert self._board is not None and self._watchdog is not None
        self._board.set_state(State.FINISHED)
        if self._comm is not None:
            done = self._comm.Ibarrier()
            pause = 1e-4
            while not done.Test():
                # Polled, so that signals and the watchdog go on working; without a limit, because
                # the others may rightly have work left.
                time.sleep(pause)
                pause = min(2 * pause, 0.02)
        self._watchdog.stop()
        self._say(ENDED)

    def _thread_failed(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_type is SystemExit or args.exc_value is None:
            return
        name = args.thread.name if args.thread else "a thread"
        text = f"{_one_line(args.exc_value)} (in thread {name})"
        self.fail(status.EXCEPTION, text, report.trimmed(args.exc_value))

    def _on_signal(self, number: int, frame: object) -> None:
        if number == signal.SIGUSR1:
            boards.request_stop()
        self._signals.append(number)

    def _signalled(self) -> Finding | None:
        if signal.SIGTERM in self._signals and signal.getsignal(signal.SIGTERM) == self._on_signal:
            return Finding(
                status.TERMINATED, "terminated (SIGTERM from a user, mpirun or scheduler)"
            )
        return None

    def _watchdog_found(self, code: int, text: str) -> None:
        if code == status.TERMINATED:
            # mpirun sends SIGTERM to the survivors of a failed rank: that rank has the word.
            time.sleep(0.15)
        assert self._board is not None
        table = "" if code == status.TERMINATED else self._roll_call()
        self.fail(code, text, table + (self._main_stack() if code != status.TERMINATED else ""))

    # ---- the bad end ----

    def fail(self, code: int, text: str, details: str = "") -> NoReturn:
        """End this process and with it the job; the first rank to come here reports."""
        if os.getpid() != self._pid:
            # A forked data worker is not the rank: it ends, its parent decides.
            report.say(details or f"{text}\n")
            os._exit(code)
        if not self._ending.acquire(blocking=False):
            # Another thread of this rank is ending the job.
            while True:
                time.sleep(DEFERRING)
        if self._board is not None:
            self._board.set_state(State.FAILED)
        mark = report.digest(text + details)
        self._ledger.note(self.world.rank, mark)
        self._say(REPORTED)
        if self._ledger.claim(self.world.rank):
            time.sleep(GATHERING if self.world.size > 1 else 0)
            self._report(mark, text, details)
        else:
            time.sleep(DEFERRING)
        os._exit(code)

    def _report(self, mark: int, text: str, details: str) -> None:
        world = self.world
        same = self._ledger.failed(mark)
        who = report.ranks_text(same if world.rank in same else [world.rank])
        others = [rank for rank in self._ledger.failed() if rank not in same]
        place = f"host {os.uname().nodename}, pid {self._pid}"
        lines = f"launch: {who} of {world.size} ({place}) {text}\n"
        if others:
            lines += f"launch: {report.ranks_text(others)} failed as well\n"
        tag = f"[rank {world.rank}/{world.size} {os.uname().nodename} {self._pid}] "
        report.say(lines + (tag + details if details.startswith("Traceback") else details))

    def _refuse(self, text: str) -> NoReturn:
        # All ranks come here together; one of them says why.
        if self.world.rank == 0:
            report.say(f"launch: {text}\n")
        self._say(REPORTED)
        if self._comm is None and self.world.size > 1 and self.world.rank:
            time.sleep(GATHERING)
        sys.exit(status.USAGE)

    def _roll_call(self) -> str:
        assert self._board is not None
        return roll_call(self._board, range(self.world.size), time.monotonic())

    def _main_stack(self) -> str:
        frame = sys._current_frames().get(threading.main_thread().ident or 0)
        return "".join(traceback.format_stack(frame)[-6:]) if frame else ""

    def _say(self, word: bytes) -> None:
        os.write(self._link, word)


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def run(options: Options, claim: World, ledger: Ledger, link: int) -> NoReturn:
    """Be this rank until the end of the job."""
    sys.exit(Rank(options, claim, ledger, link).run())
