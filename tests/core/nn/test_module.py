"""What a Module promises: registration, traversal, state, hooks, text."""

import copy
import pickle

import pytest

import core
from core import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        self.head = nn.Linear(3, 1, bias=False)
        self.scale = nn.Parameter(core.ones(1))
        self.register_buffer("seen", core.zeros(1), persistent=False)
        self.register_buffer("kept", core.zeros(2))

    def forward(self, x):
        return self.head(self.body(x)) * self.scale


NAMES = ["scale", "body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias", "head.weight"]
STATE = [
    "scale", "kept", "body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias",
    "body.1.running_mean", "body.1.running_var", "body.1.num_batches_tracked", "head.weight",
]  # fmt: skip


def test_parameters_are_found_by_name_in_order_of_definition():
    assert [name for name, _ in Net().named_parameters()] == NAMES


def test_a_shared_parameter_is_listed_once_unless_asked_for():
    net = Net()
    net.again = net.head
    assert len(list(net.parameters())) == len(NAMES)
    every = [name for name, _ in net.named_parameters(remove_duplicate=False)]
    assert every == [*NAMES, "again.weight"]


def test_state_dict_holds_parameters_and_persistent_buffers():
    net = Net()
    state = net.state_dict()
    assert list(state) == STATE
    assert state["scale"].array is net.scale.array


def test_load_state_dict_copies_or_adopts():
    net, other = Net(), Net()
    nn.init.normal_(other.scale)
    assert repr(net.load_state_dict(other.state_dict())) == "<All keys matched successfully>"
    assert net.scale.item() == other.scale.item() and net.scale.array is not other.scale.array
    net.load_state_dict(other.state_dict(), assign=True)
    assert net.scale.array is other.scale.array and isinstance(net.scale, nn.Parameter)


def test_load_state_dict_names_each_key_and_both_shapes():
    net = Net()
    state = net.state_dict()
    state["extra"] = state.pop("scale")
    state["head.weight"] = core.zeros(2, 2)
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    text = str(caught.value)
    assert 'Missing key(s) in state_dict: "scale"' in text
    assert 'Unexpected key(s) in state_dict: "extra"' in text
    assert "core.Size([2, 2])" in text and "core.Size([1, 3])" in text
    state["head.weight"] = net.head.weight
    found = net.load_state_dict(state, strict=False)
    assert found.missing_keys == ["scale"] and found.unexpected_keys == ["extra"]


def test_assignment_checks_what_is_registered():
    net = Net()
    with pytest.raises(TypeError, match="cannot assign 'int' as parameter 'scale'"):
        net.scale = 3
    with pytest.raises(TypeError, match="as child module 'head'"):
        net.head = core.zeros(1)
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'absent'"):
        _ = net.absent
    with pytest.raises(KeyError, match="already exists"):
        net.register_buffer("forward", core.zeros(1))
    net.scale = None
    assert net.scale is None and "scale" not in net.state_dict()


def test_assignment_before_init_is_refused():
    class Early(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(core.zeros(1))

    with pytest.raises(AttributeError, match="before Module"):
        Early()


def test_train_eval_apply_and_zero_grad_reach_every_module():
    net = Net()
    net(core.randn(4, 2)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    assert not any(module.training for module in net.eval().modules())
    seen = []
    net.apply(lambda module: seen.append(type(module).__name__))
    assert seen == ["Linear", "BatchNorm1d", "Sequential", "Linear", "Net"]


def test_gradients_that_are_parts_of_one_array_are_set_to_zero_there():
    net = nn.Linear(2, 1)
    flat = core.ones(3)
    net.weight.grad, net.bias.grad = flat[:2].view(1, 2), flat[2:]
    net.zero_grad(set_to_none=False)
    assert flat.tolist() == [0, 0, 0]


@pytest.mark.parametrize("owner", [lambda net: net, lambda net: core.optim.SGD(net.parameters())])
def test_setting_a_gradient_to_zero_is_a_write(owner):
    net = nn.Linear(2, 1)
    net(core.ones(3, 2)).pow(2).sum().backward(create_graph=True)
    norm = sum(p.grad.pow(2).sum() for p in net.parameters())
    owner(net).zero_grad(set_to_none=False)
    assert not any(p.grad.requires_grad or p.grad.any() for p in net.parameters())
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        norm.backward()


def test_conversion_keeps_the_parameter_objects():
    net = Net()
    before = list(net.parameters())
    net(core.randn(4, 2)).sum().backward()
    net.double()
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))
    assert all(p.dtype is core.float64 and p.grad.dtype is core.float64 for p in before)
    assert net.body[1].num_batches_tracked.dtype is core.int64


def test_forward_hooks_see_and_change():
    net, calls = nn.Linear(2, 2), []
    first = net.register_forward_pre_hook(lambda module, args: (args[0] * 0,))
    net.register_forward_hook(lambda module, args, out: calls.append(out) or out + 1)
    out = net(core.ones(1, 2))
    assert (out.array == net.bias.array + 1).all() and len(calls) == 1
    first.remove()
    assert not (net(core.ones(1, 2)).array == out.array).all()


def test_hooks_with_keywords_and_after_errors():
    class Adds(nn.Module):
        def forward(self, x, *, by=0):
            if by is None:
                raise ValueError("by")
            return x + by

    net, seen = Adds(), []
    net.register_forward_pre_hook(lambda m, a, k: (a, {"by": 5}) if k else None, with_kwargs=True)
    net.register_forward_hook(lambda m, a, o: seen.append(o), always_call=True)
    assert net(core.zeros(1), by=1).item() == 5
    with pytest.raises(TypeError):
        net()
    assert seen[-1] is None


def test_backward_hooks_see_and_change_gradients():
    net, seen = nn.Linear(2, 3), []

    def hook(module, grad_input, grad_output):
        seen.append((tuple(grad_input[0].shape), tuple(grad_output[0].shape)))
        return (grad_input[0] * 10,)

    net.register_full_backward_hook(hook)
    net.register_full_backward_pre_hook(lambda module, grad_output: (grad_output[0] * 2,))
    x = core.ones(4, 2, requires_grad=True)
    net(x).sum().backward()
    assert seen == [((4, 2), (4, 3))]
    expected = net.weight.array.sum(0) * 20
    assert abs(x.grad.array - expected).max() < 1e-5
    assert (net.bias.grad.array == 8).all()


def test_copies_and_pickles_are_equal_and_apart():
    net = Net()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert list(other.state_dict()) == STATE
        x = core.randn(3, 2)
        assert (net.eval()(x).array == other.eval()(x).array).all()
        assert other.scale.array is not net.scale.array


def test_submodules_and_parameters_by_path():
    net = Net()
    assert net.get_submodule("body.0") is net.body[0]
    assert net.get_parameter("body.0.weight") is net.body[0].weight
    assert net.get_buffer("body.1.running_mean") is net.body[1].running_mean
    with pytest.raises(AttributeError):
        net.get_submodule("body.7")


def test_extra_state_is_saved_and_loaded():
    class Counts(nn.Module):
        count = 0

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    a, b = Counts(), Counts()
    a.count = 4
    b.load_state_dict(a.state_dict())
    assert b.count == 4


def test_lazy_layers_take_their_size_from_the_first_input():
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    net(core.randn(2, 3, 5, 5))
    assert [type(m).__name__ for m in net] == ["Conv2d", "BatchNorm2d", "Flatten", "Linear"]
    assert tuple(net[3].weight.shape) == (2, 36) and net[0].in_channels == 3


def test_dropout_scales_what_it_keeps_and_its_gradient_has_the_same_mask():
    core.manual_seed(1)
    x = core.ones(1000, requires_grad=True)
    out = nn.Dropout(0.25)(x)
    out.sum().backward()
    assert (x.grad.array == out.array).all()
    assert abs(out.array.mean() - 1) < 0.1 and set(out.array.tolist()) == {0.0, out.array.max()}
    assert abs(out.array.max() - 4 / 3) < 1e-6


def test_what_is_assigned_again_keeps_its_place():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    net[0] = nn.Linear(5, 3)
    assert list(net._modules) == ["0", "1", "2"] and net(core.ones(4, 5)).shape == (4, 1)
    net[0].weight = nn.Parameter(core.ones(3, 5))
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    net.register_buffer("a", core.ones(1))
    net.register_buffer("b", core.ones(1))
    net.a = nn.Buffer(core.zeros(1))
    assert list(net._buffers) == ["a", "b"]


def test_what_becomes_of_another_kind_is_only_that():
    net = nn.Module()
    net.x = nn.Linear(1, 1)
    net.x = nn.Parameter(core.ones(1))
    assert list(net.state_dict()) == ["x"] and not list(net.children())
    net.x = nn.Linear(1, 1)
    assert list(net.state_dict()) == ["x.weight", "x.bias"]


def test_parts_that_subclasses_change_are_where_pytorch_has_them():
    class Scaled(nn.Conv2d):
        def forward(self, input):
            return self._conv_forward(input, 2 * self.weight, None)

    class Seen(nn.TransformerEncoderLayer):
        def _sa_block(self, x, attn_mask, key_padding_mask, is_causal=False):
            return 0 * super()._sa_block(x, attn_mask, key_padding_mask, is_causal)

        def _ff_block(self, x):
            return 0 * super()._ff_block(x)

    class Anything(nn.BatchNorm1d):
        def _check_input_dim(self, input):
            """Any number of dims."""

    conv, x = Scaled(2, 3, 3, padding=1, padding_mode="reflect"), core.randn(1, 2, 5, 5)
    plain = nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect", bias=False)
    plain.weight.data.copy_(2 * conv.weight.data)
    assert core.equal(conv(x), plain(x))
    layer, x = Seen(4, 2, 8, norm_first=True).eval(), core.randn(3, 1, 4)
    assert core.equal(layer(x), x)
    assert Anything(3)(core.randn(2, 3, 2, 2)).shape == (2, 3, 2, 2)


def test_lazy_norms_may_go_without_a_bias():
    layer = nn.LazyBatchNorm2d(bias=False)
    layer(core.zeros(2, 3, 4, 4) + core.arange(4))
    assert list(layer.state_dict())[:1] == ["weight"] and layer.bias is None
    assert type(layer) is nn.BatchNorm2d and layer.weight.shape == (3,)
