"""Starts real jobs for the tests, and says all that can be seen of their end."""

import os
import pathlib
import re
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass

import pytest

from launch import spawn
from launch.options import Options
from launch.world import OPEN_MPI

ROOT = pathlib.Path(__file__).resolve().parents[2]
FAULTS = pathlib.Path(__file__).with_name("faults.py")
MPIEXEC = pathlib.Path(sys.executable).with_name("mpiexec")
# A job that is not over by then hangs; no test waits for it otherwise. Four ranks took 40 s
# on two cores that ten others used.
LIMIT = 180
# How often it is looked at what shared memory a running job has mapped.
LOOK_EVERY = 0.2

needs_mpi = [
    pytest.mark.mpi,
    pytest.mark.skipif(not MPIEXEC.exists(), reason=f"no mpiexec beside {sys.executable}"),
]


@dataclass(frozen=True)
class Ended:
    """A job that is over: status, output, processes and files left behind, time of the end."""

    code: int
    out: str
    err: str
    alive: list[int]
    litter: list[str]
    at: float

    @property
    def reports(self) -> list[str]:
        """The lines in which the launcher says why."""
        start = re.compile(r"launch: ranks? [-0-9, ]+ of \d+ \(host ")
        return [line for line in self.err.splitlines() if start.match(line)]

    @property
    def tracebacks(self) -> int:
        return self.err.count("Traceback (most recent call last)")


class Job:
    """A running job: `python -m launch -n N ...`, or mpiexec itself with `direct`."""

    def __init__(self, folder, ranks, *words, options=(), direct=False, env=None, stderr=None):
        self.folder = folder
        self.tag = uuid.uuid4().hex
        self._mapped: set[str] = set()
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "UNISON_TEST_TAG": self.tag}
        environ.update(UNISON_TEST_DIR=str(folder), OMP_NUM_THREADS="1", **(env or {}))
        own = ["-q", *map(str, options), *map(str, words)]
        launcher = [sys.executable, "-m", "launch", *(["-n", str(ranks)] if ranks else [])]
        start = mpiexec(ranks) + [sys.executable, "-m", "launch"] if direct else launcher
        self._err = open(folder / "stderr.txt", "w+b") if stderr is None else None
        self.process = subprocess.Popen(
            [*start, *own],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._err or stderr,
            start_new_session=True,
        )

    def wait_for(self, name) -> str:
        """The text of the file `name`, once a rank has written it (by `written`)."""
        deadline = time.monotonic() + LIMIT
        while not (self.folder / name).exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self._kill()
                pytest.fail(f"{name} never came; the job said: {self._said()}")
            time.sleep(0.01)
        return (self.folder / name).read_text()

    def end(self) -> Ended:
        """Wait for the end; a job that does not end is killed, and the test fails."""
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                out, _ = self.process.communicate(timeout=LOOK_EVERY)
                break
            except subprocess.TimeoutExpired:
                self._mapped |= mapped(tagged(self.tag))
            if time.monotonic() > deadline:
                self._kill()
                pytest.fail(f"the job hangs; so far it said: {self._said()}")
        at = time.time()
        alive = gone(lambda: tagged(self.tag))
        litter = gone(lambda: self._mapped & set(os.listdir("/dev/shm")))
        return Ended(self.process.returncode, out.decode(), self._said(), alive, litter, at)

    def _kill(self):
        for pid in tagged(self.tag):
            os.kill(pid, 9)
        self.process.communicate()

    def _said(self):
        if self._err is None:
            return ""
        self._err.seek(0)
        text = self._err.read().decode(errors="replace")
        self._err.close()
        return text


# Open MPI 5.0.11: mpirun itself fails, before any rank is started, once in some hundred starts on a
# busy machine. Nothing of ours has run then, so the job is started again.
MPIRUN_NEVER_BEGAN = "The PMIx server's listener thread failed to start"


def run(folder, ranks, *words, **how) -> Ended:
    """Start a job and wait for its end."""
    ended = Job(folder, ranks, *words, **how).end()
    if MPIRUN_NEVER_BEGAN in ended.err:
        ended = Job(folder, ranks, *words, **how).end()
    return ended


def alone(folder, *words, env=None):
    """The end of one process of python that no mpiexec started."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    return subprocess.run(
        [sys.executable, *map(str, words)], cwd=folder, env=environ, capture_output=True, text=True
    )


def mpiexec(ranks):
    """The command that starts ranks here, as the launcher itself would write it."""
    words = spawn.command(Options(ranks=ranks))
    return words[: words.index(sys.executable)]


def is_open_mpi():
    """Whether the ranks run on Open MPI."""
    return spawn.find_mpiexec()[1] == OPEN_MPI


def tagged(tag):
    """The living processes of a job: all that have inherited its environment."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if tag.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            # It ended between the listing and the reading, or is not ours.
            continue
    return found


def mapped(pids):
    """The names in shared memory that these processes have mapped; other jobs have others."""
    found = set()
    for pid in pids:
        try:
            lines = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
        except OSError:
            # It ended between the listing and the reading.
            continue
        paths = [line.removesuffix(" (deleted)") for line in lines if "/dev/shm/" in line]
        found.update(path.rsplit("/", 1)[1] for path in paths)
    return found


def gone(look):
    """What is still there after it had time to go: [] at once when there is nothing."""
    deadline = time.monotonic() + 30
    while (left := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return sorted(left)
