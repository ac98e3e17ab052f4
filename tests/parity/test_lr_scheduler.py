"""Every scheduler gives PyTorch's learning rates and momenta for 50 steps, its state too."""

import copy
import math

import numpy
import pytest

import core

torch = pytest.importorskip("torch")

METRICS = [
    1.0,
    0.9,
    0.8,
    0.8,
    0.8,
    0.8,
    0.7999,
    0.9,
    0.7,
    0.71,
    *(0.7 + 0.01 * i for i in range(45)),
]


class Warmup:
    """A function with attributes, which a state_dict saves."""

    def __init__(self, length):
        self.length = length

    def __call__(self, epoch):
        return min(1.0, (epoch + 1) / self.length)


def single(name, **options):
    return lambda schedulers, optimizer: getattr(schedulers, name)(optimizer, **options)


def warmup_then(name, milestone=5, **options):
    def make(s, optimizer):
        first = s.LinearLR(optimizer, total_iters=milestone)
        return s.SequentialLR(
            optimizer, [first, getattr(s, name)(optimizer, **options)], [milestone]
        )

    return make


def three_in_turn(s, optimizer):
    parts = [s.ConstantLR(optimizer), s.ExponentialLR(optimizer, 0.9), s.StepLR(optimizer, 3)]
    return s.SequentialLR(optimizer, parts, [4, 20])


def chained(s, optimizer):
    return s.ChainedScheduler([s.ConstantLR(optimizer), s.ExponentialLR(optimizer, gamma=0.9)])


def chain_in_turn(s, optimizer):
    return s.SequentialLR(optimizer, [chained(s, optimizer), s.StepLR(optimizer, 5)], [10])


CASES = {
    "LambdaLR": single("LambdaLR", lr_lambda=lambda epoch: 0.95**epoch),
    "LambdaLR two": single("LambdaLR", lr_lambda=[lambda e: 1 / (e + 1), lambda e: 0.9**e]),
    "LambdaLR object": single("LambdaLR", lr_lambda=Warmup(7)),
    "MultiplicativeLR": single("MultiplicativeLR", lr_lambda=lambda epoch: 0.95),
    "StepLR": single("StepLR", step_size=7, gamma=0.3),
    "MultiStepLR": single("MultiStepLR", milestones=[3, 8, 8, 30], gamma=0.5),
    "ConstantLR": single("ConstantLR", factor=0.5, total_iters=4),
    "LinearLR": single("LinearLR", start_factor=0.25, end_factor=0.8, total_iters=20),
    "ExponentialLR": single("ExponentialLR", gamma=0.9),
    "PolynomialLR": single("PolynomialLR", total_iters=30, power=2.0),
    "CosineAnnealingLR": single("CosineAnnealingLR", T_max=10, eta_min=0.01),
    "warm restarts": single("CosineAnnealingWarmRestarts", T_0=5, T_mult=2, eta_min=0.001),
    "warm restarts same": single("CosineAnnealingWarmRestarts", T_0=4),
    "CyclicLR": single("CyclicLR", base_lr=0.01, max_lr=0.1, step_size_up=5, step_size_down=8),
    "CyclicLR 2": single(
        "CyclicLR", base_lr=[0.01, 0.02], max_lr=0.1, step_size_up=4, mode="triangular2"
    ),
    "CyclicLR exp": single(
        "CyclicLR", base_lr=0.01, max_lr=0.1, step_size_up=4, mode="exp_range", gamma=0.9
    ),
    "CyclicLR own": single(
        "CyclicLR",
        base_lr=0.01,
        max_lr=0.1,
        step_size_up=4,
        scale_fn=lambda x: 0.8**x,
        scale_mode="iterations",
    ),
    "OneCycleLR": single("OneCycleLR", max_lr=0.5, total_steps=60),
    "OneCycleLR three": single(
        "OneCycleLR",
        max_lr=[0.5, 0.1],
        epochs=6,
        steps_per_epoch=10,
        three_phase=True,
        anneal_strategy="linear",
        pct_start=0.4,
    ),
    "SequentialLR": warmup_then("CosineAnnealingLR", T_max=20),
    "SequentialLR restarts": warmup_then("CosineAnnealingWarmRestarts", T_0=5),
    "SequentialLR multistep": warmup_then("MultiStepLR", milestones=[5, 10]),
    "SequentialLR linear": warmup_then("LinearLR", total_iters=9),
    "SequentialLR polynomial": warmup_then("PolynomialLR", total_iters=12),
    "three in turn": three_in_turn,
    "ChainedScheduler": chained,
    "chain in turn": chain_in_turn,
    "ReduceLROnPlateau": single("ReduceLROnPlateau", patience=2, cooldown=3, factor=0.5),
    "ReduceLROnPlateau max": single(
        "ReduceLROnPlateau", mode="max", patience=1, threshold_mode="abs", min_lr=[0.01, 0.02]
    ),
}
MOMENTA = ["betas", "momentum"]


def optimizer_of(module, kind):
    tensor = module.ones if module is torch else core.ones
    params = [tensor(2).requires_grad_(), tensor(3).requires_grad_()]
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.05}]
    if kind == "betas":
        return module.optim.AdamW(groups, lr=0.2)
    return module.optim.SGD(groups, lr=0.2, momentum=0.9)


def values(optimizer, kind):
    return [(group["lr"], group[kind]) for group in optimizer.param_groups]


def run(module, make, kind, steps=50, resume_at=None):
    """What the groups hold before each step; the run may be resumed from its state_dicts."""
    optimizer = optimizer_of(module, kind)
    scheduler = make(module.optim.lr_scheduler, optimizer)
    seen = [values(optimizer, kind)]
    for step in range(steps):
        if step == resume_at:
            saved = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
            optimizer = optimizer_of(module, kind)
            scheduler = make(module.optim.lr_scheduler, optimizer)
            optimizer.load_state_dict(saved[0])
            scheduler.load_state_dict(saved[1])
        optimizer.step()
        if isinstance(scheduler, module.optim.lr_scheduler.ReduceLROnPlateau):
            scheduler.step(METRICS[step])
        else:
            scheduler.step()
        seen.append(values(optimizer, kind))
        assert scheduler.get_last_lr() == [lr for lr, _ in values(optimizer, kind)]
    return seen, scheduler


@pytest.mark.parametrize("kind", MOMENTA)
@pytest.mark.parametrize("name", CASES)
def test_fifty_steps_have_the_same_values(name, kind):
    found, scheduler = run(core, CASES[name], kind)
    expected, theirs = run(torch, CASES[name], kind)
    flat = [
        numpy.array([[lr, *numpy.ravel(m)] for row in rows for lr, m in row])
        for rows in (found, expected)
    ]
    numpy.testing.assert_allclose(*flat, rtol=1e-13, atol=0)
    assert sorted(public(scheduler)) == sorted(public(theirs))


def public(scheduler):
    """The names in a state_dict, but for what only says that `get_lr` runs."""
    return [
        key
        for key in scheduler.state_dict()
        if key not in ("_is_initial", "_get_lr_called_within_step")
    ]


@pytest.mark.parametrize("name", CASES)
def test_a_resumed_run_goes_on_as_if_never_stopped(name):
    assert run(core, CASES[name], "betas", resume_at=17)[0] == run(core, CASES[name], "betas")[0]


@pytest.mark.parametrize("name", CASES)
def test_a_state_of_pytorch_loads(name):
    expected, theirs = run(torch, CASES[name], "betas", steps=20)
    optimizer = optimizer_of(core, "betas")
    scheduler = CASES[name](core.optim.lr_scheduler, optimizer)
    scheduler.load_state_dict(copy.deepcopy(theirs.state_dict()))
    for group, (lr, betas) in zip(optimizer.param_groups, expected[-1], strict=True):
        group["lr"], group["betas"] = lr, betas
    optimizer.step()
    arguments = (METRICS[20],) if name.startswith("Reduce") else ()
    scheduler.step(*arguments)
    last = run(torch, CASES[name], "betas", steps=21)[0][-1]
    numpy.testing.assert_allclose(
        [lr for lr, _ in values(optimizer, "betas")], [lr for lr, _ in last], rtol=1e-13
    )


WRONG = [
    ("ConstantLR", {"factor": 2.0}),
    ("LinearLR", {"start_factor": 0.0}),
    ("LinearLR", {"end_factor": 1.5}),
    ("LambdaLR", {"lr_lambda": [math.sqrt]}),
    ("MultiplicativeLR", {"lr_lambda": 3}),
    ("CosineAnnealingWarmRestarts", {"T_0": 0}),
    ("CosineAnnealingWarmRestarts", {"T_0": 5, "T_mult": 0}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "mode": "square"}),
    ("CyclicLR", {"base_lr": [0.1], "max_lr": 1.0}),
    ("OneCycleLR", {"max_lr": 0.1}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 0}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 10, "pct_start": 2.0}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 10, "anneal_strategy": "step"}),
    ("ReduceLROnPlateau", {"factor": 1.0}),
    ("ReduceLROnPlateau", {"mode": "best"}),
    ("ReduceLROnPlateau", {"min_lr": [0.1]}),
    ("SequentialLR", {"schedulers": [], "milestones": []}),
    ("StepLR", {"step_size": 3, "last_epoch": 4}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), WRONG, ids=str)
def test_wrong_options_raise_what_pytorch_raises(name, options):
    with pytest.raises((ValueError, TypeError, KeyError)) as expected:
        getattr(torch.optim.lr_scheduler, name)(optimizer_of(torch, "betas"), **options)
    with pytest.raises(expected.type):
        getattr(core.optim.lr_scheduler, name)(optimizer_of(core, "betas"), **options)


def test_stepping_before_the_optimizer_warns():
    scheduler = core.optim.lr_scheduler.StepLR(optimizer_of(core, "betas"), 3)
    with pytest.warns(UserWarning, match=r"before `optimizer\.step"):
        scheduler.step()


def test_calling_get_lr_by_hand_warns():
    scheduler = core.optim.lr_scheduler.StepLR(optimizer_of(core, "betas"), 3)
    with pytest.warns(UserWarning, match="get_last_lr"):
        scheduler.get_lr()
