"""The life of one rank, in the child of its supervisor: start, watch, run the script, end."""

import os
import sys
import threading
import time
from typing import NoReturn, Protocol

from ddp import board as boards
from ddp.board import Board, State
from launch import hang, mpi, report, script, stacks, status
from launch.agreement import Agreement, agree, exported
from launch.announce import announce
from launch.ending import GATHERING, Ending
from launch.mpi import Team
from launch.options import Options
from launch.script import Script
from launch.signals import Signals
from launch.status import UsageError
from launch.supervisor import ENDED, REPORTED, STARTED, Child
from launch.watchdog import Finding, Watchdog
from launch.world import ALONE, HYDRA, OPEN_MPI

# mpirun sends SIGTERM to the survivors of a failed rank: that rank has the word.
YIELDING = 0.15
# The rank that an error speaks of is ending too, and knows the cause.
ECHOING = 0.5


class Observer(Protocol):
    """What watches the script of a rank that reaches its end (see `launch.timeline`)."""

    def start(self) -> None:
        """Nothing; the script begins."""

    def stop(self) -> None:
        """Nothing; the script of this rank has ended."""

    def finish(self, team: Team) -> str:
        """What to say, on one rank; called when all ranks have reached their end."""


class Rank:
    """One rank of the job, from the fork to its end."""

    def __init__(
        self, options: Options, wanted: Script, child: Child, observer: Observer | None
    ) -> None:
        self._observer = observer
        self._options = options
        self._script = wanted
        self._child = child
        self._ending = Ending(child.world, child.ledger, child.link, child.stderr)
        self._team = Team(child.world)
        self._pid = os.getpid()

    def run(self) -> int:
        """The status with which the interpreter may end in peace: 0 after the end of the script."""
        stacks.arm(self._child.stacks)
        os.register_at_fork(after_in_child=self._ending.detach)
        signals = Signals()
        try:
            self._live(signals)
        except UsageError as error:
            return self._refuse(str(error))
        except KeyboardInterrupt:
            self._ending.fail(status.INTERRUPTED, "interrupted (SIGINT)")
        except Exception as error:
            # The others wait in MPI for this rank: it must not leave by way of MPI's end.
            self._ending.fail(status.EXCEPTION, report.one_line(error), report.trimmed(error))
        return 0

    def _live(self, signals: Signals) -> None:
        agreement, board = self._start()
        watchdog = self._watch(agreement, board, signals)
        stacks.mark(os.environ.pop("UNISON_STARTER", ""))
        if self._observer is not None:
            self._observer.start()
        self._run_script()
        if self._observer is not None:
            self._observer.stop()
        board.set_state(State.FINISHED)
        self._team.end_together()
        if self._observer is not None:
            self._ending.say(self._observer.finish(self._team))
        watchdog.stop()
        self._ending.tell(ENDED)

    # ---- start ----

    def _start(self) -> tuple[Agreement, Board]:
        ledger = self._child.ledger
        if self._child.world.launcher != ALONE:
            self._team = mpi.start(self._child.world)
            self._ending.world = self._team.world
            self._ending.tell(STARTED)
            # At once: whatever happens from here on leaves no file behind.
            self._team.tidy()
            if self._team.world.launcher not in (HYDRA, OPEN_MPI):
                self._ending.abort = self._team.abort
        else:
            self._ending.tell(STARTED)
        agreement = agree(self._team, self._options, self._script, self._child.stacks)
        board = self._make_board(f"{ledger.path}-board")
        self._ending.board = board
        ledger.unlink()
        announce(self._team, self._options, agreement, ledger.starter)
        os.environ.update(exported(self._team, self._options, agreement, ledger.path))
        return agreement, board

    def _make_board(self, path: str) -> Board:
        world = self._team.world
        creates = world.local_rank == 0
        board = Board(path, world.rank, world.size, create=True) if creates else None
        self._team.barrier()
        board = board or Board(path, world.rank, world.size, create=False)
        self._team.barrier()
        if creates:
            # All ranks have it mapped: nothing can be left behind now.
            os.unlink(path)
        boards.install(board)
        return board

    def _watch(self, agreement: Agreement, board: Board, signals: Signals) -> Watchdog:
        self._agreement, self._board = agreement, board
        threading.excepthook = self._thread_failed
        for stream in (sys.stdout, sys.stderr):
            # Whole lines reach mpirun in one piece, and nothing is lost when a job is killed.
            stream.reconfigure(line_buffering=True, write_through=False)  # type: ignore[union-attr]
        board.set_state(State.COMPUTING)
        peers = [peer.rank for peer in agreement.peers]
        return Watchdog(board, peers, self._options.timeout, self._found, signals.finding)

    def _refuse(self, text: str) -> int:
        # With MPI all ranks come here together; before that, perhaps only some of them do. One says
        # why, and leaves first.
        world, ledger = self._team.world, self._child.ledger
        if world.rank == 0 if self._team.has_mpi else ledger.claim(world.rank):
            where = (
                "" if world.rank == 0 else f" (on rank {world.rank}, host {os.uname().nodename})"
            )
            self._ending.say(f"launch: {text}{where}\n")
        else:
            time.sleep(GATHERING)
        self._ending.tell(REPORTED)
        return status.USAGE

    # ---- the script ----

    def _run_script(self) -> None:
        try:
            script.run(self._script)
        except SystemExit as error:
            self._exited(error.code)
        except KeyboardInterrupt:
            self._ending.fail(status.INTERRUPTED, "interrupted (SIGINT)")
        except BaseException as error:
            # Whatever it is, the peers would wait for ever for a rank that is gone.
            # A collective knows its own status: mismatch, deadline, a rank that has left.
            code = getattr(error, "exit_status", status.EXCEPTION)
            if getattr(error, "is_echo", False):
                time.sleep(ECHOING)
            self._ending.fail(code, report.one_line(error), report.trimmed(error))

    def _exited(self, code: object) -> None:
        if os.getpid() != self._pid:
            # A child forked by the script: MPI must not be finalized from here.
            sys.stdout.flush()
            os._exit(code if isinstance(code, int) else bool(code))
        if code is None or code == 0:
            return
        if isinstance(code, int):
            self._ending.fail(code & 0xFF or status.EXCEPTION, f"called sys.exit({code})")
        self._ending.fail(status.EXCEPTION, f"left: {code}")

    def _thread_failed(self, args: threading.ExceptHookArgs) -> None:
        error = args.exc_value
        if error is None or isinstance(error, SystemExit):
            return
        name = args.thread.name if args.thread else "unknown"
        text = f"{report.one_line(error)} (in thread {name})"
        self._ending.fail(status.EXCEPTION, text, report.trimmed(error))

    # ---- what the watchdog finds ----

    def _found(self, found: Finding) -> None:
        if found.code in (status.TERMINATED, status.INTERRUPTED):
            time.sleep(YIELDING)
            self._ending.fail(found.code, found.text)
        # Written down now: to ask for the stacks may wake up what hangs.
        standing = hang.standing(self._board, self._agreement.peers)
        self._ending.fail(found.code, found.text, lambda: self._details(found, standing))

    def _details(self, found: Finding, standing: list[hang.Standing]) -> str:
        if found.code == status.DEADLINE:
            return hang.diagnosis(standing, self._options.log_dir)
        return hang.roll_call(standing)


def run(options: Options, child: Child, observer: Observer | None = None) -> NoReturn:
    """Be this rank until the end of the job."""
    assert options.script is not None
    sys.exit(Rank(options, options.script, child, observer).run())
