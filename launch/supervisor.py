"""The parent of a rank: forked before anything but the standard library is loaded.

It holds little but a pipe to its child, so whatever ends the child (a signal, the kernel, a library
that calls exit) ends in one sentence and the right status, and it takes the rest of the job down in
the way that the job's launcher understands.
"""

import ctypes
import os
import select
import signal
import sys
import time
from dataclasses import dataclass

from launch import report, stacks, status
from launch.ledger import Ledger
from launch.output import Output, Stream
from launch.world import HYDRA, World

# What the child says through the pipe, one byte each.
STARTED = b"m"
REPORTED = b"r"
ENDED = b"e"

# Time for mpirun to forward what was written to stderr before it is told to kill the job: without
# it 0 to 3 of 8 reports were lost.
FORWARDING = 0.1
# A death by SIGTERM or SIGKILL is mostly the end of a job that failed elsewhere: let that rank
# speak first.
YIELDING = 0.2
# How long a rank that failed later waits for the end, so that the first one's status counts.
DEFERRING = 3.0
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a rank ended: the status of the job, and the sentence nobody has said yet (or "")."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Child:
    """What the child of a supervisor inherits: its world, the ledger and three descriptors."""

    world: World
    ledger: Ledger
    link: int
    stacks: int
    stderr: int


def verdict(wait_status: int, said: bytes) -> Verdict:
    """The verdict on a child from its wait status and what it said through the pipe."""
    if os.WIFSIGNALED(wait_status):
        number = os.WTERMSIG(wait_status)
        return Verdict(status.SIGNALLED + number, f"was {report.signal_text(number)}")
    code = os.WEXITSTATUS(wait_status)
    if REPORTED in said or (ENDED in said and code == 0):
        return Verdict(code, "")
    if ENDED in said:
        return Verdict(code, f"ended its script and then left with status {code}")
    where = "before the end of its script" if STARTED in said else "before it had started"
    text = f"left with status {code} {where} and without an exception (os._exit?)"
    return Verdict(code or status.SILENT, text)


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Make the kernel kill this process when its parent is gone (Linux), so none is left behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def _adopt_orphans() -> None:
    # The data workers of a rank that died become children of its supervisor, which can end them.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _kill_orphans() -> None:
    """Kill what a failed rank has left: its workers, and theirs."""
    while children := _children():
        for child in children:
            _pass_on(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def fork_rank(world: World, ledger: Ledger, output: Output | None) -> Child:
    """What the child needs to become the rank; the parent ends with it in here."""
    die_with_parent()
    _adopt_orphans()
    parent = os.getpid()
    memory = stacks.memory_file()
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        die_with_parent()
        if os.getppid() != parent:
            os._exit(status.SILENT)
        return Child(world, ledger, writing, memory, output.enter_child() if output else 2)
    os.close(writing)
    _forward_signals(child)
    if output:
        output.enter_parent()
    said = _listen(child, reading, output.streams if output else [])
    _, wait_status = os.waitpid(child, 0)
    found = verdict(wait_status, said)
    os._exit(_end(world, ledger, found, child, stacks.read(memory)))


def _listen(child: int, link: int, streams: list[Stream]) -> bytes:
    """What the child says until it is gone; its output is passed on meanwhile."""
    os.set_blocking(link, False)
    said = b""
    left = {stream.reading: stream for stream in streams}
    gone = False
    while True:
        ready, _, _ = select.select([*left] if gone else [link, *left], [], [], 0 if gone else 1.0)
        # Everything is drained once the child is gone, but not waited for: processes that it has
        # forked may hold the other ends for much longer.
        if gone and not ready:
            for stream in streams:
                stream.finish()
            return said
        if link in ready:
            words = os.read(link, 64)
            said += words
            gone = not words
        elif not ready:
            gone = _is_gone(child)
        for fd in ready:
            if fd != link and not left[fd].carry():
                del left[fd]


def _is_gone(child: int) -> bool:
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, child, options) is not None


def _forward_signals(child: int) -> None:
    # mpirun and terminals signal the whole group, so SIGINT reaches the child anyway; passing it on
    # a second time cost 2-3 s and 80 lines. SIGTERM and SIGUSR1 may come twice without harm.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, lambda got, frame: _pass_on(child, got))


def _pass_on(child: int, number: int) -> None:
    try:
        os.kill(child, number)
    except ProcessLookupError:
        return


def _end(world: World, ledger: Ledger, found: Verdict, child: int, dump: str) -> int:
    if found.code == 0:
        return 0
    if found.text:
        if found.code in (status.SIGNALLED + signal.SIGKILL, status.TERMINATED):
            time.sleep(YIELDING)
        if ledger.claim(world.rank):
            _report(world, found, child, dump)
        else:
            # The rank that failed first may still be collecting what it has to say.
            time.sleep(DEFERRING)
    ledger.unlink()
    _kill_orphans()
    time.sleep(FORWARDING)
    _abort_job(world, found.code)
    return found.code


def _report(world: World, found: Verdict, child: int, dump: str) -> None:
    host = os.uname().nodename
    stack = stacks.frames(dump)
    where = stacks.place(stack)
    lines = f"launch: rank {world.rank} of {world.size} (host {host}, pid {child}) {found.text}"
    lines += f" in {where}\n" if where else "\n"
    if stack:
        lines += f"[rank {world.rank}/{world.size} {host} {child}] {stacks.text(stack)}"
    report.say(lines)


def _abort_job(world: World, code: int) -> None:
    # An exit status alone is a lottery under Hydra (os._exit(3) gave 3 or 9, a vanished rank 0);
    # its own abort message carried the right status in every run. Open MPI takes the exit status.
    fd = os.environ.get("PMI_FD", "")
    if world.launcher != HYDRA or not fd.isdigit():
        return
    try:
        os.write(int(fd), f"cmd=abort exitcode={code}\n".encode())
    except OSError:
        # The proxy has gone already: the job is ending.
        return
    time.sleep(0.5)
