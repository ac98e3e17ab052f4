"""The language model: it learns to count, also past numbers that its text leaves out."""

import difflib
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT, TWIN = ROOT / "examples" / "gpt.py", ROOT / "examples" / "gpt_single.py"


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
    assert (where / "gpt.ckpt").exists()
    return done.stdout


def test_the_script_differs_from_its_twin_in_fewer_than_ten_lines():
    old, new = TWIN.read_text().splitlines(), SCRIPT.read_text().splitlines()
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    changes = [max(j - i, n - k) for tag, i, j, k, n in matcher.get_opcodes() if tag != "equal"]
    assert 0 < sum(changes) < 10


@pytest.mark.slow
def test_one_process_learns_to_count(tmp_path):
    text = run([str(SCRIPT)], tmp_path)
    counted = "five hundred eight, five hundred nine, five hundred ten, five hundred eleven"
    assert f"after five hundred seven: {counted}\n" in text
    assert int(re.search(r"unseen numbers counted right: (\d+)%", text)[1]) >= 90
    assert float(re.search(r"loss ([\d.]+)", text)[1]) < 0.2


@pytest.mark.slow
def test_the_twin_runs(tmp_path):
    text = run([str(TWIN), "--epochs", "1"], tmp_path)
    assert float(re.search(r"loss ([\d.]+)", text)[1]) < 1.5


@pytest.mark.mpi
def test_two_ranks_agree(tmp_path):
    text = run(["-m", "launch", "-n", "2", str(SCRIPT), "--epochs", "1"], tmp_path)
    assert len(re.findall(r"equal on all ranks: [0-9a-f]{64}", text)) == 1
    assert float(re.search(r"loss ([\d.]+)", text)[1]) < 1.5
