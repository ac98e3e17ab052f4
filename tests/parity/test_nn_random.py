"""Functions of windows with random options: PyTorch's values and gradients, or its exceptions."""

import random

import numpy
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

import torch.nn.functional as TF  # noqa: E402

import core  # noqa: E402
import core.nn.functional as F  # noqa: E402
from tests.parity.nn_compare import assert_same  # noqa: E402


class Draw(random.Random):
    """Options and arrays, by a seed."""

    def some(self, *shape):
        return numpy.random.default_rng(self.randrange(2**32)).standard_normal(shape)

    def each(self, low, high, n):
        """A number for all dims, or one for each."""
        if self.random() < 0.4:
            return self.randint(low, high)
        return tuple(self.randint(low, high) for _ in range(n))

    def image(self, n, channels, low=2, high=7):
        batch = (self.randint(1, 2),) if self.random() < 0.8 else ()
        return self.some(*batch, channels, *(self.randint(low, high) for _ in range(n)))

    def yes(self):
        return self.random() < 0.5


def conv(d, n):
    groups, ins, outs = d.choice([1, 1, 2]), d.randint(1, 2), d.randint(1, 2)
    kernel = (d.randint(1, 3) for _ in range(n))
    arrays = [d.image(n, groups * ins), d.some(groups * outs, ins, *kernel)]
    padding = d.choice(["same", "valid", d.each(0, 2, n), d.each(0, 2, n)])
    return f"conv{n}d", arrays, (None, d.each(1, 3, n), padding, d.each(1, 2, n), groups)


def conv_transpose(d, n):
    groups, ins, outs = d.choice([1, 1, 2]), d.randint(1, 2), d.randint(1, 2)
    kernel = (d.randint(1, 3) for _ in range(n))
    arrays = [d.image(n, groups * ins, 1, 4), d.some(groups * ins, outs, *kernel)]
    sizes = d.each(1, 3, n), d.each(0, 2, n), d.each(0, 2, n)
    return f"conv_transpose{n}d", arrays, (None, *sizes, groups, d.each(1, 2, n))


def max_pool(d, n):
    stride = d.choice([None, d.each(1, 3, n)])
    options = (d.each(0, 1, n), d.each(1, 2, n), d.yes(), d.yes())
    return f"max_pool{n}d", [d.image(n, 2)], (d.each(1, 3, n), stride, *options)


def avg_pool(d, n):
    stride, options = d.choice([None, d.each(1, 3, n)]), (d.each(0, 1, n), d.yes(), d.yes())
    divisor = () if n == 1 else (d.choice([None, 3]),)
    return f"avg_pool{n}d", [d.image(n, 2)], (d.each(1, 3, n), stride, *options, *divisor)


def adaptive_pool(d, n):
    name = d.choice(["adaptive_avg_pool{}d", "adaptive_max_pool{}d_with_indices"])
    return name.format(n), [d.image(n, 2, 1)], (d.each(1, 5, n),)


def pad(d, n):
    mode = d.choice(["constant", "reflect", "replicate", "circular"])
    # A negative width on a dim that gets very small has no meaning when it goes in circles.
    low = -1 if mode == "constant" or d.random() < 0.3 else 0
    widths = [d.randint(low, 2) for _ in range(2 * n)]
    return "pad", [d.image(n, 2, 3)], (widths, mode)


def interpolate(d, n):
    mode = d.choice(["nearest", "nearest-exact", "area", "linear", "bicubic"])
    mode = ("linear", "bilinear", "trilinear")[n - 1] if mode == "linear" else mode
    size = d.each(2, 8, n)
    align = (
        d.choice([None, True, False]) if mode not in ("nearest", "nearest-exact", "area") else None
    )
    if d.yes():
        return "interpolate", [d.some(2, 2, *(d.randint(2, 6) for _ in range(n)))], (
            size, None, mode, align)  # fmt: skip
    factor = d.choice([0.5, 2, 1.5, 0.7, 3.3])
    return "interpolate", [d.some(1, 2, *(d.randint(2, 6) for _ in range(n)))], (
        None, factor, mode, align, d.yes() or None)  # fmt: skip


def unfold(d, _):
    sizes = d.each(1, 3, 2), d.each(1, 2, 2), d.each(0, 1, 2), d.each(1, 2, 2)
    return "unfold", [d.image(2, 2)], sizes


KINDS = [conv, conv_transpose, max_pool, avg_pool, adaptive_pool, pad, interpolate, unfold]


def result(functions, tensor, name, arrays, options):
    """Results and gradients of a weighted sum of the first; or the exception's type."""
    given = [tensor(x, requires_grad=True) for x in arrays]
    try:
        out = getattr(functions, name)(*given, *options)
    except Exception as error:
        return type(error)
    outs = out if isinstance(out, tuple) else (out,)
    if 0 in outs[0].shape:
        return [*outs]
    weight = numpy.random.default_rng(3).standard_normal(tuple(outs[0].shape))
    (outs[0] * tensor(weight)).sum().backward()
    return [*outs, *(x.grad for x in given)]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_random_options(kind, n):
    draw = Draw(f"{kind.__name__} {n}")
    for _ in range(30):
        name, arrays, options = kind(draw, n)
        told = f"{name} of {[x.shape for x in arrays]} with {options}"
        ours = result(F, core.tensor, name, arrays, options)
        theirs = result(TF, torch.tensor, name, arrays, options)
        if isinstance(theirs, type) or isinstance(ours, type):
            assert ours is theirs, told
            continue
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b, 1e-6 if name == "interpolate" else 1e-10, told)
