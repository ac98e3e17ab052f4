"""The second derivatives of functions of core.nn are those that finite differences give."""

import numpy
import pytest

import core
import core.nn.functional as F
from core import nn
from core.testing import gradcheck, gradgradcheck

CLASSES = core.tensor([0, 3, 2, 3])
PLACES = core.tensor([[0, 3, 1], [2, 3, 3]])


def row(function, *shapes):
    """A function and the shapes of its arguments, whose elements all stand well apart."""
    return function, shapes


def made(cls, *args, **kwargs):
    """A function of the input and the parameters of a layer."""
    core.manual_seed(3)
    layer = getattr(nn, cls)(*args, **kwargs).double()
    names, params = zip(*layer.named_parameters(), strict=True)

    def call(*given):
        count = len(given) - len(names)
        named = dict(zip(names, given[count:], strict=True))
        out = nn.utils.stateless.functional_call(layer, named, given[:count])
        return [x for x in flat(out) if x is not None]

    return call, [tuple(p.shape) for p in params]


def flat(x):
    """All tensors of a nested result."""
    return [t for part in x for t in flat(part)] if isinstance(x, tuple) else [x]


def layer_row(cls, *args, x, **kwargs):
    function, shapes = made(cls, *args, **kwargs)
    return row(function, *x, *shapes)


CONVOLUTIONS = {
    "conv1d": row(lambda x, w, b: F.conv1d(x, w, b, 2, 1), (2, 2, 5), (3, 2, 3), (3,)),
    "conv2d": row(lambda x, w, b: F.conv2d(x, w, b, padding=1), (2, 2, 4, 3), (2, 2, 3, 3), (2,)),
    "conv2d of groups, dilated and strided": row(
        lambda x, w: F.conv2d(x, w, None, (2, 1), (1, 2), (1, 2), 2), (1, 2, 5, 4), (4, 1, 2, 2)
    ),
    "conv2d of a point": row(lambda x, w: F.conv2d(x, w), (2, 3, 2, 2), (2, 3, 1, 1)),
    "conv2d, same size": row(lambda x, w: F.conv2d(x, w, padding="same"), (2, 3, 3), (1, 2, 2, 2)),
    "conv3d": row(lambda x, w: F.conv3d(x, w), (1, 1, 3, 3, 2), (2, 1, 2, 2, 2)),
    "conv_transpose1d": row(
        lambda x, w, b: F.conv_transpose1d(x, w, b, 2, 1, 1), (2, 2, 3), (2, 2, 3), (2,)
    ),
    "conv_transpose2d": row(
        lambda x, w: F.conv_transpose2d(x, w, None, 2, 0, 0, 2, (2, 1)), (1, 2, 2, 3), (2, 1, 2, 2)
    ),
    "conv_tbc": row(lambda x, w, b: F.conv_tbc(x, w, b, 1), (4, 2, 2), (3, 2, 2), (2,)),
    "fold": row(lambda x: F.fold(x, (3, 4), 2, stride=1), (1, 4, 6)),
    "unfold": row(lambda x: F.unfold(x, 2, padding=1, stride=2), (1, 2, 3, 4)),
    "linear": row(F.linear, (2, 3), (4, 3), (4,)),
    "bilinear": row(F.bilinear, (2, 3), (2, 2), (4, 3, 2), (4,)),
}

POOLS = {
    "max_pool1d": row(lambda x: F.max_pool1d(x, 2) ** 2, (2, 2, 5)),
    "max_pool2d": row(lambda x: F.max_pool2d(x, 3, 2, 1) ** 2, (1, 2, 5, 4)),
    "max_pool2d, overlapping": row(lambda x: F.max_pool2d(x, 2, 1, dilation=2) ** 2, (1, 1, 4, 5)),
    "max_pool3d": row(lambda x: F.max_pool3d(x, 2) ** 2, (1, 1, 4, 2, 2)),
    "avg_pool2d": row(
        lambda x: F.avg_pool2d(x, 3, 2, 1, True, count_include_pad=False) ** 2, (1, 2, 4, 5)
    ),
    "lp_pool2d": row(lambda x: F.lp_pool2d(x.exp(), 3.0, 2), (1, 2, 4, 4)),
    "adaptive_avg_pool2d": row(lambda x: F.adaptive_avg_pool2d(x, (2, 3)) ** 2, (1, 2, 3, 5)),
    "adaptive_max_pool2d": row(lambda x: F.adaptive_max_pool2d(x, (2, 3)) ** 2, (1, 2, 3, 5)),
}

LOSSES = {
    "cross_entropy": row(lambda x: F.cross_entropy(x, CLASSES), (4, 5)),
    "cross_entropy of what is left": row(
        lambda x: F.cross_entropy(x, CLASSES, ignore_index=3, label_smoothing=0.2), (4, 5)
    ),
    "cross_entropy with weights": row(
        lambda x: F.cross_entropy(x, CLASSES, core.tensor([1.0, 2, 3, 4, 5]).double()), (4, 5)
    ),
    "cross_entropy of images": row(
        lambda x: F.cross_entropy(x, PLACES, reduction="none") ** 2, (2, 4, 3)
    ),
    "cross_entropy of shares": row(lambda x, t: F.cross_entropy(x, t.softmax(1)), (3, 4), (3, 4)),
    "nll_loss": row(lambda x: F.nll_loss(x.log_softmax(1) ** 2, CLASSES), (4, 5)),
    "binary_cross_entropy": row(
        lambda x, t: F.binary_cross_entropy(x.sigmoid(), t.sigmoid()), (3, 2), (3, 2)
    ),
    "binary_cross_entropy_with_logits": row(
        lambda x, t: F.binary_cross_entropy_with_logits(x, t), (3, 2), (3, 2)
    ),
    "mse_loss": row(F.mse_loss, (3, 2), (3, 2)),
    "huber_loss": row(lambda x, t: F.huber_loss(x, t, delta=0.7) ** 2, (3, 2), (3, 2)),
    "smooth_l1_loss": row(lambda x, t: F.smooth_l1_loss(x, t, beta=0.7) ** 2, (3, 2), (3, 2)),
    "kl_div": row(lambda x, t: F.kl_div(x, t.sigmoid(), reduction="sum"), (3, 2), (3, 2)),
    "gaussian_nll_loss": row(
        lambda x, t, v: F.gaussian_nll_loss(x, t, v.exp()), (3, 2), (3, 2), (3, 2)
    ),
    "cosine_embedding_loss": row(
        lambda a, b: F.cosine_embedding_loss(a, b, core.tensor([1, -1])), (2, 3), (2, 3)
    ),
    "pdist": row(F.pdist, (4, 3)),
    "cosine_similarity": row(F.cosine_similarity, (2, 3), (2, 3)),
}

NORMS = {
    "batch_norm": row(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (4, 2, 3), (2,), (2,)
    ),
    "batch_norm of images": row(
        lambda x, w: F.batch_norm(x, None, None, w, None, True), (2, 2, 2, 3), (2,)
    ),
    "batch_norm by what was seen": row(
        lambda x, w, b: F.batch_norm(x, core.ones(2).double(), core.ones(2).double(), w, b) ** 2,
        (3, 2), (2,), (2,),
    ),
    "instance_norm": row(lambda x: F.instance_norm(x) ** 2, (2, 2, 4)),
    "group_norm": row(lambda x, w, b: F.group_norm(x, 2, w, b), (2, 4, 3), (4,), (4,)),
    "layer_norm": row(lambda x, w, b: F.layer_norm(x, (4,), w, b), (3, 4), (4,), (4,)),
    "rms_norm": row(lambda x, w: F.rms_norm(x, (4,), w), (3, 4), (4,)),
    "local_response_norm": row(lambda x: F.local_response_norm(x, 3, 0.5), (2, 4, 2)),
    "normalize": row(lambda x: F.normalize(x, 3.0), (3, 4)),
}  # fmt: skip

ACTIVATIONS = {
    name: row(lambda x, name=name: getattr(F, name)(x) ** 2, (3, 4))
    for name in (
        "celu elu gelu glu hardswish leaky_relu logsigmoid mish relu selu sigmoid silu softplus"
        " softsign tanh tanhshrink"
    ).split()
} | {
    "softmax": row(lambda x: F.softmax(x, 1) ** 2, (3, 4)),
    "log_softmax": row(lambda x: F.log_softmax(x, 0) ** 2, (3, 4)),
    "prelu": row(F.prelu, (2, 3, 2), (3,)),
}

OTHERS = {
    "interpolate": row(
        lambda x: F.interpolate(x, (3, 5), mode="bicubic") ** 2, (1, 2, 2, 3)
    ),
    "grid_sample": row(
        lambda x, g: F.grid_sample(x, 0.3 * g, align_corners=True), (1, 2, 3, 4), (1, 2, 2, 2)
    ),
    "pad": row(lambda x: F.pad(x, (1, 2), mode="reflect") ** 2, (1, 2, 4)),
    "embedding": row(lambda w: F.embedding(PLACES, w) ** 2, (4, 3)),
    "embedding_bag": row(
        lambda w, s: F.embedding_bag(PLACES, w, mode="sum", per_sample_weights=s), (4, 3), (2, 3)
    ),
    "attention": row(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        (1, 3, 2), (1, 3, 2), (1, 3, 2),
    ),
    "RNN": layer_row("RNN", 2, 2, x=[(3, 1, 2)]),
    "GRU": layer_row("GRU", 2, 2, x=[(3, 1, 2)]),
    "LSTM": layer_row("LSTM", 2, 2, x=[(3, 1, 2)]),
    "MultiheadAttention": layer_row("MultiheadAttention", 4, 2, x=[(2, 1, 4)] * 3),
    "TransformerEncoderLayer": layer_row(
        "TransformerEncoderLayer", 2, 1, 3, 0.0, "gelu", x=[(2, 1, 2)]
    ),
}  # fmt: skip

TABLE = CONVOLUTIONS | POOLS | LOSSES | NORMS | ACTIVATIONS | OTHERS


def arguments(shapes):
    """Tensors of different numbers, at least 0.01 from each other and from zero."""
    count = sum(int(numpy.prod(shape)) for shape in shapes)
    step = 2.4 / (count + 1)
    values = numpy.random.default_rng(11).permutation(count) * step - 1.2 + step / 2.3
    cuts = numpy.cumsum([int(numpy.prod(shape)) for shape in shapes])[:-1]
    parts = numpy.split(values, cuts)
    return [
        core.tensor(part.reshape(shape)).requires_grad_()
        for part, shape in zip(parts, shapes, strict=True)
    ]


@pytest.mark.parametrize("name", TABLE)
def test_first_and_second_derivatives(name):
    function, shapes = TABLE[name]
    given = arguments(shapes)
    assert gradcheck(function, given)
    assert gradgradcheck(function, given)
