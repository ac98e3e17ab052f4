"""What holds for every test: one thread per process, repeatable examples, no window, no litter."""

import contextlib
import gc
import importlib
import importlib.util
import os
import pathlib
import re
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


# Test files that say nothing of devices: with --device cuda their tensors are made on a GPU.
ON_ANY_DEVICE = (
    "tests/core/ops/",
    "tests/parity/test_index.py",
    "tests/parity/test_linalg.py",
    "tests/parity/test_nn_modules.py",
    "tests/parity/test_optim.py",
    "tests/parity/test_pointwise.py",
    "tests/parity/test_reduce.py",
    "tests/parity/test_shape.py",
    "tests/parity/test_sort.py",
)


def pytest_addoption(parser):
    parser.addoption(
        "--device",
        default="cpu",
        choices=("cpu", "cuda", "cuda:1"),
        help="where tests that say nothing of it make tensors; on simulated GPUs if there is none",
    )


# Suites that take long, or load PyTorch: `make test` runs them, `make check` does not.
LONG = (
    "tests/parity/",
    "tests/launch/",
    "tests/examples/",
    "tests/core/nn/test_second_derivatives.py",
    "tests/core/test_amp.py",
    "tests/core/test_autograd_memory.py",
    "tests/core/test_data_loader.py",
    "tests/core/test_serialization_faults.py",
    "tests/core/test_vision_models.py",
    "tests/ddp/test_data_parallel.py",
    "tests/ddp/test_nccl_laws.py",
    "tests/test_cupy_names.py",
    "tests/test_docs.py",
    "tests/test_seeds.py",
)


def pytest_ignore_collect(collection_path, config):
    """Files without a test of the wanted marks are not even imported, nor is PyTorch with them."""
    wanted = config.getoption("markexpr")
    here = collection_path.as_posix().removeprefix(f"{config.rootpath.as_posix()}/")
    if "not slow" in wanted and here.startswith(LONG):
        return True
    if wanted.startswith("mpi") and collection_path.is_file():
        # The mark stands in the file, by its own name or as part of needs_mpi.
        return None if re.search(r"mpi\b", collection_path.read_text()) else True
    return None


def pytest_collection_modifyitems(items):
    for item in items:
        if item.nodeid.replace(os.sep, "/").startswith(LONG):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish():
    """The thousands of tests stay: collections of garbage, also those in tests, pass them by."""
    gc.collect()
    gc.freeze()


def has_gpu():
    """Whether CuPy is installed and finds a GPU."""
    if importlib.util.find_spec("cupy") is None:
        return False
    return importlib.import_module("cupy").cuda.is_available()


def pytest_configure(config):
    if config.getoption("--device") != "cpu" and not has_gpu():
        os.environ.setdefault("UNISON_SIMULATED_GPUS", "2")


@pytest.fixture(autouse=True)
def default_device(request, monkeypatch):
    """The device of --device is the default one in files that are about any device.

    These files speak NumPy to both libraries: from_numpy() and numpy() pass the device by.
    """
    wanted = request.config.getoption("--device")
    here = request.node.nodeid.replace(os.sep, "/")
    if wanted == "cpu" or not here.startswith(ON_ANY_DEVICE):
        yield "cpu"
        return
    core = importlib.import_module("core")
    core.set_default_device(wanted)
    shared, taken = core.from_numpy, core.Tensor.numpy
    monkeypatch.setattr(core, "from_numpy", lambda array: shared(array).to(wanted))
    monkeypatch.setattr(core.Tensor, "numpy", lambda x, **how: taken(x.cpu(), **how))
    yield wanted
    core.set_default_device(None)


@pytest.fixture(autouse=True)
def nothing_is_left_running():
    """A test ends the processes and joins the threads that it starts."""
    processes, threads = children(), threading.enumerate()
    yield
    left = [t.name for t in threading.enumerate() if not t.daemon and t not in threads]
    assert not left, f"threads still running: {left}"
    left = sorted(children() - processes)
    assert not left, f"processes still there: {left}"
