"""The tree keeps the laws of `tests/architecture.py`, and each of these laws can fail."""

import ast

import pytest

from tests import architecture

# ---- the tree keeps the laws ----


@pytest.mark.parametrize("law", architecture.LAWS, ids=lambda law: law.__name__)
def test_the_tree_keeps_the_law(law):
    found = [breach for name, tree in architecture.trees() for breach in law(name, tree)]
    assert not found, "\n" + "\n".join(found)


def test_no_import_cycle():
    assert architecture.cycle(architecture.edges(architecture.trees())) == []


@pytest.mark.parametrize("law", architecture.EVERYWHERE, ids=lambda law: law.__name__)
def test_scripts_and_tests_keep_the_law_too(law):
    paths = architecture.sources("tests", "examples", "benchmarks")
    found = [
        breach
        for path in paths
        for breach in law(architecture.module_name(path), architecture.parse(path))
    ]
    assert not found, "\n" + "\n".join(found)


def test_examples_and_benchmarks_use_public_modules_only():
    inner = [
        name
        for name in architecture.ROW
        if name.startswith(("core.autograd", "core.ops", "core.kernels"))
    ]
    inner += ["core.tensor", "core.backend", "core.dtype", "core.philox", "core.simulated"]
    inner += ["ddp.reducer", "ddp.bucket", "ddp.board", "ddp.guard", "ddp.backends"]
    inner += ["launch.supervisor", "launch.report", "launch.spawn"]
    found = [
        f"{architecture.module_name(path)}:{line} imports {target}"
        for path in architecture.sources("examples", "benchmarks")
        for target, line, _ in architecture.imports(architecture.parse(path))
        if architecture.room(target) in inner
    ]
    assert not found, "\n" + "\n".join(found)


def test_files_are_short_and_named_for_what_they_hold():
    paths = architecture.sources(*architecture.PACKAGES, "tests", "examples", "benchmarks")
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    long = [
        f"{architecture.module_name(path)}: {lines}"
        for path, lines in lengths.items()
        if lines >= architecture.MAX_FILE
    ]
    vague = [
        path
        for path in paths
        if architecture.BANNED_NAMES & set(architecture.module_name(path).split("."))
    ]
    assert not long and not vague


def test_every_row_names_each_room_once():
    rooms = [name for row in architecture.ROWS for name in row]
    assert len(rooms) == len(architecture.ROW)


# ---- the laws can fail ----

BREACHES = [
    (architecture.rows, "core.ops.reduce", "from core.tensor import Tensor", "not above"),
    (architecture.rows, "core.optim.sgd", "import core.nn", "not above"),
    (architecture.rows, "core.tensor", "def f():\n    import core.ops", "inside a function"),
    (architecture.rows, "core.nn.linear", "from . import module", "absolute"),
    (architecture.rows, "core.nn.linear", "from .module import Module", "absolute"),
    (architecture.rows, "core.novelty", "", "no row"),
    (architecture.rows, "ddp.backends.mpi", "import ddp", "not above"),
    (architecture.rows, "core.nn.x", "if True:\n    import core.vision", "not above"),
    (architecture.packages, "core.backend", "import cupy", "at the top"),
    (architecture.packages, "core.ops.conv", "def f():\n    import cupy", "late"),
    (architecture.packages, "ddp.backends.mpi", "from mpi4py import MPI", "at the top"),
    (architecture.packages, "core.nn.x", "import scipy.linalg", "at the top"),
    (architecture.packages, "core.nn.x", "def f():\n    import re", "inside a function"),
    (architecture.packages, "ddp.board", "import numpy", "at the top"),
    (architecture.packages, "launch.supervisor", "import numpy", "at the top"),
    (architecture.packages, "ddp.board", "import core", "standard library"),
    (architecture.loading, "core.serialization", "import pickle", "imports pickle"),
    (architecture.loading, "ddp.checkpoint", "from pickle import loads", "imports pickle"),
    (architecture.loading, "core.amp", "eval('1')", "calls eval"),
    (architecture.loading, "core.data.x", "yaml.load(f)", "calls yaml.load"),
    (architecture.loading, "core.vision.x", "np.load(f, allow_pickle=True)", "allows pickle"),
    (architecture.order, "core.nn.x", "for x in {1, 2}: pass", "walks the set"),
    (architecture.order, "core.nn.x", "list(set(names))", "walks the set"),
    (architecture.order, "core.nn.x", "[x for x in set(names)]", "walks the set"),
    (architecture.privacy, "core.nn.x", "from core.ops.reduce import _fold", "private"),
    (architecture.privacy, "core.nn.x", "from core import random\nrandom._state", "private"),
    (architecture.size, "core.nn.x", "def f():\n" + "    x = 1\n" * 39, "40 lines"),
]


@pytest.mark.parametrize(("law", "name", "source", "sentence"), BREACHES)
def test_a_breach_is_found(law, name, source, sentence):
    assert [breach for breach in law(name, ast.parse(source)) if sentence in breach]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("core.tensor", "from core.ops import reduce\nfrom core.backend import Device"),
        ("core.nn.linear", "import core.nn.functional as F\nfrom core.nn.module import Module"),
        ("core.ops.x", "if TYPE_CHECKING:\n    from core.tensor import Tensor"),
        ("core.backend", "def f():\n    import cupy"),
        ("ddp.distributed", "from core import Tensor\nfrom ddp.reducer import Reducer"),
        ("core.nn.x", "for x in sorted(set(names)): pass\nself._x = numpy.__version__"),
    ],
)
def test_what_keeps_the_laws_passes(name, source):
    assert [breach for law in architecture.LAWS for breach in law(name, ast.parse(source))] == []


def test_a_cycle_is_found_also_when_a_function_hides_it():
    one, two = ast.parse("import core.b"), ast.parse("def f():\n    from core.a import g")
    assert architecture.cycle(architecture.edges([("core.a", one), ("core.b", two)]))
    assert not architecture.cycle(
        architecture.edges([("core.a", one), ("core.b", ast.parse("import numpy"))])
    )
