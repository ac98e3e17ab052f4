"""Whole models with the same weights: PyTorch's outputs and gradients, to 1e-4 relative.

torchvision's models are compared with functions of their state_dict in `model_twins`; the others
are one text, run with `core` and with `torch`.
"""

import ast
import functools
import pathlib

import numpy
import pytest

torch = pytest.importorskip("torch", reason="the oracle: pip install unison-ddp[parity]")

import core  # noqa: E402 - after the skip
from core.vision import models  # noqa: E402
from tests.parity import model_twins  # noqa: E402

ROOT = pathlib.Path(__file__).parents[2]
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def assert_near(ours, theirs, what, rounding=0.0):
    """Relative to the largest element of PyTorch's; both may be less than `rounding`."""
    ours, theirs = ours.detach().numpy(), theirs.detach().numpy()
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, what
    scale = numpy.abs(theirs).max(initial=0)
    if scale < rounding:
        assert numpy.abs(ours).max() < rounding, what
        return
    numpy.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE * scale, err_msg=what)


def drawn(shape, seed=3):
    return numpy.random.default_rng(seed).standard_normal(shape).astype("float32")


def shaken(model, seed=5):
    """The model with every floating entry of its state moved, so that nothing is zero or one."""
    generator = numpy.random.default_rng(seed)
    state = model.state_dict()
    for name, x in state.items():
        if x.dtype.is_floating_point:
            by = generator.standard_normal(x.shape) * 0.05
            by = numpy.abs(by) if name.endswith("running_var") else by
            state[name] = core.tensor((x.numpy() + by).astype("float32"))
    model.load_state_dict(state)
    return model


def assert_gradients_near(model, gradients):
    """The gradient of each parameter.

    Some are zero in exact arithmetic, like that of a shift in front of a batch norm, and hold
    rounding errors of the largest gradient in both libraries.
    """
    rounding = float(numpy.finfo("float32").eps * max(g.abs().max() for g in gradients.values()))
    for key, parameter in model.named_parameters():
        assert_near(parameter.grad, gradients.pop(key), f"gradient of {key}", rounding)
    assert gradients == {}


# ---- torchvision's models ----


def state_of(model):
    """The model's state as leaves of PyTorch's."""
    parameters = dict(model.named_parameters())
    return {
        name: torch.tensor(x.numpy(), requires_grad=name in parameters)
        for name, x in model.state_dict().items()
    }


VISION = {
    "resnet18": (functools.partial(models.resnet18, num_classes=7), model_twins.resnet18, 64),
    "mobilenet_v2": (
        functools.partial(models.mobilenet_v2, num_classes=7, dropout=0.0),
        model_twins.mobilenet_v2,
        64,
    ),
    "vit": (
        functools.partial(models.VisionTransformer, 32, 8, 3, 4, 32, 64, num_classes=7),
        functools.partial(model_twins.vit, patch=8, layers=3, heads=4),
        32,
    ),
}


# Gradients of these are compared in float64: in float32, one of a million activations falls to the
# other side of a relu's corner, and PyTorch's own gradients are up to 1.5e-2 from those in float64.
CORNERS = ("resnet18", "mobilenet_v2")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", VISION)
def test_vision_models_give_pytorchs_outputs_and_gradients(name, mode, dtype):
    make, twin, size = VISION[name]
    core.manual_seed(1)
    model = shaken(make()).train(mode == "train").to(getattr(core, dtype))
    leaves = state_of(model)
    state = model_twins.State(leaves)
    images, weights = drawn((4, 3, size, size)).astype(dtype), drawn((4, 7), 4).astype(dtype)
    x, y = core.tensor(images, requires_grad=True), torch.tensor(images, requires_grad=True)
    ours, theirs = model(x), twin(y, state, mode == "train")
    assert_near(ours, theirs, "outputs")
    if dtype == "float64" or name not in CORNERS:
        (ours * core.tensor(weights)).sum().backward()
        (theirs * torch.tensor(weights)).sum().backward()
        assert_near(x.grad, y.grad, "gradient of the images")
        assert_gradients_near(model, {k: x.grad for k, x in leaves.items() if x.requires_grad})
    for key, value in model.state_dict().items():
        assert_near(value, leaves[key], f"{key} afterwards")
    unread = [key for key in leaves if key not in state.read and "num_batches" not in key]
    assert unread == [], "entries that torchvision's model does not have"


# ---- one text in two libraries ----

LSTM = """
class LanguageModel(nn.Module):
    def __init__(self, words, width, layers):
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True, dropout=0.0)
        self.norm = nn.LayerNorm(width)
        self.decoder = nn.Linear(width, words)
        self.decoder.weight = self.embedding.weight

    def forward(self, words, state=None):
        out, state = self.lstm(self.embedding(words), state)
        return self.decoder(self.norm(out)), state
"""

SEQ2SEQ = """
class Translator(nn.Module):
    def __init__(self, source, target, width, heads, layers):
        super().__init__()
        self.source = nn.Embedding(source, width, padding_idx=0)
        self.target = nn.Embedding(target, width, padding_idx=0)
        self.register_buffer("places", positions(50, width))
        self.transformer = nn.Transformer(
            width, heads, layers, layers, 2 * width, dropout=0.0, batch_first=True
        )
        self.generator = nn.Linear(width, target)

    def placed(self, table, words):
        width = table.embedding_dim
        return table(words) * math.sqrt(width) + self.places[: words.shape[1]]

    def forward(self, source, target):
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        padding = source == 0
        out = self.transformer(
            self.placed(self.source, source),
            self.placed(self.target, target),
            tgt_mask=mask,
            src_key_padding_mask=torch.zeros(source.shape).masked_fill(padding, -torch.inf),
            memory_key_padding_mask=torch.zeros(source.shape).masked_fill(padding, -torch.inf),
        )
        return self.generator(out)


def positions(length, width):
    at = torch.arange(length).unsqueeze(1)
    speed = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    out = torch.zeros(length, width)
    out[:, 0::2] = torch.sin(at * speed)
    out[:, 1::2] = torch.cos(at * speed)
    return out
"""


def gpt_text():
    """The classes of the example, in which PyTorch's name stands for ours."""
    tree = ast.parse((ROOT / "examples" / "gpt.py").read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert [node.name for node in classes] == ["Block", "GPT"]
    return "\n\n".join(map(ast.unparse, classes)).replace("core.", "torch.")


def both(text, name, *args, **kwargs):
    """The model of the text in either library, with the same parameters."""
    made = []
    for library in (core, torch):
        names = {"torch": library, "nn": library.nn, "F": library.nn.functional}
        exec(compile("import math\n" + text, name, "exec"), names)
        made.append(names[name](*args, **kwargs))
    ours, theirs = made
    shaken(ours)
    theirs.load_state_dict({key: torch.tensor(x.numpy()) for key, x in ours.state_dict().items()})
    return ours, theirs


def words(shape, count, seed=6):
    return numpy.random.default_rng(seed).integers(1, count, shape)


def compare(ours, theirs, loss):
    """The losses, which `loss` makes of a library and its model, and all their gradients agree."""
    a, b = loss(core, ours), loss(torch, theirs)
    assert_near(a, b, "loss")
    a.backward()
    b.backward()
    assert_gradients_near(ours, {key: x.grad for key, x in theirs.named_parameters()})


def scored(library, out, targets):
    """The loss of a language model; its scores are compared, too."""
    return library.nn.functional.cross_entropy(out.flatten(0, 1), targets.flatten())


def test_a_gpt_gives_pytorchs_outputs_and_gradients():
    ours, theirs = both(gpt_text(), "GPT", 17, 12, width=32, layers=3, heads=4)
    text = words((3, 13), 17)
    before, after = text[:, :-1], text[:, 1:]
    assert_near(ours(core.tensor(before)), theirs(torch.tensor(before)), "scores")
    compare(
        ours,
        theirs,
        lambda library, model: scored(
            library, model(library.tensor(before)), library.tensor(after)
        ),
    )


def test_an_lstm_language_model_gives_pytorchs_outputs_and_gradients():
    ours, theirs = both(LSTM, "LanguageModel", 19, 16, 2)
    text = words((4, 21), 19)

    def loss(library, model):
        """Two pieces of text, the state carried on, as in truncated backpropagation."""
        whole = library.tensor(text)
        out, state = model(whole[:, :10])
        total = scored(library, out, whole[:, 1:11])
        out, _ = model(whole[:, 10:20], tuple(part * 0.5 for part in state))
        return total + scored(library, out, whole[:, 11:21])

    outs = [model(library.tensor(text))[0] for library, model in ((core, ours), (torch, theirs))]
    assert_near(*outs, "scores")
    compare(ours, theirs, loss)


def test_a_seq2seq_transformer_gives_pytorchs_outputs_and_gradients():
    ours, theirs = both(SEQ2SEQ, "Translator", 23, 29, 32, 4, 2)
    source, target = words((3, 9), 23), words((3, 8), 29)
    source[1, 6:] = 0  # shorter sentences are filled up
    target[2, 5:] = 0

    def loss(library, model):
        out = model(library.tensor(source), library.tensor(target[:, :-1]))
        following = library.tensor(target[:, 1:]).flatten()
        f = library.nn.functional
        return f.cross_entropy(out.flatten(0, 1), following, ignore_index=0, label_smoothing=0.1)

    outs = [
        model(library.tensor(source), library.tensor(target))
        for library, model in ((core, ours), (torch, theirs))
    ]
    assert_near(*outs, "scores")
    compare(ours, theirs, loss)


def test_a_few_steps_of_training_stay_together():
    ours, theirs = both(gpt_text(), "GPT", 17, 12, width=32, layers=2, heads=4)
    text = words((3, 13), 17)
    losses = {core: [], torch: []}
    for library, model in ((core, ours), (torch, theirs)):
        optimizer = library.optim.AdamW(model.parameters(), lr=1e-3)
        whole = library.tensor(text)
        for _ in range(5):
            optimizer.zero_grad()
            loss = scored(library, model(whole[:, :-1]), whole[:, 1:])
            loss.backward()
            library.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses[library].append(loss.item())
    numpy.testing.assert_allclose(losses[core], losses[torch], rtol=TOLERANCE)


# ---- what whole models brought to light ----

INPLACE = "relu relu6 leaky_relu elu celu selu hardtanh hardswish hardsigmoid silu mish".split()


@pytest.mark.parametrize("name", INPLACE)
def test_an_activation_written_into_its_input_has_pytorchs_gradient(name):
    gradients = []
    for library in (core, torch):
        x = library.tensor(4 * drawn((4, 5)), requires_grad=True)
        made = x * 1
        out = getattr(library.nn.functional, name)(made, inplace=True)
        assert out is made
        (out * out).sum().backward()
        gradients.append(x.grad)
    assert_near(*gradients, name)
