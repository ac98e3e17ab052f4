"""CuPy's names that the code uses: the stand-in has them, and CuPy too, with the same arguments."""

import ast
import importlib.util
import inspect
import pathlib
import warnings

import pytest

from core import simulated
from core.simulated import functions, ufuncs
from core.simulated.array import ndarray

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = [
    path
    for folder in ("core", "ddp")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "simulated" not in path.parts and "vision" not in path.parts
]
MAKERS = {"xp", "module_of", "cuda_module"}  # what returns an array module
NUMPY_ONLY = {
    # Asked of an array module where that is NumPy for certain.
    "ufunc", "random", "typing", "errstate",
}  # fmt: skip


def makes_a_module(node):
    """Whether an expression is a call that returns an array module."""
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in MAKERS


def used_names():
    """{name: the files that take it from an array module}."""
    found = {}
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = {"xp"}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and makes_a_module(node.value):
                modules.update(t.id for t in node.targets if isinstance(t, ast.Name))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and (
                (isinstance(node.value, ast.Name) and node.value.id in modules)
                or makes_a_module(node.value)
            ):
                found.setdefault(node.attr, set()).add(path.relative_to(ROOT).as_posix())
    return {name: sorted(files) for name, files in sorted(found.items())}


def test_the_scan_sees_names():
    names = used_names()
    assert {"asarray", "where", "zeros", "cuda", "matmul"} <= set(names)


# Kernels are CUDA C, which a stand-in made of NumPy cannot run: they are for CuPy alone.
PLAIN_PATH = [
    name
    for name, files in used_names().items()
    if name not in NUMPY_ONLY and not all(file.startswith("core/kernels/") for file in files)
]


@pytest.mark.parametrize("name", PLAIN_PATH)
def test_the_stand_in_has_every_name_that_is_used(name):
    module = simulated.module()
    assert hasattr(module, name), f"{used_names()[name]} use xp.{name}"


# ---- the stand-in and CuPy --------------------------------------------------------------------


@pytest.fixture(scope="module")
def cupy():
    if importlib.util.find_spec("cupy") is None:
        pytest.skip("CuPy is not installed: pip install unison-ddp[gpu-names] (it needs no GPU)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which libraries it did not find
        return importlib.import_module("cupy")


def arguments(function):
    """[(name, kind, whether it has a default)] of a function's arguments."""
    return [
        (p.name, p.kind, p.default is not p.empty)
        for p in inspect.signature(function).parameters.values()
    ]


def expected(text):
    return [
        (p.name, p.kind, p.default is not p.empty)
        for p in functions.signature(text).parameters.values()
    ]


@pytest.mark.parametrize("name", [n for n in used_names() if n not in NUMPY_ONLY])
def test_cupy_has_every_name_that_is_used(cupy, name):
    assert hasattr(cupy, name), f"{used_names()[name]} use xp.{name}"


@pytest.mark.parametrize("name", functions.SIGNATURES)
def test_functions_have_cupys_arguments(cupy, name):
    assert expected(functions.SIGNATURES[name]) == arguments(getattr(cupy, name))


@pytest.mark.parametrize("name", functions.LINALG)
def test_linear_algebra_has_cupys_arguments(cupy, name):
    assert expected(functions.LINALG[name]) == arguments(getattr(cupy.linalg, name))


@pytest.mark.parametrize("name", ufuncs.LOOPS)
def test_elementwise_functions_have_cupys_loops(cupy, name):
    loops = [tuple(d.name for d in loop) for loop in ufuncs.loops_of(name)]
    theirs = [text.split("->")[0] for text in getattr(cupy, name).types]
    assert loops == [_widths(x) for x in theirs if "V" not in x]  # records are not used


def _widths(letters):
    return tuple(ufuncs.dtype_of(x).name for x in letters)


def test_atomics_are_a_part_of_cupys(cupy):
    assert all(getattr(cupy, name)._scatter_op is not None for name in ufuncs.AT)
    assert cupy.multiply._scatter_op is None


@pytest.mark.parametrize(
    "name",
    sorted(n for n in vars(ndarray) if n not in ("mem", "plain", "__module__", "__weakref__")),
)
def test_arrays_have_no_more_than_cupys(cupy, name):
    assert hasattr(cupy.ndarray, name)


@pytest.mark.parametrize(
    "name", sorted(n for n, f in vars(ndarray).items() if inspect.isfunction(f) and n[0] != "_")
)
def test_methods_have_cupys_arguments(cupy, name):
    mine = [p for p in inspect.signature(getattr(ndarray, name)).parameters if p != "self"]
    text = (getattr(cupy.ndarray, name).__doc__ or "").strip().split("\n")[0]
    inside = text[text.index("(") + 1 : text.rindex(")")] if "(" in text else ""
    names = [part.split("=")[0].split()[-1].lstrip("*") for part in inside.split(",") if part]
    assert mine == [n for n in names if n not in ("self", "")] or _free_form(name)


def _free_form(name):
    """Methods whose first line in CuPy shows no arguments, or other names for positions."""
    return name in ("view", "reshape", "transpose", "dot", "swapaxes")


@pytest.mark.parametrize("part", ["cuda", "cuda.runtime", "cuda.memory", "lib.stride_tricks"])
def test_parts_of_the_module_are_cupys(cupy, part):
    mine, theirs = simulated.module(), cupy
    for step in part.split("."):
        mine, theirs = getattr(mine, step), getattr(theirs, step)
    missing = [n for n in vars(mine) if not hasattr(theirs, n) and n != "nccl"]  # a module
    assert missing == []


@pytest.mark.parametrize("kind", ["Device", "Stream", "Event", "MemoryPointer"])
def test_classes_of_cuda_are_cupys(cupy, kind):
    mine, theirs = getattr(simulated.module().cuda, kind), getattr(cupy.cuda, kind)
    own = {"add", "tasks"}  # how the stand-in puts work on a stream
    assert [n for n in vars(mine) if n[0] != "_" and n not in own and not hasattr(theirs, n)] == []


def nccl_of_cupy():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the library is not there
        return importlib.import_module("cupy.cuda.nccl")


def test_nccl_is_cupys(cupy):
    nccl = nccl_of_cupy()
    if not nccl.available:
        pytest.skip("CuPy finds no NCCL library here")
    mine = simulated.module().cuda.nccl
    names = [n for n in vars(mine) if n.startswith(("NCCL_", "Nccl", "get_", "group"))]
    assert [n for n in names if not hasattr(nccl, n)] == []
    constants = [n for n in names if n.startswith("NCCL_")]
    assert {n: getattr(mine, n) for n in constants} == {n: getattr(nccl, n) for n in constants}


def test_pinned_arrays_and_checks_are_cupyxs(cupy):
    cupyx = importlib.import_module("cupyx")
    assert arguments(cupyx.empty_pinned) == arguments(simulated.extras().empty_pinned)
    assert "linalg" in inspect.signature(cupyx.errstate).parameters
