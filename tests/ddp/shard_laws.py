"""Laws of what people do with a model on logical shards: the same bits on any number of ranks.

Each is run by every rank, and compares with one simulated rank that computes all shards.
"""

import copy

import numpy as np

import core
import ddp
from core import nn, optim
from core.recompute import checkpoint
from ddp.current_group import current_group
from tests.ddp.beside_laws import Shortcut, ThrownError
from tests.ddp.ddp_laws import mlp
from tests.ddp.use_laws import Tied

SHARDS = 8
BATCH = 32


def data(step, width=5, out=3):
    """This rank's part of a global batch."""
    numbers = np.random.default_rng(step)
    group = current_group()
    x, y = numbers.normal(size=(BATCH, width)), numbers.normal(size=(BATCH, out))
    return tuple(core.from_numpy(a[group.rank :: group.size].copy()) for a in (x, y))


def wrapped(module):
    """On shards."""
    return ddp.DistributedDataParallel(module, shards=SHARDS)


def loss_of(model, x, y):
    """The mean squared error."""
    return ((model(x) - y) ** 2).mean()


def bits(*modules):
    """All parameters, gradients and buffers."""
    found = []
    for module in modules:
        found += [x.detach().numpy().tobytes() for x in (*module.parameters(), *module.buffers())]
        found += [None if p.grad is None else p.grad.numpy().tobytes() for p in module.parameters()]
    return found


def on_one_rank(run, *args):
    """Whether this rank's result has the bits of one rank's."""
    group = current_group()
    if group.size & (group.size - 1):
        return
    found, expected = run(*args), ddp.simulate(run, 1, args, timeout=60)[0]
    assert found == expected


def stepped(module, loss=loss_of, steps=3):
    """The bits after some steps of Adam."""
    model = wrapped(module)
    opt = optim.Adam(model.parameters(), lr=0.01)
    for step in range(steps):
        opt.zero_grad()
        loss(model, *data(step)).backward()
        opt.step()
    return bits(module)


def a_tied_weight_and_a_part_computed_again():
    """Two names of one parameter; a part that backward computes again, with dropout in it."""
    for recompute in (False, True):
        on_one_rank(lambda recompute=recompute: stepped(Tied(recompute)))
    if SHARDS % current_group().size == 0:
        assert stepped(Tied(False)) == stepped(Tied(True))
    on_one_rank(lambda: stepped(DroppedAgain()))


class DroppedAgain(nn.Module):
    """Dropout and batch norm inside what is computed again."""

    def __init__(self):
        super().__init__()
        core.manual_seed(2)
        self.inner = nn.Sequential(
            nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Tanh()
        ).double()
        self.outer = nn.Linear(6, 3).double()

    def forward(self, x):
        return self.outer(checkpoint(self.inner, x))


def a_gradient_penalty():
    """The gradient of the inputs is part of the loss."""

    def penalised(model, x, y):
        x = x.clone().requires_grad_()
        out = model(x)
        (g,) = core.autograd.grad(out.pow(2).sum(), x, create_graph=True)
        return ((out - y) ** 2).mean() + (g.norm(dim=1) - 1).pow(2).mean()

    def smooth():
        core.manual_seed(3)
        return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()

    on_one_rank(lambda: stepped(smooth(), penalised))


def models_behind_one_another():
    """Two models, the first one used twice; accumulation over three backwards."""

    def run():
        modules = Shortcut(), mlp()
        a, b = (wrapped(m) for m in modules)
        opt = optim.SGD([*a.parameters(), *b.parameters()], lr=0.1)
        for step in range(2):
            opt.zero_grad()
            for k in range(3):
                x, y = data(10 * step + k)
                loss = ((b(a(a(x, k == 1), True)) - y) ** 2).mean() / 3
                if k < 2:
                    with a.no_sync(), b.no_sync():
                        loss.backward()
                else:
                    loss.backward()
            opt.step()
        return bits(*modules)

    on_one_rank(run)


def accumulation_that_is_dropped():
    """zero_grad after no_sync, of either kind and of either object, leaves nothing behind."""

    def run(drop, scale=1):
        module = mlp()
        model = wrapped(module)
        opt = optim.SGD(model.parameters(), lr=0.1)
        if drop is not None:
            with model.no_sync():
                (loss_of(model, *data(7)) * scale).backward()
            assert all(p.grad is not None for p in module.parameters())
            try:
                opt.step()
            except RuntimeError as error:
                assert "reduce" in str(error)
            else:
                raise AssertionError("a step was taken on gradients of one rank")
            by, to_none = drop
            (opt if by == "optimizer" else model).zero_grad(set_to_none=to_none)
        ddp.backward(loss_of(model, *data(0)), weight=1)
        return bits(module)

    if SHARDS % current_group().size:
        return
    for drop in [(by, to_none) for by in ("optimizer", "model") for to_none in (True, False)]:
        assert run(drop) == run(drop, scale=0) == run(None)
    on_one_rank(run, ("model", False))


def a_gradient_changed_in_an_accumulation_is_refused():
    """By name: no shard could follow."""
    if SHARDS % current_group().size or SHARDS == 1:
        return
    model = wrapped(mlp())
    with model.no_sync():
        loss_of(model, *data(0)).backward()
    model.module[2].weight.grad.mul_(0.5)
    try:
        loss_of(model, *data(1)).backward()
    except RuntimeError as error:
        assert "2.weight was changed between backwards" in str(error)
    else:
        raise AssertionError("a change was lost")


def backwards_that_are_added_without_zero_grad():
    """The reduced gradient stays, and the next one is added; also where one wrapped twice."""

    def run(times):
        module = mlp()
        model, *_ = [wrapped(module) for _ in range(times)]
        for step in range(3):
            loss_of(model, *data(step)).backward()
        with model.no_sync():
            loss_of(model, *data(3)).backward()
        loss_of(model, *data(4)).backward()
        return bits(module)

    on_one_rank(run, 1)
    if SHARDS % current_group().size == 0:
        assert run(2) == run(1)


def gradients_that_are_gone_leave_their_memory():
    """To the next ones; not those that a rank keeps, which may be others than its neighbour's."""

    def run():
        module = mlp()
        model = wrapped(module)
        group, places, kept = current_group(), [], []
        for step in range(6):
            keeps = step == 4 and group.rank % 2
            model.zero_grad(set_to_none=not keeps)
            x, y = data(step)
            ((model(x) - y) ** 2).mean().backward()
            places.append(module[0].weight.grad.array.ctypes.data)
            kept.append(bits(module))
        assert len(set(places[:4])) == 1
        return kept

    if SHARDS % current_group().size == 0:
        on_one_rank(run)


def buckets_made_anew_between_forwards():
    """A parameter unfrozen between two forwards of a backward, and between two of a step."""

    def run(accumulate):
        module = mlp()
        module[0].requires_grad_(False)
        model = wrapped(module)
        x, y = data(0)
        first = ((model(x) - y) ** 2).mean()
        if accumulate:
            with model.no_sync():
                first.backward()
        module[0].requires_grad_(True)
        x, y = data(1)
        second = ((model(x) - y) ** 2).mean()
        (second if accumulate else first + second).backward()
        return bits(module)

    if SHARDS % current_group().size:
        return
    on_one_rank(run, True)
    on_one_rank(run, False)
    found = run(True), run(False)
    alone = mlp()
    for step in range(2):
        alone[0].requires_grad_(step == 1)
        numbers = np.random.default_rng(step)
        x, y = (core.from_numpy(numbers.normal(size=(BATCH, n))) for n in (5, 3))
        ((alone(x) - y) ** 2).mean().backward()
    expected = [p.grad.numpy() for p in alone.parameters()]
    for one in found:
        for g, e in zip(one[len(expected) :], expected, strict=True):
            np.testing.assert_allclose(np.frombuffer(g).reshape(e.shape), e, rtol=1e-10, atol=1e-13)


def sizes_of_buckets_tried_in_an_accumulation():
    """With "auto" buckets change between backwards that are added up."""

    def run(cap):
        module = mlp()
        model = ddp.DistributedDataParallel(module, shards=SHARDS, bucket_cap_mb=cap)
        opt = optim.SGD(model.parameters(), lr=0.1)
        for step in range(12):
            opt.zero_grad()
            with model.no_sync():
                loss_of(model, *data(step)).backward()
            both = loss_of(model, *data(50 + step)) + loss_of(model, *data(90 + step))
            both.backward()
            opt.step()
        return bits(module)

    if SHARDS % current_group().size == 0:
        assert run("auto") == run(25)


def an_exception_that_all_ranks_catch():
    """In forward and in backward: the next step is as if new."""

    def throw(*_):
        raise ThrownError

    def run(fail):
        module = mlp()
        model = wrapped(module)
        for place in ("forward", "backward") if fail else ():
            hooked = module[2] if place == "forward" else None
            handle = hooked.register_forward_pre_hook(throw) if hooked else None
            try:
                out = model(data(5)[0])
                out.register_hook(lambda g: None)
                hidden = (out * 1).sum()
                inner = model(data(6)[0]).sum()
                inner.register_hook(throw)
                (hidden + inner).backward()
            except ThrownError:
                if handle is not None:
                    handle.remove()
            else:
                raise AssertionError("nothing was thrown")
            model.zero_grad()
        loss_of(model, *data(0)).backward()
        return bits(module)

    if SHARDS % current_group().size:
        return
    assert run(True) == run(False)


def a_copy_trains_on_its_own():
    """A deep copy of a model on shards is one on shards."""

    def run():
        module = mlp()
        model = wrapped(module)
        copied = copy.deepcopy(model)
        for m in (model, copied):
            loss_of(m, *data(0)).backward()
        assert bits(module) == bits(copied.module)
        assert copied.module is not module
        return bits(copied.module)

    on_one_rank(run)


def clipping_and_weights():
    """clip_grad_norm_, and a mean by weights."""

    def run():
        module = mlp()
        model = wrapped(module)
        opt = optim.SGD(model.parameters(), lr=0.1)
        for step in range(2):
            opt.zero_grad()
            x, y = data(step)
            ddp.backward(((model(x) - y) ** 2).sum() / 1.0, weight=len(x))
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            opt.step()
        return bits(module)

    on_one_rank(run)


LAWS = [
    a_tied_weight_and_a_part_computed_again,
    a_gradient_penalty,
    models_behind_one_another,
    accumulation_that_is_dropped,
    a_gradient_changed_in_an_accumulation_is_refused,
    backwards_that_are_added_without_zero_grad,
    buckets_made_anew_between_forwards,
    gradients_that_are_gone_leave_their_memory,
    sizes_of_buckets_tried_in_an_accumulation,
    an_exception_that_all_ranks_catch,
    a_copy_trains_on_its_own,
    clipping_and_weights,
]
