"""Writes through views: each program gives what it gives in PyTorch, or fails alike."""

import pytest

from tests.parity.programs import Table, leaf, same

program = Table()


# ---- views ----


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


@pytest.mark.parametrize("name", program)
def test_program(name):
    same(program[name])
