"""nn.utils: weights computed from others have PyTorch's values, gradients, keys and life."""

import copy
import pickle

import numpy
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

import core  # noqa: E402
from core import nn  # noqa: E402
from tests.parity.nn_compare import assert_same, copy_state  # noqa: E402

GENERATOR = numpy.random.default_rng(23)
LAYERS = {
    "tall": ("Linear", (3, 5), (2, 3)),
    "wide": ("Linear", (5, 3), (2, 5)),
    "square": ("Linear", (4, 4), (2, 4)),
    "conv": ("Conv2d", (3, 4, 2), (2, 3, 4, 4)),
    "transposed": ("ConvTranspose2d", (3, 4, 2), (2, 3, 4, 4)),
}


def pair(kind):
    """A layer of each library, in float64, and an input."""
    name, args, shape = LAYERS[kind]
    layers = getattr(nn, name)(*args).double(), getattr(torch.nn, name)(*args).double()
    return *layers, GENERATOR.standard_normal(shape)


def same_run(ours, theirs, x, tolerance=1e-9):
    """The same state in both: the same results, gradients, keys and state afterwards."""
    copy_state(ours, theirs)
    results = []
    for model, tensor in ((ours, core.tensor), (theirs, torch.tensor)):
        model.zero_grad()
        given = tensor(x).requires_grad_()
        out = model(given)
        (out * out).sum().backward()
        results.append((out, given.grad))
    for a, b in zip(*results, strict=True):
        assert_same(a, b, tolerance)
    for (name, a), (other, b) in zip(
        ours.named_parameters(), theirs.named_parameters(), strict=True
    ):
        assert name == other
        assert_same(a.grad, b.grad, tolerance, name)
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    for name, a in ours.state_dict().items():
        assert_same(a, state[name], tolerance, name)


# ---- orthogonal matrices -----------------------------------------------------------------------


@pytest.mark.parametrize("trivial", [True, False])
@pytest.mark.parametrize("kind", ["matrix_exp", "cayley", "householder", None])
@pytest.mark.parametrize("layer", ["tall", "wide", "square"])
def test_orthogonal(layer, kind, trivial):
    ours, theirs, x = pair(layer)
    for library, module in ((nn, ours), (torch.nn, theirs)):
        library.utils.parametrizations.orthogonal(
            module, orthogonal_map=kind, use_trivialization=trivial
        )
    for kept in theirs.state_dict().values():  # away from where it begins
        kept.add_(0.1 * torch.tensor(GENERATOR.standard_normal(tuple(kept.shape))))
    same_run(ours, theirs, x)
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("layer", ["tall", "wide", "square"])
def test_a_weight_is_orthogonal_from_the_beginning_and_after_steps(layer):
    ours, _, x = pair(layer)
    nn.utils.parametrizations.orthogonal(ours)
    optimizer = core.optim.SGD(ours.parameters(), lr=0.1)
    for _ in range(3):
        w = ours.weight.detach()
        gram = w @ w.mT if w.shape[0] < w.shape[1] else w.mT @ w
        assert_same(gram, torch.eye(min(w.shape), dtype=torch.float64), 1e-12)
        optimizer.zero_grad()
        (ours(core.tensor(x)) ** 2).sum().backward()
        optimizer.step()
    wanted = nn.init.orthogonal_(core.empty(*w.shape, dtype=core.float64))
    ours.weight = wanted
    assert_same(ours.weight, torch.tensor(wanted.numpy()), 1e-12)


def test_reflectors_of_a_given_matrix_are_those_of_pytorch():
    ours, theirs, _ = pair("wide")
    q = numpy.linalg.qr(GENERATOR.standard_normal((5, 3)))[0].T
    for library, module, tensor in ((nn, ours, core.tensor), (torch.nn, theirs, torch.tensor)):
        library.utils.parametrizations.orthogonal(module, use_trivialization=False)
        module.weight = tensor(q)
    assert_same(ours.parametrizations.weight.original, theirs.parametrizations.weight.original,
                1e-12)  # fmt: skip
    assert_same(ours.weight, torch.tensor(q), 1e-12)


def test_what_cannot_be_orthogonal_is_refused():
    for library in (nn, torch.nn):
        make = library.utils.parametrizations.orthogonal
        with pytest.raises(ValueError, match="no parameter or buffer with name 'other'"):
            make(library.Linear(2, 2), "other")
        with pytest.raises(ValueError, match="Got a tensor of 1 dimensions"):
            make(library.Linear(2, 2), "bias")
        with pytest.raises(ValueError, match="has to be one of"):
            make(library.Linear(2, 2), orthogonal_map="givens")


# ---- weight norm and spectral norm, old and new ------------------------------------------------

NORMS = {
    "weight_norm": ("parametrizations", {}),
    "spectral_norm": ("parametrizations", {"n_power_iterations": 2}),
    "old weight_norm": ("", {}),
    "old weight_norm of all": ("", {"dim": None}),
    "old spectral_norm": ("", {}),
    "old spectral_norm twice": ("", {"n_power_iterations": 2}),
}


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("how", NORMS)
@pytest.mark.parametrize("layer", LAYERS)
def test_norms_of_weights(layer, how, mode):
    ours, theirs, x = pair(layer)
    where, options = NORMS[how]
    name = next(part for part in how.split() if part.endswith("_norm"))
    for library, module in ((nn, ours), (torch.nn, theirs)):
        room = getattr(library.utils, where) if where else library.utils
        assert getattr(room, name)(module, **options) is module
        module.train(mode == "train")
    assert repr(ours) == repr(theirs)
    same_run(ours, theirs, x)
    if not where:
        for library, module in ((nn, ours), (torch.nn, theirs)):
            getattr(library.utils, f"remove_{name}")(module)
            assert type(module) is getattr(library, LAYERS[layer][0])
        same_run(ours, theirs, x)


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
def test_a_second_hook_and_a_missing_one_are_refused(name):
    layer = getattr(nn.utils, name)(nn.Linear(2, 3))
    with pytest.raises(RuntimeError, match=f"Cannot register two {name} hooks .* weight"):
        getattr(nn.utils, name)(layer)
    with pytest.raises(ValueError, match=f"{name} of 'bias' not found in Linear"):
        getattr(nn.utils, f"remove_{name}")(layer, "bias")
    with pytest.raises(ValueError, match="uninitialized parameters"):
        getattr(nn.utils, name)(nn.LazyLinear(3))


def test_a_copy_with_a_spectral_norm_lives_on_its_own():
    layer = nn.utils.spectral_norm(nn.Linear(3, 2))
    other = copy.deepcopy(layer)
    nn.utils.remove_spectral_norm(other)
    assert set(dict(other.named_parameters())) == {"weight", "bias"}
    assert set(layer.state_dict()) == {"weight_orig", "weight_u", "weight_v", "bias"}
    layer(core.ones(1, 3)).sum().backward()
    assert layer.weight_orig.grad is not None


# ---- parametrizations --------------------------------------------------------------------------


class Symmetric(nn.Module):
    """A symmetric matrix, of the upper half of any matrix."""

    def forward(self, x):
        return x.triu() + x.triu(1).mT

    def right_inverse(self, a):
        return a.triu()


class Wider(nn.Module):
    """A matrix with one more column."""

    def forward(self, x):
        return core.cat([x, x[:, :1]], 1)


def test_a_parametrized_parameter_stays_the_object_that_optimizers_know():
    layer = nn.Linear(3, 3)
    weight = layer.weight
    nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    assert layer.parametrizations.weight.original is weight
    assert_same(layer.weight, torch.tensor(layer.weight.detach().mT.numpy()), 0)
    nn.utils.parametrize.remove_parametrizations(layer, "weight")
    assert layer.weight is weight and weight.requires_grad
    assert type(layer) is nn.Linear


def test_inside_cached_it_is_computed_once():
    layer = nn.Linear(3, 3)
    nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    with nn.utils.parametrize.cached():
        first = layer.weight
        with nn.utils.parametrize.cached():
            assert layer.weight is first
        assert layer.weight is first
    assert layer.weight is not first


def test_a_copy_that_loses_its_parametrization_leaves_the_original_alone():
    layer = nn.Linear(3, 3)
    nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    other = copy.deepcopy(layer)
    nn.utils.parametrize.remove_parametrizations(other, "weight", leave_parametrized=False)
    assert list(other.state_dict()) == ["bias", "weight"]
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert layer.weight.shape == (3, 3)
    assert nn.utils.parametrize.type_before_parametrizations(layer) is nn.Linear
    with pytest.raises(RuntimeError, match="only supported through state_dict"):
        pickle.dumps(layer)


def test_a_parametrization_may_not_change_the_shape_unless_asked():
    register = nn.utils.parametrize.register_parametrization
    layer = nn.Linear(3, 3)
    with pytest.raises(ValueError, match="may not change the shape"):
        register(layer, "weight", Wider())
    assert type(layer) is nn.Linear and layer.weight.shape == (3, 3)
    register(layer, "weight", Symmetric())
    with pytest.raises(ValueError, match="may not change the shape"):
        register(layer, "weight", Wider())
    register(layer, "weight", Wider(), unsafe=True)
    assert layer.weight.shape == (3, 4)
    with pytest.raises(RuntimeError, match="Wider does not implement right_inverse"):
        layer.weight = core.zeros(3, 4)
    with pytest.raises(ValueError, match="does not have a parameter, a buffer"):
        register(layer, "wait", Symmetric())
    with pytest.raises(ValueError, match="does not have a parametrization on bias"):
        nn.utils.parametrize.remove_parametrizations(layer, "bias")
