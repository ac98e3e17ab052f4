"""Laws of what people do with a wrapped model: every program that runs on one process runs wrapped.

Each is run by every rank and compares with one process that sees the whole batch.
"""

import copy
import pickle
import threading

import numpy as np

import core
import ddp
from core import nn, optim
from core.amp import GradScaler
from core.recompute import checkpoint
from ddp.current_group import current_group, use_group
from tests.ddp.ddp_laws import batch, gradients, mine, mlp, mse, same


def trained(wrap, part, train, make=mlp, steps=3):
    """The parameters after some steps of `train(model, x, y)`, which may take an optimizer."""
    model = wrap(make())
    step = train(model)
    for i in range(steps):
        x, y = batch(i)
        step(part(x), part(y))
    return [p.detach().numpy().copy() for p in model.parameters()]


def equals_one_process(train, make=mlp, steps=3, tolerance=1e-11):
    """The same parameters alone and on all ranks."""
    alone = trained(lambda m: m, lambda x: x, train, make, steps)
    together = trained(ddp.DistributedDataParallel, mine, train, make, steps)
    for p, q in zip(alone, together, strict=True):
        np.testing.assert_allclose(q, p, rtol=tolerance, atol=tolerance)


def a_gradient_penalty():
    """The norm of the gradient of the inputs is part of the loss."""

    def train(model):
        opt = optim.SGD(model.parameters(), lr=0.1)

        def step(x, y):
            opt.zero_grad()
            x = x.clone().requires_grad_()
            out = model(x)
            (g,) = core.autograd.grad(out.pow(2).sum(), x, create_graph=True)
            (mse(out, y) + (g.norm(dim=1) - 1).pow(2).mean()).backward()
            opt.step()

        return step

    def smooth():
        core.manual_seed(3)
        return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()

    equals_one_process(train, smooth)


def clipping_between_backward_and_step():
    """The norm is that of the reduced gradients, equal on all ranks."""

    def train(model):
        opt = optim.SGD(model.parameters(), lr=1.0)

        def step(x, y):
            opt.zero_grad()
            mse(model(x), y).backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            assert norm > 0.1
            opt.step()

        return step

    equals_one_process(train)


def parameter_groups_that_come_and_change():
    """An optimizer made before the model was wrapped; a group added; learning rates changed."""

    def run(wrap, part):
        module = mlp()
        opt = optim.SGD(module[0].parameters(), lr=0.1, momentum=0.9)
        model = wrap(module)
        for step in range(4):
            x, y = batch(step)
            if step == 2:
                opt.add_param_group({"params": module[2].parameters(), "lr": 0.01})
                opt.param_groups[0]["lr"] = 0.05
            model.zero_grad()
            mse(model(part(x)), part(y)).backward()
            opt.step()
        return [p.detach().numpy() for p in module.parameters()]

    expected = run(lambda m: m, lambda x: x)
    for p, q in zip(run(ddp.DistributedDataParallel, mine), expected, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-12, atol=1e-12)


def both_ways_of_zero_grad():
    """Dropped or set to zero, by the optimizer or the model: the same steps."""
    for by_model in (True, False):
        for to_none in (True, False):

            def train(model, by_model=by_model, to_none=to_none):
                opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

                def step(x, y):
                    (model if by_model else opt).zero_grad(set_to_none=to_none)
                    mse(model(x), y).backward()
                    opt.step()

                return step

            equals_one_process(train)


def a_closure_that_is_called_often():
    """LBFGS runs forward and backward several times per step."""

    def train(model):
        opt = optim.LBFGS(model.parameters(), lr=0.5, max_iter=4, line_search_fn="strong_wolfe")

        def step(x, y):
            def closure():
                opt.zero_grad()
                loss = mse(model(x), y)
                loss.backward()
                total = loss.detach().clone()
                ddp.all_reduce(total, ddp.ReduceOp.AVG)
                return total if part_of_many(model) else loss

            opt.step(closure)

        return step

    equals_one_process(train, steps=2, tolerance=1e-7)


def part_of_many(model):
    """Whether the model is wrapped."""
    return isinstance(model, ddp.DistributedDataParallel)


class Tied(nn.Module):
    """One weight used at both ends, and a checkpointed middle."""

    def __init__(self, recompute=False):
        super().__init__()
        core.manual_seed(8)
        self.inner, self.outer = nn.Linear(5, 3).double(), nn.Linear(3, 5).double()
        self.middle = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
        self.outer.weight = nn.Parameter(core.zeros(5, 3, dtype=core.float64))
        self.back = nn.Linear(3, 5).double()
        self.again = nn.Linear(5, 3).double()
        self.again.weight = self.inner.weight
        self.recompute = recompute

    def forward(self, x):
        h = self.inner(x)
        if self.recompute:
            h = checkpoint(self.middle, h)
        else:
            h = self.middle(h)
        return self.again(self.back(h.tanh()) + self.outer(h))


def tied_weights_and_recomputation():
    """Two names of one parameter; a part that is computed again in backward."""

    def train(model):
        opt = optim.Adam(model.parameters(), lr=0.01)

        def step(x, y):
            opt.zero_grad()
            mse(model(x), y).backward()
            opt.step()

        return step

    for recompute in (False, True):
        equals_one_process(train, lambda recompute=recompute: Tied(recompute))
        assert len(list(ddp.DistributedDataParallel(Tied()).parameters())) == len(
            list(Tied().parameters())
        )


def an_infinite_gradient_on_one_rank_skips_the_step_on_all():
    """The scale goes down everywhere, and the next step is taken by all."""
    group = current_group()
    model = ddp.DistributedDataParallel(nn.Linear(5, 3))
    opt, scaler = optim.SGD(model.parameters(), lr=0.1), GradScaler("cpu", init_scale=8.0)
    before = model.weight.detach().numpy().copy()
    for step in range(2):
        x = core.ones(2, 5)
        if step == 0 and group.rank == group.size - 1:
            x[0, 0] = float("inf")
        opt.zero_grad()
        scaler.scale(model(x).sum()).backward()
        scaler.step(opt)
        scaler.update()
        assert scaler.get_scale() == 4.0
        assert (model.weight.detach().numpy() == before).all() == (step == 0)
    ddp.check_sync(model)


def backward_in_another_thread():
    """The thread that runs backward reduces, wherever the model was made."""
    group = current_group()
    model, alone = mlp(), mlp()
    wrapped = ddp.DistributedDataParallel(model)
    x, y = batch()
    loss = mse(wrapped(mine(x)), mine(y))
    failures = []

    def run():
        try:
            with use_group(group):
                loss.backward()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not failures
    mse(alone(x), y).backward()
    same(gradients(model), gradients(alone))


class ThrownError(Exception):
    """What a test throws."""


def an_exception_that_all_ranks_catch():
    """In forward, and in backward after some buckets have left: the next step is as if new."""
    model, alone = mlp(), mlp()
    wrapped = ddp.DistributedDataParallel(model, bucket_cap_mb=0.0001)
    x, y = batch()

    def throw(*_):
        raise ThrownError

    for place in ("forward", "backward", "weighted backward", "at the first gradient"):
        wrapped.zero_grad()
        handle = None
        try:
            if place == "forward":
                handle = model[2].register_forward_pre_hook(throw)
                wrapped(mine(x))
            if place == "at the first gradient":
                handle = model[2].bias.register_hook(throw)
            else:
                handle = model[0].bias.register_hook(throw)
            loss = mse(wrapped(mine(x)), mine(y))
            if place == "weighted backward":
                ddp.backward(loss, weight=3)
            else:
                loss.backward()
        except ThrownError:
            handle.remove()
        else:
            raise AssertionError("nothing was thrown")
        for m, part in ((wrapped, mine), (alone, lambda v: v)):
            m.zero_grad()
            mse(m(part(x)), part(y)).backward()
        same(gradients(model), gradients(alone))


def no_sync_inside_no_sync():
    """The inner one ends nothing."""
    model, alone = mlp(), mlp()
    wrapped = ddp.DistributedDataParallel(model)
    for step in range(3):
        x, y = batch(step)
        loss = mse(wrapped(mine(x)), mine(y))
        if step < 2:
            with wrapped.no_sync():
                with wrapped.no_sync():
                    pass
                loss.backward()
        else:
            loss.backward()
        mse(alone(x), y).backward()
    same(gradients(model), gradients(alone))


def a_no_sync_that_an_exception_leaves():
    """Afterwards gradients are reduced as before."""
    model, alone = mlp(), mlp()
    wrapped = ddp.DistributedDataParallel(model)
    try:
        with wrapped.no_sync():
            raise ThrownError
    except ThrownError:
        pass
    x, y = batch()
    mse(wrapped(mine(x)), mine(y)).backward()
    mse(alone(x), y).backward()
    same(gradients(model), gradients(alone))


def copies_of_a_wrapped_model():
    """A deep copy and a pickle train on their own; so does the original afterwards."""
    x, y = batch()
    wrapped, alone = ddp.DistributedDataParallel(mlp()), mlp()
    mse(wrapped(mine(x)), mine(y)).backward()
    wrapped.zero_grad()
    copied = copy.deepcopy(wrapped)
    pickled = pickle.loads(pickle.dumps(wrapped))
    mse(alone(x), y).backward()
    for model in (copied, pickled, wrapped):
        assert type(model) is ddp.DistributedDataParallel
        mse(model(mine(x)), mine(y)).backward()
        same(gradients(model.module), gradients(alone))
        with core.no_grad():
            model.module[0].weight.zero_()
        model.zero_grad()
    assert not copied.module[0].weight.any()


def buffers_of_any_kind():
    """Whole numbers and truth values become rank 0's, too; one that is None is no trouble."""
    group = current_group()

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 3).double()
            self.register_buffer("count", core.tensor([0]))
            self.register_buffer("seen", core.tensor([False, False]))
            self.register_buffer("nothing", None)
            self.register_buffer("passing", core.zeros(2), persistent=False)

        def forward(self, x):
            self.count += 1 + current_group().rank
            self.seen[current_group().rank % 2] = True
            return self.layer(x)

    model = ddp.DistributedDataParallel(Counting())
    x, y = batch()
    for step in range(2):
        mse(model(mine(x)), mine(y)).backward()
        assert group.size == 1 or model.count.item() == step + 1
        assert model.seen.tolist() == [True, False]
    assert sorted(model.state_dict()) == ["count", "layer.bias", "layer.weight", "seen"]


def evaluation_is_silent():
    """One rank alone may evaluate, with and without gradients recorded."""
    wrapped = ddp.DistributedDataParallel(
        nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).double()
    )
    x, y = batch()
    mse(wrapped(mine(x)), mine(y)).backward()
    wrapped.eval()
    if current_group().rank == 0:
        with core.no_grad():
            first = wrapped(x)
        assert (wrapped(x) == first).all()
    wrapped.train()
    mse(wrapped(mine(x)), mine(y)).backward()
    ddp.check_sync(wrapped)


def a_state_loaded_after_wrapping():
    """Of the bare model: parameters stay where the reducer knows them."""
    core.manual_seed(77)
    other = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)).double()
    for assign in (False, True):
        wrapped, alone = ddp.DistributedDataParallel(mlp()), mlp()
        opt = optim.SGD(wrapped.parameters(), lr=0.1)
        if assign:
            try:
                wrapped.load_state_dict(other.state_dict(), assign=True)
                wrapped(mine(batch()[0]))
            except RuntimeError as error:
                assert "was replaced" in str(error)
                continue
            raise AssertionError("parameters were replaced without a word")
        wrapped.load_state_dict(other.state_dict())
        alone.load_state_dict(other.state_dict())
        x, y = batch()
        mse(wrapped(mine(x)), mine(y)).backward()
        mse(alone(x), y).backward()
        same(gradients(wrapped.module), gradients(alone))
        opt.step()
        ddp.check_sync(wrapped)


def frozen_for_a_while():
    """Frozen and unfrozen again, with gradients of others dropped and kept."""

    def train(model):
        opt = optim.SGD(model.parameters(), lr=0.1)
        count = [0]

        def step(x, y):
            module = model.module if part_of_many(model) else model
            module[0].requires_grad_(count[0] % 2 == 0)
            count[0] += 1
            opt.zero_grad()
            mse(model(x), y).backward()
            opt.step()

        return step

    equals_one_process(train, steps=4)


def two_models_on_two_groups():
    """Even and odd ranks train models of their own; a model on all ranks stands beside them."""
    group = current_group()
    halves = [[r for r in range(group.size) if r % 2 == k] for k in range(2)]
    parts = [ddp.new_group(ranks) for ranks in halves if ranks]
    own = parts[group.rank % 2]
    ranks = halves[group.rank % 2]
    local = ddp.DistributedDataParallel(mlp(), process_group=own)
    shared = ddp.DistributedDataParallel(mlp())
    x, y = batch()
    for model in (local, shared):
        mse(model(mine(x)), mine(y)).backward()
    (mse(local(mine(x)), mine(y)) + mse(shared(mine(x)), mine(y))).backward()
    for model, members in ((local, ranks), (shared, range(group.size))):
        alone = mlp()
        for r in members:
            part = slice(r, None, group.size)
            (2 * mse(alone(x[part]), y[part]) / len(members)).backward()
        same(gradients(model.module), gradients(alone))


class Shortcut(nn.Module):
    """A layer that a call may leave out, in front of one that it may not."""

    def __init__(self):
        super().__init__()
        core.manual_seed(9)
        self.first, self.last = (nn.Linear(5, 5).double() for _ in range(2))

    def forward(self, x, leave_out):
        return self.last(x if leave_out else self.first(x).tanh())


def models_in_a_row_with_parts_that_ranks_leave_out():
    """Two wrapped models, one behind the other, each with a branch that depends on the rank."""
    group = current_group()

    def run(models, parts):
        for rank, scale, x in parts:
            a, b = models
            out = b(a(x, rank % 2), (rank // 2 + rank) % 2)
            (out.pow(2).mean() * scale).backward()
        return [gradients(getattr(m, "module", m)) for m in models]

    x, _ = batch()
    every = [(r, 1 / group.size, x[r :: group.size]) for r in range(group.size)]
    for cap in (25, 0.0001):
        wrapped = [ddp.DistributedDataParallel(Shortcut(), bucket_cap_mb=cap) for _ in range(2)]
        found = run(wrapped, [(group.rank, 1.0, mine(x))])
        for f, e in zip(found, run([Shortcut(), Shortcut()], every), strict=True):
            same(f, e)


def models_reached_in_different_orders_are_refused():
    """Gradients of two models of one shape are never added to each other."""
    group = current_group()
    if group.size == 1:
        return
    a, b = (ddp.DistributedDataParallel(nn.Linear(5, 3).double()) for _ in range(2))
    x, _ = batch()
    first, second = (a, b) if group.rank else (b, a)
    total = first(x).sum()
    total = total + 2 * second(x).sum()
    try:
        total.backward()
    except (ddp.CollectiveMismatchError, ddp.RankFailedError) as error:
        assert "model" in str(error)
    else:
        raise AssertionError("gradients of different models were mixed")


LAWS = [
    a_gradient_penalty,
    clipping_between_backward_and_step,
    parameter_groups_that_come_and_change,
    both_ways_of_zero_grad,
    a_closure_that_is_called_often,
    tied_weights_and_recomputation,
    an_infinite_gradient_on_one_rank_skips_the_step_on_all,
    backward_in_another_thread,
    an_exception_that_all_ranks_catch,
    no_sync_inside_no_sync,
    a_no_sync_that_an_exception_leaves,
    copies_of_a_wrapped_model,
    buffers_of_any_kind,
    evaluation_is_silent,
    a_state_loaded_after_wrapping,
    frozen_for_a_while,
    two_models_on_two_groups,
    models_in_a_row_with_parts_that_ranks_leave_out,
    models_reached_in_different_orders_are_refused,
]
