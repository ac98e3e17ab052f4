"""The laws of the tree: rows, cycles, optional packages, code that loads code, names and sizes.

Read from the sources with `ast`; nothing of ours is imported. A new file finds its row in ROWS.
`tests/test_architecture.py` holds the tree to them, and shows that each can fail.
"""

import ast
import functools
import graphlib
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("core", "ddp", "launch")

# A module imports from rows above its own, and from its own room. A room is a name in this list:
# a file, or a folder whose files may import each other as long as no cycle arises. A module stands
# in the room with the longest name that is a prefix of its own.
ROWS = [
    ["core.notice", "core.probes"],
    ["core.dtype", "core.simulated", "core.philox", "core.size", "core.layout", "core.settings"],
    ["core.backend", "core.compiler"],
    ["core.autograd", "core.random", "core.pinned", "core.jit"],
    ["core.ops"],
    ["core.printing", "core.exchange", "core.recompute"],
    ["core.tensor"],
    ["core.types"],
    ["core.conversion", "core.older", "core.waiting"],
    ["core.methods"],
    [
        "core.nn",
        "core.optim",
        "core.data",
        "core.cuda",
        "core.linalg",
        "core.special",
        "core.return_types",
        "core.testing",
    ],
    [
        "core.vision",
        "core.amp",
        "core.optim.swa_utils",
        "core.serialization",
        "core.capture",
        "core.profiler",
        "core.onnx",
        "core.accelerator",
        "core.backends",
        "core.benchmark",
        "core.distributions",
        "core.func",
    ],
    ["core.kernels", "core.cuda.amp", "core.tensorboard", "core.autograd.profiler"],
    ["core"],
    [
        "ddp.call",
        "ddp.futures",
        "ddp.wrapper",
        "ddp.nested",
        "ddp.reduction",
        "ddp.board",
        "launch.status",
        "launch.world",
        "launch.ledger",
    ],
    ["ddp.work", "launch.report", "launch.script", "launch.output", "launch.stacks", "launch"],
    ["launch.cores", "launch.devices"],
    ["ddp.schedule", "launch.options", "launch.supervisor"],
    ["ddp.group_core"],
    ["ddp.messages"],
    ["ddp.collective_verbs"],
    ["ddp.group"],
    ["ddp.guard", "ddp.current_group"],
    ["ddp.backends"],
    [
        "ddp.lifecycle",
        "ddp.trace",
        "ddp.probe",
        "ddp.simulate",
        "ddp.absence",
        "ddp.joinable",
        "ddp.abreast",
        "ddp.average",
        "ddp.weight",
    ],
    ["ddp.device_split", "ddp.staging", "ddp.starting", "ddp.stats", "ddp.subgroups", "ddp.tuning"],
    [
        "ddp.collectives",
        "ddp.consensus",
        "ddp.stop",
        "ddp.bucket",
        "ddp.shards",
        "ddp.sampler",
        "ddp.sync",
    ],
    ["ddp.reducer", "ddp.functional", "ddp.sync_norm", "ddp.plan", "ddp.point_to_point"],
    ["ddp.alone", "ddp.join", "ddp.hooks", "ddp.nn", "ddp.parallel_layers", "ddp.sharded"],
    [
        "ddp.distributed",
        "ddp.loader",
        "ddp.data_parallel",
        "ddp.local_sgd",
        "ddp.powersgd",
        "ddp.checkpoint",
        "ddp.zero",
    ],
    ["ddp.hook_types"],
    ["ddp"],
    ["launch.bandwidth", "launch.tiny_training"],
    ["launch.spawn", "launch.handshake", "launch.watchdog", "launch.ending", "launch.mpi"],
    ["launch.agreement", "launch.signals", "launch.as_torch", "launch.doctor"],
    ["launch.announce", "launch.hang", "launch.timeline"],
    ["launch.rank"],
    ["launch.__main__"],
]
ROW = {room: row for row, rooms in enumerate(ROWS) for room in rooms}

# Every package from outside, and the rooms that may import it: `top` with the file, `late` inside
# a function, so that `import core, ddp` loads neither a GPU library nor MPI.
OUTSIDE = {
    "numpy": {"top": ("core", "ddp")},
    "ml_dtypes": {"top": ("core", "ddp")},
    "tqdm": {"late": ("core.vision",)},
    "PIL": {"late": ("core.vision",)},
    "tensorboard": {"top": ("core.tensorboard",)},
    "onnx": {"late": ("core.onnx",)},
    "cupy": {"late": ("core.backend", "core.kernels", "core.cuda", "ddp.backends.nccl")},
    "cupyx": {"late": ("core.backend", "core.kernels", "core.cuda")},
    "cupy_backends": {"late": ("core.backend", "core.kernels", "core.cuda", "ddp.backends.nccl")},
    "cudnn": {"late": ("core.kernels",)},
    "cuda": {"late": ("core.kernels",)},
    "mpi4py": {"late": ("ddp.backends.mpi", "launch")},
}
# Shared with processes that load nothing else. (What `launch` loads before it forks is measured
# in tests/test_public.py, for all that it imports.)
STANDARD_LIBRARY_ONLY = ("ddp.board",)
# The child of a fork loads what its parent, the supervisor, must not.
AFTER_THE_FORK = {("launch.__main__", "launch.rank")}

# Objects between our own ranks and our own worker processes; nothing that reads a file.
MAY_PICKLE = (
    "ddp.backends",
    "ddp.schedule",
    "core.data.channel",
    "core.data.loader",
    "core.data.worker",
)
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


@functools.cache
def nodes(tree):
    """Everything in a parsed file, walked once for all laws."""
    return list(ast.walk(tree))


@functools.cache
def imports(tree):
    """(target, line, whether it stands at module level) of each import that can run."""
    found = []
    for node, at_top in running(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno, at_top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            found += [(f"{base}.{alias.name}", node.lineno, at_top) for alias in node.names]
    return found


def running(tree):
    """(statement, at module level) of everything that is not only there for the type checker."""
    waiting = [(tree, True)]
    while waiting:
        node, at_top = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node, at_top
        at_top = at_top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        # An import is a statement, and statements stand in statements only.
        waiting += [
            (child, at_top)
            for child in reversed(list(ast.iter_child_nodes(node)))
            if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case)
        ]


# ---- the laws: each yields one sentence per breach ----


def rows(name, tree):
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
        elif not at_top and (name, there) not in AFTER_THE_FORK:
            yield f"{name}:{line} imports {target} inside a function"
        elif there != here and ROW[there] >= ROW[here]:
            yield f"{name}:{line} imports {target}: {there} is not above {here}"


def packages(name, tree):
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


def loading(name, tree):
    """Code that turns data into code: loading a file must run nothing."""
    for target, line, _ in imports(tree):
        if target.split(".")[0] in PICKLES and not inside(name, MAY_PICKLE):
            yield f"{name}:{line} imports {target}"
    for node in nodes(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in RUNS_CODE or called in {f"yaml.{loader}" for loader in YAML_LOADERS}:
            yield f"{name}:{node.lineno} calls {called}"
        for keyword in node.keywords:
            if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                yield f"{name}:{node.lineno} allows pickle"


def order(name, tree):
    """Loops over a set that stand in the text: their order changes with the hash seed."""
    ordered = {"list", "tuple", "iter", "enumerate", "zip", "map"}
    for node in nodes(tree):
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


def privacy(name, tree):
    """Names with a leading underscore that are taken from another file."""
    modules = []
    for target, line, _ in imports(tree):
        if room(target) is None:
            continue
        modules.append(target.rsplit(".", 1)[-1])
        if any(part.startswith("_") and not part.startswith("__") for part in target.split(".")):
            yield f"{name}:{line} takes {target}, which is private to its file"
    for node in nodes(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            owner = ast.unparse(node.value)
            if not node.attr.startswith("__") and owner.split(".")[-1] in modules:
                yield f"{name}:{node.lineno} takes {owner}.{node.attr}, private to its file"


def size(name, tree):
    """Functions that do not fit on a screen."""
    for node in nodes(tree):
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


# ---- which laws hold where ----

LAWS = [
    rows,
    packages,
    loading,
    order,
    privacy,
    size,
]
EVERYWHERE = [privacy, size]
