"""Values and gradients where a plainly written formula overflows, divides by zero or cancels."""

import math

import numpy
import pytest

torch = pytest.importorskip("torch", reason="the oracle: pip install unison-ddp[parity]")

import core  # noqa: E402 - after the skip
from tests.parity.programs import Table, leaf, same  # noqa: E402 - it skips too

program = Table()


@program
def ldexp_whose_power_alone_overflows(m):
    return m.ldexp(m.tensor([1e-30, -1.0, 3e38]), m.tensor([128, 127, -140])).double().log2()


@program
def ldexp_to_a_negative_odd_power(m):
    return m.ldexp(m.tensor([1.0, 3.0]), m.tensor([-3, 5])), m.ldexp(m.tensor(1.5), m.tensor(-1.0))


LIMITS = (0.0, 1.0, -1.0, 0.3, 2.0, -3.0, 40.0, math.inf, -math.inf, math.nan)


@program
def limits_of_activations(m):
    x, F = m.tensor(LIMITS), m.nn.functional
    return F.softshrink(x), F.hardshrink(x), F.threshold(x, 0.2, -9.0)


@program
def slopes_at_the_limits_of_activations(m):
    F = m.nn.functional
    kinds = F.hardtanh, F.relu6, F.hardshrink, F.softshrink, F.leaky_relu, F.relu
    xs = [m.tensor(LIMITS).requires_grad_() for _ in kinds]
    return [m.autograd.grad(f(x).sum(), x) for f, x in zip(kinds, xs, strict=True)]


@program
def slopes_of_losses_of_infinite_errors(m):
    F, found = m.nn.functional, []
    for f in (F.smooth_l1_loss, F.huber_loss, F.l1_loss):
        x = m.tensor(LIMITS).requires_grad_()
        loss = f(x, m.zeros(len(LIMITS)), reduction="none")
        found += [loss, m.autograd.grad(loss.sum(), x)]
    return found


@program
def slopes_where_pieces_meet(m):
    x = leaf(m, 3.0, -3.0, 0.0)
    return m.autograd.grad(m.nn.functional.hardswish(x).sum(), x)


@program
def margins_that_are_just_kept(m):
    f = m.nn.functional
    x = leaf(m, [3.0, 4.0, 5.0], [1.0, 0.0, 3.0])
    one = f.multi_margin_loss(x, m.tensor([1, 0]), p=1)
    many = f.multilabel_margin_loss(x, m.tensor([[1, -1, 0], [0, 2, -1]]))
    return m.autograd.grad(one, x), m.autograd.grad(many, x)


@program
def logsumexp_of_what_would_overflow_if_added(m):
    x = m.full((3, 4, 5), 3e38)
    return [x.logsumexp(dim) for dim in (0, -1, (0, 2), (0, 1, 2))]


@program
def infinite_gradients_where_relu_is_shut(m):
    found = []
    for x in (m.tensor(LIMITS), m.arange(-2000.0, 2000.0) / 8):
        x = x.double().requires_grad_()
        (slope,) = m.autograd.grad(x.relu().sqrt().sum(), x, create_graph=True)
        found += [slope, m.autograd.grad((slope * slope.isfinite()).sum(), x)]
    return found


@program
def infinite_gradients_of_steps(m):
    x, y = leaf(m, 0.3, -1.5, 0.0, 2.0), leaf(m, 2.0, -1.0, 0.5, -3.0)
    g = m.tensor([math.inf, -math.inf, math.nan, 1.0]).double()
    found = [
        m.autograd.grad(getattr(m, name)(x), x, g)
        for name in ("floor", "ceil", "trunc", "round", "sign", "sgn", "angle")
    ]
    found += [m.autograd.grad(m.div(x, y, rounding_mode=r), (x, y), g) for r in ("floor", "trunc")]
    found.append(m.autograd.grad(m.copysign(x, y), (x, y), g)[1])
    return found, m.autograd.grad(m.linalg.vector_norm(x, 0), x, g[0])


@program
def curvature_of_losses_of_nothing(m):
    x, zero, F = leaf(m, 0.0, 0.3, -3.0), leaf(m, 0.0, 0.0, 0.0, grad=False), m.nn.functional
    found = []
    for loss in (F.huber_loss(x, zero), F.smooth_l1_loss(x, zero, beta=0.5), F.mse_loss(x, zero)):
        (slope,) = m.autograd.grad(loss, x, create_graph=True)
        found += [slope, m.autograd.grad(slope.sum(), x)]
    return found


@program
def target_longer_than_its_input(m):
    x = m.zeros(2, 2, 3, dtype=m.float64).log_softmax(2).requires_grad_()
    targets, lengths = m.tensor([[1, 1, 2], [1, 0, 0]]), (m.tensor([2, 2]), m.tensor([3, 1]))
    loss = m.nn.functional.ctc_loss(x, targets, *lengths, zero_infinity=True)
    return loss, m.autograd.grad(loss, x)


@program
def pools_of_nothing(m):
    x = m.zeros(1, 1, 4, 4, dtype=m.float64).requires_grad_()
    return [m.autograd.grad(m.nn.functional.lp_pool2d(x, p, 2).sum(), x) for p in (2, 3)]


@program
def samples_at_the_border(m):
    found = []
    for mode in ("zeros", "border", "reflection"):
        for align in (True, False):
            x = m.arange(4.0, dtype=m.float64).view(1, 1, 2, 2).requires_grad_()
            grid = m.tensor([1.0, 0, -1, 1, 2, 2, -1, -1, 0.5, -0.5], dtype=m.float64)
            grid = grid.view(1, 1, 5, 2).requires_grad_()
            y = m.nn.functional.grid_sample(x, grid, padding_mode=mode, align_corners=align)
            found += [y, m.autograd.grad(y.sum(), (x, grid))]
    return found


@program
def one_singular_matrix_of_a_batch(m):
    x = m.stack([m.eye(2), m.ones(2, 2), m.eye(2) * 3 + 1]).double().requires_grad_()
    found = [m.autograd.grad(y.sum(), x)[0] for y in (m.slogdet(x)[1], m.logdet(x))]
    return [g[::2] for g in found], [g[1].isfinite().any() for g in found]


@program
def slopes_at_limits(m):
    x = leaf(m, *LIMITS)
    (acosh,) = m.autograd.grad(m.acosh(x).sum(), x, create_graph=True)
    curved = m.autograd.grad(acosh[:7].sum(), x)
    return m.acosh(x), acosh, curved, m.angle(x)


@program
def curvature_of_log_ndtr(m):
    x = leaf(m, *LIMITS[:-3], 1000.0)
    (slope,) = m.autograd.grad(m.special.log_ndtr(x).sum(), x, create_graph=True)
    return slope, m.autograd.grad(slope.sum(), x)


@program
def powers_below_zero_of_whole_numbers(m):
    return [m.tensor(a) ** m.tensor(b) for a in (7, [7, 1, -1]) for b in (-9, -2)]


@program
def sizes_that_stay(m):
    x, F = m.arange(24.0).view(1, 2, 3, 4), m.nn.functional
    pictures = [
        F.interpolate(x, size=(3, 4), mode=mode) for mode in ("nearest", "bilinear", "area")
    ]
    pictures.append(F.adaptive_avg_pool2d(x, (None, 4)))
    for picture in pictures:
        picture.add_(1)
    return x, pictures


@program
def arithmetic_of_numbers(m):
    rounded = [m.div(-7, 2, rounding_mode=mode) for mode in ("floor", "trunc")]
    sums = [m.add(2, 3), m.add(2, 3, alpha=4), m.add(True, False), m.sub(2.5, 1), m.mul(2, 1.5)]
    return sums, rounded, m.floor_divide(7, 2), m.div(2, 3), m.add(2, 3, out=m.empty(0))


@program
def nuclear_norm(m):
    x = (m.arange(24.0, dtype=m.float64) ** 2).sin().view(2, 3, 4).requires_grad_()
    y = m.norm(x, p="nuc", dim=(1, 2), keepdim=True)
    y.sum().backward()
    return y, m.norm(x[0], "nuc"), x[0].norm("nuc", (0, 1)), x.grad


@program
def nuclear_norm_of_a_vector(m):
    return m.norm(m.ones(3), "nuc", 0)


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)], ids=str)
@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_gradients_of_equal_singular_values(shape, scale):
    def program(m):
        x = (m.eye(*shape, dtype=m.float64) * scale).requires_grad_()
        linalg = m.linalg
        results = [linalg.svdvals(x), linalg.svd(x, full_matrices=False)[1] ** 2]
        results += [linalg.norm(x, "nuc"), linalg.matrix_norm(x, 2)]
        if shape == (3, 3):
            results += [linalg.eigvalsh(x), linalg.eigh(x)[0] ** 2]
        return [m.autograd.grad(y.sum(), x) for y in results]

    same(program)


PRODUCTS = {
    "no zero": ([2.0, 5.0], [1.0, 2.0, 3.0, 4.0, 0.5]),
    "one zero": ([2.0, 5.0], [0.0, 2.0, 3.0, 4.0, 0.5]),
    "two zeros": ([2.0, 5.0], [0.0, 2.0, 3.0, 0.0, 0.0]),
    "zero before": ([0.0, 5.0], [0.0, 2.0, 3.0, 0.0, 1.0]),
    "zero before only": ([0.0, 5.0], [1.0, 2.0, 3.0, 2.0, 1.0]),
}


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("name", PRODUCTS)
def test_gradient_of_products_with_zeros(name, include_self):
    def product(m):
        base, part = (leaf(m, *values) for values in PRODUCTS[name])
        index = m.tensor([0, 0, 1, 1, 1])
        y = base.scatter_reduce(0, index, part, "prod", include_self=include_self)
        z = base.index_reduce(0, index, part, "prod", include_self=include_self)
        return m.autograd.grad((y * y).sum() + z.sum(), [base, part])

    same(product)


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("name", PRODUCTS)
def test_second_gradient_of_products_with_zeros(name, include_self):
    def second(product):
        base, part = (leaf(core, *values) for values in PRODUCTS[name])
        y = product(base, part)
        first = core.autograd.grad((y * y).sum() + y.sum(), [base, part], create_graph=True)
        weighed = (first[0] * core.tensor([0.3, 0.7])).sum() * include_self
        weighed = weighed + (first[1] * core.arange(1.0, 6.0)).sum()
        return first, core.autograd.grad(weighed, [base, part])

    def written_out(base, part):
        own = base if include_self else base * 0 + 1
        a, b, c, d, e = part
        return core.stack([own[0] * a * b, own[1] * c * d * e])

    index = core.tensor([0, 0, 1, 1, 1])
    found = second(
        lambda base, part: base.scatter_reduce(0, index, part, "prod", include_self=include_self)
    )
    for ours, exact in zip(found, second(written_out), strict=True):
        for a, b in zip(ours, exact, strict=True):
            numpy.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 2), (3, 3), (2, 3, 3)], ids=str)
@pytest.mark.parametrize("singular", [True, False])
def test_second_gradient_of_a_determinant(shape, singular):
    def program(m):
        x = (m.arange(float(numpy.prod(shape)), dtype=m.float64) ** 2 + 1).sin().view(shape)
        if singular:
            x = x.clone()
            x[..., -1, :] = 2 * x[..., 0, :] if shape[-1] > 1 else 0.0
        x.requires_grad_()
        (g,) = m.autograd.grad(m.linalg.det(x).sum(), x, create_graph=True)
        weight = m.arange(float(x.numel()), dtype=m.float64).cos().view(shape)
        return g, m.autograd.grad((g * weight).sum(), x)

    same(program)


def test_third_gradient_of_a_determinant():
    x = core.tensor(numpy.random.default_rng(0).standard_normal((3, 3)), requires_grad=True)

    def first(x):
        (g,) = core.autograd.grad(core.linalg.det(x), x, create_graph=True)
        return (g * g.detach().sin()).sum()

    def second(x):
        y = x * 1
        (g,) = core.autograd.grad(core.linalg.det(y), y, create_graph=True)
        weight = core.arange(9.0, dtype=core.float64).view(3, 3).cos()
        return core.autograd.grad((g * weight).sum(), y, create_graph=True)[0]

    assert core.autograd.gradcheck(second, (x,))


@pytest.mark.parametrize("count", [1, 300])
@pytest.mark.parametrize("zero", [1.0, 2.0])
def test_lgamma_keeps_all_digits_close_to_its_zeros(zero, count):
    apart = numpy.array([1e-3, -1e-3, 1e-6, -1e-9, 1e-12, 0.05, -0.2, 0.0] * count)
    ours = core.lgamma(core.tensor(zero + apart)).numpy()
    theirs = torch.lgamma(torch.tensor(zero + apart)).numpy()
    numpy.testing.assert_allclose(ours, theirs, rtol=1e-14, atol=0)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize("name", ["cumprod", "logcumsumexp"])
@pytest.mark.parametrize("dim", [0, 1])
def test_gradients_along_lines_of_any_length(name, size, dim):
    def program(m):
        x = (m.arange(3.0 * size, dtype=m.float64) ** 2).sin()
        x[::4] = 0.0 if name == "cumprod" else 0.25  # PyTorch: no second gradient where y is 0
        x = (x.view(size, 3) if dim == 0 else x.view(3, size)).requires_grad_()
        y = getattr(x, name)(dim)
        (g,) = m.autograd.grad((y * y).sum(), x, create_graph=True)
        return g, m.autograd.grad((g * g).sum(), x)

    same(program)


@pytest.mark.parametrize("name", program)
def test_program(name):
    same(program[name])
