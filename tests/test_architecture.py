"""The tree is a test: rows, cycles, optional packages, code that loads code, names and sizes.

Reads the sources with `ast` and imports nothing of ours. A new file finds its row in ROWS.
"""

import ast
import functools
import graphlib
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("core", "ddp", "launch")

# A module imports from rows above its own, and from its own room. A room is a name in this list:
# a file, or a folder whose files may import each other as long as no cycle arises. A module stands
# in the room with the longest name that is a prefix of its own.
ROWS = [
    ["core.dtype", "core.simulated", "core.philox"],
    ["core.backend"],
    ["core.autograd", "core.random"],
    ["core.ops"],
    ["core.tensor"],
    ["core.nn", "core.optim", "core.data", "core.cuda", "core.testing"],
    [
        "core.vision",
        "core.amp",
        "core.serialization",
        "core.capture",
        "core.profiler",
        "core.onnx",
    ],
    ["core.kernels"],
    ["core"],
    ["ddp.call", "ddp.reduction", "ddp.board", "launch.status", "launch.world", "launch.ledger"],
    ["ddp.work", "launch.report", "launch.script", "launch"],
    ["ddp.schedule", "launch.supervisor"],
    ["ddp.group_core"],
    ["ddp.messages"],
    ["ddp.collective_verbs"],
    ["ddp.group"],
    ["ddp.guard"],
    ["ddp.backends"],
    ["ddp.collectives", "ddp.bucket", "ddp.shards", "ddp.sampler"],
    ["ddp.reducer"],
    ["ddp.distributed", "ddp.data_parallel", "ddp.sync_norm", "ddp.hooks", "ddp.checkpoint"],
    ["ddp"],
    ["launch.spawn", "launch.as_torch", "launch.doctor"],
    ["launch.__main__"],
]
ROW = {room: row for row, rooms in enumerate(ROWS) for room in rooms}

# Every package from outside, and the rooms that may import it: `top` with the file, `late` inside
# a function, so that `import core, ddp` loads neither a GPU library nor MPI.
OUTSIDE = {
    "numpy": {"top": ("core", "ddp")},
    "ml_dtypes": {"top": ("core", "ddp")},
    "safetensors": {"top": ("core.serialization", "ddp.checkpoint")},
    "tqdm": {"late": ("core.vision",)},
    "PIL": {"late": ("core.vision",)},
    "onnx": {"late": ("core.onnx",)},
    "cupy": {"late": ("core.backend", "core.kernels", "core.cuda", "ddp.backends.nccl")},
    "cupyx": {"late": ("core.backend", "core.kernels", "core.cuda")},
    "cupy_backends": {"late": ("core.backend", "core.kernels", "core.cuda", "ddp.backends.nccl")},
    "cudnn": {"late": ("core.kernels",)},
    "cuda": {"late": ("core.kernels",)},
    "mpi4py": {"late": ("ddp.backends.mpi", "launch")},
}
# Started before anything else is loaded, or by processes that must not load more.
STANDARD_LIBRARY_ONLY = (
    "ddp.board",
    "launch",
    "launch.status",
    "launch.world",
    "launch.ledger",
    "launch.report",
    "launch.script",
    "launch.supervisor",
)

# Objects between our own ranks and our own worker processes; nothing that reads a file.
MAY_PICKLE = ("ddp.backends", "ddp.group", "ddp.schedule", "core.data.worker")
PICKLES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
RUNS_CODE = {"eval", "exec", "compile", "__import__"}
YAML_LOADERS = {"load", "load_all", "full_load", "unsafe_load"}

BANNED_NAMES = {"util", "utils", "helper", "helpers", "common", "misc", "base"}
MAX_FILE = 400
MAX_FUNCTION = 40


# ---- reading the tree ----


def sources(*folders):
    """Every Python file under the folders, in order."""
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def module_name(path):
    """core/nn/linear.py -> core.nn.linear; a package's own file is core.nn.__init__."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def trees():
    """(name, parsed source) of each module of the three packages."""
    return [(module_name(path), parse(path)) for path in sources(*PACKAGES)]


@functools.cache
def parse(path):
    """The parsed file, read once for all tests."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def inside(name, rooms):
    """Whether a module is one of the rooms or in one."""
    return any(name == room or name.startswith(room + ".") for room in rooms)


def room(name):
    """The longest listed name that is a prefix; None outside our packages."""
    parts = name.removesuffix(".__init__").split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((found for found in names if found in ROW), None)


def imports(tree):
    """(target, line, whether it stands at module level) of each import that can run."""
    for node, at_top in running(tree, True):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, at_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from ((f"{base}.{alias.name}", node.lineno, at_top) for alias in node.names)


def running(node, at_top):
    """(node, at module level) of everything below that is not only there for the type checker."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child, at_top
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from running(child, at_top and not function)


# ---- the laws: each yields one sentence per breach ----


def breaches_of_rows(name, tree):
    """Imports that point up or sideways, are relative, or hide in a function."""
    here = room(name)
    if here is None or (here in PACKAGES and name != f"{here}.__init__"):
        yield f"{name} has no row: add it to ROWS"
        return
    for target, line, at_top in imports(tree):
        there = room(target)
        if target.startswith("."):
            yield f"{name}:{line} imports {target}: imports are absolute"
        elif there is None:
            continue
        elif not at_top:
            yield f"{name}:{line} imports {target} inside a function"
        elif there != here and ROW[there] >= ROW[here]:
            yield f"{name}:{line} imports {target}: {there} is not above {here}"


def breaches_of_packages(name, tree):
    """Imports from outside that are not listed for this module, or not at this place."""
    alone = room(name) in STANDARD_LIBRARY_ONLY
    for target, line, at_top in imports(tree):
        top = target.split(".")[0]
        rooms = OUTSIDE.get(top, {}).get("top" if at_top else "late", ())
        if top in PACKAGES or not top:
            if alone and room(target) not in STANDARD_LIBRARY_ONLY:
                yield f"{name}:{line} imports {target}: it has the standard library only"
        elif top in sys.stdlib_module_names:
            if not at_top:
                yield f"{name}:{line} imports {target} inside a function"
        elif alone or not inside(name, rooms):
            yield f"{name}:{line} may not import {target} {'at the top' if at_top else 'late'}"


def breaches_of_loading(name, tree):
    """Code that turns data into code: loading a file must run nothing."""
    for target, line, _ in imports(tree):
        if target.split(".")[0] in PICKLES and not inside(name, MAY_PICKLE):
            yield f"{name}:{line} imports {target}"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in RUNS_CODE or called in {f"yaml.{loader}" for loader in YAML_LOADERS}:
            yield f"{name}:{node.lineno} calls {called}"
        for keyword in node.keywords:
            if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                yield f"{name}:{node.lineno} allows pickle"


def breaches_of_order(name, tree):
    """Loops over a set that stand in the text: their order changes with the hash seed."""
    ordered = {"list", "tuple", "iter", "enumerate", "zip", "map"}
    for node in ast.walk(tree):
        walked = []
        if isinstance(node, ast.For | ast.comprehension):
            walked = [node.iter]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ordered:
            walked = node.args
        for value in walked:
            text = ast.unparse(value)
            made = isinstance(value, ast.Call) and ast.unparse(value.func) in ("set", "frozenset")
            if made or isinstance(value, ast.Set | ast.SetComp):
                yield f"{name}:{value.lineno} walks the set {text}"


def breaches_of_privacy(name, tree):
    """Names with a leading underscore that are taken from another file."""
    modules = []
    for target, line, _ in imports(tree):
        if room(target) is None:
            continue
        modules.append(target.rsplit(".", 1)[-1])
        if any(part.startswith("_") and not part.startswith("__") for part in target.split(".")):
            yield f"{name}:{line} takes {target}, which is private to its file"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            owner = ast.unparse(node.value)
            if not node.attr.startswith("__") and owner.split(".")[-1] in modules:
                yield f"{name}:{node.lineno} takes {owner}.{node.attr}, private to its file"


def breaches_of_size(name, tree):
    """Functions that do not fit on a screen."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            if lines >= MAX_FUNCTION:
                yield f"{name}:{node.lineno} {node.name} has {lines} lines"


def edges(names_and_trees):
    """{module: the modules it imports}, imports inside functions counted."""
    trees_by_name = dict(names_and_trees)

    def file_of(target):
        parts = target.split(".")
        for length in range(len(parts), 0, -1):
            name = ".".join(parts[:length])
            for found in (name, f"{name}.__init__"):
                if found in trees_by_name:
                    return found
        return None

    return {
        name: [
            found
            for target, _, _ in imports(tree)
            if (found := file_of(target)) not in (None, name)
        ]
        for name, tree in trees_by_name.items()
    }


def cycle(graph):
    """The modules of one import cycle, [] if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


# ---- the tree keeps the laws ----

LAWS = [
    breaches_of_rows,
    breaches_of_packages,
    breaches_of_loading,
    breaches_of_order,
    breaches_of_privacy,
    breaches_of_size,
]
EVERYWHERE = [breaches_of_privacy, breaches_of_size]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_tree_keeps_the_law(law):
    found = [breach for name, tree in trees() for breach in law(name, tree)]
    assert not found, "\n" + "\n".join(found)


def test_no_import_cycle():
    assert cycle(edges(trees())) == []


@pytest.mark.parametrize("law", EVERYWHERE, ids=lambda law: law.__name__)
def test_scripts_and_tests_keep_the_law_too(law):
    paths = sources("tests", "examples", "benchmarks")
    found = [breach for path in paths for breach in law(module_name(path), parse(path))]
    assert not found, "\n" + "\n".join(found)


def test_examples_and_benchmarks_use_public_modules_only():
    inner = [name for name in ROW if name.startswith(("core.autograd", "core.ops", "core.kernels"))]
    inner += ["core.tensor", "core.backend", "core.dtype", "core.philox", "core.simulated"]
    inner += ["ddp.reducer", "ddp.bucket", "ddp.board", "ddp.guard", "ddp.backends"]
    inner += ["launch.supervisor", "launch.report", "launch.spawn"]
    found = [
        f"{module_name(path)}:{line} imports {target}"
        for path in sources("examples", "benchmarks")
        for target, line, _ in imports(parse(path))
        if room(target) in inner
    ]
    assert not found, "\n" + "\n".join(found)


def test_files_are_short_and_named_for_what_they_hold():
    paths = sources(*PACKAGES, "tests", "examples", "benchmarks")
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    long = [f"{module_name(path)}: {lines}" for path, lines in lengths.items() if lines >= MAX_FILE]
    vague = [path for path in paths if BANNED_NAMES & set(module_name(path).split("."))]
    assert not long and not vague


def test_every_row_names_each_room_once():
    rooms = [name for row in ROWS for name in row]
    assert len(rooms) == len(ROW)


# ---- the laws can fail ----

BREACHES = [
    (breaches_of_rows, "core.ops.reduce", "from core.tensor import Tensor", "not above"),
    (breaches_of_rows, "core.optim.sgd", "import core.nn", "not above"),
    (breaches_of_rows, "core.tensor", "def f():\n    import core.ops", "inside a function"),
    (breaches_of_rows, "core.nn.linear", "from . import module", "absolute"),
    (breaches_of_rows, "core.nn.linear", "from .module import Module", "absolute"),
    (breaches_of_rows, "core.novelty", "", "no row"),
    (breaches_of_rows, "ddp.backends.mpi", "import ddp", "not above"),
    (breaches_of_rows, "core.nn.x", "if True:\n    import core.vision", "not above"),
    (breaches_of_packages, "core.backend", "import cupy", "at the top"),
    (breaches_of_packages, "core.ops.conv", "def f():\n    import cupy", "late"),
    (breaches_of_packages, "ddp.backends.mpi", "from mpi4py import MPI", "at the top"),
    (breaches_of_packages, "core.nn.x", "import scipy.linalg", "at the top"),
    (breaches_of_packages, "core.nn.x", "def f():\n    import re", "inside a function"),
    (breaches_of_packages, "ddp.board", "import numpy", "at the top"),
    (breaches_of_packages, "launch.supervisor", "import core", "standard library"),
    (breaches_of_loading, "core.serialization", "import pickle", "imports pickle"),
    (breaches_of_loading, "ddp.checkpoint", "from pickle import loads", "imports pickle"),
    (breaches_of_loading, "core.amp", "eval('1')", "calls eval"),
    (breaches_of_loading, "core.data.x", "yaml.load(f)", "calls yaml.load"),
    (breaches_of_loading, "core.vision.x", "np.load(f, allow_pickle=True)", "allows pickle"),
    (breaches_of_order, "core.nn.x", "for x in {1, 2}: pass", "walks the set"),
    (breaches_of_order, "core.nn.x", "list(set(names))", "walks the set"),
    (breaches_of_order, "core.nn.x", "[x for x in set(names)]", "walks the set"),
    (breaches_of_privacy, "core.nn.x", "from core.ops.reduce import _fold", "private"),
    (breaches_of_privacy, "core.nn.x", "from core import random\nrandom._state", "private"),
    (breaches_of_size, "core.nn.x", "def f():\n" + "    x = 1\n" * 39, "40 lines"),
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
    assert [breach for law in LAWS for breach in law(name, ast.parse(source))] == []


def test_a_cycle_is_found_also_when_a_function_hides_it():
    one, two = ast.parse("import core.b"), ast.parse("def f():\n    from core.a import g")
    assert cycle(edges([("core.a", one), ("core.b", two)]))
    assert not cycle(edges([("core.a", one), ("core.b", ast.parse("import numpy"))]))
