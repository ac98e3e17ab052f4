"""Where each rank keeps its Python stacks for the hour of need, and how they are read.

faulthandler writes them from C, into a memory file: also while MPI blocks, while an extension holds
the GIL, and in the moment of a segmentation fault.
"""

import faulthandler
import os
import pathlib
import re
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

# A real-time signal: scripts and schedulers use the two user signals.
DUMP_SIGNAL: int = getattr(signal, "SIGRTMIN", signal.SIGUSR2) + (
    5 if hasattr(signal, "SIGRTMIN") else 0
)
# The time in which a living process writes its stacks; a stopped one never does.
WRITING = 0.3
_FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')
_MARKS = ("Current thread", "Stack (")
_PACKAGE = str(pathlib.Path(__file__).parent)
_OURS = [str(pathlib.Path(_PACKAGE).with_name(name)) + os.sep for name in ("core", "ddp", "launch")]
_NOT_THE_USERS = (*_OURS, "<frozen", os.path.dirname(os.__file__))


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a stack."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.function} at {os.path.basename(self.file)}:{self.line}"


def memory_file() -> int:
    """A file descriptor of a file without a name, shared with the children forked later."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("unison-stacks", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def address(fd: int) -> str:
    """The words by which processes of this host find a memory file of this process."""
    return f"{os.uname().nodename} {os.getpid()} {fd}"


def mark(place: str) -> None:
    """Write a byte to the memory file at an address, if it is one of this host."""
    host, _, rest = place.partition(" ")
    path = "/proc/{}/fd/{}".format(*rest.split()) if rest.count(" ") == 1 else ""
    if host != os.uname().nodename or not os.path.exists(path):
        return
    # Process numbers may mean others in a container: write to nothing but a memory file of ours.
    if os.readlink(path).startswith("/memfd:unison-"):
        with open(path, "wb") as file:
            file.write(b"1")


def arm(fd: int) -> None:
    """Write to `fd` the stacks on a fatal error, and the main thread's on DUMP_SIGNAL.

    The stack of a thread that runs on meanwhile cannot be read without danger: a dump of all
    threads ended a hanging job of the soak with a segmentation fault.
    """
    faulthandler.enable(fd)
    faulthandler.register(DUMP_SIGNAL, fd, all_threads=False)


def read(fd: int) -> str:
    """What was written to `fd` so far."""
    return os.pread(fd, os.fstat(fd).st_size, 0).decode(errors="replace")


def collect(places: Sequence[tuple[int, int]]) -> list[str]:
    """The stacks of processes given as (pid, fd of its memory file); "" for one that gave none."""
    for pid, _ in places:
        try:
            os.kill(pid, DUMP_SIGNAL)
        except ProcessLookupError:
            continue
    time.sleep(WRITING)
    return [_read_of(pid, fd) for pid, fd in places]


def frames(dump: str) -> list[Frame]:
    """The last stack of a dump, of the thread that got the signal, without the launcher's frames.

    Innermost first.
    """
    blocks = re.split(r"\n(?=\S)", dump)
    block = next((text for text in reversed(blocks) if text.startswith(_MARKS)), "")
    found = [Frame(file, int(line), name) for file, line, name in _FRAME.findall(block)]
    ours = next((i for i, frame in enumerate(found) if frame.file.startswith(_PACKAGE)), len(found))
    inner = found[:ours]
    while inner and inner[-1].file.startswith("<frozen"):
        inner.pop()
    return inner


def place(stack: Sequence[Frame]) -> Frame | None:
    """The innermost line of the user's own code, else the innermost line; None if empty."""
    outside = (*_NOT_THE_USERS, *(path for path in sys.path if path.endswith("-packages")))
    own = [frame for frame in stack if not frame.file.startswith(outside)]
    return own[0] if own else stack[0] if stack else None


def text(stack: Sequence[Frame]) -> str:
    """A stack as a traceback is printed: outermost first."""
    lines = [f'  File "{f.file}", line {f.line}, in {f.function}\n' for f in reversed(stack)]
    return "Stack (most recent call last):\n" + "".join(lines) if lines else ""


def _read_of(pid: int, fd: int) -> str:
    try:
        with open(f"/proc/{pid}/fd/{fd}", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
