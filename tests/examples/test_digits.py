"""The main example: it reaches its accuracy on four ranks, and differs little from its twin."""

import difflib
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT, TWIN = ROOT / "examples" / "digits.py", ROOT / "examples" / "digits_single.py"


def changed_lines():
    old, new = TWIN.read_text().splitlines(), SCRIPT.read_text().splitlines()
    changes = 0
    for tag, i, j, k, n in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        changes += 0 if tag == "equal" else max(j - i, n - k)
    return changes


def run(command, where):
    done = subprocess.run(
        [sys.executable, *command, "--out", str(where)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def accuracy(text):
    return float(re.search(r"test accuracy ([\d.]+)%", text)[1])


def test_the_script_differs_from_its_twin_in_fewer_than_ten_lines():
    assert 0 < changed_lines() < 10


@pytest.mark.mpi
def test_four_ranks_reach_97_percent_and_agree(tmp_path):
    pytest.importorskip("matplotlib")
    text = run(["-m", "launch", "-n", "4", str(SCRIPT)], tmp_path)
    assert accuracy(text) >= 97
    assert len(re.findall(r"equal on all ranks: [0-9a-f]{64}", text)) == 1
    assert (tmp_path / "digits_loss.png").stat().st_size > 1000
    assert (tmp_path / "digits.ckpt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("script", [SCRIPT, TWIN], ids=lambda path: path.stem)
def test_one_process_runs_both(script, tmp_path):
    pytest.importorskip("matplotlib")
    assert accuracy(run([str(script)], tmp_path)) >= 97
