"""The output of a rank, carried by its supervisor: to a log file, with the rank before each line.

Lines are written whole, in one piece, so that those of several ranks do not run into each other.
"""

import array
import fcntl
import os
import stat
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

_CHUNK = 65_536
# mpirun reads what is in a pipe in pieces (Open MPI: of 4096 bytes), wherever a line ends. So whole
# lines of at most that much are written, into an empty pipe.
_PIECE = 4096
_DRAINING = 1.0


@dataclass(slots=True)
class Stream:
    """One pipe from the child: where its lines go, and the part of a line that has come so far."""

    reading: int
    targets: tuple[int, ...]
    prefix: bytes = b""
    partial: bytes = field(default=b"", repr=False)

    def carry(self) -> bool:
        """Take what is there and pass complete lines on; False at the end of the stream."""
        data = os.read(self.reading, _CHUNK)
        text = self.partial + data
        # A progress bar ends its line with a carriage return.
        end = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        lines, self.partial = text[:end], text[end:]
        self._write(lines)
        if not data:
            self.finish()
        return bool(data)

    def finish(self) -> None:
        """Pass on the last line, which has no end."""
        self._write(self.partial)
        self.partial = b""

    def _write(self, lines: bytes) -> None:
        if not lines:
            return
        for target in self.targets:
            if target in (1, 2):
                for piece in _pieces(self._prefixed(lines)):
                    _wait_until_read(target)
                    _write_all(target, piece)
            else:
                _write_all(target, lines)

    def _prefixed(self, lines: bytes) -> bytes:
        if not self.prefix:
            return lines
        return b"".join(self.prefix + line for line in lines.splitlines(keepends=True))


class Output:
    """The two pipes of one rank; made before the fork, each side then keeps its own ends."""

    def __init__(self, rank: int, log_dir: str, prefix: bool) -> None:
        log: tuple[int, ...] = ()
        if log_dir:
            os.makedirs(log_dir, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
            log = (os.open(os.path.join(log_dir, f"rank{rank}.log"), flags, 0o644),)
        # With log files the terminal shows rank 0 alone.
        shown = self.shown = not log_dir or rank == 0
        tag = f"r{rank} ".encode() if prefix else b""
        pipes = [os.pipe(), os.pipe()]
        self.writing = [writing for _, writing in pipes]
        self.streams = [
            Stream(reading, (*log, number) if shown else log, tag)
            for number, (reading, _) in zip((1, 2), pipes)
        ]

    def enter_child(self) -> int:
        """Put the pipes in the place of stdout and stderr; where a report must go as well."""
        stderr = 2 if self.shown else os.dup(2)
        for number, writing in zip((1, 2), self.writing):
            os.dup2(writing, number)
            os.close(writing)
        for stream in self.streams:
            os.close(stream.reading)
        return stderr

    def enter_parent(self) -> None:
        """Leave the writing ends to the child."""
        for writing in self.writing:
            os.close(writing)
        for stream in self.streams:
            os.set_blocking(stream.reading, False)


def _pieces(lines: bytes) -> Iterator[bytes]:
    piece = b""
    for line in lines.splitlines(keepends=True):
        if piece and len(piece) + len(line) > _PIECE:
            yield piece
            piece = b""
        piece += line
    yield piece


def _wait_until_read(fd: int) -> None:
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        return
    count = array.array("i", [0])
    deadline = time.monotonic() + _DRAINING
    while True:
        fcntl.ioctl(fd, termios.FIONREAD, count)
        if not count[0] or time.monotonic() > deadline:
            return
        time.sleep(1e-4)


def _write_all(fd: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        # A full disk or a closed terminal does not end a training; the other target goes on.
        return
