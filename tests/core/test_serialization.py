"""What is saved comes back, whole or not at all, and loading runs nothing."""

import argparse
import collections
import io
import math
import os
import pathlib
import subprocess
import sys
import types

import hypothesis
import hypothesis.strategies as st
import ml_dtypes
import numpy
import pytest

import core

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


def same(a, b):
    """Whether two values are equal and of the same types, down to the bits of arrays."""
    if type(a) is not type(b):
        return False
    if isinstance(a, core.Tensor):
        return a.requires_grad == b.requires_grad and same(a.array, b.array)
    if isinstance(a, numpy.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


def through(value):
    """What comes back of a value saved to memory."""
    file = io.BytesIO()
    core.save(value, file)
    file.seek(0)
    return core.load(file)


# ---- values ----

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.binary(max_size=8) | st.complex_numbers(allow_nan=False)
)  # fmt: skip
KEYS = (
    st.text(max_size=4)
    | st.integers()
    | st.booleans()
    | st.tuples(st.integers(), st.text(max_size=2))
)
DTYPES = [
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
]  # fmt: skip


@st.composite
def tensors(draw):
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 3), max_size=4))
    bits = numpy.random.default_rng(draw(st.integers(0, 99))).integers(0, 2, shape)
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    x = core.tensor(bits).to(getattr(core, dtype))
    assert x.array.dtype == kind
    return x


VALUES = st.recursive(
    SCALARS | tensors(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3).map(collections.OrderedDict)
    ),
    max_leaves=8,
)


@hypothesis.given(VALUES)
def test_what_is_saved_comes_back(value):
    assert same(through(value), value)


def test_rarer_values_come_back():
    value = {
        "size": core.Size([2, 3]),
        "dtype": core.bfloat16,
        "device": core.device("cpu"),
        "counter": collections.Counter({3: 2}),
        "set": {3, 1},
        "frozen": frozenset("ab"),
        "slice": slice(1, None, 2),
        "array": numpy.arange(6, dtype="uint16").reshape(2, 3),
        "number": numpy.float32(1.5),
        "parameter": core.nn.Parameter(core.ones(2)),
        "frozen parameter": core.nn.Parameter(core.ones(2), requires_grad=False),
        "leaf": core.ones(3).requires_grad_(),
    }
    back = through(value)
    assert same(back, value)
    assert isinstance(back["number"], numpy.float32)


def test_a_tensor_that_is_not_contiguous_keeps_its_values():
    x = core.arange(12.0).reshape(3, 4).t()[1:]
    assert same(through(x).array, numpy.ascontiguousarray(x.array))


def test_tensors_that_were_one_memory_are_one_again():
    weight = core.ones(3)
    file = io.BytesIO()
    core.save({"embedding": weight, "head": weight.detach()}, file)
    assert file.tell() < 8 + 600 + 12
    file.seek(0)
    back = core.load(file)
    back["embedding"].zero_()
    assert back["head"].tolist() == [0.0, 0.0, 0.0]


def test_what_comes_back_is_writable_and_our_own():
    x = core.ones(3)
    back = through(x)
    back.add_(1)
    assert x.tolist() == [1.0, 1.0, 1.0]


def test_states_of_modules_optimizers_and_schedulers_come_back(tmp_path):
    model = core.nn.Linear(3, 2)
    optimizer = core.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = core.optim.lr_scheduler.MultiStepLR(optimizer, [1, 3])
    for p in model.parameters():
        p.grad = core.ones(*p.shape)
    optimizer.step()
    scheduler.step()
    parts = (model, optimizer, scheduler)
    core.save([part.state_dict() for part in parts], tmp_path / "run.pt")
    again = core.nn.Linear(3, 2)
    other = core.optim.AdamW(again.parameters(), lr=7.0)
    resumed = core.optim.lr_scheduler.MultiStepLR(other, [1, 3])
    for part, saved in zip((again, other, resumed), core.load(tmp_path / "run.pt"), strict=True):
        part.load_state_dict(saved)
    for model_, optimizer_ in ((model, optimizer), (again, other)):
        for p in model_.parameters():
            p.grad = core.ones(*p.shape)
        optimizer_.step()
    assert all(same(p.detach(), q.detach()) for p, q in zip(model.parameters(), again.parameters()))
    assert resumed.state_dict() == scheduler.state_dict()


class Mine:
    def state_dict(self):
        return {}


REFUSED = [
    (lambda: None, "function"),
    (Mine(), r"Mine.*save its state_dict\(\)"),
    ({"a": [1, Mine()]}, r"at 'a\.1'"),
    (collections.namedtuple("Pair", "a b")(1, 2), "Pair"),
    (numpy.array([object()]), "object"),
    ({core.ones(1): 2}, "cannot be the key"),
    (int, "type"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=[m for _, m in REFUSED])
def test_what_would_need_code_is_refused(value, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        core.save(value, tmp_path / "x.pt")
    assert list(tmp_path.iterdir()) == []


# ---- devices ----


@pytest.mark.parametrize(
    ("where", "device"),
    [
        (None, "cuda:1"),
        ("cpu", "cpu"),
        ("cuda:0", "cuda:0"),
        ({"cuda:1": "cuda:0"}, "cuda:0"),
        ({"cuda:0": "cpu"}, "cuda:1"),
        (lambda x, device: x.to("cuda:0") if device == "cuda:1" else None, "cuda:0"),
        (lambda x, device: None, "cuda:1"),
    ],
    ids=["none", "cpu", "cuda0", "renamed", "not ours", "moved", "declined"],
)
def test_tensors_go_where_map_location_says(where, device, tmp_path, monkeypatch):
    monkeypatch.setenv("UNISON_SIMULATED_GPUS", "2")
    core.save({"x": core.ones(3).to("cuda:1")}, tmp_path / "x.pt")
    back = core.load(tmp_path / "x.pt", map_location=where)["x"]
    assert str(back.device) == device and back.cpu().tolist() == [1.0, 1.0, 1.0]


def test_a_gpu_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("UNISON_SIMULATED_GPUS", "1")
    core.save(core.ones(3).to("cuda"), tmp_path / "x.pt")
    monkeypatch.delenv("UNISON_SIMULATED_GPUS")
    monkeypatch.setattr(core.serialization, "device_count", lambda: 0)
    with pytest.raises(RuntimeError, match=r"cuda:0.*map_location='cpu'"):
        core.load(tmp_path / "x.pt")
    assert core.load(tmp_path / "x.pt", map_location="cpu").tolist() == [1.0, 1.0, 1.0]


def test_the_options_of_a_script_go_in():
    options = argparse.Namespace(lr=0.1, out=pathlib.Path("runs/x"), sizes=[1, 2])
    found = through({"args": options, "config": types.SimpleNamespace(w=core.ones(2))})
    assert found["args"] == options and type(found["args"].out) is type(options.out)
    assert found["config"].w.tolist() == [1.0, 1.0]


def test_the_last_of_a_row_go_in():
    for row in (collections.deque([1.0, 2.0], maxlen=2), collections.deque([core.ones(1)])):
        found = through(row)
        assert type(found) is collections.deque and found == row and found.maxlen == row.maxlen


# ---- safetensors ----


def test_other_programs_read_our_tensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    core.save(state(), tmp_path / "x.pt")
    found = safetensors.load_file(tmp_path / "x.pt")
    assert sorted(found) == ["model.a.bias", "model.a.weight", "optimizer.state.0.step"]
    assert (found["model.a.weight"] == state()["model"]["a.weight"].array).all()


def test_a_state_dict_keeps_its_names(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    core.save(core.nn.Linear(2, 2).state_dict(), tmp_path / "x.safetensors")
    assert sorted(safetensors.load_file(tmp_path / "x.safetensors")) == ["bias", "weight"]


def test_we_read_what_other_programs_wrote(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    arrays = {
        "a": numpy.arange(6.0).reshape(2, 3),
        "b": numpy.ones((), "float16"),
        "c": numpy.zeros((0, 3)),
    }
    safetensors.save_file(arrays, tmp_path / "x.safetensors", {"from": "elsewhere"})
    back = core.load(tmp_path / "x.safetensors")
    assert all(same(back[name].array, array) for name, array in arrays.items())
    os.rename(tmp_path / "x.safetensors", tmp_path / "x.pt")
    with pytest.raises(core.CheckpointError, match=r"not a file that core\.save wrote"):
        core.load(tmp_path / "x.pt")


def test_the_bytes_depend_on_the_values_alone():
    code = (
        "import core, io, hashlib; f = io.BytesIO(); core.save({'s': {'a', 'b', 'c', 'd'},"
        " 'x': core.ones(3)}, f); print(hashlib.sha256(f.getvalue()).hexdigest())"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in "12"
    ]
    assert found[0] == found[1]


def test_numbers_that_json_does_not_have_come_back():
    back = through([math.inf, -math.inf, math.nan, -0.0, 1e-320])
    assert back[:2] == [math.inf, -math.inf] and math.isnan(back[2])
    assert math.copysign(1, back[3]) == -1 and back[4] == 1e-320
