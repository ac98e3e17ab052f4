"""The bad end of a rank waits for nothing without a limit."""

import subprocess
import sys

from tests.launch.jobs import ROOT

# As under srun, where MPI's abort ends the job, and may itself hang.
HANGS = """
import os, sys, threading, time
from launch.ending import Ending
from launch.ledger import Ledger
from launch.world import World
ending = Ending(World(), Ledger(sys.argv[1], 1), os.pipe()[1])
ending.abort = lambda code: time.sleep(600)
if sys.argv[2] == "twice":
    threading.Thread(target=ending.fail, args=(9, "first")).start()
ending.fail(9, "second")
"""


def ended(folder, *words):
    """The end of a process that fails while its abort hangs."""
    return subprocess.run(
        [sys.executable, "-c", HANGS, str(folder / "ledger"), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_an_abort_that_hangs_is_left_behind(tmp_path):
    done = ended(tmp_path, "once")
    assert done.returncode == 9
    assert done.stderr.count("launch: rank 0 of 1") == 1


def test_two_threads_that_fail_make_one_report(tmp_path):
    done = ended(tmp_path, "twice")
    assert done.returncode == 9
    assert done.stderr.count("launch: rank 0 of 1") == 1
