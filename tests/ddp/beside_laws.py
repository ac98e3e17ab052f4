"""Laws of wrapped models under threads, exceptions and copies, in other groups, beside each other.

Each is run by every rank and compares with one process that sees the whole batch.
"""

import copy
import pickle
import threading

import core
import ddp
from core import nn
from ddp.current_group import current_group, use_group
from tests.ddp.ddp_laws import batch, gradients, mine, mlp, mse, same


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


def copies_reduce_where_the_model_does():
    """In a group of its own, with the hook and what the hook carries."""
    group = current_group()
    parts = [ddp.new_group([r]) for r in range(group.size)]
    own = parts[group.rank]
    x, y = batch()
    for state, hook in (
        (own, ddp.allreduce_hook),
        (ddp.TopKState(0.5, process_group=own), ddp.topk_hook),
    ):
        model = ddp.DistributedDataParallel(mlp(), process_group=own)
        model.register_comm_hook(state, hook)
        copied = copy.deepcopy(model)
        for m in (model, copied):
            mse(m(x[: 1 + group.rank]), y[: 1 + group.rank]).backward()
        same(gradients(copied.module), gradients(model.module))
        assert copied.process_group is own


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


def a_module_is_wrapped_anew_when_its_group_is_gone():
    """As between one init_process_group() and the next."""
    model, alone = mlp(), mlp()
    x, y = batch()
    groups = [ddp.new_group() for _ in range(2)]
    for group in groups:
        model.zero_grad()
        wrapped = ddp.DistributedDataParallel(model, process_group=group)
        mse(wrapped(mine(x)), mine(y)).backward()
        ddp.destroy_process_group(group)
    found = gradients(model)
    mse(alone(x), y).backward()
    same(found, gradients(alone))
    if current_group().size > 1:
        try:
            wrapped(x).sum().backward()
        except ddp.CollectiveError as error:
            assert "was closed" in str(error) and "waits" not in str(error)
        else:
            raise AssertionError("gradients were not reduced, and nobody said so")


def models_reached_in_different_orders_are_refused():
    """Gradients of two models of one shape are never added to each other."""
    group = current_group()
    if group.size == 1:
        return
    own = ddp.new_group()  # it cannot be used afterwards
    a, b = (
        ddp.DistributedDataParallel(nn.Linear(5, 3).double(), process_group=own) for _ in range(2)
    )
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
    backward_in_another_thread,
    an_exception_that_all_ranks_catch,
    no_sync_inside_no_sync,
    a_no_sync_that_an_exception_leaves,
    copies_of_a_wrapped_model,
    copies_reduce_where_the_model_does,
    two_models_on_two_groups,
    a_module_is_wrapped_anew_when_its_group_is_gone,
    models_in_a_row_with_parts_that_ranks_leave_out,
    models_reached_in_different_orders_are_refused,
]
