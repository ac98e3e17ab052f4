"""Laws of what people do with a wrapped model: every program that runs on one process runs wrapped.

Each is run by every rank and compares with one process that sees the whole batch.
"""

import numpy as np

import core
import ddp
from core import nn, optim
from core.amp import GradScaler
from core.recompute import checkpoint
from ddp.current_group import current_group
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


def gradients_that_somebody_keeps():
    """They keep their numbers when later backwards write to where they lay."""
    size = current_group().size
    for shards in (None, size, 2 * size) if size in (1, 2, 4, 8) else (None,):
        model = ddp.DistributedDataParallel(mlp(), shards=shards)
        for drop in (optim.SGD(model.parameters(), lr=0.1).zero_grad, model.zero_grad):
            kept = []
            for i in range(4):
                x = core.from_numpy(np.random.default_rng(i).normal(size=(4, 5)))
                mse(model(x), x[:, :3]).backward()
                kept += [(p.grad, p.grad.clone()) for p in model.parameters()]
                if i == 2:
                    for p in model.parameters():
                        p.grad = core.zeros_like(p)
                drop()
            assert all(core.equal(g, before) for g, before in kept)


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


def clipping_what_is_not_reduced_is_refused():
    """Ranks would clip by norms of their own."""
    model = ddp.DistributedDataParallel(mlp())
    x, y = batch()
    for clip in (nn.utils.clip_grad_norm_, nn.utils.clip_grad_value_):
        with model.no_sync():
            mse(model(mine(x)), mine(y)).backward()
        try:
            clip(model.parameters(), 1.0)
        except RuntimeError as error:
            assert "no_sync" in str(error)
        else:
            raise AssertionError("gradients of one rank were clipped")
        mse(model(mine(x)), mine(y)).backward()
        clip(model.parameters(), 1.0)
        model.zero_grad()


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


LAWS = [
    a_gradient_penalty,
    gradients_that_somebody_keeps,
    clipping_between_backward_and_step,
    clipping_what_is_not_reduced_is_refused,
    parameter_groups_that_come_and_change,
    both_ways_of_zero_grad,
    a_closure_that_is_called_often,
    tied_weights_and_recomputation,
    an_infinite_gradient_on_one_rank_skips_the_step_on_all,
    buffers_of_any_kind,
    evaluation_is_silent,
    a_state_loaded_after_wrapping,
    frozen_for_a_while,
]
