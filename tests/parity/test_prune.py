"""nn.utils.prune: what is pruned, saved, trained and refused is the same in both libraries."""

import importlib

import numpy
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

import core  # noqa: E402

LAWS = {}


def law(function):
    """Add a function of a library whose result is to be the same."""
    LAWS[function.__name__.replace("_", " ")] = function
    return function


def of(m):
    return importlib.import_module(f"{m.__name__}.nn.utils.prune")


def net(m):
    """Two layers with fixed weights, in float64."""
    source = numpy.random.default_rng(3)
    model = m.nn.Sequential(m.nn.Linear(4, 3), m.nn.Tanh(), m.nn.Linear(3, 2)).double()
    with m.no_grad():
        for p in model.parameters():
            p.copy_(m.tensor(source.standard_normal(tuple(p.shape))))
    return model


def seen(m, model):
    """Names, values, hooks and what a forward and backward give."""
    x = m.tensor(numpy.random.default_rng(5).standard_normal((2, 4)))
    (model(x) ** 2).sum().backward()
    hooks = [[type(h).__name__ for h in part._forward_pre_hooks.values()] for part in model]
    state = {k: v.numpy().round(12).tolist() for k, v in model.state_dict().items()}
    gradients = {k: p.grad.numpy().round(12).tolist() for k, p in model.named_parameters()}
    plain = [type(part.weight).__name__ for part in (model[0], model[2])]
    return state, gradients, hooks, plain, of(m).is_pruned(model)


@law
def the_smallest_elements(m):
    model = net(m)
    of(m).l1_unstructured(model[0], "weight", amount=0.4)
    of(m).l1_unstructured(model[0], name="bias", amount=1)
    return seen(m, model)


@law
def the_smallest_by_scores(m):
    model = net(m)
    scores = m.arange(12).double().reshape(3, 4)
    of(m).l1_unstructured(model[0], "weight", amount=5, importance_scores=scores)
    return seen(m, model)


@law
def channels(m):
    model = net(m)
    of(m).ln_structured(model[0], "weight", amount=1, n=2, dim=0)
    of(m).ln_structured(model[2], "weight", amount=0.5, n=float("inf"), dim=-1)
    return seen(m, model)


@law
def one_after_the_other(m):
    model = net(m)
    of(m).ln_structured(model[0], "weight", amount=0.34, n=1, dim=0)
    of(m).l1_unstructured(model[0], "weight", amount=0.5)
    of(m).ln_structured(model[0], "weight", amount=0.25, n=2, dim=1)
    (container,) = model[0]._forward_pre_hooks.values()
    return seen(m, model), len(container), [type(x).__name__ for x in container]


@law
def a_mask_and_nothing(m):
    model = net(m)
    of(m).custom_from_mask(model[0], "weight", m.tensor([[1, 0, 1, 0]] * 3))
    of(m).identity(model[2], "weight")
    return seen(m, model)


@law
def all_layers_as_one(m):
    model = net(m)
    of(m).custom_from_mask(model[0], "weight", m.tensor([[1, 0, 1, 1]] * 3))
    pairs = [(model[0], "weight"), (model[2], "weight")]
    of(m).global_unstructured(pairs, pruning_method=of(m).L1Unstructured, amount=0.5)
    return seen(m, model)


@law
def removed(m):
    model = net(m)
    of(m).l1_unstructured(model[0], "weight", amount=0.4)
    of(m).remove(model[0], "weight")
    return seen(m, model)


@law
def trained_and_loaded(m):
    model = net(m)
    of(m).l1_unstructured(model[0], "weight", amount=0.4)
    seen(m, model)
    m.optim.SGD(model.parameters(), lr=0.1).step()
    other = net(m)
    of(m).identity(other[0], "weight")
    other.load_state_dict(model.state_dict())
    return seen(m, other)


@law
def a_method_of_ones_own(m):
    class Odd(of(m).BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def compute_mask(self, t, default_mask):
            mask = default_mask.clone()
            mask.view(-1)[::2] = 0
            return mask

    model = net(m)
    Odd.apply(model[0], "weight")
    Odd.apply(model[0], "weight")
    pruned = of(m).L1Unstructured(amount=2).prune(model[2].weight)
    return seen(m, model), pruned.tolist()


@law
def random_choices(m):
    model = net(m)
    of(m).random_unstructured(model[0], "weight", amount=0.3)
    of(m).random_structured(model[2], "weight", amount=1, dim=1)
    rows = model[2].weight_mask.sum(0).tolist()
    return model[0].weight_mask.sum().item(), sorted(rows)


REFUSED = [
    lambda m, p: p.l1_unstructured(net(m)[0], "weight", amount="a"),
    lambda m, p: p.l1_unstructured(net(m)[0], "weight", amount=1.1),
    lambda m, p: p.l1_unstructured(net(m)[0], "weight", amount=-1),
    lambda m, p: p.l1_unstructured(net(m)[0], "weight", amount=100),
    lambda m, p: p.l1_unstructured(net(m)[0], "nothing", amount=1),
    lambda m, p: p.l1_unstructured(net(m)[0], "weight", 1, importance_scores=m.ones(2)),
    lambda m, p: p.ln_structured(net(m)[0], "bias", amount=1, n=2, dim=0),
    lambda m, p: p.ln_structured(net(m)[0], "weight", amount=1, n=2, dim=5),
    lambda m, p: p.remove(net(m)[0], "weight"),
    lambda m, p: p.is_pruned(3),
    lambda m, p: p.BasePruningMethod(),
    lambda m, p: p.PruningContainer().add_pruning_method(3),
    lambda m, p: p.global_unstructured(3, p.L1Unstructured, amount=1),
    lambda m, p: p.global_unstructured(
        [(net(m)[0], "weight")], p.LnStructured, amount=1, n=2, dim=0
    ),
]


@pytest.mark.parametrize("name", LAWS)
def test_pruning_is_pytorchs(name):
    assert LAWS[name](core) == LAWS[name](torch)


@pytest.mark.parametrize("call", REFUSED)
def test_what_cannot_be_pruned_is_refused_alike(call):
    with pytest.raises(Exception) as theirs:
        call(torch, of(torch))
    with pytest.raises(theirs.type):
        call(core, of(core))
