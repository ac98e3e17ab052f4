"""What is installed is what the tree holds."""

import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("core", "ddp", "launch")
INPUTS = ("pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names in a wheel built from a copy of the tree, so that nothing is written beside it."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in INPUTS:
        shutil.copy(ROOT / name, folder)
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    command = "-m pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir dist ."
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    (built,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return built.name, archive.namelist()


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages_and_no_other(wheel):
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*")]
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in wheel[1] if ".dist-info/" not in name} == expected


@pytest.mark.slow
def test_the_wheel_needs_no_compiler(wheel):
    assert wheel[0].endswith("-py3-none-any.whl")
