"""Placement on simulated GPUs: what lies where, what may meet, and gradients that cross devices."""

import copy
import pickle

import numpy
import pytest

import core
from core.recompute import checkpoint


@pytest.fixture(autouse=True)
def four_gpus(monkeypatch):
    monkeypatch.setenv("UNISON_SIMULATED_GPUS", "4")


def on(device, *shape):
    return core.ones(*shape, device=device)


MIXED = {
    "add": lambda a, b: a + b,
    "subtract in place": lambda a, b: a.sub_(b),
    "compare": lambda a, b: a < b,
    "matmul": lambda a, b: a @ b,
    "cat": lambda a, b: core.cat([a, b]),
    "stack": lambda a, b: core.stack([a, b]),
    "where": lambda a, b: core.where(a > 0, a, b),
    "out": lambda a, b: core.add(a, a, out=b),
    "linear": lambda a, b: core.nn.functional.linear(a, b),
}


@pytest.mark.parametrize("pair", [("cuda:0", "cuda:1"), ("cuda:0", "cpu"), ("cpu", "cuda:3")])
@pytest.mark.parametrize("op", MIXED)
def test_two_devices_do_not_meet(op, pair):
    a, b = (on(device, 2, 2) for device in pair)
    with pytest.raises(RuntimeError, match="device"):
        MIXED[op](a, b)


def test_the_message_names_both_devices():
    with pytest.raises(RuntimeError, match=r"cuda:0 and cuda:2|cuda:2 and cuda:0"):
        on("cuda:0", 2) * on("cuda:2", 2)


@pytest.mark.parametrize("device", ["cuda:0", "cuda:3"])
def test_a_number_of_the_cpu_meets_every_device(device):
    x = on(device, 2)
    for y in (x * core.tensor(3.0), core.tensor(3.0) * x, x * 3):
        assert y.device == core.device(device) and y.tolist() == [3, 3]


def test_a_number_of_a_gpu_meets_only_its_own():
    with pytest.raises(RuntimeError, match="device"):
        on("cuda:0", 2) * core.tensor(3.0, device="cuda:1")


def test_what_is_made_where():
    x = on("cuda:2", 3)
    made = [x * 2, x[1:], x.clone(), x.sum(), core.zeros_like(x), x.double(), x.detach(), x > 0]
    assert [str(y.device) for y in made] == ["cuda:2"] * len(made)
    assert x.is_cuda and not x.is_cpu and x.get_device() == 2
    assert str(core.ones(1, device="cuda").device) == "cuda:0"
    assert str(core.ones(1, device=1).device) == "cuda:1"
    assert str(core.tensor([1.0], device="cuda:1").device) == "cuda:1"


def test_moves():
    x = core.arange(3.0)
    y = x.to("cuda:1")
    assert y.tolist() == x.tolist() and y.data_ptr() != x.data_ptr()
    assert y.to("cuda:1") is y and y.cuda(1) is y and x.cpu() is x
    assert str(x.cuda().device) == "cuda:0" and str(y.cuda().device) == "cuda:0"
    assert str(y.to(x).device) == "cpu" and str(x.to(y).device) == "cuda:1"
    both = x.to("cuda:2", core.float64)
    assert str(both.device) == "cuda:2" and both.dtype is core.float64
    assert y.type() == "core.cuda.FloatTensor"


def test_copy_crosses_devices():
    x, y = on("cuda:1", 3) * 7, core.zeros(3)
    y.copy_(x)
    assert y.tolist() == [7, 7, 7] and y.is_cpu


@pytest.mark.parametrize("device", ["cuda:4", "cuda:99", 4])
def test_a_gpu_that_is_not_there(device):
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        core.ones(1, device=device)


def test_numpy_refuses_gpus():
    x = on("cuda:0", 2)
    for convert in (lambda: x.numpy(), lambda: numpy.asarray(x)):
        with pytest.raises(TypeError, match=r"cuda:0.*cpu\(\)"):
            convert()
    assert x.cpu().numpy().tolist() == [1, 1] == x.tolist()


def test_print_names_the_device():
    assert repr(on("cuda:1", 2)) == "tensor([1., 1.], device='cuda:1')"


def test_copies_and_pickles_stay_where_they_were():
    x = on("cuda:3", 2).requires_grad_()
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert str(y.device) == "cuda:3" and y.requires_grad and y.tolist() == [1, 1]


def test_a_device_as_a_context_is_where_new_tensors_go():
    with core.device("cuda:2"):
        made = [core.ones(2), core.tensor([1.0]), core.arange(3), core.rand(2), core.zeros(1)]
        assert [str(x.device) for x in made] == ["cuda:2"] * 5
        assert core.ones(1, device="cpu").is_cpu
        with core.device("cpu"):
            assert core.ones(1).is_cpu
        assert core.ones(1).is_cuda
    assert core.ones(1).is_cpu


def test_random_numbers_have_the_same_bits_everywhere():
    drawn = []
    for device in ("cpu", "cuda:0", "cuda:3"):
        core.manual_seed(7)
        drawn.append(core.randn(5, device=device).tolist())
    assert drawn[0] == drawn[1] == drawn[2]


# ---- gradients ----


def test_gradients_cross_devices_and_end_at_their_leaf():
    x = core.tensor([1.0, 2.0], requires_grad=True)
    w = core.tensor([3.0, 4.0], device="cuda:1", requires_grad=True)
    y = ((x * 2).to("cuda:1") * w).to("cuda:2").exp().cpu().log().sum()
    y.backward()
    assert x.grad.tolist() == [6, 8] and x.grad.is_cpu
    assert w.grad.tolist() == [2, 4] and str(w.grad.device) == "cuda:1"


def test_second_gradients_cross_devices():
    x = core.tensor([1.0, 2.0], dtype=core.float64, requires_grad=True)
    core.gradgradcheck(lambda t: (t.to("cuda:1") ** 3).to("cuda:0").tanh().cpu(), (x,))


def test_a_gradient_on_another_device_is_refused():
    x = on("cuda:0", 2).requires_grad_()
    with pytest.raises(RuntimeError, match="device"):
        x.grad = core.ones(2)


def test_a_moved_tensor_is_no_leaf_and_a_made_one_is():
    x = core.ones(2, requires_grad=True)
    assert not x.to("cuda:0").is_leaf and x.to("cpu").is_leaf
    assert core.ones(2, device="cuda:0", requires_grad=True).is_leaf


def test_hooks_functions_and_recomputation_on_gpus():
    class Double(core.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            assert str(g.device) == "cuda:1"
            return g * 2

    x = core.ones(2, requires_grad=True)
    seen = []
    h = x.to("cuda:1")
    h.register_hook(lambda g: seen.append(str(g.device)))
    checkpoint(lambda t: Double.apply(t) * t, h).sum().backward()
    assert x.grad.tolist() == [4, 4] and seen == ["cuda:1"]


def trained(devices):
    """The losses and weights of a two-layer network, a layer on each device."""
    core.manual_seed(0)
    first, second = devices
    w = (core.randn(3, 8) * 0.5).to(first).requires_grad_()
    v = (core.randn(8, 1) * 0.5).to(second).requires_grad_()
    x = core.randn(16, 3)
    target = (x.sum(1, keepdim=True) * 0.5).to(second)
    losses = []
    for _ in range(20):
        h = (x.to(first) @ w).tanh()
        loss = ((h.to(second) @ v - target) ** 2).mean()
        loss.backward()
        with core.no_grad():
            for p in (w, v):
                p -= 0.1 * p.grad
                p.grad = None
        losses.append(loss.item())
    return losses, w.tolist(), v.tolist()


def test_a_network_on_two_devices_trains_as_on_one():
    losses, *weights = trained(("cuda:0", "cuda:3"))
    assert losses[-1] < losses[0] / 2
    assert [losses, *weights] == list(trained(("cuda:1", "cuda:1")))


def test_memory_stays_on_its_device():
    x = core.ones(2, 3, device="cuda:2")
    assert x.resize_(4, 4).device == core.device("cuda:2")
    assert x.unsqueeze_(0).squeeze_(0).t_().clone(memory_format=core.contiguous_format).is_cuda
    y = core.arange(8.0, device="cuda:2").view(1, 2, 2, 2)
    y = y.contiguous(memory_format=core.channels_last)
    assert (y.device, y.stride()) == (core.device("cuda:2"), (8, 1, 4, 2))
    assert core.zeros_like(y, memory_format=core.contiguous_format).device == y.device


def test_second_derivatives_of_a_determinant_on_a_gpu():
    x = core.zeros(3, 3, device="cuda:2", requires_grad=True)
    (g,) = core.autograd.grad(core.linalg.det(x + x.T), x, create_graph=True)
    (second,) = core.autograd.grad(g.sum(), x)
    assert second.device == core.device("cuda:2")
