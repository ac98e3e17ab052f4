"""Writes in place and the graph: each program gives what PyTorch gives, or fails alike."""

import pytest

from tests.parity.programs import Table, leaf, same

program = Table()


# ---- writes into what the graph knows ----


@program
def in_place_on_a_leaf(m):
    leaf(m, 1.0, 2.0).add_(1)


@program
def in_place_on_a_leaf_without_grad_mode(m):
    x = leaf(m, 1.0, 2.0)
    with m.no_grad():
        x.add_(1)
    (x * x).sum().backward()
    return x, x.grad


@program
def in_place_on_a_view_of_a_leaf(m):
    leaf(m, 1.0, 2.0)[0].mul_(2)


@program
def in_place_on_a_view_of_a_leaf_without_grad_mode(m):
    x = leaf(m, 1.0, 2.0)
    with m.no_grad():
        x[0].mul_(2)
    return x, x._version


@program
def assignment_to_a_part_of_a_leaf(m):
    x = leaf(m, 1.0, 2.0)
    x[0] = 3.0


@program
def in_place_on_a_result(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 3
    y.mul_(y)
    y.sum().backward()
    return y, x.grad


@program
def in_place_twice(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 3
    y.add_(x).mul_(x)
    y.sum().backward()
    return y, x.grad


@program
def operator_in_place(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 3
    y += x
    y *= 2
    y -= 1
    y /= x
    y.sum().backward()
    return y, x.grad


@program
def operator_in_place_on_a_leaf(m):
    x = leaf(m, 1.0, 2.0)
    x += 1


@program
def in_place_makes_a_constant_depend(m):
    x = leaf(m, 1.0, 2.0)
    y = m.zeros(2, dtype=m.float64)
    y.add_(x)
    y.sum().backward()
    return y, x.grad, y.is_leaf


@program
def saved_input_changed(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    z = y * y
    y.add_(1)
    z.sum().backward()


@program
def saved_output_changed(m):
    x = leaf(m, 1.0, 2.0)
    y = x.exp()
    y.add_(1)
    y.sum().backward()


@program
def unsaved_output_changed(m):
    x = leaf(m, 1.0, 2.0)
    y = x + 1
    y.mul_(2)
    y.sum().backward()
    return x.grad


@program
def saved_input_that_is_not_needed(m):
    x = leaf(m, 1.0, 2.0)
    w = m.ones(2, dtype=m.float64)
    y = x * w
    w.add_(1)
    y.sum().backward()


@program
def saved_input_of_the_constant_side(m):
    x = leaf(m, 1.0, 2.0)
    w = leaf(m, 1.0, 2.0, grad=False)
    y = w * x
    z = x * 2
    y.sum().backward()
    return x.grad, z


@program
def frozen_side_is_not_saved(m):
    x = leaf(m, 1.0, 2.0) * 1
    w = leaf(m, 3.0, 4.0, grad=False)
    y = x * w
    x.add_(1)
    y.sum().backward()
    return y


@program
def relu_output_changed(m):
    x = leaf(m, -1.0, 2.0)
    y = x.relu()
    y.mul_(2)
    y.sum().backward()


@program
def relu_in_place(m):
    x = leaf(m, -1.0, 2.0)
    y = x * 1
    y.relu_()
    y.sum().backward()
    return y, x.grad


@program
def exp_in_place(m):
    x = leaf(m, -1.0, 2.0)
    y = x * 1
    y.exp_()
    y.sum().backward()
    return x.grad


@program
def exp_in_place_then_changed(m):
    x = leaf(m, -1.0, 2.0)
    y = x * 1
    y.exp_()
    y.mul_(2)
    y.sum().backward()
    return x.grad


@program
def tanh_in_place_twice(m):
    x = leaf(m, -1.0, 0.5)
    y = (x * 1).tanh_()
    z = y.tanh_()
    z.sum().backward()
    return x.grad


@program
def changed_through_a_view(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    z = y * y
    y[0].add_(1)
    z.sum().backward()


@program
def changed_through_the_base(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    v = y[0]
    z = v * v
    y.add_(1)
    z.backward()


@program
def changed_through_detach(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    z = y * y
    y.detach().add_(1)
    z.sum().backward()


@program
def changed_through_data(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    z = y * y
    y.data.add_(1)
    z.sum().backward()
    return x.grad


@program
def changed_without_grad_mode(m):
    x = leaf(m, 1.0, 2.0)
    y = x * x
    with m.no_grad():
        x.add_(1)
    y.sum().backward()


@program
def changed_after_backward(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    z = y * y
    z.sum().backward()
    y.add_(1)
    return x.grad, y


# ---- versions ----


@program
def versions_count_writes(m):
    x = m.zeros(3)
    v = x[1:]
    counts = [x._version]
    x.add_(1)
    counts.append(v._version)
    v.mul_(2)
    x[0] = 1.0
    x.zero_()
    counts += [x._version, v._version, x.detach()._version, x.data._version, x.clone()._version]
    return counts


@program
def version_of_in_place_without_effect_on_others(m):
    x = m.ones(2)
    y = x.clone()
    y.add_(1)
    return x._version, y._version


# ---- shapes and dtypes ----


@program
def in_place_does_not_broadcast_its_target(m):
    m.ones(2).add_(m.ones(3, 2))


@program
def in_place_broadcasts_the_other(m):
    return m.ones(3, 2).add_(m.ones(2))


@program
def in_place_keeps_integers(m):
    m.ones(2, dtype=m.int64).add_(1.5)


@program
def in_place_division_of_integers(m):
    m.ones(2, dtype=m.int64).div_(2)


@program
def in_place_into_a_smaller_float(m):
    return m.ones(2, dtype=m.float16).add_(m.ones(2, dtype=m.float64))


@program
def in_place_with_a_wider_gradient(m):
    x = m.ones(2, requires_grad=True)
    y = x * 1
    y.mul_(leaf(m, 2.0, 3.0))
    y.sum().backward()
    return y, x.grad


@program
def in_place_with_itself(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 1
    y.add_(y)
    y.sum().backward()
    return y, x.grad


@program
def in_place_with_a_view_of_itself(m):
    x = m.arange(4.0)
    x[1:] += x[:-1].clone()
    return x


@program
def zero_and_fill(m):
    x = leaf(m, 1.0, 2.0)
    y = x * x
    y.zero_()
    (y + x).sum().backward()
    z = m.ones(2, dtype=m.int64).fill_(7)
    return y, x.grad, z


@program
def fill_keeps_no_gradient(m):
    x = leaf(m, 1.0, 2.0)
    y = x * x
    y.fill_(3.0)
    y.sum().backward()
    return y, x.grad


@program
def copy_converts(m):
    return m.zeros(2, dtype=m.int64).copy_(m.tensor([1.7, -2.2]))


@program
def copy_broadcasts_and_tracks(m):
    x = leaf(m, 3.0)
    y = m.zeros(2, 2, dtype=m.float64)
    y.copy_(x)
    y.sum().backward()
    return y, x.grad


# ---- out= ----


@program
def out_is_resized_and_returned(m):
    out = m.empty(0)
    again = m.add(m.ones(2), m.ones(2), out=out)
    return out, again is out


@program
def out_of_a_tracked_op(m):
    m.add(leaf(m, 1.0), 1, out=m.empty(1, dtype=m.float64))


@program
def out_that_requires_grad(m):
    m.add(m.ones(1), 1, out=m.ones(1, requires_grad=True))


@program
def out_of_the_wrong_dtype(m):
    m.add(m.ones(1), 1.5, out=m.empty(1, dtype=m.int64))


@program
def out_counts_as_a_write(m):
    x = leaf(m, 1.0, 2.0)
    y = x * x
    with m.no_grad():
        m.mul(x, 2, out=x)
    y.sum().backward()


@pytest.mark.parametrize("name", program)
def test_program(name):
    same(program[name])
