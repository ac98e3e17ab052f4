"""Every example runs: the doctests of all modules, and every code block of the documents.

A block says by its language what is done with it. `python` blocks of a document run in order as one
script; a block that names a file (```python train.py) becomes that file and is run by itself;
```diff train.py changes it and runs it again; `pycon` is a doctest; `sh` is run line by line;
`text` is not code. One folder per document, so that a command finds the files above it.
"""

import dataclasses
import doctest
import importlib
import importlib.metadata
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in ("core", "ddp", "launch")
    for path in ROOT.glob(f"{package}/**/*.py")
    if path.stem != "__main__"
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SECONDS = 300

# They need a network, a cluster or a clone of their own; what they name is checked where it can be.
NOT_RUN = ("git", "pip", "srun", "sbatch", "cd")
LANGUAGES = ("python", "diff", "pycon", "sh", "text")
MPI_COMMAND = re.compile(r"\bmpi(run|exec)\b|-m launch\b")

# More ranks than cores, and root inside a container: both are refused by Open MPI unless asked for.
OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


# ---- reading ----


@dataclasses.dataclass(frozen=True)
class Block:
    """One fenced block: its language, the file it names if any, its text and first line."""

    language: str
    name: str
    text: str
    line: int


def blocks(text):
    """The fenced blocks of a Markdown text, in order."""
    pattern = r"^```(\w*)[ \t]*(\S*)\n(.*?)^```[ \t]*$"
    return [
        Block(found[1], found[2], found[3], text[: found.start()].count("\n") + 2)
        for found in re.finditer(pattern, text, re.MULTILINE | re.DOTALL)
    ]


def commands(text):
    """The command lines of a shell block, without comments and continuations."""
    joined = text.replace("\\\n", " ")
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


def patched(text, change):
    """The text with a diff block applied: its context and `-` lines must stand there once."""
    lines = change.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if not line.startswith("+"))
    new = "".join(line[1:] for line in lines if not line.startswith("-"))
    assert text.count(old) == 1, f"these lines stand {text.count(old)} times in the file:\n{old}"
    return text.replace(old, new)


def title(path):
    """The document's path below the root, as a test's name."""
    return path.relative_to(ROOT).as_posix()


# ---- running ----


def run(words, folder):
    """Run one command in the folder, this environment's programs first; its status must be 0."""
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **OPEN_MPI, "PATH": path, "PYTHONPATH": str(ROOT)}
    environment.pop("MAKEFLAGS", None)
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(words)}: status {done.returncode}\n{done.stdout}"


def write_files(found, folder):
    """Write the files that blocks name, changed as the diff blocks say; the names, in order."""
    files = {}
    for block in found:
        if block.name and block.language == "diff":
            files[block.name] = patched(files[block.name], block.text)
        elif block.name:
            files[block.name] = block.text
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return list(files)


def run_python(found, folder):
    """Run each state of each named file, then the unnamed blocks as one script."""
    for count, block in enumerate(found, 1):
        if block.name:
            write_files(found[:count], folder)
            run(["python", block.name], folder)
    script = ""
    for block in found:
        if block.language == "python" and not block.name:
            # Empty lines in front: a traceback then shows the line of the document.
            script += "\n" * (block.line - 1 - script.count("\n")) + block.text
    if script:
        (folder / "document.py").write_text(script, encoding="utf-8")
        run(["python", "document.py"], folder)


def run_command(words, folder):
    """Run a command line of a document, or check what it names where it cannot be run here."""
    if words[0] == "make":
        run([*words, "--dry-run", "--directory", str(ROOT)], folder)
    elif words[0] == "pip":
        extras = importlib.metadata.metadata("unison-ddp").get_all("Provides-Extra", [])
        asked = re.findall(r"\[([\w,-]+)\]", shlex.join(words))
        assert [name for names in asked for name in names.split(",") if name not in extras] == []
    elif words[0] not in NOT_RUN:
        run(words, folder)


def folder_of(tmp_path):
    """A folder for one document, with the scripts that commands may name."""
    for name in ("examples", "benchmarks"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


# ---- the laws ----


def with_marks(documents):
    """Documents with shell blocks; those that start ranks carry the marks for it."""
    for path in documents:
        shell = [block.text for block in blocks(path.read_text()) if block.language == "sh"]
        ranks = any(MPI_COMMAND.search(text) for text in shell)
        marks = [pytest.mark.mpi, pytest.mark.slow] if ranks else []
        if shell:
            yield pytest.param(path, marks=marks, id=title(path))


@pytest.mark.parametrize("name", MODULES)
def test_the_doctests_of_the_module_pass(name):
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert failed == 0


@pytest.mark.parametrize("path", DOCUMENTS, ids=title)
def test_python_blocks_run(path, tmp_path):
    found = blocks(path.read_text(encoding="utf-8"))
    assert [block for block in found if block.language not in LANGUAGES] == []
    run_python([b for b in found if b.language in ("python", "diff")], folder_of(tmp_path))
    session = "\n".join(block.text for block in found if block.language == "pycon")
    test = doctest.DocTestParser().get_doctest(session, {}, path.name, str(path), 0)
    assert doctest.DocTestRunner(optionflags=FLAGS).run(test).failed == 0


@pytest.mark.parametrize("path", list(with_marks(DOCUMENTS)))
def test_shell_blocks_run(path, tmp_path):
    found = blocks(path.read_text(encoding="utf-8"))
    write_files([b for b in found if b.language in ("python", "diff")], folder_of(tmp_path))
    for block in found:
        if block.language == "sh":
            for words in commands(block.text):
                run_command(words, tmp_path)


@pytest.mark.parametrize("path", DOCUMENTS, ids=title)
def test_links_to_files_lead_somewhere(path):
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


# ---- the laws can fail ----


def test_a_block_that_raises_fails(tmp_path):
    with pytest.raises(AssertionError, match=r"line 3.*ZeroDivisionError"):
        run_python(blocks("# Title\n```python\n1 / 0\n```\n"), tmp_path)


def test_a_diff_block_changes_the_file_above_it(tmp_path):
    text = "```python a.py\nx = 1\n```\n```diff a.py\n-x = 1\n+x = 2\n```\n"
    assert write_files(blocks(text), tmp_path) == ["a.py"]
    assert (tmp_path / "a.py").read_text() == "x = 2\n"


def test_a_diff_block_of_other_lines_fails(tmp_path):
    text = "```python a.py\nx = 1\n```\n```diff a.py\n-x = 3\n+x = 2\n```\n"
    with pytest.raises(AssertionError, match="0 times"):
        write_files(blocks(text), tmp_path)


@pytest.mark.parametrize("line", ["false", "make no-such-target", "pip install 'x[no-such]'"])
def test_a_command_that_fails_fails(line, tmp_path):
    with pytest.raises(AssertionError):
        run_command(commands(line)[0], tmp_path)
