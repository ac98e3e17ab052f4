"""What a failed job says: one report, from the rank that failed first, the traceback last.

Text only, and the one writer; who may report is decided by the ledger.
"""

import os
import pathlib
import signal
import traceback
import zlib
from collections.abc import Sequence
from types import TracebackType

_PACKAGE = str(pathlib.Path(__file__).parent)
_COLLECTIVES = str(pathlib.Path(__file__).parents[1] / "ddp")  # not imported: supervisors are light
# Bounded: a report of megabytes would never get through mpirun before the job is killed.
_LONGEST = 60_000
_HEADLINE = 500
_HINTS = {
    signal.SIGKILL: "out of memory?",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "abort",
    signal.SIGBUS: "bus error: is the shared memory full? in a container: docker run --shm-size=1g",
}


def say(text: str, fd: int = 2) -> None:
    """Write lines in one piece; a closed or full stderr must not stop the end of a job."""
    data = text.encode(errors="replace")
    if len(data) > _LONGEST:
        left = f"\n... {len(data) - _LONGEST:,} bytes are left out ...\n".encode()
        data = data[: _LONGEST // 2] + left + data[-_LONGEST // 2 :]
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        return


def signal_text(number: int) -> str:
    """A signal in words, such as "killed by signal 9 (out of memory?)"."""
    try:
        hint = _HINTS.get(signal.Signals(number)) or signal.Signals(number).name
    except ValueError:
        hint = "unknown"
    return f"killed by signal {number} ({hint})"


def runs_text(numbers: Sequence[int]) -> str:
    """Whole numbers in words, runs joined.

    Example:
        >>> runs_text([0, 1, 2, 5])
        '0-2, 5'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def ranks_text(ranks: Sequence[int]) -> str:
    """Ranks in words, such as "rank 1" or "ranks 0-2, 5"."""
    return f"rank{'s' if len(ranks) > 1 else ''} {runs_text(ranks)}"


def trimmed(error: BaseException) -> str:
    """The traceback as plain `python` prints it: without the frames of the launcher.

    Of a collective that tells of other ranks the last frame is its caller.
    """
    tb = error.__traceback__
    while tb is not None and _is_ours(tb):
        tb = tb.tb_next
    shown = traceback.TracebackException(type(error), error, tb)
    if hasattr(error, "exit_status"):
        while len(shown.stack) > 1 and shown.stack[-1].filename.startswith(_COLLECTIVES):
            shown.stack.pop()
    return "".join(shown.format())


def one_line(error: BaseException) -> str:
    """The type and the first line of an exception."""
    # As a traceback has it: the text of an exception may itself raise.
    lines = str(traceback.TracebackException(type(error), error, None)).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= _HEADLINE else f"{text[:_HEADLINE]} ..."


def digest(text: str) -> int:
    """A number (not 0) that says whether two failures are the same."""
    return zlib.crc32(text.encode(errors="replace")) | 1 << 32


def _is_ours(tb: TracebackType) -> bool:
    name = tb.tb_frame.f_code.co_filename
    return name.startswith((_PACKAGE, "<frozen importlib", "<frozen runpy"))
