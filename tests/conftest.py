"""What holds for every test: one thread per process, repeatable examples, no window, no litter."""

import contextlib
import os
import pathlib
import threading

import hypothesis
import hypothesis.configuration
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Set before NumPy is first imported: several pytest processes, and ranks beside them, share few
# cores, and must not each start one thread per core.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

hypothesis.configuration.set_hypothesis_home_dir(ROOT / ".cache" / "hypothesis")
# No deadline: a loaded machine is not a failure. Derandomised: one commit, one result.
hypothesis.settings.register_profile("law", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("law")


def children():
    """The process ids of this process's children, ended ones that nobody waited for included."""
    found = set()
    for thread in pathlib.Path("/proc/self/task").iterdir():
        # A thread may end between the two: its children go on as another thread's.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.update(map(int, (thread / "children").read_text().split()))
    return found


@pytest.fixture(autouse=True)
def nothing_is_left_running():
    """A test ends the processes and joins the threads that it starts."""
    processes, threads = children(), threading.enumerate()
    yield
    left = [t.name for t in threading.enumerate() if not t.daemon and t not in threads]
    assert not left, f"threads still running: {left}"
    left = sorted(children() - processes)
    assert not left, f"processes still there: {left}"
