"""The board: one file of shared memory per node where each rank says what it is about to do.

A rank posts one aligned 64-bit word, the sequence number and the fingerprint of the collective it
is about to enter, and then reads the words of its peers. Of two ranks that disagree at least one
sees it before any data moves. The rest of the board (state, label, call site) is for human eyes.
Standard library only: the launcher reads the board while the interpreter is in any state.
"""

import mmap
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

SLOTS = 64
_TEXT = 96
# One rank's part, in 64-bit words: pid, state, seq, since, two texts, the ring of records.
_PID, _STATE, _SEQ, _SINCE = range(4)
_LABEL = 8
_SITE = _LABEL + _TEXT // 8
_RING = _SITE + _TEXT // 8
_WORDS = _RING + SLOTS
_LOW = 0xFFFFFFFF


class State(IntEnum):
    """What a rank is doing, as it said itself."""

    ABSENT = 0
    STARTING = 1
    COMPUTING = 2
    IN_COLLECTIVE = 3
    PATIENT = 4
    FINISHED = 5
    FAILED = 6


# Plain numbers for every call: a member takes 0.15 us to be found and made a number.
_COMPUTING, _IN_COLLECTIVE = int(State.COMPUTING), int(State.IN_COLLECTIVE)


@dataclass(frozen=True, slots=True)
class Record:
    """What one rank last said: process, state and since when (seconds of `time.monotonic`)."""

    pid: int
    state: State
    seq: int
    since: float
    label: str
    site: str


class Board:
    """The shared board of the ranks of one node, written by rank `rank`, readable by all.

    Raises: OSError if the file exists already (`create=True`) or cannot be opened.
    Example:
        >>> import tempfile, os
        >>> with tempfile.TemporaryDirectory() as d:
        ...     one = Board(os.path.join(d, "board"), 0, 2, create=True)
        ...     two = Board(os.path.join(d, "board"), 1, 2, create=False)
        ...     one.post(1, 7, "all_reduce"); two.post(1, 8, "broadcast")
        ...     (one.mismatch(), one.read(1).label)
        (1, 'broadcast')
    """

    def __init__(self, path: str, rank: int, size: int, create: bool) -> None:
        self.rank = rank
        self.size = size
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(path, flags | (os.O_CREAT | os.O_EXCL if create else 0), 0o600)
        try:
            if create:
                _reserve(fd, 8 * _WORDS * size, path)
            self._map = mmap.mmap(fd, 8 * _WORDS * size)
        finally:
            os.close(fd)
        self._words = memoryview(self._map).cast("Q")
        self._start = rank * _WORDS
        self._seq = 0
        self._key = 0
        self._fence = threading.Lock()
        self._texts: dict[str, bytes] = {}
        self._label = self._site = ""  # what the board holds
        self._words[self._start + _PID] = os.getpid()
        self.set_state(State.STARTING)

    def post(self, seq: int, fingerprint: int, label: str, site: str = "") -> None:
        """Say that this rank enters collective `seq`, described by a 32-bit `fingerprint`."""
        words, start = self._words, self._start
        # A loop posts the same objects again and again.
        if label is not self._label:
            self._write(start + _LABEL, label)
            self._label = label
        if site is not self._site:
            self._write(start + _SITE, site)
            self._site = site
        self._seq = seq
        self._key = seq << 32 | fingerprint & _LOW
        words[start + _SINCE] = time.monotonic_ns()
        words[start + _SEQ] = seq
        words[start + _STATE] = _IN_COLLECTIVE
        # One store of one aligned word: a reader sees the old record or the new one, never half of
        # each (a 16-byte record written bytewise gave 6 false alarms in 72 randomised runs).
        words[start + _RING + seq % SLOTS] = self._key
        # The lock is a full fence: without it the processor may read the peers' words (mismatch)
        # before its own word is visible, and two ranks that disagree could both miss it.
        with self._fence:
            pass

    def mismatch(self, ranks: Sequence[int] | None = None) -> int | None:
        """A rank whose record at the sequence number last posted here differs, else None."""
        words, key, seq = self._words, self._key, self._seq
        slot = _RING + seq % SLOTS
        for rank in range(self.size) if ranks is None else ranks:
            word = words[rank * _WORDS + slot]
            if word != key and word >> 32 == seq:
                return rank
        return None

    def all_posted(self) -> bool:
        """Whether the records of all ranks equal the one last posted here."""
        words, key = self._words, self._key
        for place in range(_RING + self._seq % SLOTS, self.size * _WORDS, _WORDS):
            if words[place] != key:
                return False
        return True

    def leave(self) -> None:
        """Say that this rank has left its collective and computes."""
        words, start = self._words, self._start
        words[start + _STATE] = _COMPUTING
        words[start + _SINCE] = time.monotonic_ns()

    def set_state(self, state: State) -> None:
        """Say what this rank does; `State.PATIENT` is a collective without a deadline."""
        self._words[self._start + _STATE] = state
        self._words[self._start + _SINCE] = time.monotonic_ns()

    def state(self, rank: int) -> State:
        """The state in `read(rank)`, without its texts: cheap enough for a loop that polls."""
        return State(self._words[rank * _WORDS + _STATE])

    def read(self, rank: int) -> Record:
        """What rank `rank` last said."""
        words, start = self._words, rank * _WORDS
        return Record(
            pid=words[start + _PID],
            state=State(words[start + _STATE]),
            seq=words[start + _SEQ],
            since=words[start + _SINCE] / 1e9,
            label=self._text(start + _LABEL),
            site=self._text(start + _SITE),
        )

    def fingerprint_at(self, rank: int, seq: int) -> int | None:
        """The fingerprint that `rank` posted for collective `seq`, None if it is not there."""
        word = self._words[rank * _WORDS + _RING + seq % SLOTS]
        return word & _LOW if seq and word >> 32 == seq else None

    def close(self) -> None:
        """Give the shared memory back; the file itself belongs to whoever created it."""
        self._words.release()
        self._map.close()

    def _write(self, word: int, text: str) -> None:
        # Few texts in a whole run: encode each once.
        padded = self._texts.get(text)
        if padded is None:
            padded = text.encode()[: _TEXT - 1].ljust(_TEXT, b"\0")
            if len(self._texts) < 4096:
                self._texts[text] = padded
        self._map[8 * word : 8 * word + _TEXT] = padded

    def _text(self, word: int) -> str:
        raw = self._map[8 * word : 8 * word + _TEXT]
        return raw.split(b"\0", 1)[0].decode(errors="replace")


def _reserve(fd: int, count: int, path: str) -> None:
    os.ftruncate(fd, count)
    try:
        # A full /dev/shm is an error here, not a bus error at some later word.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, count)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from None


_installed: Board | None = None
# Plain flags: a signal that interrupts the handler of another would wait for ever for the lock of
# an Event (SIGTERM comes twice: from mpirun and from the supervisor).
_stop = False
_stop_is_watched = False


def install(board: Board | None) -> None:
    """Make `board` the board of this process (the launcher does, before user code starts)."""
    global _installed
    _installed = board


def installed() -> Board | None:
    """The board of this process, None where no launcher made one."""
    return _installed


def request_stop() -> None:
    """Ask this rank to stop at its next step boundary (SIGUSR1 does, under the launcher)."""
    global _stop
    _stop = True


def stop_requested() -> bool:
    """True once a stop was asked for on this rank; that all ranks agree is the caller's part."""
    global _stop_is_watched
    _stop_is_watched = True
    return _stop


def stop_is_watched() -> bool:
    """Whether the script asks `stop_requested` at all, so that it may be given time to stop."""
    return _stop_is_watched
