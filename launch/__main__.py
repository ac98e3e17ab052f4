"""`python -m launch`: starts the ranks, or becomes one of them."""

import os
import signal
import sys
import time
from typing import NoReturn

from launch import cores, spawn, status, supervisor
from launch.ledger import folder, open_ledger
from launch.options import USAGE_TEXT, Options, contradiction, interpreter_flags, parse
from launch.output import Output
from launch.report import one_line, say, trimmed
from launch.script import problem
from launch.status import UsageError
from launch.world import ALONE, World, claimed


def main() -> tuple[Options, supervisor.Child]:
    """What the child of a supervisor needs to be a rank; any other process ends in here."""
    # Ctrl-C while things are imported shall not print where each process was. A rank that is up
    # hears it (launch.signals), and who starts ranks passes it on.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    claim = claimed(os.environ)
    try:
        options = parse(sys.argv[1:])
        if options.script is None:
            _tell(options, claim)
        if _starts_ranks(options, claim):
            sys.exit(spawn.spawn(options))
    except UsageError as error:
        _refuse(claim, str(error))
    # Until the rank listens, a signal that asks it to save and stop must not end it.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if claim.rank and "UNISON_STARTER" in os.environ:
        _close_stdin()
    try:
        ledger = open_ledger(claim.size)
    except OSError as error:
        why = f"cannot share memory in {folder()}: {error.strerror or error}"
        _refuse(claim, f"{why} (in a container: docker run --shm-size=1g)")
    if claim.launcher != ALONE or options.shards:
        _limit_threads(options, claim, ledger.starter)
    return options, supervisor.fork_rank(claim, ledger, _output(options, claim))


def _close_stdin() -> None:
    # What is typed goes to rank 0. Hydra gives the others a pipe that never ends: a script that
    # reads would wait in it for ever.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _limit_threads(options: Options, claim: World, starter: int) -> None:
    # Here, because a BLAS reads its variables when NumPy loads it. How it shares out a product
    # among threads may change bits, so with shards there is one, however many ranks there are.
    count = cores.threads(cores.mine(), cores.of_process(starter), claim.local_size)
    count = 1 if options.shards else count
    os.environ.update(cores.thread_limits(os.environ, count))


def _output(options: Options, claim: World) -> Output | None:
    if claim.launcher == ALONE and not options.prefix and not options.log_dir:
        return None
    try:
        return Output(claim.rank, options.log_dir, options.prefix)
    except OSError as error:
        _refuse(claim, f"cannot write log files in {options.log_dir!r}: {error.strerror}")


def _tell(options: Options, claim: World) -> NoReturn:
    if claim.rank > 0:
        sys.exit(0)
    if options.doctor or options.selftest:
        # Another program, so that ranks do not load what it needs.
        wanted = "doctor" if options.doctor else "selftest"
        os.execv(
            sys.executable,
            [sys.executable, *interpreter_flags(), "-m", "launch.doctor", wanted],
        )
    sys.stdout.write(USAGE_TEXT)
    sys.exit(0)


def _starts_ranks(options: Options, claim: World) -> bool:
    launched = claim.launcher != ALONE
    ranks = "this rank was" if claim.size == 1 else f"these {claim.size} ranks were"
    if found := contradiction(options, f"{ranks} started by {claim.launcher} already" * launched):
        raise UsageError(found)
    if launched:
        return False
    assert options.script is not None
    if found := problem(options.script):
        raise UsageError(found)
    return options.ranks > 1


def _refuse(claim: World, text: str) -> NoReturn:
    if claim.rank == 0:
        say(f"launch: {text}\n")
    elif claim.launcher != ALONE:
        # Whoever leaves first ends the job: rank 0's sentence needs the time to get through.
        time.sleep(2 * supervisor.FORWARDING)
    sys.exit(status.USAGE)


def _cannot_load(child: supervisor.Child, error: Exception) -> NoReturn:
    if child.ledger.claim(child.world.rank):
        shown = "" if isinstance(error, ImportError) else trimmed(error)
        say(f"launch: this Python cannot load ddp: {one_line(error)}\n{shown}")
    os.write(child.link, supervisor.REPORTED)
    sys.exit(status.USAGE)


if __name__ == "__main__":
    options, child = main()
    # Only here, in the child, NumPy and MPI are loaded: a supervisor must hold nothing that can
    # fail, and threads (of a BLAS, of MPI) do not survive a fork.
    try:
        from launch.rank import Observer, run

        observer: Observer | None = None
        if options.as_torch:
            from launch import as_torch

            as_torch.install()
        if options.trace or options.stats:
            from launch.timeline import Timeline

            observer = Timeline(options)
    except Exception as error:
        # Binary packages that do not fit each other raise all sorts of things.
        _cannot_load(child, error)
    run(options, child, observer)
