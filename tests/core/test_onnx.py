"""Exported models: onnx's checker accepts them, and onnxruntime gives their outputs."""

import os
import pathlib
import subprocess
import sys

import numpy
import pytest

import core
import core.onnx
from core import nn
from core.vision import models

onnx = pytest.importorskip("onnx", reason="pip install unison-ddp[onnx]")
onnxruntime = pytest.importorskip("onnxruntime", reason="pip install unison-ddp[onnx]")

F = nn.functional
ROOT = pathlib.Path(__file__).parents[2]


def drawn(*shape, seed=0):
    return core.tensor(numpy.random.default_rng(seed).standard_normal(shape).astype("float32"))


def words(*shape, seed=0):
    return core.tensor(numpy.random.default_rng(seed).integers(0, 11, shape))


def started(made):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(made.SerializeToString(), options)


def outputs(session, args):
    names = [x.name for x in session.get_inputs()]
    return session.run(None, {name: x.numpy() for name, x in zip(names, args, strict=True)})


def assert_same(model, session, args, tolerance=1e-5):
    """The outputs of onnxruntime are the model's, relative to the largest element."""
    model.eval()
    with core.no_grad():
        expected = core.onnx.trace.tensors(model(*args))
    found = outputs(session, args)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        b = b.numpy()
        assert a.shape == b.shape and a.dtype == b.dtype
        scale = max(float(numpy.abs(b).max(initial=0)), 1e-3)
        numpy.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


class Of(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


LAYERS = {
    "linear": (lambda: nn.Linear(6, 4), [(3, 6)]),
    "linear of three dims": (lambda: nn.Linear(6, 4, bias=False), [(3, 2, 6)]),
    "bilinear": (lambda: nn.Bilinear(3, 4, 2), [(5, 3), (5, 4)]),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, padding=1, stride=2), [(2, 4, 9)]),
    "conv2d": (lambda: nn.Conv2d(4, 6, (2, 3), 1, (0, 2), 2, groups=2), [(2, 4, 9, 8)]),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), [(2, 2, 4, 5, 3)]),
    "conv same": (lambda: nn.Conv2d(2, 3, 4, padding="same"), [(2, 2, 7, 7)]),
    "conv circular": (lambda: nn.Conv2d(2, 3, 3, 1, 1, padding_mode="circular"), [(2, 2, 7, 7)]),
    "conv transposed": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
        [(2, 4, 5, 4)],
    ),
    "max pool": (lambda: nn.MaxPool2d(3, 2, 1), [(2, 3, 9, 8)]),
    "max pool ceil": (lambda: nn.MaxPool2d(2, ceil_mode=True), [(2, 3, 9, 7)]),
    "max pool with places": (
        lambda: nn.MaxPool2d(3, 2, 1, dilation=2, return_indices=True), [(2, 3, 9, 8)]
    ),
    "max pool of volumes with places": (
        lambda: nn.MaxPool3d(2, return_indices=True), [(2, 3, 4, 5, 4)]
    ),
    "adaptive max pool": (lambda: nn.AdaptiveMaxPool2d((3, 2)), [(2, 3, 7, 8)]),
    "adaptive max pool with places": (lambda: nn.AdaptiveMaxPool1d(3, True), [(2, 3, 8)]),
    "adaptive max pool of volumes": (lambda: nn.AdaptiveMaxPool3d(2), [(2, 3, 4, 5, 4)]),
    "avg pool": (lambda: nn.AvgPool2d(3, 2, 1), [(2, 3, 9, 8)]),
    "avg pool uncounted": (lambda: nn.AvgPool1d(3, 2, 1, count_include_pad=False), [(2, 3, 9)]),
    "adaptive avg pool": (lambda: nn.AdaptiveAvgPool2d((3, 2)), [(2, 3, 7, 8)]),
    "global avg pool": (lambda: nn.AdaptiveAvgPool2d(1), [(2, 3, 7, 8)]),
    "lp pool": (lambda: nn.LPPool2d(2, 2), [(2, 3, 6, 8)]),
    "batch norm": (lambda: nn.BatchNorm2d(3), [(2, 3, 4, 5)]),
    "batch norm of the batch": (lambda: nn.BatchNorm1d(3, track_running_stats=False), [(6, 3)]),
    "instance norm": (lambda: nn.InstanceNorm2d(3, affine=True), [(2, 3, 4, 5)]),
    "group norm": (lambda: nn.GroupNorm(2, 4), [(2, 4, 5)]),
    "layer norm": (lambda: nn.LayerNorm((4, 5)), [(2, 3, 4, 5)]),
    "rms norm": (lambda: nn.RMSNorm(5), [(2, 3, 5)]),
    "local response norm": (lambda: nn.LocalResponseNorm(3), [(2, 4, 5, 5)]),
    "dropout": (lambda: nn.Dropout(0.5), [(3, 4)]),
    "zero pad": (lambda: nn.ZeroPad2d((1, 0, 2, 1)), [(2, 3, 4, 5)]),
    "reflection pad": (lambda: nn.ReflectionPad1d(2), [(2, 3, 6)]),
    "upsample nearest": (lambda: nn.Upsample(scale_factor=2), [(2, 3, 4, 5)]),
    "upsample bilinear": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), [(2, 3, 4, 5)]),
    "pixel shuffle": (lambda: nn.PixelShuffle(2), [(2, 8, 3, 3)]),
    "channel shuffle": (lambda: nn.ChannelShuffle(2), [(2, 4, 3, 3)]),
    "unfold": (lambda: nn.Unfold((2, 3), 2, 1, (1, 2)), [(2, 3, 7, 6)]),
    "fold": (lambda: nn.Fold((5, 6), (2, 3), padding=1, stride=2), [(2, 12, 9)]),
    "flatten": (lambda: nn.Flatten(), [(2, 3, 4)]),
    "cosine similarity": (lambda: nn.CosineSimilarity(), [(3, 4), (3, 4)]),
    "pairwise distance": (lambda: nn.PairwiseDistance(), [(3, 4), (3, 4)]),
    "rnn": (lambda: nn.RNN(3, 4, 2, nonlinearity="relu"), [(5, 2, 3)]),
    "lstm": (lambda: nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True), [(2, 5, 3)]),
    "lstm projected": (lambda: nn.LSTM(3, 4, proj_size=2), [(5, 2, 3)]),
    "gru": (lambda: nn.GRU(3, 4), [(5, 2, 3)]),
    "lstm cell": (lambda: nn.LSTMCell(3, 4), [(2, 3)]),
    "gru cell": (lambda: nn.GRUCell(3, 4), [(2, 3)]),
    "encoder layer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, activation="gelu"), [(5, 2, 8)]),
    "transformer": (
        lambda: nn.Transformer(8, 2, 1, 1, 16, norm_first=True, batch_first=True),
        [(2, 5, 8), (2, 4, 8)],
    ),
    "causal attention": (
        lambda: Of(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)),
        [(2, 3, 5, 4)] * 3,
    ),
    "in place": (lambda: Of(lambda x: (x * 2).add_(1).relu_() + x), [(3, 4)]),
    "operators": (
        lambda: Of(lambda x, y: core.where(x > y, x**2, -y) / (x.abs() + 1) - x.mean(1, True)),
        [(3, 4), (3, 4)],
    ),
    "parts": (
        lambda: Of(lambda x: core.cat([x[:, 1:3], x[..., -1:].expand(3, 2), x[1, None, ::2].T], 1)),
        [(3, 6)],
    ),
    "split": (
        lambda: Of(lambda x: core.stack([*x.chunk(2, 1), *x.split([2, 2], 1)]).amax(0)),
        [(3, 4)],
    ),
    "several outputs": (lambda: Of(lambda x: (x.sum(), {"max": x.argmax(1)})), [(3, 4)]),
}  # fmt: skip
ACTIVATIONS = (
    "ReLU ReLU6 LeakyReLU PReLU ELU CELU SELU GELU SiLU Mish Softplus LogSigmoid Sigmoid Tanh"
    " Tanhshrink Softsign Softshrink Hardshrink Hardtanh Hardswish Hardsigmoid Softmax LogSoftmax"
    " Softmin GLU"
).split()
OPTIONS = {"CELU": {"alpha": 0.5}, "Softmax": {"dim": 1}, "LogSoftmax": {"dim": 1}}
OPTIONS |= {"Softmin": {"dim": 1}, "Softplus": {"beta": 2.0, "threshold": 3.0}}
LAYERS |= {
    name: (lambda name=name: getattr(nn, name)(**OPTIONS.get(name, {})), [(3, 6)])
    for name in ACTIVATIONS
}
LAYERS["gelu by tanh"] = (lambda: nn.GELU(approximate="tanh"), [(3, 6)])


@pytest.mark.parametrize("name", LAYERS)
def test_layers_give_the_same_outputs_in_onnxruntime(name):
    make, shapes = LAYERS[name]
    core.manual_seed(0)
    model = make()
    args = [drawn(*shape, seed=i) for i, shape in enumerate(shapes)]
    session = started(core.onnx.export(model, tuple(args)))
    assert_same(model, session, args)
    assert_same(model, session, [drawn(*shape, seed=9 + i) for i, shape in enumerate(shapes)])


class Tagger(nn.Module):
    """Words, places, attention with a mask of padding."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(11, 8, padding_idx=0)
        self.places = nn.Parameter(core.randn(20, 8))
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, words):
        x = self.words(words) + self.places[: words.shape[1]]
        x = self.encoder(x, src_key_padding_mask=words == 10)
        return self.head(x).log_softmax(-1)


@pytest.mark.parametrize(
    "make",
    [
        Tagger,
        lambda: nn.Embedding(11, 3),
        lambda: nn.EmbeddingBag(11, 3, mode="sum"),
        lambda: nn.EmbeddingBag(11, 3),
        lambda: nn.EmbeddingBag(11, 3, mode="max"),
    ],
    ids=["tagger", "embedding", "sum of rows", "mean of rows", "largest of rows"],
)
def test_indices_are_read_and_not_kept(make):
    model = make()
    session = started(core.onnx.export(model, words(2, 7)))
    assert_same(model, session, [words(2, 7, seed=5)])


def test_weights_of_each_sample_are_inputs_too():
    bag = nn.EmbeddingBag(11, 3, mode="sum")
    model = Of(lambda x, w: bag(x, per_sample_weights=w))
    session = started(core.onnx.export(model, (words(2, 7), drawn(2, 7))))
    assert_same(model, session, [words(2, 7, seed=5), drawn(2, 7, seed=5)])


@pytest.mark.parametrize(
    "make, args, axes, others",
    [
        (
            lambda: models.resnet18(num_classes=5),
            [drawn(2, 3, 32, 32)],
            {"x": [0]},
            [drawn(3, 3, 32, 32)],
        ),
        (
            lambda: models.mobilenet_v2(num_classes=5, width_mult=0.25),
            [drawn(2, 3, 32, 32)],
            {"x": {0: "batch"}},
            [drawn(1, 3, 32, 32)],
        ),
        (
            lambda: models.VisionTransformer(16, 8, 2, 2, 8, 16, num_classes=5),
            [drawn(2, 3, 16, 16)],
            {"x": {0: "batch"}},
            [drawn(5, 3, 16, 16)],
        ),
        (Tagger, [words(2, 7)], {"x": {0: "batch", 1: "length"}}, [words(4, 12, seed=3)]),
        (Tagger, [words(3, 3)], {"x": {0: "batch", 1: "length"}}, [words(1, 5, seed=3)]),
        (lambda: nn.LSTM(3, 4, 2), [drawn(5, 2, 3)], {"x": {1: "batch"}}, [drawn(5, 4, 3)]),
        (
            lambda: nn.Conv2d(3, 4, 3, padding=1),
            [drawn(2, 3, 8, 9)],
            {"x": {0: "n", 2: "h", 3: "w"}},
            [drawn(1, 3, 5, 20)],
        ),
        (
            lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=1),
            [drawn(2, 3, 8, 9)],
            {"x": {2: "h", 3: "w"}},
            [drawn(2, 3, 5, 20)],
        ),
    ],
    ids=["resnet18", "mobilenet_v2", "vit", "tagger", "square", "lstm", "image", "transposed"],
)
def test_dynamic_axes_stay_open(make, args, axes, others):
    core.manual_seed(0)
    model = make()
    made = core.onnx.export(model, tuple(args), input_names=["x"], dynamic_axes=axes)
    session = started(made)
    assert_same(model, session, args, 1e-4)
    assert_same(model, session, others, 1e-4)


def test_the_file_names_and_constants_are_as_asked_for(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).train()
    path = tmp_path / "model.onnx"
    core.onnx.export(
        model, drawn(2, 3), path, input_names=["features"], output_names=["scores"],
        dynamic_axes={"features": {0: "batch"}}, opset_version=20,
    )  # fmt: skip
    assert model.training, "the mode is put back"
    made = onnx.load(path)
    onnx.checker.check_model(made, full_check=True)
    assert made.opset_import[0].version == 20
    assert [x.name for x in made.graph.input] == ["features"]
    assert [x.name for x in made.graph.output] == ["scores"]
    dims = made.graph.output[0].type.tensor_type.shape.dim
    assert [dims[0].dim_param, dims[1].dim_value] == ["batch", 2]
    kept = {x.name for x in made.graph.initializer}
    assert {"0.weight", "0.bias", "2.weight", "2.bias"} <= kept
    assert list(pathlib.Path(tmp_path).iterdir()) == [path]


def test_batch_norm_of_known_statistics_is_folded():
    made = core.onnx.export(nn.BatchNorm2d(3), drawn(2, 3, 4, 4))
    assert [n.op_type for n in made.graph.node] == ["Mul", "Add", "Identity"]


def nonzero_rows(x):
    return core.tensor(x.numpy().clip(0, None)) + x


def by_sign(x):
    return x.exp() if x.sum() > 0 else x.sin().cos()


def through_a_view(x):
    out = x * 2
    out[0] = 1.0
    return out + 1


@pytest.mark.parametrize(
    "function, error, words",
    [
        (nonzero_rows, RuntimeError, "outside of its ops changes with the inputs"),
        (by_sign, RuntimeError, "runs other ops"),
        (through_a_view, RuntimeError, "written to in place through a view or an index"),
        (lambda x: x.cumsum(0), NotImplementedError, "'cumsum' has no ONNX form"),
        (lambda x: F.one_hot(x.long().abs(), 9), RuntimeError, "outside of its ops"),
        (lambda x: 3, TypeError, "gave back no tensor but int"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(function, error, words):
    with pytest.raises(error, match=words):
        core.onnx.export(Of(function), core.ones(2, 3) + core.arange(3))


def test_wrong_arguments_are_refused():
    model, x = nn.Linear(3, 2), drawn(2, 3)
    with pytest.raises(ValueError, match="opset_version must be at least 18, got 11"):
        core.onnx.export(model, x, opset_version=11)
    with pytest.raises(ValueError, match=r"dynamic_axes names \['y'\]; the inputs are \['x'\]"):
        core.onnx.export(model, x, input_names=["x"], dynamic_axes={"y": [0]})
    with pytest.raises(ValueError, match="a name stands twice"):
        core.onnx.export(model, x, input_names=["x"], output_names=["x"])
    with pytest.raises(ValueError, match="2 input names were given for 1 tensors"):
        core.onnx.export(model, x, input_names=["a", "b"])
    with pytest.raises(RuntimeError, match="needs that this axis is not dynamic"):
        core.onnx.export(nn.GRU(3, 4), drawn(5, 2, 3), input_names=["x"], dynamic_axes={"x": [0]})


@pytest.mark.parametrize(
    "function, words",
    [
        (lambda x: x / x.shape[0], "quotient is called with"),
        (lambda x: x.reshape(-1)[: x.shape[0] // 2], "neither a multiple of a dynamic axis"),
        (lambda x: x + core.arange(x.shape[0])[:, None], "changes with the inputs"),
    ],
)
def test_sizes_that_a_file_cannot_follow_are_refused(function, words):
    with pytest.raises(RuntimeError, match=words):
        core.onnx.export(Of(function), core.ones(4, 3), input_names=["x"], dynamic_axes={"x": [0]})


def test_names_that_users_take_do_not_clash_with_ours():
    model, x = nn.Linear(3, 2), drawn(2, 3)
    plain = core.onnx.export(model, x)
    taken = [n for node in plain.graph.node for n in node.output] + ["weight", "bias"]
    for i, name in enumerate(taken):
        made = core.onnx.export(model, x, input_names=[name], output_names=[f"constant_{i}"])
        assert_same(model, started(made), [x])


def test_a_model_on_a_gpu_is_sent_back():
    code = (
        "import core; from core import nn, onnx; model = nn.Linear(3, 2).cuda();"
        "onnx.export(model, core.ones(2, 3, device='cuda'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "UNISON_SIMULATED_GPUS": "1"},
        capture_output=True,
        text=True,
    )
    assert "ValueError: core.onnx.export reads models and arguments on the cpu" in done.stderr


def test_without_onnx_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install unison-ddp\[onnx\]"):
        core.onnx.export(nn.Linear(3, 2), drawn(2, 3))
