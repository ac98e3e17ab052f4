"""One process: the program is as under plain python, bad use is one sentence and status 2."""

import json
import os
import re

import pytest

from tests.launch.jobs import ROOT, alone

SHOWS = """
import json, os, sys, traceback
import __main__
print(json.dumps({
    "argv": sys.argv, "name": __name__, "file": __file__, "path": sys.path[0],
    "main": __main__.__file__, "spec": str(getattr(__spec__, "name", None)),
    "package": str(__package__), "frames": [f.filename for f in traceback.extract_stack()][-1],
}))
"""
WORDS = ("--lr", "1", "-n", "-m")


# ---- the program is as under plain python ----


@pytest.mark.parametrize("name", ["train.py", "sub/train.py"])
def test_a_script_sees_what_it_sees_under_plain_python(name, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / name).write_text(SHOWS)
    plain = alone(tmp_path, name, *WORDS)
    launched = alone(tmp_path, "-m", "launch", "-q", name, *WORDS)
    assert json.loads(launched.stdout) == json.loads(plain.stdout)
    assert launched.stderr == "" and launched.returncode == 0


@pytest.mark.parametrize("module", ["package.module", "package"])
def test_a_module_sees_what_it_sees_under_plain_python(module, tmp_path):
    (tmp_path / "package").mkdir()
    for name in ("__init__", "module", "__main__"):
        (tmp_path / "package" / f"{name}.py").write_text(SHOWS if name != "__init__" else "")
    plain = alone(tmp_path, "-m", module, *WORDS)
    launched = alone(tmp_path, "-m", "launch", "-q", "-m", module, *WORDS)
    assert json.loads(launched.stdout) == json.loads(plain.stdout)


ENDS = {
    "pass": 0,
    "raise ValueError('boom')": 1,
    "import sys; sys.exit(5)": 5,
    "import sys; sys.exit()": 0,
    "import sys; sys.exit('no data')": 1,
    "import os; os._exit(6)": 6,
    "import os; os._exit(0)": 70,
    "import os; os.kill(os.getpid(), 9)": 137,
    "raise KeyboardInterrupt": 130,
    "def f(:": 1,
    "raise type('E', (Exception,), {'__str__': lambda e: 1 / 0})": 1,
}


@pytest.mark.parametrize("text", ENDS)
def test_one_rank_ends_with_the_status_of_its_script(text, tmp_path):
    (tmp_path / "train.py").write_text(f"{text}\n")
    ended = alone(tmp_path, "-m", "launch", "-q", "train.py")
    assert ended.returncode == ENDS[text], ended.stderr
    assert (ended.stderr == "") == (ended.returncode == 0)
    assert ("before the end of its script" in ended.stderr) == ("os._exit" in text)
    assert "launch/" not in ended.stderr


def test_one_rank_needs_no_mpi_and_says_one_line(tmp_path):
    text = "import sys; assert not any(n.startswith('mpi4py') for n in sys.modules)"
    (tmp_path / "train.py").write_text(text)
    ended = alone(tmp_path, "-m", "launch", "train.py")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("launch: 1 rank on 1 host, no MPI, cpu")


def test_help_is_help(tmp_path):
    ended = alone(tmp_path, "-m", "launch", "--help")
    assert ended.returncode == 0 and ended.stdout.startswith("usage: ")


WRONG = [
    ([], "expected a script"),
    (["-n", "0", "train.py"], "whole number >= 1"),
    (["--nope", "train.py"], "unknown option"),
    (["nothere.py"], "cannot find the script 'nothere.py'"),
    (["-n", "2", "nothere.py"], "cannot find the script 'nothere.py'"),
    (["python", "train.py"], "cannot find the script 'python': leave out `python`"),
    (["-m", "no.such.module"], "no module named 'no.such.module'"),
    (["."], "'.' is a folder"),
    (["--max-restarts", "1", "train.py"], "needs -n N"),
    (["--log-dir", "train.py/logs", "train.py"], "cannot write log files in 'train.py/logs'"),
]


@pytest.mark.parametrize(("words", "says"), WRONG)
def test_bad_use_is_one_sentence_and_status_2(words, says, tmp_path):
    (tmp_path / "train.py").write_text("print('ran')\n")
    ended = alone(tmp_path, "-m", "launch", *words)
    assert ended.returncode == 2
    assert says in ended.stderr and ended.stderr.count("\n") == 1
    assert ended.stdout == "" and "Traceback" not in ended.stderr


@pytest.mark.parametrize("broken", ["raise ImportError('no MPI here')", "raise RuntimeError('x')"])
def test_a_missing_mpi_is_one_sentence_and_status_2(broken, tmp_path):
    (tmp_path / "train.py").write_text("print('ran')\n")
    (tmp_path / "fake" / "mpi4py").mkdir(parents=True)
    (tmp_path / "fake" / "mpi4py" / "__init__.py").write_text(f"{broken}\n")
    path = os.pathsep.join([str(tmp_path / "fake"), str(ROOT)])
    ended = alone(tmp_path, "-m", "launch", "-n", "2", "train.py", env={"PYTHONPATH": path})
    assert ended.returncode == 2
    assert "mpi4py cannot load an MPI" in ended.stderr and "pip install mpich" in ended.stderr
    assert ended.stderr.count("\n") == 1 and ended.stdout == ""


def test_a_full_shared_memory_is_one_sentence_with_the_flag_that_mends_it(tmp_path):
    (tmp_path / "train.py").write_text("print('ran')\n")
    shim = "import os, runpy, sys\ndef full(*_): raise OSError(28, os.strerror(28))\n"
    shim += "os.posix_fallocate = full; sys.argv[1:] = ['train.py']\n"
    shim += "runpy.run_module('launch', run_name='__main__')"
    ended = alone(tmp_path, "-c", shim)
    assert ended.returncode == 2 and ended.stdout == ""
    assert "No space left on device (in a container: docker run --shm-size=1g)" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_ctrl_c_during_the_start_is_one_line(tmp_path):
    (tmp_path / "train.py").write_text("print('ran')\n")
    (tmp_path / "fake" / "numpy").mkdir(parents=True)
    text = "import os, signal; os.kill(os.getpid(), signal.SIGINT)\n"
    (tmp_path / "fake" / "numpy" / "__init__.py").write_text(text)
    path = os.pathsep.join([str(tmp_path / "fake"), str(ROOT)])
    ended = alone(tmp_path, "-m", "launch", "train.py", env={"PYTHONPATH": path})
    assert (ended.returncode, ended.stdout) == (130, "")
    assert re.fullmatch(r"launch: rank 0 of 1 .* \(SIGINT\)\n", ended.stderr), ended.stderr


@pytest.mark.parametrize(("kind", "tracebacks"), [("ImportError", 0), ("ValueError", 1)])
def test_packages_that_do_not_fit_are_one_report(kind, tracebacks, tmp_path):
    (tmp_path / "train.py").write_text("print('ran')\n")
    (tmp_path / "ml_dtypes.py").write_text(f"raise {kind}('dtype size changed')\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    ended = alone(tmp_path, "-m", "launch", "train.py", env={"PYTHONPATH": path})
    assert (ended.returncode, ended.stdout) == (2, "")
    said = f"launch: this Python cannot load ddp: {kind}: dtype size changed\n"
    assert ended.stderr.startswith(said), ended.stderr
    assert ended.stderr.count("Traceback") == tracebacks


def test_a_missing_mpi_is_one_sentence_without_launch_too(tmp_path):
    (tmp_path / "train.py").write_text("import ddp; ddp.init_process_group('mpi')\n")
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").write_text("raise RuntimeError('none\\nno libmpi')\n")
    ended = alone(tmp_path, "train.py")
    assert ended.returncode == 1 and ended.stderr.count("Traceback") == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("RuntimeError: mpi4py cannot load an MPI (no libmpi); "), ended.stderr
