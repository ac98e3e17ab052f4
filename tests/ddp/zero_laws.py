"""Laws of the optimizer whose state is divided over the ranks: it steps as the plain one does."""

import copy

import numpy as np

import core
import ddp
from core import nn, optim
from core.amp import GradScaler
from ddp.current_group import current_group
from tests.ddp.ddp_laws import batch, mine, mse

KINDS = [
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    (optim.Adam, {"lr": 0.01, "amsgrad": True}),
    (optim.Adagrad, {"lr": 0.1}),
]


def network():
    core.manual_seed(3)
    return nn.Sequential(
        nn.Linear(5, 9), nn.ReLU(), nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, 3)
    ).double()


def shared_out(params, kind, **options):
    return ddp.ZeroRedundancyOptimizer(params, kind, **options)


def plain(params, kind, **options):
    return kind(params, **options)


def start(make, kind, options):
    """A wrapped model and its optimizer, of two groups."""
    model = ddp.DistributedDataParallel(network())
    first, rest = [*model.module[0].parameters()], [*model.module[2:].parameters()]
    return model, make([{"params": first}, {"params": rest, "lr": 0.05}], kind, **options)


def train(model, opt, steps):
    for step in steps:
        x, y = batch(step)
        opt.zero_grad()
        mse(model(mine(x)), mine(y)).backward()
        opt.step()


def same_bits(one, other):
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        assert p.detach().numpy().tobytes() == q.detach().numpy().tobytes()


def same_state(one, other):
    """Whether two state_dicts hold the same options and the same bits."""
    assert one["param_groups"] == other["param_groups"]
    assert one["state"].keys() == other["state"].keys()
    for i, kept in one["state"].items():
        for name, value in kept.items():
            np.testing.assert_array_equal(np.asarray(value), np.asarray(other["state"][i][name]))


def it_steps_as_the_plain_optimizer():
    """Bit for bit, with a scheduler; and its state is that one's."""
    for kind, options in KINDS:
        (a, divided), (b, whole) = (start(make, kind, options) for make in (shared_out, plain))
        schedulers = [optim.lr_scheduler.StepLR(o, 1, 0.5) for o in (divided, whole)]
        for step in range(3):
            for model, opt, scheduler in zip((a, b), (divided, whole), schedulers, strict=True):
                train(model, opt, [step])
                scheduler.step()
            same_bits(a, b)
        divided.consolidate_state_dict(to=None)
        same_state(divided.state_dict(), whole.state_dict())
        ddp.check_sync(a)


def each_rank_keeps_its_share_of_the_state():
    """All shares together are the whole, and about equally large."""
    model, opt = start(shared_out, optim.Adam, {"lr": 0.01})
    train(model, opt, range(2))
    every = [None] * current_group().size
    kept = sum(state["exp_avg"].numel() for state in opt.state.values())
    current_group().all_gather_object(every, kept)
    largest = max(p.numel() for p in model.parameters())
    assert sum(every) == sum(p.numel() for p in model.parameters())
    assert max(every) - min(every) <= largest


def a_state_goes_on_anywhere():
    """In a plain optimizer, and in a divided one; until then it is not there."""
    group = current_group()
    model, opt = start(shared_out, optim.Adam, {"lr": 0.01})
    train(model, opt, range(2))
    last = group.size - 1
    opt.consolidate_state_dict(to=last)
    box = [opt.state_dict() if group.rank == last else None]
    if group.rank != last:
        try:
            opt.state_dict()
        except RuntimeError as error:
            assert "consolidate_state_dict" in str(error)
        else:
            raise AssertionError("a part was taken for the whole")
    group.broadcast_object_list(box, last)
    models = [model]
    for make in (plain, shared_out):
        other, new = start(make, optim.Adam, {"lr": 0.5})
        other.load_state_dict(model.state_dict())
        new.load_state_dict(copy.deepcopy(box[0]))
        models.append(other)
        train(other, new, range(2, 4))
    train(model, opt, range(2, 4))
    for other in models[1:]:
        same_bits(model, other)


def ranks_that_ran_out_step_their_share():
    """Inside Join parameters are those of the plain optimizer."""
    rank = current_group().rank
    models = []
    for make in (shared_out, plain):
        model, opt = start(make, optim.Adam, {"lr": 0.01})
        models.append(model)
        with ddp.Join([model, opt]):
            train(model, opt, range(1 + rank % 3))
        ddp.check_sync(model)
    same_bits(*models)


def scaled_gradients_and_added_groups():
    """With a GradScaler; a group may be added before the first step, not later."""
    found = []
    for make in (shared_out, plain):
        model = ddp.DistributedDataParallel(network())
        opt, scaler = make(model.module[0].parameters(), optim.SGD, lr=0.1), GradScaler("cpu")
        opt.add_param_group({"params": [*model.module[2:].parameters()], "lr": 0.2})
        x, y = batch()
        scaler.scale(mse(model(mine(x)), mine(y))).backward()
        scaler.step(opt)
        found.append((model, opt))
    same_bits(found[0][0], found[1][0])
    if current_group().size > 1:
        try:
            found[0][1].add_param_group({"params": [nn.Parameter(core.ones(1))]})
        except RuntimeError as error:
            assert "before the first step" in str(error)
        else:
            raise AssertionError("accepted")


LAWS = [
    it_steps_as_the_plain_optimizer,
    each_rank_keeps_its_share_of_the_state,
    a_state_goes_on_anywhere,
    ranks_that_ran_out_step_their_share,
    scaled_gradients_and_added_groups,
]
