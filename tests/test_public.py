"""The public names: listed, documented, and imported without loading what is not needed."""

import __future__

import importlib
import inspect
import subprocess
import sys

import pytest

# launch is a program: people start it, nobody imports from it.
PACKAGES = ["core", "ddp"]
# Big, optional, or with effects when imported: MPI starts when mpi4py.MPI is imported.
NOT_LOADED = ["cupy", "mpi4py.MPI", "torch", "matplotlib", "PIL", "tqdm", "safetensors", "onnx"]


def modules_after(statement):
    """The names of all modules loaded by a fresh interpreter that runs the statement."""
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def documented():
    """Each public function and class of the packages, as a test's parameter."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        # A package without __all__ fails below, with a better sentence than at collection.
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.isfunction(value) or inspect.isclass(value):
                yield pytest.param(value, id=f"{package}.{name}")


@pytest.mark.parametrize("package", PACKAGES)
def test_all_lists_each_name_once_and_each_exists(package):
    module = importlib.import_module(package)
    names = list(module.__all__)
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(module, name)] == []


def test_no_file_of_ddp_hides_a_function_of_its_name():
    ddp = importlib.import_module("ddp")
    modules = [name for name in ddp.__all__ if inspect.ismodule(getattr(ddp, name))]
    assert modules == ["functional"]


@pytest.mark.parametrize("package", PACKAGES)
def test_all_lists_every_public_name(package):
    module = importlib.import_module(package)
    found = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and not isinstance(value, __future__._Feature)
    ]
    assert sorted(name for name in found if name not in module.__all__) == []


@pytest.mark.parametrize("value", list(documented()))
def test_the_first_line_of_a_docstring_is_one_short_sentence(value):
    lines = (inspect.getdoc(value) or "").splitlines()
    assert lines, "no docstring"
    assert len(lines[0]) <= 100 and lines[0].endswith((".", "?"))
    assert len(lines) < 12, "more than that belongs in docs/"


def test_importing_the_packages_loads_neither_a_gpu_library_nor_mpi():
    loaded = modules_after("import core, ddp, launch")
    assert [name for name in NOT_LOADED if name in loaded] == []


@pytest.mark.parametrize("module", ["launch", "launch.supervisor", "launch.__main__"])
def test_what_runs_first_loads_the_standard_library_only(module):
    allowed = {*sys.stdlib_module_names, *modules_after("pass"), "launch"}
    tops = [name.split(".")[0] for name in modules_after(f"import {module}")]
    # The interpreter's own build settings, in a module named after the platform.
    tops = [top for top in tops if not top.startswith("_sysconfigdata")]
    assert [top for top in tops if top not in allowed] == []
