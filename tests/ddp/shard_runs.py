"""Training runs on logical shards, as functions that every rank runs; each gives its bytes."""

import numpy as np

import core
import ddp
from core import nn, optim
from ddp.current_group import current_group

BATCH = 32


def mine(x):
    """This rank's part of the global batch."""
    group = current_group()
    return x[group.rank :: group.size]


def trained(model, optimizer_of, shape, classes, shards, steps=3):
    """The bytes of parameters, buffers and optimizer state after some steps."""
    wrapped = ddp.DistributedDataParallel(model, shards=shards)
    opt = optimizer_of(wrapped.parameters())
    criterion = nn.CrossEntropyLoss()
    for step in range(steps):
        numbers = np.random.default_rng(step)
        x = core.from_numpy(numbers.normal(size=(BATCH, *shape)).astype("float32"))
        y = core.from_numpy(numbers.integers(classes, size=BATCH))
        opt.zero_grad()
        criterion(wrapped(mine(x)), mine(y)).backward()
        opt.step()
    tensors = [*model.parameters(), *model.buffers()]
    for state in opt.state.values():
        tensors += [v for v in state.values() if hasattr(v, "array")]
    return [x.detach().numpy().tobytes() for x in tensors]


def mlp_with_momentum(shards):
    """SGD with momentum."""
    core.manual_seed(1)
    model = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Dropout(0.5), nn.Linear(30, 10))
    return trained(model, lambda p: optim.SGD(p, lr=0.1, momentum=0.9), (20,), 10, shards)


def cnn_with_dropout(shards):
    """Adam."""
    core.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3),
        nn.Linear(64, 10),
    )  # fmt: skip
    return trained(model, lambda p: optim.Adam(p, lr=0.01), (1, 8, 8), 10, shards)


RUNS = [mlp_with_momentum, cnn_with_dropout]
