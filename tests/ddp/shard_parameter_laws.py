"""Laws of parameters and buffers on logical shards: hooks, freezing, penalties beside the forward.

Each is run by every rank, and compares with one simulated rank, and with training without shards.
"""

import contextlib

import numpy as np

import core
import ddp
from core import nn, optim
from core.recompute import checkpoint
from ddp.current_group import current_group
from tests.ddp.ddp_laws import mlp
from tests.ddp.shard_laws import SHARDS, bits, data, loss_of, on_one_rank, wrapped


def equals_plain_training(run):
    """Whether a module has, on one rank, the numbers it has without a wrapper; None stays None."""
    if current_group().size == 1:
        for found, alone in zip(run(wrapped), run(lambda module: module), strict=True):
            if found is None or alone is None:
                assert found is alone
            else:
                found, alone = np.frombuffer(found), np.frombuffer(alone)
                np.testing.assert_allclose(found, alone, rtol=1e-11, atol=1e-15)


def hooks_of_parameters():
    """They run on the gradient of each shard as on that of a rank; attributes are there, too."""

    class Tagged(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = mlp()
            self.part[0].weight.scale = 3.0

        def forward(self, x):
            return self.part(x) * self.part[0].weight.scale

    def run(make=wrapped):
        module = Tagged()
        weight, bias = module.part[0].weight, module.part[2].bias
        weight.register_hook(lambda g: g.clamp(-0.1, 0.1))
        model = make(module)
        handle = bias.register_hook(lambda g: g * core.arange(3))
        once = bias.register_hook(lambda g: (once.remove(), g * 3)[1])
        loss_of(model, *data(0)).backward()
        handle.remove()
        loss_of(model, *data(1)).backward()
        found = bits(module)
        model.zero_grad()
        x, y = data(2)
        ddp.backward(((model(x) - y) ** 2).sum() / 3, weight=len(x))
        return found + bits(module)

    on_one_rank(run)
    if current_group().size == SHARDS:
        ranks = [np.frombuffer(x) for x in run(ddp.DistributedDataParallel)]
        for found, expected in zip(run(), ranks, strict=True):
            np.testing.assert_allclose(np.frombuffer(found), expected, rtol=1e-11)


def gradients_of_what_is_named():
    """`backward(inputs=...)` gives parameters theirs, and autograd.grad returns them."""

    def run(make=wrapped, returned=False):
        module = mlp()
        model = make(module)
        wanted = [module[0].weight, module[2].bias]
        with model.no_sync() if make is wrapped else contextlib.nullcontext():
            loss_of(model, *data(0)).backward(inputs=wanted)
        before = [p.grad.clone() for p in wanted]
        loss = loss_of(model, *data(1))
        found = core.autograd.grad(loss, wanted, retain_graph=True)
        assert all(core.equal(p.grad, g) for p, g in zip(wanted, before, strict=True))
        loss.backward(inputs=wanted)
        return bits(module) + ([g.numpy().tobytes() for g in found] if returned else [])

    on_one_rank(run)
    equals_plain_training(lambda make: run(make, returned=True))


def a_number_as_a_parameter():
    """Its gradient is an array as others are: for hooks, in an accumulation, of a penalty."""

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.part, self.gain = mlp(), nn.Parameter(core.tensor(1.5, dtype=core.float64))

        def forward(self, x):
            return self.part(x) * self.gain

    def run(make=wrapped):
        module = Scaled()
        model = make(module)
        module.gain.register_hook(lambda g: core.from_numpy(g.numpy().copy()) * 2)
        for step in range(3):
            with model.no_sync() if step < 2 and make is wrapped else contextlib.nullcontext():
                loss_of(model, *data(step)).backward()
                (module.gain**2).backward()
            assert module.gain.grad.numpy().shape == ()
        return bits(module)

    on_one_rank(run)
    equals_plain_training(run)


def frozen_for_a_while():
    """Frozen when wrapped, unfrozen, and frozen again."""

    def run(make=wrapped):
        module = mlp()
        module[0].requires_grad_(False)
        model = make(module)
        found = []
        for step in range(4):
            module[0].requires_grad_(step in (1, 2))
            model.zero_grad()
            loss_of(model, *data(step)).backward()
            found += bits(module)
        return found

    on_one_rank(run)
    equals_plain_training(run)


def penalised(model, x, y):
    """A loss with a term of the parameters themselves, whom no shard gives that part."""
    return loss_of(model, x, y) + sum(p.pow(2).sum() for p in model.parameters()) / 100


def a_penalty_on_weights():
    """Beside the forward, accumulated too, and with a layer unfrozen in between."""

    def run(make=wrapped):
        module = mlp()
        model = make(module)
        opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        module[0].requires_grad_(False)
        for step in range(4):
            first = step == 0 and make is wrapped
            with model.no_sync() if first else contextlib.nullcontext():
                penalised(model, *data(step)).backward()
            if step:
                opt.step()
                opt.zero_grad()
            module[0].requires_grad_(True)
        return bits(module)

    on_one_rank(run)
    equals_plain_training(run)


def what_depends_on_the_batch_belongs_into_the_forward():
    """Else its gradient would depend on the number of ranks: it is refused by name."""
    group = current_group()
    if SHARDS % group.size:
        return
    module = mlp()
    model = wrapped(module)
    x, y = data(0)

    def weighted():
        ddp.backward(penalised(model, x, y), weight=len(x))

    def by_the_module():
        ((module(x) - y) ** 2).mean().backward()

    for call in (weighted, by_the_module):
        if call is by_the_module and group.size == 1:
            continue
        try:
            call()
        except RuntimeError as error:
            assert ".weight" in str(error) or ".bias" in str(error)
            assert "belongs to no shard" in str(error)
        else:
            raise AssertionError("accepted")
        model.zero_grad()


class Scaled(nn.Module):
    """A layer whose output is scaled by a running mean, which it replaces or writes."""

    def __init__(self, replaces):
        super().__init__()
        self.layer, self.replaces = nn.Linear(5, 3).double(), replaces
        self.register_buffer("scale", core.ones(3, dtype=core.float64))

    def forward(self, x):
        out = self.layer(x)
        scale = 0.9 * self.scale + 0.1 * out.detach().mean(0)
        if self.replaces:
            self.scale = scale
        else:
            self.scale.copy_(scale)
        return out * self.scale


class Recomputed(Scaled):
    def forward(self, x):
        return checkpoint(super().forward, x)


def buffers_that_outputs_depend_on():
    """Each shard's graph keeps its own, from one broadcast to the next."""

    def run(kind, replaces):
        core.manual_seed(3)
        module = kind(replaces)
        model, other = wrapped(module), kind(replaces)
        for step in range(2):
            model.zero_grad()
            with model.no_sync():
                loss_of(model, *data(2 * step)).backward()
                if step:
                    model.load_state_dict(other.state_dict())
            loss_of(model, *data(2 * step + 1)).backward()
        return bits(module)

    for kind in (Scaled, Recomputed):
        for replaces in (True, False):
            on_one_rank(run, kind, replaces)


LAWS = [
    buffers_that_outputs_depend_on,
    hooks_of_parameters,
    a_number_as_a_parameter,
    gradients_of_what_is_named,
    frozen_for_a_while,
    a_penalty_on_weights,
    what_depends_on_the_batch_belongs_into_the_forward,
]
