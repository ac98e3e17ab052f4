"""A job that goes wrong: `faults.py KIND RANK STEP`; rank RANK does it at step STEP.

The other ranks go on with their collectives, posted on the board as a process group posts them.
"""

import ctypes
import os
import pathlib
import signal
import sys
import threading
import time
import zlib

from mpi4py import MPI

from ddp import board as boards
from tests.launch.marks import written

comm = MPI.COMM_WORLD
board = boards.installed()
folder = pathlib.Path(os.environ["UNISON_TEST_DIR"])
posted = 0


def mark(name):
    """Write a file that the test waits for."""
    written(folder / f"{name}.{comm.rank}", repr(time.time()))


def all_reduce(label="all_reduce float32 (10,)"):
    """One collective, announced on the board."""
    global posted
    posted += 1
    board.post(posted, zlib.crc32(label.encode()), label, f"faults.py:{posted}")
    comm.allreduce(1)
    board.leave()


def fail_in_thread():
    """Raise in a thread and go on."""
    thread = threading.Thread(target=lambda: 1 / 0, name="loader")
    thread.start()


def leave_a_worker():
    """Fork a data worker that would live for ever, then raise."""
    if os.fork() == 0:
        time.sleep(600)
    raise ValueError("boom")


def fork_and_exit():
    """Fork a child that leaves by sys.exit, as a careless worker does."""
    child = os.fork()
    if child == 0:
        sys.exit(0)
    os.waitpid(child, 0)


def differ():
    """Announce another collective than the peers' and wait in it for ever."""
    board.post(posted + 1, 7, "broadcast float32 (10,)", "faults.py:0")
    comm.recv()


def die_of(number):
    """Send this process a signal and live on, if it lets us."""
    os.kill(os.getpid(), number)
    time.sleep(600)


def boom():
    """The plain failure."""
    raise ValueError("boom")


KINDS = {
    "raise": boom,
    "memory": lambda: bytearray(1 << 62),
    "exit3": lambda: sys.exit(3),
    "exit_text": lambda: sys.exit("no data"),
    "exit0": lambda: sys.exit(0),
    "_exit3": lambda: os._exit(3),
    "_exit0": lambda: os._exit(0),
    "kill": lambda: die_of(signal.SIGKILL),
    "segv": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "term": lambda: die_of(signal.SIGTERM),
    "int": lambda: die_of(signal.SIGINT),
    "thread": fail_in_thread,
    "sleep": lambda: time.sleep(600),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "gil": lambda: ctypes.PyDLL(None).pause(),
    "supervisor": lambda: (os.kill(os.getppid(), signal.SIGKILL), time.sleep(600)),
    "mismatch": differ,
    "worker": leave_a_worker,
    "fork": fork_and_exit,
    "all": boom,
    "none": lambda: None,
    "mpi_error": lambda: comm.send(1, dest=99),
}

if __name__ == "__main__":
    kind, rank, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    steps = int(sys.argv[4]) if len(sys.argv) > 4 else 1_000_000
    for number in range(steps):
        if number == step and (comm.rank == rank or kind == "all"):
            mark("fault")
            KINDS[kind]()
        all_reduce()
        if number == 0:
            mark("ready")
    print(f"rank {comm.rank} has ended")
