"""The life of modules: what is written down here happens alike in both libraries."""

import copy
import importlib
import pickle
import re
from collections import OrderedDict

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

import core  # noqa: E402

LAWS = {}


def law(function):
    """Add a function of a library whose result is to be the same."""
    LAWS[function.__name__.replace("_", " ")] = function
    return function


def shared(m):
    """A module with shared parts, a scale as a keyword, and a buffer that is not saved."""

    class Shared(m.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = m.nn.Linear(2, 2)
            self.b = self.a
            self.register_buffer("x", m.ones(1))
            self.c = m.nn.Module()
            self.c.y = self.a.weight
            self.c.register_buffer("x2", self.x)
            self.register_buffer("passing", m.ones(1), persistent=False)

        def forward(self, x, k=1):
            return self.a(x) * k

    return Shared()


# ---- names ------------------------------------------------------------------------------------


@law
def names_with_and_without_repetition(m):
    s = shared(m)
    kinds = (s.named_parameters, s.named_buffers, s.named_modules)
    return [
        [name for name, _ in kind(prefix=prefix, remove_duplicate=once)]
        for kind in kinds
        for prefix in ("", "p")
        for once in (True, False)
    ]


@law
def keys_of_a_state(m):
    s = shared(m)
    plain, kept = s.state_dict(), s.state_dict(keep_vars=True)
    return (
        list(plain),
        list(s.state_dict(prefix="k.")),
        list(s.state_dict(None, "old.")),
        sorted(plain._metadata.items()),
        kept["a.weight"] is s.a.weight,
        plain["a.weight"].requires_grad,
    )


@law
def submodules_by_path(m):
    net = m.nn.Sequential(m.nn.Linear(2, 2), m.nn.Sequential(m.nn.ReLU()))
    net.set_submodule("1.0", m.nn.Tanh())
    net.set_submodule("1.1", m.nn.GELU())
    return repr(net), net.get_submodule("") is net, type(net.get_submodule("1.0")).__name__


@law
def a_submodule_that_must_be_there(m):
    m.nn.Sequential(m.nn.ReLU()).set_submodule("5", m.nn.Tanh(), strict=True)


@law
def arguments_of_the_constructor(m):
    m.nn.Module(3)


@law
def attributes_that_change_their_kind(m):
    net = m.nn.Linear(2, 2)
    net.extra = 3
    net.extra = m.nn.ReLU()
    net.bias = None
    net.weight = m.nn.Parameter(m.zeros(1, 2))
    before = [name for name, _ in net.named_parameters()], list(net._modules)
    net.extra = None
    del net.bias
    return before, list(net.children()), list(net.state_dict()), "extra" in net.__dict__


# ---- hooks ------------------------------------------------------------------------------------


@law
def hooks_in_order_with_keywords(m):
    log, net = [], shared(m)
    net.register_forward_pre_hook(lambda mod, a, k: log.append(("pre", k)), with_kwargs=True)
    net.register_forward_pre_hook(lambda mod, a: log.append(("first", len(a))), prepend=True)
    net.register_forward_hook(lambda mod, a, k, o: log.append(("post", k)), with_kwargs=True)
    net.register_forward_hook(lambda mod, a, o: log.append("before post"), prepend=True)
    net.register_forward_hook(lambda mod, a, o: log.append("always"), always_call=True)
    net(m.ones(1, 2), k=3)
    return log


@law
def hooks_that_replace(m):
    net = m.nn.Identity()
    net.register_forward_pre_hook(lambda mod, a: a[0] + 1)
    net.register_forward_hook(lambda mod, a, o: o * 10)
    scaled = shared(m)
    scaled.register_forward_pre_hook(lambda mod, a, k: (a, {"k": 0}), with_kwargs=True)
    return net(2), scaled(m.ones(1, 2), k=5).tolist() == [[0.0, 0.0]]


@law
def a_hook_with_keywords_that_gives_one_thing(m):
    net = m.nn.Identity()
    net.register_forward_pre_hook(lambda mod, a, k: 3, with_kwargs=True)
    net(1)


@law
def hooks_that_run_after_errors_too(m):
    log = []

    class Raises(m.nn.Module):
        def forward(self, x):
            raise KeyError(x)

    net = Raises()
    net.register_forward_hook(lambda *_: log.append("never"))
    net.register_forward_hook(lambda mod, a, o: log.append(("always", o)), always_call=True)
    with pytest.raises(KeyError):
        net(1)
    return log


@law
def backward_hooks(m):
    log, net = [], m.nn.Linear(2, 3)

    def shapes(gs):
        return [None if g is None else tuple(g.shape) for g in gs]

    net.register_full_backward_pre_hook(lambda mod, out: log.append(shapes(out)))
    net.register_full_backward_hook(lambda mod, i, o: log.append((shapes(i), shapes(o))))
    net(m.ones(4, 2).requires_grad_()).sum().backward()
    net(m.ones(4, 2)).sum().backward()
    return log


@law
def backward_hooks_that_replace(m):
    net, x = m.nn.Linear(2, 3), m.ones(1, 2).requires_grad_()
    net.register_full_backward_pre_hook(lambda mod, out: (out[0] * 2,))
    net.register_full_backward_hook(lambda mod, i, o: (i[0] * 0 + 7,))
    net(x).sum().backward()
    return x.grad.tolist(), net.bias.grad.tolist()


@law
def a_backward_hook_that_gives_too_many(m):
    net = m.nn.Linear(2, 3)
    net.register_full_backward_hook(lambda mod, i, o: (i[0], i[0]))
    net(m.ones(4, 2).requires_grad_()).sum().backward()


@law
def hooks_of_all_modules(m):
    every = importlib.import_module(f"{m.__name__}.nn.modules.module")
    log = []
    handles = [
        every.register_module_forward_pre_hook(lambda *_: log.append("pre")),
        every.register_module_forward_hook(lambda *_: log.append("post")),
        every.register_module_full_backward_hook(lambda *_: log.append("backward")),
    ]
    net = m.nn.Linear(2, 2)
    net.register_forward_hook(lambda *_: log.append("own"))
    net(m.ones(1, 2).requires_grad_()).sum().backward()
    for handle in handles:
        handle.remove()
    net(m.ones(1, 2))
    return log


@law
def bound_hooks_of_a_copy(m):
    class Counts(m.nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = 0
            self.register_forward_hook(self.count)

        def count(self, *_):
            self.seen += 1

        def forward(self, x):
            return x

    net = Counts()
    other = copy.deepcopy(net)
    other(1)
    return net.seen, other.seen


# ---- state ------------------------------------------------------------------------------------


@law
def hooks_of_a_state(m):
    log, net = [], m.nn.Sequential(m.nn.Linear(2, 2))
    part = net[0]
    part.register_state_dict_pre_hook(lambda mod, p, keep: log.append(("pre", p, keep)))
    part.register_state_dict_post_hook(lambda mod, d, p, meta: log.append((list(d), p, dict(meta))))
    part.register_load_state_dict_pre_hook(lambda mod, d, *rest: log.append((sorted(d), *rest[:3])))
    part.register_load_state_dict_post_hook(
        lambda mod, keys: log.append([list(found) for found in keys])
    )
    net.load_state_dict(net.state_dict())
    net.load_state_dict({"0.weight": m.ones(2, 2), "7": m.ones(1)}, strict=False)
    return [repr(entry) for entry in log]


@law
def hooks_that_change_what_is_loaded(m):
    net = m.nn.Linear(2, 2)
    net.register_load_state_dict_pre_hook(lambda mod, d, *_: d.update(weight=d.pop("w")))
    net.register_load_state_dict_post_hook(lambda mod, keys: keys.missing_keys.clear())
    return str(net.load_state_dict({"w": m.ones(2, 2)}))


@law
def errors_of_a_state(m):
    net = m.nn.Sequential(m.nn.Linear(2, 3), m.nn.BatchNorm1d(3))
    with pytest.raises(RuntimeError) as info:
        net.load_state_dict({"0.weight": m.ones(2, 2), "1.x": m.ones(1), "q": 3})
    return str(info.value).replace(f"{m.__name__}.Size", "Size")


@law
def adopted_tensors(m):
    net, w, mean = m.nn.Linear(2, 2), m.ones(2, 2).double(), m.zeros(2)
    frozen = m.nn.Parameter(m.zeros(2), requires_grad=False)
    net.load_state_dict({"weight": w, "bias": frozen}, assign=True)
    norm = m.nn.BatchNorm1d(2)
    norm.load_state_dict({**norm.state_dict(), "running_mean": mean}, assign=True)
    return (
        [(type(p).__name__, p.requires_grad, p.element_size()) for p in net.parameters()],
        net.weight.data_ptr() == w.data_ptr(),
        net.bias is frozen,
        norm.running_mean is mean,
    )


@law
def copied_tensors(m):
    net = m.nn.Linear(2, 2)
    w, place = net.weight, net.weight.data_ptr()
    net.load_state_dict({"weight": m.ones(2, 2).double(), "bias": m.ones(2).half()})
    return net.weight is w, w.data_ptr() == place, w.requires_grad, w.element_size(), w.tolist()


@law
def a_number_from_a_file_older_than_numbers(m):
    net = m.nn.Module()
    net.scale = m.nn.Parameter(m.tensor(1.0))
    net.load_state_dict({"scale": m.tensor([3.0])})
    return net.scale.item()


@law
def state_of_other_kinds(m):
    class Extra(m.nn.Module):
        value = 1

        def get_extra_state(self):
            return {"value": self.value}

        def set_extra_state(self, state):
            self.value = state["value"]

    one, other = m.nn.Sequential(Extra()), m.nn.Sequential(Extra())
    one[0].value = 9
    other.load_state_dict(one.state_dict())
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict: \"0._extra_state\""):
        other.load_state_dict({})
    return list(one.state_dict()), other[0].value


@law
def a_copy_shares_what_was_shared(m):
    s = shared(m)
    d, flat = copy.deepcopy(s), copy.copy(s)
    return d.a is d.b, d.c.y is d.a.weight, d.x is d.c.x2, d.a.weight is s.a.weight, flat.a is s.a


@law
def a_deep_copy_of_a_parameter_has_no_gradient(m):
    net, x = m.nn.Linear(2, 1), m.ones(2, requires_grad=True)
    net(x).sum().backward()
    return [copy.deepcopy(net).weight.grad is None, copy.deepcopy(x).grad is None]


@law
def pickled_modules(m):
    net = m.nn.Sequential(m.nn.Linear(2, 2), m.nn.BatchNorm1d(2), m.nn.LazyLinear(3)).eval()
    net[0].weight.requires_grad_(False)
    other = pickle.loads(pickle.dumps(net))
    out = other(m.ones(1, 2))
    return repr(other), other[0].weight.requires_grad, other.training, tuple(out.shape)


@law
def converted_modules(m):
    net = m.nn.Sequential(m.nn.Linear(2, 2), m.nn.BatchNorm1d(2))
    net(m.ones(3, 2)).sum().backward()
    net.to(m.ones(1).double())
    tensors = [*net.parameters(), *net.buffers(), net[0].weight.grad]
    return [x.element_size() for x in tensors], net[1].num_batches_tracked.item()


# ---- containers -------------------------------------------------------------------------------


@law
def sequences(m):
    nn = m.nn
    s = nn.Sequential(nn.ReLU(), nn.Tanh())
    s.insert(1, nn.Sigmoid()).extend([nn.GELU()]).append(nn.ELU())
    texts = [repr(s.pop(0)), repr(s + nn.Sequential(nn.ReLU())), repr(2 * s), repr(s[1:])]
    del s[0]
    s[-1] = nn.SiLU()
    s += nn.Sequential(nn.ReLU())
    s *= 2
    named = nn.Sequential(OrderedDict(b=nn.ReLU(), a=nn.Tanh()))
    return texts, repr(s), repr(named[:1]), len(s), [type(x).__name__ for x in named]


@law
def lists_and_dicts_of_modules(m):
    nn = m.nn
    s = nn.ModuleList([nn.ReLU()]).append(nn.Tanh())
    s.insert(0, nn.ELU())
    s += [nn.GELU(), nn.GELU()]
    texts = [repr(s), repr(s.pop(1)), repr(s[:2]), repr(s + [nn.ReLU()])]
    del s[:2]
    d = nn.ModuleDict({"b": nn.ReLU(), "a": nn.Tanh()})
    d.update([("c", nn.ELU())])
    del d["b"]
    return texts, repr(s), repr(d), list(d), "c" in d, repr(d.pop("c")), len(d)


@law
def lists_and_dicts_of_parameters(m):
    nn = m.nn
    s = nn.ParameterList([m.ones(1), 3]).append(m.ones(2)).extend([m.ones(3, 2)])
    s[0] = m.ones(5)
    d = nn.ParameterDict({"b": m.ones(1), "a": m.ones(2)})  # a plain dict is sorted
    d.setdefault("d", m.ones(4))
    d.update([("c", m.ones(3, 2)), ("n", 7)])
    both = d | nn.ParameterDict({"z": m.ones(1)})
    texts = [repr(x).replace("torch.", "core.") for x in (s, s[1:], d, both)]
    last = d.popitem()[0], d.pop("d").shape[0], d.get("none", 5), list(d.fromkeys(["x"], 1))
    names = list(d), list(reversed(d)), list(d.copy()), list(s.state_dict()), list(d.state_dict())
    return texts, last, names, [type(x).__name__ for x in s], d.copy() is d


# PyTorch warns of positional arguments, and of hooks without gradients of inputs.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:Full backward hook:UserWarning")
@pytest.mark.parametrize("name", LAWS)
def test_both_libraries_agree(name):
    results = []
    for library in (core, torch):
        try:
            results.append(LAWS[name](library))
        except Exception as error:
            text = re.sub(r"<class '.*\.", "<class '", str(error))
            results.append((type(error).__name__, text))
    assert results[0] == results[1]


def test_functional_call_has_its_place():
    net = core.nn.Linear(2, 2)
    given = {"weight": core.zeros(2, 2), "bias": core.ones(2)}
    assert core.func.functional_call(net, given, (core.ones(1, 2),)).tolist() == [[1.0, 1.0]]
