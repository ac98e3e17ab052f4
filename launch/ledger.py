"""The ledger: one small file of shared memory per job and node, known before MPI is up.

It answers the two questions of a failure: who failed first (one report per job), and which other
ranks failed in the same way. Its name follows from the process that started the ranks, so that
supervisors find it without a message; it is unlinked once all ranks of the node are attached.
"""

import fcntl
import mmap
import os
import stat
import tempfile
from collections.abc import Iterator

_HEAD = 8  # words before the per-rank words: the claim, spare
# Processes that start ranks. Between them and the rank may stand a shell or a wrapper script.
_STARTERS = ("hydra_pmi_proxy", "prterun", "prted", "orted", "mpirun", "mpiexec", "slurmstepd")


class Ledger:
    """The shared page of the ranks of one node; `size` is the world size, `starter` a process.

    Raises: PermissionError if a file of that name belongs to somebody else, OSError if there is no
        room for it.
    """

    def __init__(self, path: str, size: int, starter: int = 0) -> None:
        self.path = path
        self.starter = starter
        self.size = size
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        about = os.fstat(self._fd)
        if about.st_uid != os.getuid() or not stat.S_ISREG(about.st_mode):
            raise PermissionError(f"{path} exists and is not ours")
        length = 8 * (_HEAD + size)
        os.ftruncate(self._fd, length)
        if hasattr(os, "posix_fallocate"):
            # MPI may fill /dev/shm: the supervisor that tells of it must not die of it too.
            os.posix_fallocate(self._fd, 0, length)
        self._map = mmap.mmap(self._fd, length)
        self._words = memoryview(self._map).cast("Q")

    def claim(self, rank: int) -> bool:
        """True for the first rank that asks: its failure is the root cause and it reports."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            first = self._words[0] == 0
            if first:
                self._words[0] = rank + 1
            return first
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def claimed(self) -> bool:
        """Whether some rank of this node reports, or has reported, the root cause."""
        return bool(self._words[0])

    def note(self, rank: int, digest: int) -> None:
        """Write down that `rank` failed, `digest` (not 0) standing for how."""
        self._words[_HEAD + rank] = digest

    def failed(self, digest: int | None = None) -> list[int]:
        """The ranks of this node that failed (in the way of `digest`, if given), ascending."""
        words = self._words[_HEAD:]
        return [r for r in range(self.size) if words[r] and digest in (None, words[r])]

    def unlink(self) -> None:
        """Take the name away; everyone attached keeps the page, and nothing is left behind."""
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            return


def open_ledger(size: int) -> Ledger:
    """The ledger of the job that this process belongs to; ledgers of dead jobs are removed."""
    for path in _stale():
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
    pid = starter() if size > 1 else os.getpid()
    return Ledger(os.path.join(folder(), f"{_prefix()}{pid}-{_started(pid)}"), size, pid)


def folder() -> str:
    """Where shared memory has names."""
    return "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()


def _prefix() -> str:
    # Containers may share /dev/shm and not their process numbers.
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return f"unison-{os.getuid()}-{space}-"


def _stale() -> Iterator[str]:
    prefix = _prefix()
    for name in sorted(os.listdir(folder())):
        if not name.startswith(prefix):
            continue
        # A third part names what else the job of that process has there, such as its board.
        pid, started, *_ = [*name.removeprefix(prefix).split("-"), ""]
        if pid.isdigit() and _started(int(pid)) != started:
            yield os.path.join(folder(), name)


def starter() -> int:
    """The process that started the ranks of this node: mpirun, its proxy or its daemon."""
    pid = os.getppid()
    while pid > 1:
        fields = _stat(pid)
        if fields and fields[0] in _STARTERS:
            return pid
        pid = int(fields[2]) if fields else 0
    return os.getppid()


def _started(pid: int) -> str:
    fields = _stat(pid)
    return fields[20] if fields else ""


def _stat(pid: int) -> list[str]:
    # /proc/PID/stat is "pid (name) state ppid ... starttime ...", the name may hold spaces.
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return []
    name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :]
    return [name, *rest.split()]
