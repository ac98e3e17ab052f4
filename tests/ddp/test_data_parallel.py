"""DataParallel on simulated GPUs: what one device computes, spread over several."""

import collections
import copy
import dataclasses
import pickle
import threading

import numpy as np
import pytest

import core
from core import nn
from ddp.data_parallel import DataParallel, data_parallel, parallel_apply, replicate
from ddp.device_split import chunk_sizes, gather, scatter


@pytest.fixture(autouse=True)
def eight_gpus(monkeypatch):
    monkeypatch.setenv("UNISON_SIMULATED_GPUS", "8")


def network():
    core.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double().to("cuda:0")


def rows(n, seed=0):
    return core.from_numpy(np.random.default_rng(seed).normal(size=(n, 4))).to("cuda:0")


def on_host(x):
    return x.detach().cpu().numpy()


@pytest.mark.parametrize("devices", range(1, 9))
def test_any_batch_on_any_number_of_devices_equals_one(devices):
    for n in range(1, 34):
        alone, model = network(), network()
        wrapped = DataParallel(model, range(devices))
        x = rows(n, n)
        out, expected = wrapped(x), alone(x)
        np.testing.assert_allclose(on_host(out), on_host(expected), rtol=1e-12)
        assert out.device == core.device("cuda:0")
        (out**2).sum().backward()
        (expected**2).sum().backward()
        for p, q in zip(model.parameters(), alone.parameters(), strict=True):
            np.testing.assert_allclose(on_host(p.grad), on_host(q.grad), rtol=1e-10)


def test_chunks_differ_by_at_most_one_and_none_is_empty():
    for n in range(1, 34):
        for parts in range(1, 9):
            sizes = chunk_sizes(n, parts)
            assert sum(sizes) == n
            assert len(sizes) == min(n, parts)
            assert max(sizes) - min(sizes) <= 1


def test_two_forwards_before_a_backward_and_one_without_gradients_between():
    found = []
    for devices in (1, 3):
        model = network()
        wrapped = DataParallel(model, range(devices))
        total = wrapped(rows(7)).sum()
        with core.no_grad():
            wrapped(rows(5, 1))
        (total + wrapped(rows(7, 2)).pow(2).sum()).backward()
        found.append([on_host(p.grad) for p in model.parameters()])
    for one, three in zip(*found, strict=True):
        np.testing.assert_allclose(three, one, rtol=1e-10)


class Same(nn.Module):
    def forward(self, *args, **kwargs):
        return args[0] if args else kwargs["x"]


@dataclasses.dataclass(frozen=True)
class Output:
    values: core.Tensor
    text: str


def test_containers_of_any_class_come_back_as_they_are():
    both = DataParallel(Same(), [0, 1])
    found = both(Output(rows(5), "a"))
    assert found.text == "a" and (found.values == rows(5)).all()
    counted = collections.defaultdict(list, values=rows(5))
    found = both(counted)
    assert (found["values"] == rows(5)).all() and found["more"] == []


class OnlyAWeight(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(core.ones(3, 2))

    def forward(self):
        return self.weight * 2


def test_calls_of_every_kind_and_size():
    """By name, along the last dim, without samples, without arguments; scalars as in PyTorch."""
    x = rows(5)
    both = DataParallel(Same(), [0, 1])
    assert (both(x=x, text="a", none={}) == x).all()
    assert (DataParallel(Same(), [0, 1], dim=-1)(x) == x).all()
    assert DataParallel(network(), [0, 1])(rows(0)).shape == (0, 3)
    assert DataParallel(OnlyAWeight(), [0, 1])().shape == (3, 2)
    summed = DataParallel(network(), [0, 1], loss=lambda out, _: out.sum())
    assert summed(rows(1), rows(1)).shape == ()
    assert DataParallel(nn.MSELoss(), [0])(x, x).shape == ()
    assert DataParallel(nn.MSELoss(), [0, 1])(x, x).shape == (2,)


def test_what_changed_in_the_module_since_the_last_call_is_seen():
    """Another dtype, a new buffer, one of another size, a bias less, a layer more."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).to("cuda:0")
    model.guard = threading.Lock()  # which cannot be copied
    model.register_buffer("table", core.zeros(2, device="cuda:0"))
    wrapped = DataParallel(model, [0, 1])

    def add_layer():
        model.add_module("last", nn.Linear(4, 2).double().to("cuda:0"))

    for change in (
        model.double,
        lambda: model.register_buffer("more", core.zeros(3, device="cuda:0")),
        lambda: setattr(model, "table", core.zeros(7, device="cuda:0")),
        lambda: setattr(model[0], "bias", None),
        add_layer,
    ):
        dtype = model[0].weight.dtype
        assert (wrapped(rows(4).to(dtype)) == model(rows(4).to(dtype))).all()
        change()
    np.testing.assert_allclose(on_host(wrapped(rows(4))), on_host(model(rows(4))), rtol=1e-12)


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, batch, scale, flag=None):
        out = self.linear(batch["x"]) * scale
        assert len(list(self.parameters())) == 2
        return {"out": out, "pair": (out.sum(1), None), "mean": out.mean(), "scale": scale}


def test_nested_inputs_and_outputs():
    model = Nested().to("cuda:0")
    out = DataParallel(model, [0, 1, 2])({"x": rows(7).float()}, 2.0, flag=None)
    assert out["out"].shape == (7, 2)
    assert out["pair"][0].shape == (7,) and out["pair"][1] is None
    assert out["mean"].shape == (3,) and out["scale"] == 2.0


class Listed(nn.Module):
    """Parameters in lists and dicts, a buffer that is counted up, statistics."""

    def __init__(self):
        super().__init__()
        core.manual_seed(1)
        self.scales = nn.ParameterList(
            [nn.Parameter(core.full((4,), float(i + 1))) for i in range(2)]
        )
        self.shifts = nn.ParameterDict({"a": nn.Parameter(core.ones(4))})
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("calls", core.tensor(0))

    def forward(self, x):
        self.calls += 1
        assert len(self.scales) == 2 and len(list(self.parameters())) == 5
        return self.norm(x * self.scales[0] * self.scales[1] + self.shifts["a"])


def test_lists_of_parameters_work_inside_and_buffers_of_the_first_replica_are_kept():
    model, alone = Listed().to("cuda:0"), Listed().to("cuda:0")
    wrapped = DataParallel(model, [0, 1, 2])
    for step in range(2):
        wrapped(rows(9, step).float()).sum().backward()
        alone(rows(9, step).float()[:3])
    assert model.calls.item() == 2
    for (name, b), c in zip(model.named_buffers(), alone.buffers(), strict=True):
        np.testing.assert_array_equal(on_host(b), on_host(c), err_msg=name)
    assert all(p.grad is not None for p in model.parameters())


def test_autocast_reaches_the_replicas():
    wrapped = DataParallel(nn.Linear(4, 2).to("cuda:0"), [0, 1])
    with core.autocast("cuda", dtype=core.bfloat16):
        assert wrapped(rows(4).float()).dtype is core.bfloat16


def test_the_loss_is_computed_where_the_chunks_are():
    alone, model = network(), network()
    x, y = rows(9), rows(9, 1)[:, :3]

    def mse(out, target):
        return ((out - target) ** 2).mean()

    loss = DataParallel(model, [0, 1, 2, 3], loss=mse)(x, y)
    expected = mse(alone(x), y)
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-12)
    loss.backward()
    expected.backward()
    for p, q in zip(model.parameters(), alone.parameters(), strict=True):
        np.testing.assert_allclose(on_host(p.grad), on_host(q.grad), rtol=1e-10)


def peaks(loss):
    """The most bytes that each of four devices had at once in a step with many outputs."""
    core.manual_seed(0)
    wrapped = DataParallel(nn.Linear(16, 1024), range(4), loss=loss)
    x, y = core.randn(512, 16), core.randn(512, 1024)
    found = []
    for _ in range(2):
        wrapped.zero_grad()
        for i in range(4):
            core.cuda.reset_peak_memory_stats(i)
        if loss is None:
            nn.functional.mse_loss(wrapped(x), y.to("cuda:0")).backward()
        else:
            wrapped(x, y).backward()
        found = [core.cuda.max_memory_allocated(i) for i in range(4)]
    return found


def test_with_the_loss_in_the_replicas_no_device_fills_up():
    even = peaks(nn.functional.mse_loss)
    assert max(even) < 1.1 * min(even)
    assert peaks(None)[0] > 2 * max(even)


def test_hooks_and_modes_reach_the_replicas():
    model = network()
    wrapped = DataParallel(model, [0, 1])
    seen = []
    wrapped(rows(4))
    model[0].register_forward_hook(lambda module, args, out: seen.append(module.training))
    wrapped.eval()
    wrapped(rows(4))
    assert seen == [False, False]


def test_random_numbers_do_not_depend_on_threads():
    core.manual_seed(0)
    wrapped = DataParallel(nn.Dropout(0.5), [0, 1, 2, 3])
    x = core.ones(8, 64).to("cuda:0")
    core.manual_seed(7)
    first = on_host(wrapped(x))
    for _ in range(5):
        core.manual_seed(7)
        np.testing.assert_array_equal(on_host(wrapped(x)), first)
    assert not np.array_equal(first[:2], first[2:4])


def test_an_exception_names_its_replica():
    class Odd(nn.Module):
        def forward(self, x):
            if x.device.index == 1:
                raise ValueError("not here")
            return x

    with pytest.raises(ValueError, match="replica 1 on device cuda:1: not here"):
        DataParallel(Odd(), [0, 1])(rows(4))


def test_an_exception_that_no_text_makes_is_told_by_one_that_does():
    class Odd(nn.Module):
        def forward(self, x):
            return bytes([255]).decode()

    with pytest.raises(RuntimeError, match="replica 0 on device cuda:0: UnicodeDecodeError: "):
        DataParallel(Odd(), [0, 1])(rows(4))


def test_a_script_that_ends_in_a_replica_ends_as_it_said():
    class Ending(nn.Module):
        def forward(self, x):
            raise SystemExit(3)

    with pytest.raises(SystemExit) as found:
        DataParallel(Ending(), [0, 1])(rows(4))
    assert found.value.code == 3


def test_parameters_elsewhere_are_refused():
    wrapped = DataParallel(network(), [0, 1])
    wrapped.module.to("cuda:1")
    with pytest.raises(RuntimeError, match="cuda:0"):
        wrapped(rows(4))


def test_the_parts_as_functions():
    model = network()
    copies = replicate(model, [0, 1])
    chunks = scatter(rows(5), [core.device("cuda:0"), core.device("cuda:1")])
    outs = parallel_apply(copies, chunks, devices=[0, 1])
    joined = gather(outs, core.device("cuda:0"))
    np.testing.assert_allclose(on_host(joined), on_host(model(rows(5))), rtol=1e-12)
    np.testing.assert_allclose(
        on_host(data_parallel(model, rows(5), [0, 1])), on_host(joined), rtol=1e-12
    )


def test_without_devices_the_module_runs_where_it_is(monkeypatch):
    monkeypatch.setenv("UNISON_SIMULATED_GPUS", "0")
    model = nn.Linear(4, 2)
    assert DataParallel(model, [])(core.ones(3, 4)).shape == (3, 2)


class Scaled(nn.Module):
    """A weight with two names, and a buffer that is asked for its gradient."""

    def __init__(self):
        super().__init__()
        core.manual_seed(1)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.register_buffer("scale", core.rand(4))
        self.double().to("cuda:0")
        self.scale.requires_grad_()

    def forward(self, x):
        return self.second(self.first(x).tanh() * self.scale)


def test_gradients_come_to_the_module_as_from_one_device():
    """Through hooks, once and whole; also those of buffers, of gradients, and what grad() gives."""
    found = []
    for devices in (1, 3):
        module, seen = Scaled(), []
        wrapped = DataParallel(module, range(devices))
        module.first.weight.register_hook(lambda g: g.clamp(-0.5, 0.5))
        module.first.bias.register_post_accumulate_grad_hook(
            lambda p, seen=seen: seen.append(on_host(p.grad))
        )
        x = rows(7).requires_grad_()
        wrapped(x).sum().backward()
        given = core.autograd.grad(wrapped(x).pow(2).sum(), [*module.parameters(), module.scale])
        (slope,) = core.autograd.grad(wrapped(x).pow(2).sum(), x, create_graph=True)
        slope.pow(2).sum().backward()
        grads = [p.grad for p in (*module.parameters(), module.scale)]
        found.append([*map(on_host, (*grads, *given)), *seen])
    assert len(found[0]) == len(found[1])
    for one, three in zip(*found, strict=True):
        np.testing.assert_allclose(three, one, rtol=1e-10)


def test_wrappers_are_copied_pickled_and_loaded_from_pytorchs_states():
    wrapped = DataParallel(network(), range(2))
    expected = on_host(wrapped(rows(5)))
    state = {f"module.{key}": x for key, x in wrapped.state_dict().items()}
    for other in (copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped))):
        assert (on_host(other(rows(5))) == expected).all()
        with core.no_grad():
            other.module[0].weight.zero_()
        other.load_state_dict(state)
        assert (on_host(other(rows(5))) == expected).all()
    outer = nn.Sequential(wrapped)
    outer.load_state_dict(outer.state_dict())


def test_dicts_of_different_sizes_are_not_gathered():
    with pytest.raises(ValueError, match="number of keys"):
        gather([{"a": core.ones(1)}, {"a": core.ones(1), "b": core.ones(1)}], "cuda:0")
