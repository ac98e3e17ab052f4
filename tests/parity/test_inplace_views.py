"""Writes through views: each program gives what it gives in PyTorch, or fails alike."""

import pytest

from tests.parity.programs import Table, leaf, same

program = Table()


# ---- views ----


@program
def copy_of_more_dims(m):
    m.zeros(2, 3).copy_(m.ones(1, 2, 3))


@program
def write_through_a_slice(m):
    x = leaf(m, 1.0, 2.0, 3.0)
    y = x * 2
    y[1:].mul_(10)
    (y * y).sum().backward()
    return y, x.grad


@program
def write_through_a_view_of_a_view(m):
    x = leaf(m, 1.0, 2.0, 3.0, 4.0)
    y = x * 2
    y.view(2, 2)[0].mul_(10)
    (y * y).sum().backward()
    return y, x.grad


@program
def write_through_a_transposed_view(m):
    x = leaf(m, 1.0, 2.0, 3.0, 4.0)
    y = (x * 2).view(2, 2)
    z = y.t()
    z[0].mul_(5)
    (y * x.view(2, 2)).sum().backward()
    return y, z, x.grad


@program
def old_view_sees_a_write_to_the_base(m):
    x = leaf(m, 1.0, 2.0, 3.0)
    y = x * 2
    v = y[1:]
    y.mul_(3)
    (v * v).sum().backward()
    return v, x.grad


@program
def old_view_sees_a_write_through_another_view(m):
    x = leaf(m, 1.0, 2.0, 3.0)
    y = x * 2
    v, w = y[1:], y[:2]
    w.mul_(x[:2])
    (v * v).sum().backward()
    return v, x.grad


@program
def view_of_a_constant_gets_a_tracked_value(m):
    x = leaf(m, 1.0, 2.0)
    y = m.zeros(3, dtype=m.float64)
    y[:2].add_(x)
    (y * y).sum().backward()
    return y, x.grad, y.requires_grad


@program
def other_view_of_a_constant_becomes_tracked(m):
    x = leaf(m, 1.0, 2.0)
    y = m.zeros(3, dtype=m.float64)
    v = y[1:]
    y[:2].copy_(x)
    v.sum().backward()
    return v, x.grad


@program
def assignment_of_a_tracked_value(m):
    x = leaf(m, 1.0, 2.0)
    y = m.zeros(2, 2, dtype=m.float64)
    y[0] = x
    y[1] = x * x
    (y * y).sum().backward()
    return y, x.grad


@program
def assignment_overwrites_the_gradient(m):
    x = leaf(m, 1.0, 2.0, 3.0)
    y = x * 2
    y[0] = 7.0
    (y * y).sum().backward()
    return y, x.grad


@program
def assignment_by_mask(m):
    x = leaf(m, 1.0, -2.0, 3.0)
    y = x * 2
    y[x > 0] = 0.5
    (y * y).sum().backward()
    return y, x.grad


@program
def assignment_by_indices(m):
    x = leaf(m, 1.0, -2.0, 3.0)
    w = leaf(m, 5.0, 6.0)
    y = x * 2
    y[[0, 2]] = w
    (y * y).sum().backward()
    return y, x.grad, w.grad


@program
def assignment_of_the_wrong_shape(m):
    m.zeros(3)[:2] = m.ones(3)


@program
def assignment_broadcasts(m):
    x = leaf(m, 2.0)
    y = m.zeros(3, 2, dtype=m.float64)
    y[1:] = x
    y.sum().backward()
    return y, x.grad


@program
def view_made_without_grad_mode_is_written(m):
    x = leaf(m, 1.0, 2.0) * 1
    with m.no_grad():
        v = x[0]
    v.mul_(2)


@program
def view_made_and_written_without_grad_mode(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 1
    with m.no_grad():
        y[0].mul_(2)
    (y * y).sum().backward()
    return y, x.grad


@program
def view_of_a_leaf_made_without_grad_mode_is_written(m):
    x = leaf(m, 1.0, 2.0)
    with m.no_grad():
        v = x[0]
    v.mul_(2)


@program
def one_of_several_views_is_written(m):
    x = leaf(m, 1.0, 2.0) * 1
    a, _b = x.unbind(0)
    a.mul_(2)


@program
def one_of_several_views_of_a_constant_is_written(m):
    x = m.ones(2, dtype=m.float64)
    a, b = x.unbind(0)
    a.mul_(2)
    return x, b


@program
def chunk_is_written_without_grad_mode(m):
    x = leaf(m, 1.0, 2.0)
    with m.no_grad():
        x.chunk(2)[0].mul_(3)
    return x


@program
def expanded_memory_is_written(m):
    m.ones(1).expand(3).add_(1)


@program
def detach_shares_memory(m):
    x = leaf(m, 1.0, 2.0)
    d = x.detach()
    d[0] = 9.0
    return x, d, d.requires_grad, x._version, d._version


@program
def detach_in_place(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    y.detach_()
    return y, y.is_leaf, y.requires_grad


@program
def detach_in_place_of_a_view(m):
    x = leaf(m, 1.0, 2.0) * 2
    x[:1].detach_()


@program
def requires_grad_of_a_view_of_a_constant(m):
    x = m.zeros(3, dtype=m.float64)
    v = x[1:].requires_grad_()
    (v * 2).sum().backward()
    return v.grad, v.is_leaf


@program
def base_of_views(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 1
    v = y[1:][0]
    return v._base is y, y._base is None, x[0]._base is x, v._is_view(), y._is_view()


EXPANDED = {
    "a row": lambda m, x: x.__setitem__(0, 1.0),
    "a cell": lambda m, x: x.__setitem__((0, 0), 1.0),
    "a column": lambda m, x: x.__setitem__((slice(None), 0), 1.0),
    "all": lambda m, x: x.__setitem__(..., m.ones(4)),
    "rows": lambda m, x: x.__setitem__(slice(1, 3), 2.0),
    "one row": lambda m, x: x.__setitem__(slice(1, 2), m.ones(1, 4)),
    "fill": lambda m, x: x.fill_(2),
    "diagonal": lambda m, x: x.fill_diagonal_(2),
    "normal": lambda m, x: x.normal_() is x,
    "random": lambda m, x: x.random_() is x,
    "bernoulli": lambda m, x: x.bernoulli_(0.5) is x,
}


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("name", EXPANDED)
def test_writing_to_expanded_memory(name, grad):
    def program(m):
        x = m.zeros(3, 1).expand(3, 4)
        with m.set_grad_enabled(grad):
            result = EXPANDED[name](m, x)
        return x, result

    same(program)


@program
def views_of_memory_are_written(m):
    x = m.arange(12.0, dtype=m.float64).view(3, 4).requires_grad_()
    weight = m.arange(12.0, dtype=m.float64).view(4, 3).sin()
    found = []
    for turned in (lambda y: y, lambda y: y.t(), lambda y: y.t().clone()):
        y = turned(x.sin())
        y.as_strided((2,), (5,), 1).mul_(3 + x[0, :2])
        for z in ((y.t() if y.shape == (3, 4) else y) * weight, y.sum()):
            (g,) = m.autograd.grad(z.sum(), x, create_graph=True)
            found += [g, m.autograd.grad(g.exp().sum(), x)]
    return found


@program
def unsafe_parts_are_written(m):
    x = leaf(m, 1.0, 2.0, 3.0, 4.0)
    whole = x * 1
    first, second = whole.unsafe_chunk(2)
    version = whole._version
    first.mul_(3)
    seen = m.unsafe_split(whole * 1, 3)
    seen[0].add_(1)
    (first.sum() + (second * second).sum() + seen[0].sum()).backward()
    return first, whole, whole._version - version, x.grad


@program
def diagonals_are_filled(m):
    x = m.arange(21.0, dtype=m.float64).view(7, 3).requires_grad_()
    tall = (x * 2).fill_diagonal_(5, wrap=True)
    plain = (x * 2).fill_diagonal_(m.tensor(4.0))
    (tall * tall + plain).sum().backward()
    return tall, plain, x.grad, m.zeros(2, 3, dtype=m.int64).fill_diagonal_(2.7)


@program
def diagonal_of_a_vector(m):
    m.zeros(3).fill_diagonal_(1)


@program
def diagonal_of_a_box(m):
    m.zeros(2, 3, 3).fill_diagonal_(1)


@pytest.mark.parametrize("name", program)
def test_program(name):
    same(program[name])
