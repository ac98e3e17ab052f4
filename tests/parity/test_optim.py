"""Every optimizer moves as PyTorch's does: 20 steps, every keyword, states loaded both ways."""

import copy

import numpy
import pytest

import core

torch = pytest.importorskip("torch")

SHAPES = [(3, 4), (4,), (), (2, 3, 5), (150, 120)]  # the last one is updated by itself, in blocks
TOLERANCE = {"float64": (1e-9, 1e-10), "float32": (2e-5, 2e-6)}

CASES = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "foreach": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "maximize": True}),
    ("Adam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"weight_decay": 0.2, "amsgrad": True, "betas": (0.5, 0.9), "eps": 1e-5}),
    ("AdamW", {"maximize": True, "fused": None, "capturable": False}),
    ("Adamax", {"lr": 0.05}),
    ("Adamax", {"betas": (0.7, 0.9), "eps": 1e-4, "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {"lr": 0.05}),
    ("NAdam", {"weight_decay": 0.1, "momentum_decay": 0.1, "maximize": True}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "betas": (0.5, 0.9)}),
    ("RAdam", {"lr": 0.05}),
    ("RAdam", {"betas": (0.9, 0.9), "weight_decay": 0.1, "eps": 1e-5}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adagrad", {"eps": 1e-3, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.5, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.5, "eps": 1e-4, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Rprop", {}),
    ("Rprop", {"etas": (0.3, 1.5), "step_sizes": (1e-3, 0.02), "maximize": True}),
    ("ASGD", {"lr": 0.1}),
    ("ASGD", {"t0": 5, "lambd": 0.01, "alpha": 0.5, "weight_decay": 0.1, "maximize": True}),
    ("Adafactor", {"lr": 0.05}),
    ("Adafactor", {"beta2_decay": -0.5, "eps": (1e-3, 1e-2), "d": 2.0, "weight_decay": 0.1}),
    ("Adafactor", {"maximize": True}),
]  # fmt: skip
IDS = [f"{name}-{'-'.join(options)}" for name, options in CASES]


def pair(dtype, shapes=SHAPES):
    """The same parameters in both libraries."""
    source = numpy.random.default_rng(0)
    arrays = [source.standard_normal(shape).astype(dtype) for shape in shapes]
    ours = [core.tensor(x.copy()).requires_grad_() for x in arrays]
    return ours, [torch.tensor(x.copy()).requires_grad_() for x in arrays]


def give_gradients(ours, theirs, step, left_out=()):
    """The same gradients to both; a parameter in `left_out` gets none."""
    source = numpy.random.default_rng([7, step])
    for i, (p, t) in enumerate(zip(ours, theirs, strict=True)):
        g = source.standard_normal(tuple(t.shape)).astype(p.array.dtype)
        if i in left_out:
            p.grad = t.grad = None
        else:
            p.grad, t.grad = core.tensor(g), torch.tensor(g)


def groups(params):
    """Two groups, the second with a learning rate of its own."""
    return [{"params": params[:2]}, {"params": params[2:], "lr": 0.03}]


def assert_same(ours, theirs, dtype):
    rtol, atol = TOLERANCE[dtype]
    for p, t in zip(ours, theirs, strict=True):
        numpy.testing.assert_allclose(
            p.detach().cpu().numpy(), t.detach().cpu().numpy(), rtol, atol
        )


def plain(value):
    """State without its library: tensors as arrays."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, (core.Tensor, torch.Tensor)):
        return value.detach().cpu().numpy().copy()
    return value


def assert_same_state(ours, theirs, dtype):
    rtol, atol = TOLERANCE[dtype]
    ours, theirs = plain(ours), plain(theirs)
    assert ours["param_groups"] == theirs["param_groups"]
    assert list(ours["state"]) == list(theirs["state"])
    for key, slots in theirs["state"].items():
        assert list(ours["state"][key]) == list(slots)
        for name, value in slots.items():
            found = ours["state"][key][name]
            assert found.dtype == value.dtype and found.shape == value.shape, name
            numpy.testing.assert_allclose(found, value, rtol, atol, err_msg=name)


def translated(state, tensor):
    """A state_dict with the other library's tensors."""
    if isinstance(state, dict):
        return {key: translated(value, tensor) for key, value in state.items()}
    if isinstance(state, list):
        return [translated(value, tensor) for value in state]
    return tensor(state) if isinstance(state, numpy.ndarray) else state


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_twenty_steps_are_the_same(name, options, dtype):
    ours, theirs = pair(dtype)
    a = getattr(core.optim, name)(groups(ours), **options)
    b = getattr(torch.optim, name)(groups(theirs), **options)
    assert repr(a) == repr(b)
    for step in range(20):
        give_gradients(ours, theirs, step, left_out=(1,) if step in (0, 1, 7) else ())
        a.step()
        b.step()
    assert_same(ours, theirs, dtype)
    assert_same_state(a.state_dict(), b.state_dict(), dtype)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_a_state_loads_into_the_other_library_and_goes_on(name, options):
    ours, theirs = pair("float64")
    a = getattr(core.optim, name)(ours, **options)
    b = getattr(torch.optim, name)(theirs, **options)
    for step in range(5):
        give_gradients(ours, theirs, step)
        a.step()
        b.step()
    to_ours, to_theirs = plain(b.state_dict()), plain(a.state_dict())
    a = getattr(core.optim, name)(ours, lr=7.0)
    b = getattr(torch.optim, name)(theirs, lr=7.0)
    a.load_state_dict(translated(to_ours, core.tensor))
    b.load_state_dict(translated(to_theirs, torch.tensor))
    for step in range(5, 10):
        give_gradients(ours, theirs, step)
        a.step()
        b.step()
    assert_same(ours, theirs, "float64")
    assert_same_state(a.state_dict(), b.state_dict(), "float64")


MUON = [{}, {"nesterov": False, "momentum": 0.5}, {"adjust_lr_fn": "match_rms_adamw", "lr": 0.01}]


@pytest.mark.parametrize("options", MUON, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_muon_is_pytorchs_but_for_roundings(options, dtype, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self.clone())
    monkeypatch.setattr(core.optim.muon, "rounded", lambda x: x)
    ours, theirs = pair(dtype, [(6, 4), (4, 6), (5, 5)])
    a, b = core.optim.Muon(ours, **options), torch.optim.Muon(theirs, **options)
    assert repr(a) == repr(b)
    for step in range(20):
        give_gradients(ours, theirs, step)
        a.step()
        b.step()
    rtol, atol = {"float64": (1e-9, 1e-9), "float32": (1e-3, 1e-4)}[dtype]
    for p, t in zip(ours, theirs, strict=True):
        numpy.testing.assert_allclose(p.detach().numpy(), t.detach().numpy(), rtol, atol)
    assert_same_state(a.state_dict(), b.state_dict(), dtype)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (64, 64), (96, 128)], ids=str)
def test_muon_rounds_every_step_to_bfloat16_as_pytorch_does(shape):
    g = numpy.random.default_rng(5).standard_normal(shape)
    p, t = core.zeros(shape).double().requires_grad_(), torch.zeros(shape).double()
    p.grad, t.grad = core.tensor(g), torch.tensor(g)
    core.optim.Muon([p], lr=1.0, weight_decay=0.0).step()
    torch.optim.Muon([t.requires_grad_()], lr=1.0, weight_decay=0.0).step()
    ours, theirs = p.detach().numpy(), t.detach().numpy()
    # Sums in another order round some elements the other way; without any rounding
    # one in eight elements is the same.
    assert (ours == theirs).mean() > 0.5
    numpy.testing.assert_allclose(ours, theirs, 0, 2**-7 * abs(theirs).max())


WRONG = [
    ("SGD", {"lr": -1}),
    ("SGD", {"momentum": -1}),
    ("SGD", {"nesterov": True}),
    ("SGD", {"weight_decay": -1}),
    ("SGD", {"fused": True, "foreach": True}),
    ("Adam", {"betas": (1.0, 0.9)}),
    ("Adam", {"betas": (0.9, -0.1)}),
    ("Adam", {"eps": -1}),
    ("AdamW", {"weight_decay": -1}),
    ("AdamW", {"lr": -1}),
    ("Adamax", {"eps": -1}),
    ("NAdam", {"momentum_decay": -1}),
    ("RAdam", {"betas": (0.9, 1.0)}),
    ("Adagrad", {"lr_decay": -1}),
    ("Adagrad", {"initial_accumulator_value": -1}),
    ("Adadelta", {"rho": 1.1}),
    ("RMSprop", {"alpha": -1}),
    ("RMSprop", {"momentum": -1}),
    ("Rprop", {"etas": (1.2, 0.5)}),
    ("ASGD", {"weight_decay": -1}),
    ("Adafactor", {"beta2_decay": 1.0}),
    ("Adafactor", {"d": 0.5}),
    ("Adafactor", {"eps": (-1.0, 1e-3)}),
    ("Adafactor", {"lr": -1.0}),
    ("Muon", {"adjust_lr_fn": "mine"}),
    ("Muon", {"momentum": -1}),
    ("LBFGS", {"lr": -1}),
    *((name, {"lr": "pair"}) for name in ("SGD", "Adam", "Adafactor", "Muon", "LBFGS")),
]


@pytest.mark.parametrize(("name", "options"), WRONG, ids=str)
def test_wrong_options_raise_what_pytorch_raises(name, options):
    ours, theirs = pair("float32", [(2, 2)])
    each = [
        {key: module.tensor([0.1, 0.1]) if value == "pair" else value
         for key, value in options.items()}
        for module in (torch, core)
    ]  # fmt: skip
    with pytest.raises((ValueError, RuntimeError)) as expected:
        getattr(torch.optim, name)(theirs, **each[0])
    with pytest.raises(expected.type) as found:
        getattr(core.optim, name)(ours, **each[1])
    assert str(found.value) == str(expected.value)


def rosenbrock(p):
    """The banana valley, in either library."""
    x, y = p[0], p[1]
    return (1 - x) * (1 - x) + 100 * (y - x * x) * (y - x * x)


LBFGS = [
    {},
    {"lr": 0.5, "max_iter": 5, "history_size": 3},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "max_iter": 4, "history_size": 2, "lr": 0.3},
    {"line_search_fn": "strong_wolfe", "tolerance_grad": 0.1, "max_eval": 7},
    {"lr": 0.001, "tolerance_change": 1e-3},
]


@pytest.mark.parametrize("options", LBFGS, ids=str)
def test_lbfgs_walks_the_same_way(options):
    start = numpy.array([-1.2, 1.0])
    ours, theirs = core.tensor(start.copy()), torch.tensor(start.copy())
    found = []
    for module, p in ((core, ours), (torch, theirs)):
        p.requires_grad_()
        optimizer = module.optim.LBFGS([p], **options)
        losses = []
        for _ in range(6):
            losses.append(optimizer.step(closure_of(optimizer, p)).item())
            optimizer = through_state_dict(module, optimizer, p, options)
        found.append((losses, plain(optimizer.state_dict()["state"][0]), p.detach().cpu().numpy()))
    (losses, state, p), (their_losses, their_state, q) = found
    numpy.testing.assert_allclose(losses, their_losses, 1e-6, 1e-12)
    numpy.testing.assert_allclose(p, q, 1e-6, 1e-9)
    assert sorted(state) == sorted(their_state)
    for name in ("func_evals", "n_iter"):
        assert state[name] == their_state[name]


def closure_of(optimizer, p):
    def closure():
        optimizer.zero_grad()
        loss = rosenbrock(p)
        loss.backward()
        return loss

    return closure


def through_state_dict(module, optimizer, p, options):
    again = module.optim.LBFGS([p], **options)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return again
