"""What is decided before a start and between two starts."""

import os
import types

import pytest

from launch import devices, doctor, spawn, stacks
from launch.options import Options, contradiction, parse, unparsed
from launch.status import UsageError

CONTRADICTIONS = [
    ("--max-restarts 1", "", "--max-restarts needs -n N"),
    ("-n 4 --min-ranks 2", "", "--min-ranks needs --max-restarts K and --shards S"),
    (
        "-n 4 --min-ranks 2 --max-restarts 1",
        "",
        "--min-ranks needs --max-restarts K and --shards S",
    ),
    ("-n 4 --min-ranks 8 --max-restarts 1 --shards 8", "", "--min-ranks 8 is more than -n 4"),
    ("-n 4", "mpirun did it", "-n is for `python -m launch -n N`, but mpirun did it"),
    ("--max-restarts 1", "mpirun did it", "--max-restarts is for"),
    ("--min-ranks 1", "mpirun did it", "--min-ranks is for"),
    ("-n 4 --min-ranks 2 --max-restarts 1 --shards 8", "", ""),
    ("--shards 8", "mpirun did it", ""),
]


@pytest.mark.parametrize(("words", "launcher", "says"), CONTRADICTIONS)
def test_options_that_cannot_be_together_are_one_sentence(words, launcher, says):
    found = contradiction(parse([*words.split(), "train.py"]), launcher)
    assert found.startswith(says) and bool(found) == bool(says)


def test_what_concerns_the_start_alone_is_not_passed_to_the_ranks():
    words = (
        "-n 4 --max-restarts 2 --min-ranks 2 --shards 8 --trace t.json --stats --as-torch train.py"
    )
    assert unparsed(parse(words.split())) == [
        *("--shards", "8", "--trace", "t.json", "--stats", "--as-torch", "train.py")
    ]


def test_little_shared_memory_is_told_with_the_flag_that_mends_it(monkeypatch):
    usage = lambda free: lambda path: types.SimpleNamespace(free=free)  # noqa: E731
    monkeypatch.setattr(doctor.shutil, "disk_usage", usage(63 << 20))
    assert "63 MiB free" in doctor.shared_memory()
    assert "docker run --shm-size=1g" in doctor.shared_memory()
    monkeypatch.setattr(doctor.shutil, "disk_usage", usage(64 << 20))
    assert "--shm-size" not in doctor.shared_memory()


def test_the_next_size_divides_the_shards_and_has_a_limit():
    sizes = [spawn.next_size(Options(ranks=ranks, shards=8, min_ranks=2)) for ranks in (8, 5, 4, 2)]
    assert sizes == [4, 4, 2, 0]


def test_a_mark_is_written_to_a_memory_file_of_this_host_and_nowhere_else(tmp_path):
    fd = stacks.memory_file()
    try:
        stacks.mark("")
        stacks.mark(f"elsewhere {os.getpid()} {fd}")
        with open(tmp_path / "precious", "w+b") as precious:
            stacks.mark(stacks.address(precious.fileno()))
            assert precious.read() == b""
        assert stacks.read(fd) == ""
        stacks.mark(stacks.address(fd))
        assert stacks.read(fd) == "1"
    finally:
        os.close(fd)


def test_gpus_without_cupy_are_one_sentence_with_what_to_install(monkeypatch):
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: None)
    devices.require_cupy({"UNISON_SIMULATED_GPUS": "2"})
    with pytest.raises(UsageError, match=r"CuPy is not installed: .*\[cuda12\].* --device cpu"):
        devices.require_cupy({})
