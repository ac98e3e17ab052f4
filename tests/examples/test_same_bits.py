"""The example that trains on several numbers of ranks and compares the parameters' bits."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.mpi
def test_one_sha256_on_1_2_and_4_ranks():
    pytest.importorskip("matplotlib")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "same_bits.py"), "--ranks", "1", "2", "4"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    *lines, verdict = done.stdout.splitlines()
    assert verdict == "the same bits"
    assert len(lines) == 3 and len({line.split()[-1] for line in lines}) == 1
