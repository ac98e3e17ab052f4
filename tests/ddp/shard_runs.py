"""Training runs on logical shards, as functions that every rank runs; each gives its bytes."""

import numpy as np

import core
import core.nn.functional as F
import ddp
from core import nn, optim
from ddp.current_group import current_group

BATCH = 32
CLASSES = 10


def mine(x):
    """This rank's part of the global batch."""
    group = current_group()
    return x[group.rank :: group.size]


def images(step):
    """Noise and labels."""
    numbers = np.random.default_rng(step)
    x = numbers.normal(size=(BATCH, 1, 8, 8)).astype("float32")
    return core.from_numpy(x), core.from_numpy(numbers.integers(CLASSES, size=BATCH))


def trained(model, optimizer_of, batch=images, steps=3, clip=None, scheduler_of=None):
    """The bytes of losses, parameters, buffers and optimizer state after some steps."""
    wrapped = ddp.DistributedDataParallel(model)
    opt = optimizer_of(wrapped.parameters())
    scheduler = scheduler_of and scheduler_of(opt)
    losses = []
    for step in range(steps):
        x, y = batch(step)
        opt.zero_grad()
        loss = ddp.mean(F.cross_entropy(wrapped(mine(x)), mine(y), reduction="none"))
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(wrapped.parameters(), clip)
        opt.step()
        if scheduler:
            scheduler.step()
        losses.append(loss.item())
    tensors = [*model.parameters(), *model.buffers()]
    for state in opt.state.values():
        tensors += [v for v in state.values() if hasattr(v, "array")]
    return [repr(losses).encode()] + [x.detach().numpy().tobytes() for x in tensors]


def mlp_with_momentum(shards):
    """SGD with momentum, dropout, mean losses."""
    current_group().shards = shards
    core.manual_seed(1)
    layers = [nn.Flatten(), nn.Linear(64, 30), nn.ReLU(), nn.Dropout(0.5), nn.Linear(30, CLASSES)]
    return trained(nn.Sequential(*layers), lambda p: optim.SGD(p, lr=0.1, momentum=0.9))


def cnn_with_batch_norm(shards):
    """Batch norm, dropout, Adam, clipping, a scheduler."""
    current_group().shards = shards
    core.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3),
        nn.Linear(24, CLASSES),
    )  # fmt: skip
    return trained(
        model,
        lambda p: optim.Adam(p, lr=0.01),
        clip=0.5,
        scheduler_of=lambda opt: optim.lr_scheduler.StepLR(opt, 1, 0.5),
    )


class Block(nn.Module):
    """Attention and a perceptron, each behind a norm and around a shortcut."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(0.1)
        )

    def forward(self, x):
        n, length, width = x.shape
        qkv = self.qkv(self.norms[0](x)).reshape(n, length, 3, self.heads, width // self.heads)
        q, k, v = (qkv[:, :, i].transpose(1, 2) for i in range(3))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(n, length, width))
        return x + self.inner(self.norms[1](x))


class Gpt(nn.Module):
    """Two blocks over embedded letters; the scores of the letter that follows the last one."""

    def __init__(self, letters=CLASSES, length=6, width=16, heads=2):
        super().__init__()
        self.letters, self.places = nn.Embedding(letters, width), nn.Embedding(length, width)
        self.dropout = nn.Dropout(0.1)
        self.blocks = nn.Sequential(Block(width, heads), Block(width, heads))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, letters, bias=False)

    def forward(self, x):
        x = self.letters(x) + self.places(core.arange(x.shape[1]))
        return self.head(self.norm(self.blocks(self.dropout(x)))[:, -1])


def text(step):
    """Six letters and the one that follows."""
    letters = core.from_numpy(np.random.default_rng(step).integers(CLASSES, size=(BATCH, 7)))
    return letters[:, :-1], letters[:, -1]


def gpt_with_clipping(shards):
    """AdamW, clipping, a cosine, weight decay."""
    current_group().shards = shards
    core.manual_seed(3)
    return trained(
        Gpt(),
        lambda p: optim.AdamW(p, lr=0.01),
        batch=text,
        clip=1.0,
        scheduler_of=lambda opt: optim.lr_scheduler.CosineAnnealingLR(opt, 4),
    )


RUNS = [mlp_with_momentum, cnn_with_batch_norm, gpt_with_clipping]


def real_ranks_have_the_bits_of_one_process():
    """Every run, on the real ranks that call this, against one simulated rank."""
    group = current_group()
    if group.size & (group.size - 1):
        return
    for run in RUNS:
        found, expected = run(8), ddp.simulate(run, 1, (8,))[0]
        group.shards = None
        assert found == expected, run.__name__
