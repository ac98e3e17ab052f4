"""Laws of workers started by a script: its classes are found, and nothing outlives it."""

import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.launch.jobs import needs_mpi

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

SCRIPT = """
import os
import sys
from core.data import DataLoader, Dataset

class Mine(Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return index, os.getpid()

class Told(Exception):
    pass

class Fails(Mine):
    def __getitem__(self, index):
        raise Told("by the script")

def as_list(batch):
    return batch
"""


def run(tmp_path, body):
    """What a script with this body wrote, its errors, and its status."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT + body)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *_python_path()])}
    return subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environ,
        cwd=tmp_path,
    )


def _python_path():
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


def test_a_class_of_the_script_is_found(tmp_path):
    body = """
if __name__ == "__main__":
    print([b[0][0] for b in DataLoader(Mine(), num_workers=2, collate_fn=as_list)])
"""
    done = run(tmp_path, body)
    assert (done.stdout, done.stderr, done.returncode) == ("[0, 1, 2, 3]\n", "", 0)


def test_a_script_that_needs_no_class_needs_no_guard(tmp_path):
    done = run(tmp_path, "print([b.tolist() for b in DataLoader([5, 6], num_workers=2)])")
    assert (done.stdout, done.stderr, done.returncode) == ("[[5], [6]]\n", "", 0)


def test_a_missing_guard_is_named(tmp_path):
    done = run(tmp_path, "print(list(DataLoader(Mine(), num_workers=1)))")
    assert done.returncode == 1
    assert "if __name__ == '__main__':" in done.stderr.splitlines()[-1] or (
        "must stand under" in done.stderr
    )


def test_an_exception_of_the_script_is_shown_once(tmp_path):
    body = """
if __name__ == "__main__":
    list(DataLoader(Fails(), num_workers=2))
"""
    done = run(tmp_path, body)
    assert done.returncode == 1
    assert done.stderr.count("Told: by the script") == 1


@pytest.mark.parametrize("ending", ["os.kill(os.getpid(), 9)", "os._exit(0)", "sys.exit(5)"])
def test_workers_end_with_the_script(tmp_path, ending):
    body = f"""
if __name__ == "__main__":
    running = iter(DataLoader(Mine(), num_workers=2, collate_fn=as_list, persistent_workers=True))
    print(next(running)[0][1], next(running)[0][1], flush=True)
    {ending}
"""
    done = run(tmp_path, body)
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2, done.stderr
    for pid in pids:
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        with os.fdopen(process) as ended:
            assert select.select([ended], [], [], 10)[0]


def test_a_class_that_only_the_prompt_knows_is_named():
    body = SCRIPT + "print([b for b in DataLoader(Mine(), num_workers=1)])"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *_python_path()])}
    for words, text in ((["-c", body], ""), (["-"], body)):
        ended = subprocess.run(
            [sys.executable, *words], input=text, capture_output=True, text=True, env=environ
        )
        assert ended.returncode == 1
        assert "a data worker cannot find 'Mine': what is defined at a prompt" in ended.stderr


@needs_mpi[0]
@needs_mpi[1]
def test_a_script_that_makes_its_group_at_the_top_has_workers_too():
    """They read the script, with the variables of a rank, and are none, but know whose they are."""
    body = "import ddp; ddp.init_process_group()\n" + SCRIPT.replace(
        "os.getpid()", "ddp.get_rank()"
    )
    body += "if __name__ == '__main__': print(next(iter(DataLoader(Mine(), num_workers=1))))\n"
    environ = {"PYTHONPATH": os.pathsep.join([str(ROOT), *_python_path()])}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "train.py")
        script.write_text(body)
        command = [sys.executable, "-m", "launch", "-q", "-n", "2", str(script)]
        ended = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **environ}, cwd=folder
        )
    assert ended.returncode == 0, ended.stderr
    found = sorted(ended.stdout.splitlines())
    assert found == [f"[tensor([0]), tensor([{rank}])]" for rank in range(2)]
