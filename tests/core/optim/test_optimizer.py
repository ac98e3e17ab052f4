"""What every optimizer keeps to: the same bits in every layout; hooks, groups, errors."""

import copy
import pickle
import warnings

import numpy
import pytest

import core
from core.autograd.value import leaf_of
from core.optim import span
from tests.core.optim.given import give, params

ELEMENTWISE = [
    "SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop", "Rprop",
    "ASGD", "Lion",
]  # fmt: skip
ALL = [*ELEMENTWISE, "LAMB", "LARS", "Adafactor"]
OPTIONS = {"SGD": {"momentum": 0.9}, "RMSprop": {"momentum": 0.9, "centered": True}}


def run(name, ps, steps=6, **options):
    optimizer = getattr(core.optim, name)(ps, lr=0.05, **OPTIONS.get(name, {}), **options)
    for step in range(steps):
        give(ps, step, left_out=(0, 3) if step == 2 else ())
        optimizer.step()
    return optimizer


def bits(optimizer):
    """Parameters and state as bytes."""
    groups = optimizer.param_groups
    ps = [p for group in groups for p in group["params"]]
    state = [[t.array.tobytes() for t in optimizer.state[p].values()] for p in ps]
    return [p.array.tobytes() for p in ps], state


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_bits_do_not_depend_on_how_the_memory_is_cut(name, dtype, monkeypatch):
    expected = bits(run(name, params(dtype)))
    for gathered, block in ((0, 1 << 30), (1 << 30, 1009), (50, 997)):
        monkeypatch.setattr(span, "GATHERED", {"cpu": gathered, "cuda": gathered})
        monkeypatch.setattr(span, "BLOCK", block)
        assert bits(run(name, params(dtype))) == expected


@pytest.mark.parametrize("name", ALL)
def test_bits_do_not_depend_on_strides(name):
    plain = run(name, params(shapes=[(5, 7), (140, 130)]))
    turned = [
        p.detach().t().contiguous().t().requires_grad_()
        for p in params(shapes=[(5, 7), (140, 130)])
    ]
    assert not turned[0].is_contiguous()
    moved = run(name, turned)
    tolerance = 0 if name in ELEMENTWISE else 1e-6  # norms are summed in the order of the memory
    for p, q in zip(plain.param_groups[0]["params"], moved.param_groups[0]["params"], strict=True):
        numpy.testing.assert_allclose(p.array, q.array, rtol=tolerance)
    assert not moved.param_groups[0]["params"][0].is_contiguous()


@pytest.mark.parametrize("name", ALL)
def test_simulated_gpus_give_the_same_bits(name, monkeypatch):
    monkeypatch.setenv("UNISON_SIMULATED_GPUS", "2")
    expected = run(name, params())
    ours = [p.detach().to(f"cuda:{i % 2}").requires_grad_() for i, p in enumerate(params())]
    moved = run(name, ours)
    for p, q in zip(expected.param_groups[0]["params"], ours, strict=True):
        assert p.array.tobytes() == core.Tensor.cpu(q).array.tobytes()
        slots = [t for key, t in moved.state[q].items() if t.ndim or key != "step"]
        assert name in ("SGD", "Lion", "LARS") or str(moved.state[q]["step"].device) == "cpu"
        assert all(t.device in (q.device, core.device("cpu")) for t in slots)


def test_matrices_and_line_searches_run_on_simulated_gpus(monkeypatch):
    monkeypatch.setenv("UNISON_SIMULATED_GPUS", "2")
    found = []
    for device in ("cpu", "cuda:1"):
        p = params(shapes=[(4, 3)])[0].detach().to(device).requires_grad_()
        give([p], 0)
        core.optim.Muon([p]).step()
        optimizer = core.optim.LBFGS([p], line_search_fn="strong_wolfe")

        def closure(p=p, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (p * p).sum() + p.sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        found.append(core.Tensor.cpu(p).array)
    assert same(*found)


@pytest.mark.parametrize("name", ALL)
def test_memory_is_written_in_place_and_the_write_is_counted(name):
    ps = params()
    arrays, views = [p.array for p in ps], [p.detach() for p in ps]
    versions = [p._version for p in ps]
    run(name, ps, steps=2)
    assert all(p.array is array for p, array in zip(ps, arrays, strict=True))
    assert [p._version for p in ps] == [v + 2 for v in versions]
    assert all(same(v.array, p.array) for v, p in zip(views, ps, strict=True))


def same(a, b):
    return a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", ALL)
def test_a_backward_through_what_was_stepped_over_is_refused(name):
    p = core.ones(2, 2).requires_grad_()
    optimizer = getattr(core.optim, name)([p], lr=0.1)
    out = (p * p).sum()
    p.grad = core.ones(2, 2)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


@pytest.mark.parametrize("name", ["SGD", "Adam", "LAMB"])
def test_state_that_is_thrown_away_starts_anew(name):
    ps = params()
    optimizer = run(name, ps, steps=3)
    fresh = getattr(core.optim, name)(
        [p.detach().clone().requires_grad_() for p in ps], lr=0.05, **OPTIONS.get(name, {})
    )
    optimizer.state.clear()
    for o in (optimizer, fresh):
        give(o.param_groups[0]["params"], 9)
        o.step()
    assert bits(optimizer) == bits(fresh)


def test_state_that_is_replaced_is_used():
    ps = params(shapes=[(3,), (4,)])
    optimizer = run("Adam", ps, steps=2)
    optimizer.state[ps[0]]["exp_avg"] = core.zeros(3)
    optimizer.state[ps[1]]["step"].fill_(100)
    give(ps, 5)
    optimizer.step()
    assert optimizer.state[ps[0]]["exp_avg"].array == pytest.approx(
        0.1 * ps[0].grad.array, rel=1e-5
    )
    assert [optimizer.state[p]["step"].item() for p in ps] == [3, 101]


def test_parameters_given_other_memory_or_another_dtype_go_on():
    ps = params(shapes=[(3,), (4,)])
    optimizer = run("SGD", ps, steps=2)
    ps[0].data = core.zeros(3)
    give(ps, 5)
    optimizer.step()
    assert ps[0].array.any()
    ps[1].data = ps[1].data.double()
    ps[1].grad = None
    give(ps, 6)
    optimizer.step()
    assert optimizer.state[ps[1]]["momentum_buffer"].dtype is core.float64


# ---- refused ----


def test_a_gradient_that_was_not_reduced_is_refused_by_name():
    model = core.nn.Linear(2, 3)
    for named in (True, False):
        given = model.named_parameters() if named else model.parameters()
        optimizer = core.optim.Adam(
            [{"params": [core.ones(1).requires_grad_()] if not named else []}, {"params": given}]
            if not named
            else given
        )
        model.bias.grad = core.ones(3)
        leaf_of(model.bias).local = True
        place = r"'bias' 1 of group 0" if named else "1 of group 1"
        with pytest.raises(RuntimeError, match=rf"parameter {place}, of shape \(3,\).*not reduced"):
            optimizer.step()
        assert not optimizer.state
        leaf_of(model.bias).local = False
        optimizer.step()


def test_wrong_parameters_are_refused():
    p = core.ones(2).requires_grad_()
    with pytest.raises(TypeError, match="iterable of Tensors or dicts"):
        core.optim.SGD(p)
    with pytest.raises(ValueError, match="empty parameter list"):
        core.optim.SGD([])
    with pytest.raises(TypeError, match="one of the params is int"):
        core.optim.SGD([3])
    with pytest.raises(TypeError, match="sets will change between runs"):
        core.optim.SGD([{"params": {p}}])
    with pytest.raises(ValueError, match="non-leaf"):
        core.optim.SGD([p * 2])
    with pytest.raises(ValueError, match="more than one parameter group"):
        core.optim.SGD([{"params": [p]}, {"params": [p]}])
    with pytest.raises(ValueError, match="Some param names are missing"):
        core.optim.SGD([("a", p), core.ones(1)])
    with pytest.raises(ValueError, match="with/without names"):
        core.optim.SGD([p]).add_param_group({"params": [("a", core.ones(1))]})
    with pytest.warns(UserWarning, match="duplicate parameters"):
        core.optim.SGD([p, p])
    with pytest.raises(ValueError, match="differentiable"):
        core.optim.Adam([p], differentiable=True)
    with pytest.raises(NotImplementedError):
        core.optim.Optimizer([p], {}).step()


def test_a_required_option_must_be_there():
    p = core.ones(1).requires_grad_()
    with pytest.raises(ValueError, match="required optimization parameter lr"):
        core.optim.Optimizer([p], {"lr": core.optim.optimizer.required})


def test_states_of_other_shapes_are_refused():
    state = core.optim.SGD(params(shapes=[(2,), (3,)]), lr=0.1).state_dict()
    with pytest.raises(ValueError, match=r"expected sizes \[1\], got \[2\]"):
        core.optim.SGD(params(shapes=[(2,)])).load_state_dict(state)
    with pytest.raises(ValueError, match="number of parameter groups: expected 2, got 1"):
        groups = [{"params": [p]} for p in params(shapes=[(2,), (3,)])]
        core.optim.SGD(groups).load_state_dict(state)


# ---- using it ----


def test_a_closure_is_run_with_gradients_and_its_loss_returned():
    p = core.ones(1).requires_grad_()
    optimizer = core.optim.SGD([p], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (p * 3).sum()
        loss.backward()
        return loss

    with core.no_grad():
        assert optimizer.step(closure).item() == 3
    assert p.item() == -0.5


@pytest.mark.parametrize("to_none", [True, False])
def test_zero_grad(to_none):
    p = core.ones(2).requires_grad_()
    (p * p).sum().backward()
    g = p.grad
    core.optim.SGD([p]).zero_grad(set_to_none=to_none)
    if to_none:
        assert p.grad is None and g.tolist() == [2.0, 2.0]
    else:
        assert p.grad is g and g.tolist() == [0.0, 0.0]


def test_hooks_run_in_order_and_can_be_taken_away():
    p = core.ones(1).requires_grad_()
    optimizer = core.optim.SGD([p])
    seen = []
    handles = [
        optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append("before")),
        optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append("after")),
        core.optim.optimizer.register_optimizer_step_pre_hook(lambda *_: seen.append("all before")),
        core.optim.optimizer.register_optimizer_step_post_hook(lambda *_: seen.append("all after")),
        optimizer.register_state_dict_pre_hook(lambda o: seen.append("save")),
        optimizer.register_state_dict_post_hook(lambda o, state: {**state, "extra": 1}),
        optimizer.register_load_state_dict_pre_hook(lambda o, s: seen.append(s.pop("extra"))),
        optimizer.register_load_state_dict_post_hook(lambda o: seen.append("loaded")),
        optimizer.register_load_state_dict_post_hook(lambda o: seen.append("first"), prepend=True),
    ]
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == ["all before", "before", "after", "all after", "save", 1, "first", "loaded"]
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert len(seen) == 8


def test_a_hook_can_replace_the_arguments():
    p = core.ones(1).requires_grad_()
    optimizer = core.optim.SGD([p])
    optimizer.register_step_pre_hook(lambda o, args, kwargs: ((lambda: 7,), {}))
    assert optimizer.step() == 7
    optimizer.register_step_pre_hook(lambda o, args, kwargs: 3)
    with pytest.raises(RuntimeError, match="tuple of"):
        optimizer.step()


def test_an_optimizer_of_ones_own_needs_only_a_step():
    class Plain(core.optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @core.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p]["count"] = self.state[p].get("count", 0) + 1
                    p.add_(p.grad, alpha=-group["lr"])

    p = core.ones(1).requires_grad_()
    optimizer = Plain([p], lr=0.5)
    scheduler = core.optim.lr_scheduler.StepLR(optimizer, 1)
    p.grad = core.ones(1)
    optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()
    assert p.item() == 0.5 and optimizer.state_dict()["state"] == {0: {"count": 1}}
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
@pytest.mark.parametrize("name", ALL)
def test_copies_go_on_by_themselves(name, again):
    optimizer = run(name, params(), steps=3)
    other = again(optimizer)
    for o in (optimizer, other):
        give(o.param_groups[0]["params"], 8)
        o.step()
    assert bits(optimizer) == bits(other)
    assert other.param_groups[0]["params"][0] is not optimizer.param_groups[0]["params"][0]


def test_loaded_state_is_a_copy():
    ps = params(shapes=[(3,)])
    first = run("Adam", ps, steps=1)
    second = core.optim.Adam(ps)
    second.load_state_dict(first.state_dict())
    second.state[ps[0]]["exp_avg"].zero_()
    assert first.state[ps[0]]["exp_avg"].array.all()


def test_names_are_saved_and_kept():
    model = core.nn.Linear(2, 2)
    state = core.optim.SGD(model.named_parameters(), lr=0.1).state_dict()
    assert state["param_groups"][0]["param_names"] == ["weight", "bias"]
    other = core.optim.SGD(model.named_parameters())
    del state["param_groups"][0]["param_names"]
    other.load_state_dict(state)
    assert other.param_groups[0]["param_names"] == ["weight", "bias"]


def test_a_learning_rate_can_be_a_tensor_that_schedulers_fill():
    p = core.ones(1).requires_grad_()
    lr = core.tensor(0.5)
    optimizer = core.optim.SGD([p], lr=lr)
    scheduler = core.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    p.grad = core.ones(1)
    optimizer.step()
    scheduler.step()
    assert lr.item() == 0.25 and p.item() == 0.5
    optimizer.step()
    assert p.item() == 0.25


def test_no_gradient_no_step():
    ps = params(shapes=[(3,), (2,)])
    optimizer = core.optim.Adam(ps)
    optimizer.step()
    give(ps, 0, left_out=(1,))
    before = ps[1].array.copy()
    optimizer.step()
    assert len(optimizer.state) == 1 and same(ps[1].array, before)


def test_gradients_of_a_gradient_graph_are_stepped_along():
    p = core.ones(2).requires_grad_()
    (p**3).sum().backward(create_graph=True)
    assert p.grad.requires_grad
    core.optim.SGD([p], lr=0.1).step()
    numpy.testing.assert_allclose(p.detach().numpy(), 0.7, rtol=1e-6)
