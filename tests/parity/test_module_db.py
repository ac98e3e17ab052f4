"""PyTorch's own table of modules: each sample of it gives the same in both libraries."""

import copy
import dataclasses
import importlib
import pickle

import numpy
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")
pytest.importorskip("expecttest", reason="PyTorch's tables import it")

import core  # noqa: E402
from core import nn  # noqa: E402
from tests.parity.nn_compare import leaves  # noqa: E402

table = importlib.import_module("torch.testing._internal.common_modules")

pytestmark = [
    pytest.mark.filterwarnings("ignore:enable_nested_tensor"),
    pytest.mark.filterwarnings("ignore:kl_div.*reduction 'mean'"),
    pytest.mark.filterwarnings("ignore:linear_cross_entropy:"),
    pytest.mark.filterwarnings("ignore:input's size at dim=0 does not match"),
]

# Of a longer list of samples only every so many are taken, evenly.
MOST = 24
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
# Exponentials over 50 steps, norms of four numbers: float32 keeps four digits in either library.
ROUNDED = ("CTCLoss", "Transformer", "TransformerDecoderLayer", "TransformerEncoderLayer")
# The sum of two memory orders is in the first one's with PyTorch, row by row with NumPy.
SUMS = ("TransformerDecoderLayer", "TransformerEncoder", "TransformerEncoderLayer")
# Of these PyTorch keeps the order of an input that is not row by row, or makes it so, ours not.
RELAID = ("GELU", "LogSigmoid")
# Here PyTorch refuses such an input: it views what cannot be viewed.
REFUSED = ("LocalResponseNorm",)


# ---- from one library to the other ------------------------------------------------------------


def ours(x):
    """What stands for PyTorch's `x` in ours: same order in memory, same dtype, same settings."""
    if isinstance(x, torch.Tensor):
        array = x.detach().numpy().copy(order="K")
        return core.from_numpy(array).requires_grad_(x.requires_grad)
    if isinstance(x, torch.dtype):
        return getattr(core, str(x).removeprefix("torch."))
    if isinstance(x, torch.nn.TransformerEncoderLayer):
        return encoder_layer(x)
    if isinstance(x, (tuple, list)):
        return type(x)(map(ours, x))
    if isinstance(x, dict):
        return {name: ours(value) for name, value in x.items()}
    if isinstance(x, torch.nn.LinearCrossEntropyOptions):
        return nn.LinearCrossEntropyOptions(**ours(dataclasses.asdict(x)))
    name = getattr(x, "__name__", "")
    return getattr(nn.functional, name) if name in ("relu", "gelu") else x


def encoder_layer(x):
    attention = x.self_attn
    sizes = attention.embed_dim, attention.num_heads, x.linear1.out_features, x.dropout.p
    ways = x.norm1.eps, attention.batch_first, x.norm_first, x.linear1.bias is not None
    return nn.TransformerEncoderLayer(*sizes, ours(x.activation), *ways)


def theirs(x):
    """A copy of an input, whose gradient starts anew."""
    if isinstance(x, torch.Tensor):
        return x.detach().clone().requires_grad_(x.requires_grad)
    if isinstance(x, (tuple, list)):
        return type(x)(map(theirs, x))
    return {name: theirs(value) for name, value in x.items()} if isinstance(x, dict) else x


# What PyTorch's fused kernels ask for.
INSIDE = ("activation_relu_or_gelu", "use_nested_tensor")


def settings(a, b):
    """The public attributes of PyTorch's module that are no tensors or modules, in both."""
    kinds = (int, float, str, tuple, list, type(None))
    found = {k: v for k, v in vars(b).items() if isinstance(v, kinds) and k[0] != "_"}
    found = {k: v for k, v in found.items() if k not in INSIDE}
    return {k: getattr(a, k, "missing") for k in found}, found


class Pair:
    """A module of each library, made alike and in one state."""

    def __init__(self, info, sample, dtype, training):
        given = sample.constructor_input
        self.theirs = info.module_cls(*theirs(given.args), **theirs(given.kwargs))
        self.ours = getattr(nn, info.module_cls.__name__)(*ours(given.args), **ours(given.kwargs))
        self.repr = repr(self.ours), repr(self.theirs)
        self.settings = settings(self.ours, self.theirs)
        self.theirs.to(dtype).train(training)
        self.ours.to(ours(dtype)).train(training)
        self.given = sample.forward_input
        if any(isinstance(x, torch.nn.UninitializedParameter) for x in self.theirs.parameters()):
            self.call(self.ours, ours)
            self.call(self.theirs, theirs)
        self.ours.load_state_dict({k: ours(x) for k, x in self.theirs.state_dict().items()})

    def call(self, module, convert, **how):
        """(results, inputs) of one call."""
        args, kwargs = convert(self.given.args), convert(self.given.kwargs)
        return leaves(module(*args, **kwargs)), leaves((args, kwargs))


# ---- what is the same -------------------------------------------------------------------------


class Differences(list):
    """What the libraries do not have in common, one line each."""

    def __init__(self, name, tolerance):
        super().__init__()
        self.ordered = name not in SUMS + RELAID
        self.tolerance = 1e-4 if tolerance == 1e-5 and name in ROUNDED else tolerance

    def check(self, what, a, b):
        if a != b:
            self.append(f"{what}: {a}, PyTorch's {b}")

    def tensors(self, what, xs, ys):
        """Presence, shape, dtype, order in memory and elements."""
        self.check(f"{what} there", [x is not None for x in xs], [y is not None for y in ys])
        for i, (x, y) in enumerate((x, y) for x, y in zip(xs, ys) if x is not None is not y):
            self.check(
                f"{what} {i} size", *[(*z.shape, str(z.dtype).split(".")[1]) for z in (x, y)]
            )
            if self.ordered:
                self.check(f"{what} {i} stride", x.stride(), y.stride())
            self.elements(f"{what} {i}", x, y)

    def elements(self, what, x, y):
        """Sums of numbers of size one lose digits of one, so that is the least scale."""
        x, y = x.detach().numpy(), y.detach().numpy(force=True)
        scale = numpy.abs(y[numpy.isfinite(y)]).max(initial=1)
        if x.shape == y.shape and not numpy.allclose(
            x, y, rtol=0, atol=self.tolerance * float(scale), equal_nan=True
        ):
            self.append(f"{what}: off by {numpy.abs(x - y).max()} of {scale}")


def samples(info, dtype, training):
    torch.manual_seed(0)
    given = info.module_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=True, training=training
    )
    return [s for s in given[:: -(-len(given) // MOST)] if s.forward_input is not None]


def names(xs):
    """The names of the nodes that computed tensors, as PyTorch prints them."""
    found = [x.grad_fn for x in xs]
    return [n if n is None else n.name().removeprefix("torch::autograd::") for n in found]


def generated(names):
    """Whether PyTorch made names up for ops that it registers from Python."""
    return any(name and name.startswith("GeneratedBackward") for name in names)


def passed(pair, found):
    """Compare results, gradients, and the state afterwards."""
    generator = torch.Generator().manual_seed(1)
    a, a_inputs = pair.call(pair.ours, ours)
    b, b_inputs = pair.call(pair.theirs, theirs)
    if not generated(names(b)):
        found.check("node", names(a), names(b))
    found.tensors("result", a, b)
    for x, y in zip(a, b):
        if x.requires_grad and y.requires_grad and x.shape == y.shape:
            g = torch.randn(y.shape, generator=generator, dtype=y.dtype)
            y.backward(g, retain_graph=True)
            x.backward(ours(g), retain_graph=True)
    found.tensors("gradient", [x.grad for x in a_inputs], [y.grad for y in b_inputs])
    states = [
        dict(m.named_parameters()) | dict(m.named_buffers()) for m in (pair.ours, pair.theirs)
    ]
    found.check("names", *map(list, states))
    xs, ys = (list(state.values()) for state in states)
    found.tensors("state", xs, ys)
    found.tensors("gradient of state", [x.grad for x in xs], [y.grad for y in ys])


# ---- laws -------------------------------------------------------------------------------------


def every(test):
    """`test` for each module of the table, in the modes that it tells apart."""
    rows = [
        pytest.param(info, training, id=f"{info.module_cls.__name__}-{mode}")
        for info in table.module_db
        for mode, training in (("train", True), ("eval", False))[: 1 + info.train_and_eval_differ]
    ]
    return pytest.mark.parametrize(("info", "training"), rows)(test)


@every
def test_text_state_results_and_gradients_are_pytorchs(info, training):
    found = []
    for dtype, tolerance in TOLERANCE.items():
        for i, sample in enumerate(samples(info, dtype, training)):
            pair = Pair(info, sample, dtype, training)
            here = Differences(info.module_cls.__name__, tolerance)
            here.check("text", *pair.repr)
            here.check("settings", *pair.settings)
            passed(pair, here)
            found += [f"{dtype} {i} {sample.desc} {line}" for line in here]
    assert not found, "\n".join(found)


def second_gradients(library, module, given, convert):
    """Gradients of the squares of all gradients; zero where nothing depends on anything."""
    args, kwargs = convert(given.args), convert(given.kwargs)
    wanted = [x for x in leaves((args, kwargs)) + list(module.parameters()) if x.requires_grad]
    total = sum((x * x).sum() for x in leaves(module(*args, **kwargs)) if x.requires_grad)
    gs = library.autograd.grad(total, wanted, create_graph=True, allow_unused=True)
    energy = sum(((g * g).sum() for g in gs if g is not None), library.zeros(()))
    zeros = [library.zeros_like(x) for x in wanted]
    if not energy.requires_grad:
        return zeros
    found = library.autograd.grad(energy, wanted, allow_unused=True)
    return [z if g is None else g for g, z in zip(found, zeros, strict=True)]


# PyTorch has no rule for the second derivative of these kernels; ours are tested by differences.
UNDEFINED = ("not implemented", "derivative for", "once_differentiable")


@every
def test_second_gradients_are_pytorchs(info, training):
    found = Differences(info.module_cls.__name__, 1e-9)
    for sample in samples(info, torch.float64, training)[:3]:
        pair = Pair(info, sample, torch.float64, training)
        try:
            expected = second_gradients(torch, pair.theirs, sample.forward_input, theirs)
        except RuntimeError as error:
            assert any(words in str(error) for words in UNDEFINED), error
            continue
        got = second_gradients(core, pair.ours, sample.forward_input, ours)
        for i, (x, y) in enumerate(zip(got, expected, strict=True)):
            found.elements(f"{sample.desc} {i}", x, y)
    assert not found, "\n".join(found)


def reordered(x):
    """The numbers of a tensor with its dims in the opposite order in memory."""
    if not isinstance(x, torch.Tensor) or x.dim() < 2:
        return theirs(x)
    dims = range(x.dim() - 1, -1, -1)
    return x.detach().permute(*dims).contiguous().permute(*dims).requires_grad_(x.requires_grad)


@every
def test_inputs_in_another_memory_order_are_the_same(info, training):
    found = Differences(info.module_cls.__name__, 1e-10)
    if info.module_cls.__name__ in REFUSED:
        return
    for sample in samples(info, torch.float64, training)[:3]:
        pair = Pair(info, sample, torch.float64, training)
        given = pair.given
        pair.given = table.FunctionInput(*map(reordered, given.args), **given.kwargs)
        passed(pair, found)
    assert not found, "\n".join(found)


@every
def test_a_copy_is_the_module(info, training):
    sample = samples(info, torch.float64, training)[0]
    pair, found = Pair(info, sample, torch.float64, training), Differences("", 0)
    expected, _ = pair.call(pair.ours, ours)
    for other in (copy.deepcopy(pair.ours), pickle.loads(pickle.dumps(pair.ours))):
        assert repr(other) == repr(pair.ours)
        assert list(other.state_dict()) == list(pair.ours.state_dict())
        got, _ = pair.call(other, ours)
        for x, y in zip(got, expected, strict=True):
            found.elements("result", x, y)
    assert not found


def outcome(function, *args, **kwargs):
    """The sizes of what a function gives, or the type of what it raises."""
    try:
        return [tuple(x.shape) for x in leaves(function(*args, **kwargs))]
    except Exception as error:
        return type(error)


def without_rows(x):
    return theirs(x)[:0].detach() if isinstance(x, torch.Tensor) and x.dim() > 1 else theirs(x)


@every
def test_inputs_without_rows_give_the_same_or_are_refused_alike(info, training):
    found = Differences(info.module_cls.__name__, 1e-10)
    for sample in samples(info, torch.float64, training)[:3]:
        pair = Pair(info, sample, torch.float64, training)
        args = [without_rows(x) for x in pair.given.args]
        kwargs = {k: without_rows(x) for k, x in pair.given.kwargs.items()}
        a = outcome(pair.ours, *ours(args), **ours(kwargs))
        found.check(sample.desc, a, outcome(pair.theirs, *args, **kwargs))
    assert not found, "\n".join(found)


def made_and_called(cls, given, convert, dtype):
    module = cls(*convert(given.constructor_input.args), **convert(given.constructor_input.kwargs))
    given = given.forward_input
    return module.to(dtype)(*convert(given.args), **convert(given.kwargs))


WITH_ERRORS = [info for info in table.module_db if info.module_error_inputs_func is not None]


@pytest.mark.parametrize("info", WITH_ERRORS, ids=lambda info: info.module_cls.__name__)
def test_wrong_input_is_refused_alike(info):
    dtype = torch.float64
    found = []
    for given in info.module_error_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=True, training=True
    ):
        wrong = given.module_error_input
        a = outcome(
            made_and_called, getattr(nn, info.module_cls.__name__), wrong, ours, ours(dtype)
        )
        b = outcome(made_and_called, info.module_cls, wrong, theirs, dtype)
        if a != b:
            found.append(f"{given.error_regex}: {a}, PyTorch's {b}")
    assert not found, "\n".join(found)


def test_every_module_of_the_table_is_here():
    missing = [
        i.module_cls.__name__ for i in table.module_db if not hasattr(nn, i.module_cls.__name__)
    ]
    assert not missing
