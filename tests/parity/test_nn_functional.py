"""Functions of core.nn.functional, init and nn.utils give PyTorch's values and gradients."""

import copy

import numpy
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

import torch.nn.functional as TF  # noqa: E402

import core  # noqa: E402
import core.nn.functional as F  # noqa: E402
from core import nn  # noqa: E402
from tests.parity.nn_compare import assert_same, copy_state  # noqa: E402

GENERATOR = numpy.random.default_rng(5)


def normal(*shape):
    return GENERATOR.standard_normal(shape)


def both(function, reference, *arrays, tolerance=1e-10):
    """Values and gradients for float64 arrays; the gradient of a gradient where there is one."""
    ours = [core.tensor(x, requires_grad=True) for x in arrays]
    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    out, expected = function(F, *ours), reference(TF, *theirs)
    assert_same(out, expected, tolerance, "value")
    weight = numpy.random.default_rng(1).standard_normal(tuple(expected.shape))
    (out * core.tensor(weight)).sum().backward()
    (expected * torch.tensor(weight)).sum().backward()
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a.grad is None:  # no path to it, where PyTorch fills in zeros
            assert not b.grad.any()
        else:
            assert_same(a.grad, b.grad, tolerance, f"gradient {i}")


SAMPLES = [
    (mode, padding, align)
    for mode in ("bilinear", "nearest", "bicubic")
    for padding in ("zeros", "border", "reflection")
    for align in (False, True)
]


@pytest.mark.parametrize(("mode", "padding", "align"), SAMPLES)
def test_grid_sample(mode, padding, align):
    def call(library, x, grid):
        return library.grid_sample(x, grid, mode, padding, align)

    both(call, call, normal(2, 3, 5, 6), GENERATOR.uniform(-1.4, 1.4, (2, 4, 3, 2)))


@pytest.mark.parametrize("align", [False, True])
def test_grid_sample_of_volumes_and_affine_grid(align):
    def volume(library, x, grid):
        return library.grid_sample(x, grid, align_corners=align)

    both(volume, volume, normal(2, 3, 4, 5, 6), GENERATOR.uniform(-1.2, 1.2, (2, 3, 2, 4, 3)))

    def grid(library, theta):
        return library.affine_grid(theta, (2, 3, 4, 5), align_corners=align)

    both(grid, grid, normal(2, 2, 3))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("align", [False, True])
def test_antialiased_resizing(mode, align):
    def call(library, x):
        return library.interpolate(x, size=(3, 9), mode=mode, antialias=True, align_corners=align)

    both(call, call, normal(2, 3, 7, 6))


@pytest.mark.parametrize(
    ("causal", "masking"),
    [(False, "none"), (True, "none")]
    + [(False, masking) for masking in ("bool", "float", "bool shut", "float shut")],
)
def test_scaled_dot_product_attention(causal, masking):
    kind, *shut = masking.split()
    mask = {"none": None, "bool": normal(4, 5) > -1, "float": normal(4, 5)}[kind]
    if shut:  # the second query may look at nothing
        mask[1] = False if kind == "bool" else -numpy.inf

    def call(library, q, k, v):
        tensor = torch.tensor if library is TF else core.tensor
        given = None if mask is None else tensor(mask)
        return library.scaled_dot_product_attention(q, k, v, given, is_causal=causal)

    both(call, call, normal(2, 3, 4, 6), normal(2, 3, 5, 6), normal(2, 3, 5, 7))


def test_grouped_queries():
    def call(library, q, k, v):
        return library.scaled_dot_product_attention(q, k, v, enable_gqa=True, scale=0.3)

    both(call, call, normal(2, 6, 4, 5), normal(2, 2, 4, 5), normal(2, 2, 4, 5))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("flat", [False, True])
def test_ctc_loss(reduction, flat):
    targets = GENERATOR.integers(1, 5, (3, 4))
    targets[0, 1] = targets[0, 0]
    sizes, lengths = numpy.array([4, 2, 3]), numpy.array([9, 7, 8])
    given = numpy.concatenate([t[:n] for t, n in zip(targets, sizes, strict=True)])

    def call(library, x):
        tensor = torch.tensor if library is TF else core.tensor
        target = tensor(given if flat else targets)
        logs = library.log_softmax(x, -1)
        rest = (tensor(lengths), tensor(sizes))
        return library.ctc_loss(logs, target, *rest, reduction=reduction)

    both(call, call, normal(9, 3, 5))


def test_ctc_loss_without_an_alignment_is_infinite_or_zero():
    def loss(library, tensor, zero):
        x = tensor(numpy.zeros((2, 1, 3))).log_softmax(-1)
        rest = (tensor(numpy.array([2])), tensor(numpy.array([3])))
        target = tensor(numpy.array([[1, 2, 1]]))
        return float(library.ctc_loss(x, target, *rest, zero_infinity=zero))

    for zero in (False, True):
        assert loss(F, core.tensor, zero) == loss(TF, torch.tensor, zero)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("ignore_index", [-100, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("more", [(), (3,)])
def test_cross_entropy(reduction, weighted, ignore_index, smoothing, more):
    target = GENERATOR.integers(0, 5, (6, *more))
    weight = numpy.abs(normal(5)) if weighted else None

    def call(library, x):
        tensor = torch.tensor if library is TF else core.tensor
        each = None if weight is None else tensor(weight)
        return library.cross_entropy(
            x,
            tensor(target),
            each,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=smoothing,
        )

    both(call, call, normal(6, 5, *more))


def test_the_other_losses_with_weights():
    weight, positive = numpy.abs(normal(4)), numpy.abs(normal(4))

    def logits(library, x, t):
        tensor = torch.tensor if library is TF else core.tensor
        return library.binary_cross_entropy_with_logits(
            x, t, tensor(weight), pos_weight=tensor(positive)
        )

    both(logits, logits, normal(3, 4), GENERATOR.uniform(0, 1, (3, 4)))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
def test_normalize(p):
    both(lambda f, x: f.normalize(x, p, 1), lambda f, x: f.normalize(x, p, 1), normal(3, 4))


def test_one_hot_and_max_unpool():
    x = GENERATOR.integers(0, 4, (3, 2))
    assert_same(F.one_hot(core.tensor(x)), TF.one_hot(torch.tensor(x)), 0)

    def call(library, x):
        out, indices = library.max_pool2d(x, 2, return_indices=True)
        return library.max_unpool2d(out, indices, 2, output_size=(7, 6))

    both(call, call, normal(2, 3, 7, 6))
    both(call, call, normal(0, 3, 7, 6))


def test_fractional_pooling_with_given_samples():
    samples = GENERATOR.uniform(0, 1, (2, 3, 2))

    def call(library, x):
        tensor = torch.tensor if library is TF else core.tensor
        return library.fractional_max_pool2d(x, 2, (3, 4), _random_samples=tensor(samples))

    both(call, call, normal(2, 3, 7, 9))


# ---- embedding bags with offsets ---------------------------------------------------------------


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag_with_offsets(mode):
    index, offsets = GENERATOR.integers(0, 7, 9), numpy.array([0, 2, 2, 5])

    def call(library, w):
        tensor = torch.tensor if library is TF else core.tensor
        return library.embedding_bag(tensor(index), w, tensor(offsets), mode=mode)

    both(call, call, normal(7, 3))


# ---- packed sequences --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("ordered", [True, False])
def test_packed_sequences(kind, ordered):
    theirs = getattr(torch.nn, kind)(3, 4, 2, bidirectional=True).double()
    ours = getattr(nn, kind)(3, 4, 2, bidirectional=True).double()
    copy_state(ours, theirs)
    x = normal(6, 4, 3)
    lengths = [6, 4, 4, 1] if ordered else [4, 1, 6, 4]
    results = []
    for model, library, tensor in ((ours, nn, core.tensor), (theirs, torch.nn, torch.tensor)):
        given = tensor(x).requires_grad_()
        rnn = library.utils.rnn
        packed = rnn.pack_padded_sequence(given, tensor(lengths), enforce_sorted=ordered)
        out, state = model(packed)
        padded, sizes = rnn.pad_packed_sequence(out, padding_value=0.5)
        ((padded * padded).sum()).backward()
        state = state if isinstance(state, tuple) else (state,)
        results.append([padded, *state, given.grad, sizes])
    for a, b in zip(*results, strict=True):
        assert_same(a, b, 1e-10)


# ---- initial values ----------------------------------------------------------------------------

INITS = [
    ("uniform_", {"a": -1.0, "b": 2.0}),
    ("normal_", {"mean": 1.0, "std": 2.0}),
    ("trunc_normal_", {}),
    ("trunc_normal_", {"mean": 0.5, "std": 1.5, "a": -1.0, "b": 1.0}),
    ("xavier_uniform_", {"gain": 1.5}),
    ("xavier_normal_", {}),
    ("kaiming_uniform_", {"a": 5**0.5}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ("orthogonal_", {"gain": 2.0}),
    ("sparse_", {"sparsity": 0.3, "std": 1.0}),
]


@pytest.mark.parametrize(("name", "options"), INITS)
def test_moments_of_initial_values_are_those_of_pytorch(name, options):
    core.manual_seed(0)
    torch.manual_seed(0)
    a = getattr(nn.init, name)(core.empty(400, 300), **options).array
    b = getattr(torch.nn.init, name)(torch.empty(400, 300), **options).numpy()
    # 120,000 numbers: the moments of two draws agree to about 1 / sqrt(120,000) of the spread.
    spread = b.std()
    assert abs(a.mean() - b.mean()) < 0.02 * spread
    assert abs(a.std() - spread) < 0.02 * spread
    assert abs((a == 0).mean() - (b == 0).mean()) < 1e-6
    for q in (0.001, 0.1, 0.5, 0.9, 0.999):
        assert abs(numpy.quantile(a, q) - numpy.quantile(b, q)) < 0.06 * spread


@pytest.mark.parametrize("name", ["eye_", "dirac_", "ones_", "zeros_"])
def test_fixed_initial_values(name):
    shape = (6, 4, 3) if name == "dirac_" else (3, 4)
    a = getattr(nn.init, name)(core.empty(*shape))
    assert_same(a, getattr(torch.nn.init, name)(torch.empty(*shape)), 0)


@pytest.mark.parametrize(
    "name",
    "linear conv2d sigmoid tanh relu leaky_relu selu".split(),
)
def test_gains(name):
    assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)


# ---- utilities ---------------------------------------------------------------------------------


def models():
    """A model of each library with the same parameters and gradients."""
    torch.manual_seed(1)
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Linear(5, 3)).double()
    ours = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3)).double()
    copy_state(ours, theirs)
    x = normal(6, 4) * 10
    (ours(core.tensor(x)) ** 2).sum().backward()
    (theirs(torch.tensor(x)) ** 2).sum().backward()
    return ours, theirs


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("bound", [1e-3, 1e6])
def test_clip_grad_norm(p, bound):
    ours, theirs = models()
    a = nn.utils.clip_grad_norm_(ours.parameters(), bound, p)
    b = torch.nn.utils.clip_grad_norm_(theirs.parameters(), bound, p)
    assert_same(a, b, 1e-12)
    for x, y in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_same(x.grad, y.grad, 1e-12)


def test_clip_grad_value_and_vectors():
    ours, theirs = models()
    nn.utils.clip_grad_value_(ours.parameters(), 0.5)
    torch.nn.utils.clip_grad_value_(theirs.parameters(), 0.5)
    for x, y in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_same(x.grad, y.grad, 1e-12)
    vector = nn.utils.parameters_to_vector(ours.parameters())
    assert_same(vector, torch.nn.utils.parameters_to_vector(theirs.parameters()), 0)
    nn.utils.vector_to_parameters(vector.detach() * 2, ours.parameters())
    assert_same(nn.utils.parameters_to_vector(ours.parameters()), vector.detach() * 2, 0)


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
def test_parametrizations(name):
    theirs = torch.nn.Conv2d(3, 4, 2).double()
    ours = nn.Conv2d(3, 4, 2).double()
    getattr(torch.nn.utils.parametrizations, name)(theirs)
    getattr(nn.utils.parametrizations, name)(ours)
    copy_state(ours, theirs)
    x = normal(2, 3, 4, 4)
    out, expected = ours(core.tensor(x)), theirs(torch.tensor(x))
    assert_same(out, expected, 1e-10)
    out.sum().backward()
    expected.sum().backward()
    for (key, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert_same(a.grad, b.grad, 1e-10, key)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    nn.utils.parametrize.remove_parametrizations(ours, "weight")
    assert type(ours) is nn.Conv2d and set(ours._parameters) == {"weight", "bias"}


def test_functional_call():
    ours, theirs = models()
    x = normal(2, 4)
    given = {name: p.numpy(force=True) * 2 for name, p in ours.named_parameters()}
    a = nn.utils.stateless.functional_call(
        ours, {k: core.tensor(v) for k, v in given.items()}, core.tensor(x)
    )
    b = torch.func.functional_call(
        theirs, {k: torch.tensor(v) for k, v in given.items()}, torch.tensor(x)
    )
    assert_same(a, b, 1e-12)


def test_fused_convolution_and_norm_give_the_same():
    conv, norm = nn.Conv2d(3, 4, 2).double(), nn.BatchNorm2d(4).double()
    norm(core.tensor(normal(5, 4, 3, 3)))
    nn.init.normal_(norm.weight)
    conv.eval(), norm.eval()
    x = core.tensor(normal(2, 3, 4, 4))
    assert_same(nn.utils.fuse_conv_bn_eval(conv, norm)(x), norm(conv(x)), 1e-10)


def test_a_deep_copy_shares_nothing():
    ours, _ = models()
    other = copy.deepcopy(ours)
    nn.init.zeros_(other[0].weight)
    assert float(abs(ours[0].weight).sum()) > 0


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.2}], ids=["plain", "smoothed"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_batch_without_targets_has_no_gradient(weighted, options, reduction):
    x, weight = normal(2, 3), numpy.abs(normal(3)) if weighted else None

    def losses(library, tensor):
        given = tensor(x, requires_grad=True)
        each = None if weight is None else tensor(weight)
        kinds = [library.cross_entropy] if options else [library.cross_entropy, library.nll_loss]
        found = [
            kind(given, tensor([1, 1]), each, ignore_index=1, reduction=reduction, **options)
            for kind in kinds
        ]
        for loss in found:
            loss.sum().backward()
        return [*found, given.grad]

    for a, b in zip(losses(F, core.tensor), losses(TF, torch.tensor), strict=True):
        assert_same(a, b, 0)
