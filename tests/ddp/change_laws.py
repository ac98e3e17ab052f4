"""More laws of DistributedDataParallel: loops of several models, changes after wrapping, memory."""

import numpy as np

import core
import ddp
from core import nn, optim
from ddp.current_group import current_group
from tests.ddp.ddp_laws import batch, gradients, mine, mlp, mse, same


def a_gan_loop_equals_one_process():
    """Two wrapped models in turn, one of them behind the other."""

    def run(wrap, part):
        core.manual_seed(6)
        make = [nn.Linear(5, 5), nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 1))]
        generator, critic = (wrap(m.double()) for m in make)
        opts = [optim.SGD(m.parameters(), lr=0.1, momentum=0.5) for m in (generator, critic)]
        for step in range(3):
            x, noise = part(batch(step)[0]), part(batch(100 + step)[0])
            critic.zero_grad()
            loss = (critic(x) - 1).pow(2).mean() + critic(generator(noise).detach()).pow(2).mean()
            loss.backward()
            opts[1].step()
            generator.zero_grad()
            (critic(generator(noise)) - 1).pow(2).mean().backward()
            opts[0].step()
        return [p.detach().numpy() for m in (generator, critic) for p in m.parameters()]

    expected = run(lambda m: m, lambda x: x)
    for p, q in zip(run(ddp.DistributedDataParallel, mine), expected, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-12, atol=1e-12)


def what_is_replaced_after_wrapping_is_named():
    """At the next step: a parameter, and a layer; new numbers in the old one are fine."""
    x, _ = batch()
    for name in ("0.weight", "2"):
        model = ddp.DistributedDataParallel(mlp())
        with core.no_grad():
            model.module[0].weight.fill_(0.5)
        model(mine(x)).sum().backward()
        if name == "2":
            model.module[2] = nn.Linear(7, 3).double()
        else:
            model.module[0].weight = nn.Parameter(core.zeros(7, 5, dtype=core.float64))
        try:
            model(mine(x))
        except RuntimeError as error:
            assert f" {name} was replaced" in str(error)
        else:
            raise AssertionError("a replaced part was accepted")


def what_was_frozen_when_wrapped_can_be_unfrozen():
    """Its gradient is reduced from then on; one frozen later has none."""
    model, alone = mlp(), mlp()
    for m in (model, alone):
        m[0].requires_grad_(False)
    wrapped = ddp.DistributedDataParallel(model)
    x, y = batch()
    for frozen in ((0,), (), (2,), (0, 2), ()):
        for m in (model, alone):
            for i in (0, 2):
                m[i].requires_grad_(i not in frozen)
            m.zero_grad()
        if len(frozen) == 2:
            continue
        mse(wrapped(mine(x)), mine(y)).backward()
        mse(alone(x), y).backward()
        same(gradients(model), gradients(alone))


def what_was_converted_after_wrapping_has_gradients_of_its_own_kind():
    """Buckets are made anew for another dtype or shape; backward past forward is refused."""
    group = current_group()
    for shards in (None, group.size) if not group.size & (group.size - 1) else (None,):
        model, alone = mlp().float(), mlp()
        wrapped = ddp.DistributedDataParallel(model, shards=shards)
        x, y = batch()
        mse(wrapped(mine(x).float()), mine(y).float()).backward()
        wrapped.double().load_state_dict(alone.state_dict())
        wrapped.zero_grad()
        mse(wrapped(mine(x)), mine(y)).backward()
        mse(alone(x), y).backward()
        same(gradients(model), gradients(alone))
    wider = ddp.DistributedDataParallel(nn.Linear(5, 3).double())
    wider(mine(x)).sum().backward()
    wider.module.weight.data, wider.module.weight.grad = core.zeros(4, 5).double(), None
    wider.module.bias.data, wider.module.bias.grad = core.zeros(4).double(), None
    wider(mine(x)).sum().backward()
    expected = x.sum(0).expand(4, 5) / group.size
    np.testing.assert_allclose(wider.module.weight.grad.numpy(), expected.numpy(), rtol=1e-12)
    wrapped = ddp.DistributedDataParallel(mlp().float())
    wrapped.double()
    try:
        mse(wrapped.module(mine(x)), mine(y)).backward()
    except RuntimeError as error:
        assert "2.bias" in str(error) and "float64" in str(error)
    else:
        assert group.size == 1  # nothing was to be sent


def accumulation_sends_once():
    """Several backwards under no_sync and one outside cost the collectives of one."""
    group = current_group()
    model = ddp.DistributedDataParallel(mlp(), bucket_cap_mb=0.0001)
    x, y = batch()
    counted, before = [], group.all_reduce

    def counting(*args, **kwargs):
        counted.append(args)
        return before(*args, **kwargs)

    group.all_reduce = counting
    try:
        for k in (0, 1, 5):
            counted.clear()
            with model.no_sync():
                for _ in range(k):
                    mse(model(mine(x)), mine(y)).backward()
            assert not counted
            mse(model(mine(x)), mine(y)).backward()
            buckets = len(model.reducer.buckets)
            assert buckets > 1
            # One more says which parameters were used. Alone there is nothing to say.
            assert len(counted) == (buckets + 1 if group.size > 1 else 0)
    finally:
        del group.all_reduce


def gradients_live_in_the_buckets():
    """Before and after either zero_grad."""
    model = ddp.DistributedDataParallel(mlp())
    x, y = batch()
    size = sum(p.array.nbytes for p in model.parameters())
    assert sum(b.nbytes for b in model.reducer.buckets) <= 1.01 * size
    for prepare in (
        lambda: model.zero_grad(set_to_none=True),
        lambda: model.zero_grad(set_to_none=False),
    ):
        prepare()
        mse(model(mine(x)), mine(y)).backward()
        for bucket in model.reducer.buckets if current_group().size > 1 else ():
            for i in bucket.positions:
                g = model.reducer.parameters[i].grad.array
                assert np.shares_memory(g, bucket.array)


def gradients_that_were_assigned_stay_where_they_lie():
    """As parts of one array, from which user code reads them all, reduced as others are."""
    x, y = batch()
    for shards in (None, current_group().size):
        if shards == 3:
            continue
        module, alone = mlp(), mlp()
        model = ddp.DistributedDataParallel(module, shards=shards)
        flat = core.zeros(sum(p.numel() for p in module.parameters()), dtype=core.float64)
        parts = flat.split([p.numel() for p in module.parameters()])
        for p, part in zip(module.parameters(), parts, strict=True):
            p.grad = part.view_as(p)
        for _ in range(2):
            flat.zero_()
            with model.no_sync():
                mse(model(mine(x)), mine(y)).backward()
            mse(model(mine(y @ x[:3])), mine(y)).backward()
        mse(alone(x), y).backward()
        mse(alone(y @ x[:3]), y).backward()
        same(gradients(module), gradients(alone))
        expected = core.cat([p.grad.flatten() for p in alone.parameters()])
        np.testing.assert_allclose(flat.numpy(), expected.numpy(), rtol=1e-12, atol=1e-12)
        model.zero_grad()
        mse(model(mine(x)), mine(y)).backward()
        np.testing.assert_allclose(flat.numpy(), expected.numpy(), rtol=1e-12, atol=1e-12)


def buffers_are_rank_0s_also_when_assigned_anew():
    """After each backward; not at all where that was not wanted."""
    group = current_group()
    for wanted in (True, False):
        module = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)).double()
        model = ddp.DistributedDataParallel(module, broadcast_buffers=wanted)
        module[1].running_mean = core.full((3,), float(group.rank), dtype=core.float64)
        module[1].momentum = 0.0
        model(mine(batch()[0])).sum().backward()
        expected = 0 if wanted else group.rank
        assert (module[1].running_mean.numpy() == expected).all()


def drift_is_found_by_checksums_every_k_calls():
    """And by the full comparison, naming the tensor and the ranks."""
    group = current_group()
    model = ddp.DistributedDataParallel(mlp())
    last = group.size - 1
    with core.no_grad():
        model.module[2].bias[1] += 1e-9 * (group.rank == last)
    found = []
    for _ in range(6):
        try:
            assert model.check_sync(every=3) is None
            found.append(False)
        except RuntimeError as error:
            assert f"2.bias on ranks [{last}]" in str(error)
            found.append(True)
    assert found == [False, False, group.size > 1] * 2
    try:
        assert len(ddp.check_sync(model)) == 64
    except RuntimeError as error:
        assert group.size > 1 and f"2.bias on ranks [{last}]" in str(error)


LAWS = [
    a_gan_loop_equals_one_process,
    what_is_replaced_after_wrapping_is_named,
    what_was_frozen_when_wrapped_can_be_unfrozen,
    what_was_converted_after_wrapping_has_gradients_of_its_own_kind,
    accumulation_sends_once,
    gradients_live_in_the_buckets,
    gradients_that_were_assigned_stay_where_they_lie,
    buffers_are_rank_0s_also_when_assigned_anew,
    drift_is_found_by_checksums_every_k_calls,
]
