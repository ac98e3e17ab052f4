"""Laws of SyncBatchNorm on logical shards, as functions that every rank runs."""

import numpy as np

import core
import ddp
from core import nn, optim
from core.recompute import checkpoint
from ddp.current_group import current_group
from tests.ddp.beside_laws import ThrownError
from tests.ddp.shard_laws import BATCH, SHARDS, bits, data, loss_of, on_one_rank, wrapped


class Normed(nn.Module):
    """Convolutions with batch norms over all shards, dropout, and a norm of one shard's own."""

    def __init__(self, recompute=False):
        super().__init__()
        core.manual_seed(4)
        self.body = nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), ddp.SyncBatchNorm(3), nn.ReLU(), nn.Dropout(0.25),
            nn.Conv2d(3, 2, 3), ddp.SyncBatchNorm(2, affine=False), nn.Flatten(), nn.Linear(8, 4),
            nn.BatchNorm1d(4),
        )  # fmt: skip
        self.last = ddp.SyncBatchNorm(4, momentum=None)
        self.recompute = recompute

    def forward(self, x):
        return self.last(checkpoint(self.body, x) if self.recompute else self.body(x))


def images(step):
    """This rank's part of a global batch of images, and as many numbers."""
    x, y = data(step, 16, 4)
    return x.reshape(-1, 1, 4, 4).float(), y.float()


def statistics_over_all_shards():
    """SyncBatchNorm: the same bits on any number of ranks, forward, backward and statistics."""

    def run():
        module = Normed()
        model = wrapped(module)
        opt = optim.Adam(model.parameters(), lr=0.01)
        found = []
        for step in range(3):
            x, y = images(step)
            opt.zero_grad()
            losses = ((model(x) - y) ** 2).mean(1)
            loss = ddp.mean(losses) if current_group().shards else losses.mean()
            loss.backward()
            opt.step()
            found.append(loss.item() if current_group().shards else None)
        return found, bits(module)

    def on_shards():
        group = current_group()
        before, group.shards = group.shards, SHARDS
        try:
            return run()
        finally:
            group.shards = before

    on_one_rank(on_shards)


def statistics_over_all_shards_are_those_of_the_whole_batch():
    """And their gradients, compared with one batch norm in one process."""
    group = current_group()
    if SHARDS % group.size:
        return

    def network(norm):
        core.manual_seed(5)
        layers = nn.Linear(5, 4), norm(4), nn.Tanh(), nn.Linear(4, 3), norm(3)
        return nn.Sequential(*layers).double()

    alone, module = network(nn.BatchNorm1d), network(ddp.SyncBatchNorm)
    model = wrapped(module)
    loss_of(model, *data(0)).backward()
    numbers = np.random.default_rng(0)
    x, y = (core.from_numpy(numbers.normal(size=(BATCH, n))) for n in (5, 3))
    loss_of(alone, x, y).backward()
    for p, q in zip(alone.parameters(), module.parameters(), strict=True):
        np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), rtol=1e-9, atol=1e-13)
    for p, q in zip(alone.buffers(), module.buffers(), strict=True):
        np.testing.assert_allclose(q.numpy(), p.numpy(), rtol=1e-12)


def meetings_that_cannot_be_are_refused():
    """Shards that go different ways, and statistics in a part that is computed again."""
    group = current_group()
    if SHARDS % group.size or SHARDS == group.size:
        return

    class OneLeavesOut(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.calls = ddp.SyncBatchNorm(5).double(), 0

        def forward(self, x):
            self.calls += 1
            return x if self.calls == 2 else self.norm(x)

    own = ddp.new_group()
    for module, x, text in (
        (OneLeavesOut(), data(0)[0], "went different ways"),
        (Normed(recompute=True), images(0)[0], "inside checkpoint"),
    ):
        model = ddp.DistributedDataParallel(module, process_group=own, shards=SHARDS)
        try:
            model(x).sum().backward()
        except RuntimeError as error:
            assert text in str(error)
        else:
            raise AssertionError("statistics of a part of the batch were taken")


def an_error_in_one_shard_is_its_own():
    """Raised as it is, with what it says; the next step is as if new."""
    group = current_group()
    if SHARDS % group.size:
        return
    module = Normed()
    model = wrapped(module)
    x, y = images(0)
    before = [b.numpy().copy() for b in module.buffers()]

    def throw(*_):
        raise ThrownError

    handle = module.last.register_forward_pre_hook(throw)
    try:
        model(x)
    except ThrownError:
        handle.remove()
    else:
        raise AssertionError("nothing was thrown")
    assert module.body[0].weight is next(module.parameters())
    for b, array in zip(module.buffers(), before, strict=True):
        b.array[...] = array
    ((model(x) - y) ** 2).mean().backward()
    assert all(p.grad is not None for p in module.parameters())


LAWS = [
    statistics_over_all_shards,
    statistics_over_all_shards_are_those_of_the_whole_batch,
    meetings_that_cannot_be_are_refused,
    an_error_in_one_shard_is_its_own,
]
