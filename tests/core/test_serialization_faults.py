"""Loading says what happened to a file; saving leaves a whole one, whatever happens."""

import collections
import contextlib
import errno
import io
import json
import os
import pathlib
import pickle
import random
import struct
import subprocess
import sys

import hypothesis
import hypothesis.strategies as st
import numpy
import pytest

import core
from core.serialization import atomic, layout

ROOT = pathlib.Path(__file__).resolve().parents[2]


def state(step=0):
    """Something like a checkpoint."""
    source = numpy.random.default_rng(step)
    return {
        "model": collections.OrderedDict(
            [("a.weight", core.tensor(source.standard_normal((3, 4)))), ("a.bias", core.zeros(4))]
        ),
        "optimizer": {
            "state": {0: {"step": core.tensor(float(step))}},
            "lr": 1e-3,
            "betas": (0.9, 0.95),
        },
        "names": ["x", None, True, -(2**70)],
        "step": step,
    }


# ---- broken files ----


def written(folder):
    path = folder / "x.pt"
    core.save(state(), path)
    return path, path.read_bytes()


def test_a_flipped_bit_anywhere_is_found(tmp_path):
    path, whole = written(tmp_path)
    draw = random.Random(5)
    for suffix in (".pt", ".safetensors"):
        path = path.rename(path.with_suffix(suffix))
        for bit in [*range(8 * 60), *(draw.randrange(8 * len(whole)) for _ in range(500))]:
            broken = bytearray(whole)
            broken[bit // 8] ^= 1 << bit % 8
            path.write_bytes(broken)
            with pytest.raises(core.CheckpointError, match=f"cannot load {path}"):
                core.load(path)


def test_a_file_cut_off_at_any_length_is_found(tmp_path):
    path, whole = written(tmp_path)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(core.CheckpointError):
            core.load(path)


def test_bytes_after_the_end_are_found(tmp_path):
    path, whole = written(tmp_path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(core.CheckpointError, match="cut off, or more"):
        core.load(path)


@hypothesis.given(st.binary(max_size=200))
def test_noise_is_refused(noise):
    with pytest.raises(core.CheckpointError):
        core.load(io.BytesIO(noise))


def forged(header, data=b""):
    """A file with a right checksum around a wrong header."""
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return io.BytesIO(struct.pack("<Q", len(text)) + text + data)


def signed(structure, version="1", **tensors):
    """A file as ours with any structure text."""
    about = {"unison.version": version, "unison.structure": structure}
    file = io.BytesIO(
        b"".join(layout.pieces({k: numpy.ones(v) for k, v in tensors.items()}, about))
    )
    return file


def entry(dtype="F32", shape=(1,), start=0, end=4):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


HOSTILE = {
    "huge header": io.BytesIO(struct.pack("<Q", 2**63) + b"{}"),
    "huge tensor": forged({"a": entry(shape=(2**40, 2**40), end=2**82)}),
    "no room": forged({"a": entry(shape=(2**30,), end=2**32)}),
    "empty but huge": forged({"a": entry(shape=(0, 2**62, 2**62), end=0)}),
    "negative": forged({"a": entry(shape=(-1,), end=-4)}),
    "overlap": forged({"a": entry(), "b": entry()}, bytes(4)),
    "gap": forged({"a": entry(), "b": entry(start=8, end=12)}, bytes(12)),
    "wrong size": forged({"a": entry(shape=(2,))}, bytes(4)),
    "object": forged({"a": entry(dtype="O")}, bytes(4)),
    "true as a size": forged({"a": entry(shape=(True,))}, bytes(4)),
    "float": forged({"a": entry(shape=(1.0,))}, bytes(4)),
    "list": forged([1, 2]),
    "not json": forged(b"{'a': 1}"),
    "not text": forged(b'{"\xff\xfe": 1}'),
    "deep": forged(b"[" * 100000),
    "twice": forged(b'{"a": 1, "a": 1}'),
    "many dims": forged({"a": entry(shape=(1,) * 100)}, bytes(4)),
    "nan metadata": forged({"__metadata__": {"a": 1}}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_are_refused_before_anything_is_allocated(name):
    file = HOSTILE[name]
    file.seek(0)
    file.name = "x.safetensors"  # the suffix with which files without our checksum are read
    with pytest.raises(core.CheckpointError):
        core.load(file)


STRUCTURES = [
    "{",
    "{}",
    '{"call": ["os.system", "true"]}',
    '{"tensor": "b"}',
    '{"tensor": ["a"]}',
    '{"dtype": "object"}',
    '{"float": "1"}',
    '{"dict": [[1]]}',
    '{"dict": [[[1], 2]]}',
    '{"bytes": "%%"}',
    '{"device": "disk"}',
    '{"tensor": "a", "device": "disk"}',
    '{"set": [[1]]}',
    '{"list": [], "tuple": []}',
    '{"size": 3}',
    '{"complex": ["x", "y"]}',
]


@pytest.mark.parametrize("text", STRUCTURES)
def test_a_structure_that_is_not_ours_is_refused(text):
    with pytest.raises(core.CheckpointError):
        core.load(signed(text, a=2))


def test_a_newer_version_is_named():
    with pytest.raises(core.CheckpointError, match=r"format version '2'.*reads version 1"):
        core.load(signed("{}", version="2"))


class Canary:
    def __reduce__(self):
        return os.mkdir, ("canary",)


@pytest.mark.parametrize("only", [True, False, None])
def test_a_pickle_is_never_run(only, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.pt"
    path.write_bytes(pickle.dumps(Canary()))
    with pytest.raises(core.CheckpointError, match="pickle"):
        core.load(path, weights_only=only)
    assert not (tmp_path / "canary").exists()


def test_a_file_of_torch_save_is_named(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.ones(2)}, tmp_path / "x.pt")
    with pytest.raises(core.CheckpointError, match=r"a pickle .*safetensors.torch.save_file"):
        core.load(tmp_path / "x.pt")


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        core.load(tmp_path / "none.pt")
    with pytest.raises(IsADirectoryError):
        core.load(tmp_path)


# ---- crashes ----


class Died(BaseException):
    """A process that is killed runs no handler; this passes every `except Exception`."""


@pytest.fixture
def calls(monkeypatch):
    """Counts the calls to the system while saving, and fails at one of them as it is told."""

    class Shim:
        count, fail_at, how = 0, None, "die"
        dead = False

        def wrap(self, name):
            real = getattr(os, name)

            def call(*args, **kwargs):
                if self.dead:
                    raise Died(name)
                self.count += 1
                if self.count != self.fail_at:
                    return real(*args, **kwargs)
                if name == "write" and self.how != "refuse":
                    real(args[0], bytes(args[1])[: len(args[1]) // 2])
                if self.how == "refuse":
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self.dead = True
                raise Died(name)

            return call

    shim = Shim()
    system = type(os)("os")
    system.__dict__.update(vars(os))
    for name in ("open", "write", "fsync", "close", "replace", "unlink"):
        setattr(system, name, shim.wrap(name))
    monkeypatch.setattr(atomic, "os", system)
    return shim


@pytest.mark.parametrize("how", ["die", "refuse"])
def test_a_crash_at_any_call_leaves_the_old_file_or_the_new_one(how, calls, tmp_path):
    path = tmp_path / "x.pt"
    core.save(state(0), path)
    total, calls.count = calls.count, 0
    assert total >= 8
    outcomes = []
    for k in range(1, total + 1):
        calls.count, calls.fail_at, calls.how, calls.dead = 0, None, how, False
        core.save(state(0), path)
        calls.count, calls.fail_at = 0, k
        with pytest.raises((Died, OSError)):
            core.save(state(1), path)
        outcomes.append(core.load(path)["step"])
        left = [name for name in os.listdir(tmp_path) if name != "x.pt"]
        assert how == "die" or not left
        for name in left:
            (tmp_path / name).unlink()
    renamed = outcomes.index(1)
    assert outcomes == [0] * renamed + [1] * (total - renamed)


def test_a_first_save_that_fails_leaves_nothing(calls, tmp_path):
    calls.fail_at, calls.how = 2, "refuse"
    with pytest.raises(OSError, match=r"No space left on device: '.*x\.pt'"):
        core.save(state(), tmp_path / "x.pt")
    assert os.listdir(tmp_path) == []


SAVER = """
import sys
import core
for step in range(10**9):
    core.save({"step": step, "x": core.full((50000,), float(step))}, sys.argv[1])
    print(step, flush=True)
"""


def test_a_process_killed_while_saving_leaves_a_whole_file(tmp_path):
    path = tmp_path / "x.pt"
    draw = random.Random(1)
    for _ in range(3):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        saver = subprocess.Popen(
            [sys.executable, "-c", SAVER, str(path)], stdout=subprocess.PIPE, env=environment
        )
        with contextlib.closing(saver.stdout) as lines:
            for _ in range(draw.randrange(1, 20)):
                lines.readline()
            saver.kill()
            saver.wait()
        back = core.load(path)
        assert (back["x"].array == back["step"]).all()
    core.save(state(), path)
    assert os.listdir(tmp_path) == ["x.pt"]  # what the dead left behind is gone


def test_a_link_still_points_to_the_new_file(tmp_path):
    core.save(state(0), tmp_path / "real.pt")
    (tmp_path / "latest.pt").symlink_to(tmp_path / "real.pt")
    core.save(state(1), tmp_path / "latest.pt")
    assert (tmp_path / "latest.pt").is_symlink()
    assert core.load(tmp_path / "real.pt")["step"] == 1
