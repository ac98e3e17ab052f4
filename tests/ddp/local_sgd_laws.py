"""Laws of post-local SGD: ranks train alone for a while, and are averaged now and then."""

import copy
import pickle

import numpy as np

import core
import ddp
from core import nn, optim
from ddp.current_group import current_group
from tests.ddp.ddp_laws import batch, mine, mse


def network():
    core.manual_seed(5)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()


def parameters(model):
    return np.concatenate([p.detach().numpy().reshape(-1) for p in model.parameters()])


def trained(model, opt, steps, first=0):
    """This rank's parameters after each step."""
    seen = []
    for i in range(first, first + steps):
        x, y = batch(i)
        opt.zero_grad()
        mse(model(mine(x)), mine(y)).backward()
        opt.step()
        seen.append(parameters(model))
    return seen


def local(start, period, subgroup=None, few=True):
    model = ddp.DistributedDataParallel(network())
    state = ddp.PostLocalSGDState(None, subgroup, start, few)
    model.register_comm_hook(state, ddp.post_localSGD_hook)
    averager = ddp.PeriodicModelAverager(period, warmup_steps=start)
    opt = ddp.PostLocalSGDOptimizer(optim.SGD(model.parameters(), lr=0.1), averager)
    return model, opt


def plain():
    model = ddp.DistributedDataParallel(network())
    return model, optim.SGD(model.parameters(), lr=0.1)


def everyone(array):
    every = [None] * current_group().size
    current_group().all_gather_object(every, array)
    return every


def an_average_after_every_step_is_plain_training():
    """The mean of one step of SGD from one point is a step along the mean gradient."""
    (subgroup, _), expected = ddp.new_subgroups(1), trained(*plain(), 4)
    for options in ({"few": False}, {"subgroup": subgroup}):
        for found, wanted in zip(trained(*local(0, 1, **options), 4), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)


def ranks_go_apart_and_meet():
    """Steps 0 and 1 are plain; after 2 and 5 all are one."""
    expected = trained(*plain(), 2)
    seen = trained(*local(2, 3, few=False), 6)
    assert [s.tobytes() for s in seen[:2]] == [s.tobytes() for s in expected]
    for step, found in enumerate(seen):
        every = everyone(found)
        alike = all((other == every[0]).all() for other in every)
        assert alike == (step not in (3, 4) or len(every) == 1), step


def a_node_is_the_default_of_few():
    for found, wanted in zip(trained(*local(1, 9), 3), trained(*plain(), 3), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)


def its_state_goes_on():
    model, opt = local(0, 3, few=False)
    trained(model, opt, 4)
    saved, steps = copy.deepcopy(opt.state_dict()), parameters(model)
    expected = trained(model, opt, 3, first=4)
    again, other = local(0, 3, few=False)
    other.load_state_dict(saved)
    start = 0
    with core.no_grad():
        for p in again.parameters():
            p.copy_(core.from_numpy(steps[start : start + p.numel()]).reshape(p.shape))
            start += p.numel()
    for found, wanted in zip(trained(again, other, 3, first=4), expected, strict=True):
        assert found.tobytes() == wanted.tobytes()


def states_are_copied_and_pickled():
    group = current_group()
    state = ddp.PostLocalSGDState(group, group, 3)
    state.iter = 2
    copied, loaded = copy.deepcopy(state), pickle.loads(pickle.dumps(state))
    assert copied.subgroup is copied.process_group is group and copied.iter == 2
    assert loaded.subgroup is loaded.process_group is None and loaded.iter == 2


LAWS = [
    an_average_after_every_step_is_plain_training,
    ranks_go_apart_and_meet,
    a_node_is_the_default_of_few,
    its_state_goes_on,
    states_are_copied_and_pickled,
]
