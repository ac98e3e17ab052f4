"""A convolution, a ReLU and a max pool of tiles are one op where nobody looks between."""

import copy
import pickle
import threading

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import core
import core.nn.functional as F
from core import nn
from core.nn import hooks
from core.testing import assert_close


@st.composite
def networks(draw):
    """Three modules and a batch for them: whole numbers, so that no order of a sum matters."""
    dims = draw(st.integers(1, 3))
    sides = st.lists(st.integers(1, 4), min_size=dims, max_size=dims).map(tuple)
    kernel, tile = draw(sides), draw(sides)
    conv, pool = (getattr(nn, f"{name}{dims}d") for name in ("Conv", "MaxPool"))
    channels, outs, bias = draw(st.integers(1, 4)), draw(st.integers(1, 9)), draw(st.booleans())
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    modules = nn.Sequential(
        conv(channels, outs, kernel, padding=padding, bias=bias),
        nn.ReLU(inplace=draw(st.booleans())),
        pool(tile),
    ).double()
    least = [k + t - 1 for k, t in zip(kernel, tile, strict=True)]
    size = [n + draw(st.integers(0, 5)) for n in least]
    numbers = numpy.random.default_rng(draw(st.integers(0, 99)))
    with core.no_grad():
        for p in modules.parameters():
            p.copy_(core.from_numpy(numbers.integers(-3, 4, p.shape).astype(float)))
    x = numbers.integers(-2, 3, (draw(st.integers(0, 5)), channels, *size)).astype(float)
    return modules, x


def read(x):
    for y in x if isinstance(x, tuple) else (x,):
        assert y.array is not None


def seen(modules):
    """A copy in which what each module gives is read at once."""
    modules = copy.deepcopy(modules)
    for module in modules:
        module.register_forward_hook(lambda module, args, out: read(out))
    return modules


def outcome(modules, x, times=1):
    """The result and all gradients, the input's last."""
    x = core.from_numpy(x).requires_grad_()
    y = modules(x)
    weights = core.arange(y.numel(), dtype=y.dtype).reshape(y.shape)
    for _ in range(times):
        (y * weights).sum().backward(retain_graph=times > 1)
    return [y.detach(), *(p.grad for p in modules.parameters()), x.grad]


@given(networks(), st.integers(1, 2))
def test_in_one_they_give_what_each_by_itself_gives(case, times):
    modules, x = case
    expected = outcome(seen(modules), x, times)
    for a, b in zip(outcome(modules, x, times), expected, strict=True):
        assert_close(a, b, rtol=0, atol=0)
    with core.no_grad():
        assert_close(modules(core.from_numpy(x)), expected[0], rtol=0, atol=0)


def small(**options):
    core.manual_seed(0)
    conv = nn.Conv2d(1, 4, 3, **options)
    return nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2)).double()


IMAGES = numpy.random.default_rng(0).normal(size=(3, 1, 8, 8))


def nodes(y):
    found, stack = [], [y.grad_fn]
    while stack:
        node = stack.pop()
        found.append(type(node).__name__ if not hasattr(node, "name") else node.name())
        stack += [n for n, _ in node.next_functions if n is not None]
    return found


def is_one(y):
    return "ReluBackward0" not in nodes(y)


def test_what_lies_between_is_not_made():
    assert is_one(small()(core.from_numpy(IMAGES)))
    assert not is_one(seen(small())(core.from_numpy(IMAGES)))


CONV, POOL = small()[0], nn.MaxPool2d(2)


def rebound(x):
    x = CONV(x)
    x = F.relu(x)
    x = POOL(x)
    return x


FORMS = {
    "nested": lambda x: POOL(F.relu(CONV(x))),
    "functions": lambda x: F.max_pool2d(F.relu(F.conv2d(x, CONV.weight, CONV.bias)), (2, 2)),
    "methods": lambda x: POOL(CONV(x).relu()),
    "core's": lambda x: POOL(core.relu(CONV(x))),
    "in place": lambda x: POOL(F.relu(CONV(x), inplace=True)),
    "method in place": lambda x: POOL(CONV(x).relu_()),
    "modules": nn.Sequential(CONV, nn.ReLU(inplace=True), POOL),
    "rebound": rebound,
}


@pytest.mark.parametrize("form", FORMS)
def test_however_it_is_written(form):
    y = FORMS[form](core.from_numpy(IMAGES))
    assert is_one(y)
    assert_close(y, POOL(core.from_numpy(CONV(core.from_numpy(IMAGES)).detach().numpy()).relu()))


def test_a_result_that_somebody_holds_is_part_of_the_graph():
    y = CONV(core.from_numpy(IMAGES))
    h = F.relu(y)
    z = POOL(h)
    y.retain_grad()
    seen = []
    h.register_hook(seen.append)
    z.sum().backward()
    assert y.grad is not None
    assert len(seen) == 1
    assert not is_one(z)


def test_a_result_that_was_read_and_let_go_is_part_of_the_graph():
    y = CONV(core.from_numpy(IMAGES))
    h, seen = F.relu(y), []
    h.register_hook(seen.append)
    z, other = POOL(h), h.mean()
    del y, h
    (z.sum() + other).backward()
    assert len(seen) == 1
    assert not is_one(z)


def test_recorded_or_not_is_settled_at_the_call():
    x = core.from_numpy(IMAGES)
    with core.no_grad():
        y, z = CONV(x), POOL(F.relu(CONV(x)))
    assert not y.requires_grad
    assert not z.requires_grad
    y = CONV(x)
    with core.no_grad():
        h = F.relu(y)
        assert y.requires_grad
        assert not h.requires_grad
    with core.inference_mode():
        y, z = CONV(x), POOL(F.relu(CONV(x)))
    assert y.is_inference()
    assert z.is_inference()


def test_it_is_a_tensor_to_everybody():
    def waiting():
        return POOL(F.relu(CONV(core.from_numpy(IMAGES))))

    expected = waiting().detach().clone()
    assert isinstance(waiting(), core.Tensor)
    assert type(waiting() + 0) is core.Tensor
    assert repr(type(waiting())) == repr(core.Tensor)
    assert waiting().shape == (3, 4, 3, 3)
    assert len(waiting()) == 3
    assert "tensor" in repr(waiting())
    with core.no_grad():
        for y in (
            copy.deepcopy(waiting()), copy.copy(waiting()), pickle.loads(pickle.dumps(waiting())),
            core.stack([waiting()])[0], waiting().detach(),
            waiting().data, core.from_numpy(numpy.asarray(waiting())), waiting().clone(),
        ):  # fmt: skip
            assert_close(y, expected, rtol=0, atol=0)
            assert type(y) is core.Tensor
        y = waiting()
        y.note = 3
        y.requires_grad_()
        y += 1
        assert y.note == 3
        assert y.requires_grad
        assert_close(y, expected + 1, rtol=0, atol=0)


def test_threads_that_read_one_result_see_one():
    y = POOL(F.relu(CONV(core.from_numpy(IMAGES))))
    start, found = threading.Barrier(4), []

    def reads():
        start.wait()
        found.append((id(y.array), id(y.grad_fn)))

    threads = [threading.Thread(target=reads) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("kind", ["forward", "forward_pre", "full_backward"])
def test_a_hook_of_any_of_them_sees_what_it_would_see(which, kind):
    net, calls = small(), []
    plain = outcome(net, IMAGES)
    net.zero_grad()
    register = getattr(net[which], f"register_{kind}_hook")
    handle = register(lambda *args: calls.append(args))
    for a, b in zip(outcome(net, IMAGES), plain, strict=True):
        assert_close(a, b)
    assert len(calls) == 1
    handle.remove()
    assert is_one(net(core.from_numpy(IMAGES)))
    assert len(calls) == 1


def test_a_hook_of_every_module_sees_each():
    net, names = small(), []
    handle = hooks.register_module_forward_hook(lambda module, *_: names.append(type(module)))
    net(core.from_numpy(IMAGES))
    handle.remove()
    assert names == [nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Linear, nn.Sequential]


def test_a_forward_of_its_own_and_a_subclass_are_called():
    net, calls = small(), []
    net[1].forward = lambda x: (calls.append("own"), x.relu())[1]
    net(core.from_numpy(IMAGES))

    class Pool(nn.MaxPool2d):
        def forward(self, input):
            calls.append("subclass")
            return super().forward(input)

    net[2] = Pool(2)
    net(core.from_numpy(IMAGES))
    assert calls == ["own", "own", "subclass"]


def test_saved_tensors_and_half_types_go_the_long_way():
    packed = []
    with core.autograd.graph.saved_tensors_hooks(lambda x: (packed.append(x), x)[1], lambda x: x):
        expected = outcome(small(), IMAGES)
    assert len(packed) > 3
    for a, b in zip(outcome(small(), IMAGES), expected, strict=True):
        assert_close(a, b)
    with core.autocast("cpu", dtype=core.bfloat16):
        assert small().float()[:3](core.from_numpy(IMAGES).float()).dtype is core.bfloat16


def test_derivatives_of_any_order_are_those_of_the_modules():
    net = small(padding=1)[:3]
    x = core.from_numpy(IMAGES[:1]).requires_grad_()
    params = list(net.parameters())
    assert core.autograd.gradcheck(lambda x, *_: net(x), (x, *params))
    assert core.autograd.gradgradcheck(lambda x, *_: net(x) ** 2, (x, *params))


def test_a_weight_written_before_backward_is_refused():
    net = small()
    y = net(core.from_numpy(IMAGES))
    with core.no_grad():
        net[0].weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (3, 2, 8, 8)),
        ({}, (3, 1, 2, 8)),
        ({}, (3, 1, 3, 3)),
        ({}, (8, 8)),
        ({"padding": 1}, (1, 8, 8)),
        ({"padding": "same"}, (3, 1, 8, 8)),
        ({"padding": 1, "padding_mode": "circular"}, (3, 1, 8, 8)),
        ({"stride": 2}, (3, 1, 9, 9)),
        ({"padding": -1}, (3, 1, 9, 9)),
        ({"dilation": 2}, (3, 1, 9, 9)),
    ],
)
def test_other_shapes_and_options_give_the_same_or_the_same_error(options, shape):
    x = core.ones(shape, dtype=core.float64)
    results = []
    for net in (small(**options)[:3], seen(small(**options)[:3])):
        try:
            results.append(net(x).detach().tolist())
        except (RuntimeError, ValueError) as error:
            results.append((type(error), str(error)))
    assert results[0] == results[1]


def test_pools_of_other_kinds_are_called():
    x = core.from_numpy(IMAGES)
    for pool in (
        nn.MaxPool2d(2, 1), nn.MaxPool2d(3, ceil_mode=True), nn.MaxPool2d(2, padding=1),
        nn.MaxPool2d(2, dilation=2), nn.MaxPool2d(2, return_indices=True), nn.AvgPool2d(2),
    ):  # fmt: skip
        net = nn.Sequential(small()[0], nn.ReLU(), pool)
        found, expected = net(x), seen(net)(x)
        for a, b in zip(
            *[y if isinstance(y, tuple) else (y,) for y in (found, expected)], strict=True
        ):
            assert_close(a, b, rtol=0, atol=0)
