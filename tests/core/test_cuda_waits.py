"""A training step never waits for the GPU, unless it is asked for a number; on any GPU.

Runs on `cuda:1` while `cuda:0` is the current one. With CuPy itself `cupyx.allow_synchronize` sees
copies to the CPU; the stand-in sees more: events, streams, and results whose size must be counted.
"""

import functools

import pytest

import core
from core import backend, nn, optim
from core.nn import functional as F

pytestmark = [
    pytest.mark.filterwarnings("ignore:cupyx.allow_synchronize"),
    pytest.mark.filterwarnings("ignore:kl_div.*reduction 'mean'"),
]
BATCH = 4
DEVICE = "cuda:1"


@pytest.fixture(autouse=True)
def gpus(monkeypatch):
    monkeypatch.setenv("UNISON_SIMULATED_GPUS", "2")


def never_waits(step):
    """Nothing; `step`, the first times over, does not wait for the GPU."""
    step()
    step()
    with backend.cupyx_module().allow_synchronize(False):
        step()
    core.cuda.synchronize(DEVICE)


def classes(*shape, count=3):
    return core.randint(0, count, shape)


def training(model, x, y, loss=F.cross_entropy, optimizer=optim.Adam):
    """A step of training with gradients clipped."""
    core.manual_seed(0)
    model, x, y = model.to(DEVICE), x.to(DEVICE), y.to(DEVICE)
    steps = optimizer(model.parameters(), lr=1e-3)

    def step():
        steps.zero_grad()
        value = loss(model(x), y)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        steps.step()
        return value.detach()

    return step


def perceptron(*between):
    return nn.Sequential(nn.Linear(6, 8), *between, nn.Linear(8, 3))


class Recurrent(nn.Module):
    """The last output of a recurrent layer, in classes."""

    def __init__(self, kind):
        super().__init__()
        self.layer, self.head = kind(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


class Transformer(nn.Module):
    """A small GPT."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(11, 8, padding_idx=0), nn.Embedding(5, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.body, self.head = nn.TransformerEncoder(layer, 1), nn.Linear(8, 11)

    def forward(self, x):
        size = x.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(size, device=x.device)
        h = self.words(x) + self.places(core.arange(size, device=x.device))
        return self.head(self.body(h, mask=mask, is_causal=True)).flatten(0, 1)


def image():
    return core.randn(BATCH, 3, 16, 16)


MODELS = {
    "perceptron": lambda: training(
        perceptron(nn.ReLU(), nn.Dropout(0.3)), core.randn(BATCH, 6), classes(BATCH)
    ),
    "batch norm": lambda: training(
        perceptron(nn.BatchNorm1d(8), nn.GELU()), core.randn(BATCH, 6), classes(BATCH)
    ),
    "convolutions": lambda: training(
        nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.Dropout2d(0.2), nn.AvgPool2d(2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
        ), image(), classes(BATCH),
    ),
    "resizing": lambda: training(
        nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.PixelShuffle(2),
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.ConvTranspose2d(1, 1, 2, 2),
            nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(4, 3),
        ), core.randn(BATCH, 3, 4, 4), classes(BATCH),
    ),
    "norms": lambda: training(
        nn.Sequential(
            nn.Conv1d(3, 4, 3), nn.GroupNorm(2, 4), nn.SiLU(), nn.Flatten(), nn.LayerNorm(24),
            nn.SELU(), nn.AlphaDropout(0.1), nn.Linear(24, 3),
        ), core.randn(BATCH, 3, 8), classes(BATCH),
    ),
    "transformer": lambda: training(
        Transformer(), classes(BATCH, 5, count=11), classes(5 * BATCH, count=11),
        optimizer=optim.AdamW,
    ),
    "bags": lambda: training(
        nn.Sequential(nn.EmbeddingBag(10, 4, mode="mean"), nn.Linear(4, 3)),
        classes(BATCH, 5, count=10), classes(BATCH),
    ),
    "ignored and smoothed": lambda: training(
        perceptron(nn.Tanh()), core.randn(BATCH, 6), core.tensor([0, 1, -100, 2]),
        nn.CrossEntropyLoss(label_smoothing=0.1),
    ),
    "weighted": lambda: training(
        perceptron(), core.randn(BATCH, 6), core.tensor([0, 1, -100, 2]),
        nn.CrossEntropyLoss(weight=core.ones(3)).to(DEVICE),
    ),
    **{
        kind.__name__: functools.partial(
            lambda kind: training(Recurrent(kind), core.randn(BATCH, 5, 6), classes(BATCH)), kind
        )
        for kind in (nn.RNN, nn.LSTM, nn.GRU)
    },
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_training_waits_for_nothing(name):
    never_waits(MODELS[name]())


OPTIMIZERS = "SGD Adam AdamW RMSprop Adagrad Adadelta Adamax NAdam RAdam Lion ASGD Rprop".split()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_wait_for_nothing(name):
    make = getattr(optim, name)
    never_waits(training(perceptron(), core.randn(BATCH, 6), classes(BATCH), optimizer=make))


LOSSES = {
    "l1_loss": core.rand, "mse_loss": core.rand, "smooth_l1_loss": core.rand,
    "huber_loss": core.rand, "binary_cross_entropy_with_logits": core.rand, "kl_div": core.rand,
    "poisson_nll_loss": core.rand, "soft_margin_loss": core.rand,
    "multilabel_soft_margin_loss": core.rand, "hinge_embedding_loss": core.rand,
    "nll_loss": lambda n, m: classes(n), "multi_margin_loss": lambda n, m: classes(n),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_losses_wait_for_nothing(name):
    target = LOSSES[name](BATCH, 3)
    never_waits(training(perceptron(), core.randn(BATCH, 6), target, getattr(F, name)))


def test_mixed_precision_waits_for_nothing():
    plain = training(perceptron(nn.LayerNorm(8)), core.randn(BATCH, 6), classes(BATCH))

    def step():
        with core.autocast("cuda", dtype=core.bfloat16):
            return plain()

    never_waits(step)


def ones(*shape, dtype=core.int64):
    return core.ones(*shape, dtype=dtype, device=DEVICE)


def attention(x, **how):
    heads = x.view(1, 1, 4, 5)
    return F.scaled_dot_product_attention(heads, heads, heads, **how)


OPS = {
    "where": lambda x: core.where(x > 0, x, 0 * x),
    "masked_fill": lambda x: x.masked_fill(x.detach() > 0, 1.0),
    "topk": lambda x: x.topk(2)[0],
    "sort": lambda x: x.sort()[0],
    "index_select": lambda x: x.index_select(0, ones(2)),
    "gather": lambda x: x.gather(1, ones(4, 1)),
    "scatter_add": lambda x: (x * 0).scatter_add(1, ones(4, 5), x),
    "rows by index": lambda x: x[ones(3)],
    "elements by index": lambda x: x[ones(3), ones(3)],
    "written by index": lambda x: x.detach().clone().index_put_((ones(2),), x.detach()[0]),
    "written by mask": lambda x: x.detach().clone().__setitem__(x.detach() > 0, 1.0),
    "cumsum": lambda x: x.cumsum(0),
    "logsumexp": lambda x: x.logsumexp(0),
    "var": lambda x: x.var(),
    "max": lambda x: x.max(0)[0],
    "einsum": lambda x: core.einsum("ij,kj->ik", x, x),
    "batches of matrices": lambda x: x[None] @ x[None].transpose(1, 2),
    "causal attention": lambda x: attention(x, is_causal=True),
    "masked attention": lambda x: attention(x, attn_mask=ones(4, 4, dtype=core.bool).tril()),
    "one_hot": lambda x: F.one_hot(ones(3), 3),
    "gumbel_softmax": lambda x: F.gumbel_softmax(x, hard=True),
    "grid_sample": lambda x: F.grid_sample(
        x.view(1, 1, 4, 5), core.zeros(1, 2, 2, 2, device=x.device)
    ),
    "bicubic": lambda x: F.interpolate(x.view(1, 1, 4, 5), scale_factor=2, mode="bicubic"),
    "pad": lambda x: F.pad(x.view(1, 1, 4, 5), (1, 1, 1, 1), mode="reflect"),
    "max_pool with indices": lambda x: F.max_pool1d(x.view(1, 4, 5), 2, return_indices=True)[0],
    "bernoulli": lambda x: core.bernoulli(x.detach().sigmoid()),
    "randperm": lambda x: core.randperm(9, device=x.device),
    "tensor": lambda x: core.tensor([1.0, 2.0], device=x.device),
    "clip_grad_value_": lambda x: nn.utils.clip_grad_value_([x], 0.5),
    "cast": lambda x: x.half().float(),
    "from pinned memory": lambda x: core.ones(3).pin_memory().to(x.device, non_blocking=True),
}


def ops_wait_for_nothing(name):
    x = core.randn(4, 5, device=DEVICE).requires_grad_()

    def step():
        out = OPS[name](x)
        if isinstance(out, core.Tensor) and out.requires_grad:
            out.sum().backward()

    never_waits(step)


@pytest.mark.parametrize("name", OPS)
def test_ops_and_gradients_wait_for_nothing(name):
    ops_wait_for_nothing(name)


@pytest.mark.parametrize(
    "look", ["item", "cpu", "tolist", "nonzero", "unique", "__bool__"], ids=str
)
def test_what_asks_for_numbers_does_wait(look):
    x = core.ones(1, device=DEVICE)
    with (
        pytest.raises(backend.cupyx_module().DeviceSynchronized),
        backend.cupyx_module().allow_synchronize(False),
    ):
        getattr(x, look)()
