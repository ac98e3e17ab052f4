"""Settings of a process under PyTorch's names: threads of the BLAS, permissions, accelerators."""

import subprocess
import sys

import numpy
import pytest

import core
from core import settings


class TestThreads:
    @pytest.fixture(autouse=True)
    def as_before(self):
        before = core.get_num_threads()
        yield
        core.set_num_threads(before)

    def test_the_blas_uses_as_many_as_it_was_told(self):
        for number in (1, 2):
            core.set_num_threads(number)
            assert core.get_num_threads() == number

    def test_what_the_variable_says_is_what_the_blas_says(self):
        code = "import core; print(core.get_num_threads())"
        environ = {"OMP_NUM_THREADS": "1", "PATH": ""}
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environ)
        assert found.stdout == b"1\n", found.stderr

    @pytest.mark.parametrize("number", [0, -1, 1.5])
    def test_no_positive_number_is_refused(self, number):
        for function in (core.set_num_threads, core.set_num_interop_threads):
            with pytest.raises(RuntimeError, match="expects a positive integer"):
                function(number)

    def test_a_blas_that_cannot_be_told_says_how_to_start(self, monkeypatch):
        monkeypatch.setattr(settings, "COUNTERS", ())
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        core.set_num_threads(3)
        with pytest.raises(RuntimeError, match="set OMP_NUM_THREADS before the start"):
            core.set_num_threads(2)
        assert core.get_num_threads() == 1
        monkeypatch.undo()


def test_wishes_are_kept(monkeypatch):
    monkeypatch.setattr(settings, "asked", dict(settings.asked))
    core.use_deterministic_algorithms(True, warn_only=True)
    assert core.are_deterministic_algorithms_enabled()
    core.set_float32_matmul_precision("high")
    assert core.get_float32_matmul_precision() == "high"
    core.set_num_interop_threads(3)
    assert core.get_num_interop_threads() == 3
    with pytest.raises(RuntimeError, match="highest"):
        core.set_float32_matmul_precision("low")


def test_permissions_of_backends_change_no_bit():
    x = core.randn(64, 64)
    before = (x @ x).numpy().tobytes()
    settings_before = dict(vars(core.backends.cudnn))
    try:
        core.backends.cudnn.benchmark = True
        core.backends.cudnn.deterministic = False
        core.backends.cuda.matmul.allow_tf32 = True
        assert (x @ x).numpy().tobytes() == before
    finally:
        vars(core.backends.cudnn).update(settings_before)
        core.backends.cuda.matmul.allow_tf32 = False


def test_names_of_backends_are_pytorchs():
    torch = pytest.importorskip("torch")
    ours = {
        "backends.cudnn": core.backends.cudnn,
        "backends.cuda": core.backends.cuda,
        "backends.mps": core.backends.mps,
        "accelerator": core.accelerator,
    }
    for path, module in ours.items():
        theirs = torch
        for part in path.split("."):
            theirs = getattr(theirs, part)
        own = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_")
            and getattr(value, "__module__", module.__name__) == module.__name__
            and name not in ("annotations", "cuda", "Any")
        ]
        assert own and [name for name in own if not hasattr(theirs, name)] == []


def test_without_a_gpu_there_is_no_accelerator(monkeypatch):
    monkeypatch.setattr(core.backend, "device_count", lambda: 0)
    assert not core.accelerator.is_available() and core.accelerator.device_count() == 0
    assert core.accelerator.current_accelerator() is None
    core.accelerator.synchronize()


def test_a_gpu_is_the_accelerator():
    code = (
        "import core\n"
        "assert core.accelerator.current_accelerator() == core.device('cuda')\n"
        "core.accelerator.set_device_index(1)\n"
        "assert core.accelerator.current_device_index() == 1 == core.cuda.current_device()\n"
        "assert core.zeros(2, device=core.accelerator.current_accelerator()).is_cuda\n"
        "print(core.accelerator.device_count())"
    )
    environ = {"UNISON_SIMULATED_GPUS": "2", "PATH": ""}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environ)
    assert found.stdout == b"2\n", found.stderr


def test_the_version_is_the_packages():
    assert numpy.lib.NumpyVersion(core.__version__.replace(".dev", "a")) > "0.0.0"
