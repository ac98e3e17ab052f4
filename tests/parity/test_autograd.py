"""Gradients: each program gives what it gives in PyTorch, or fails alike."""

import pytest

from tests.parity.programs import Table, leaf, same

program = Table()


# ---- backward and grad ----


@program
def backward_of_a_number(m):
    x = leaf(m, 1.0, 2.0)
    (x * x).sum().backward()
    return x.grad


@program
def backward_of_many_numbers(m):
    (leaf(m, 1.0, 2.0) * 2).backward()


@program
def backward_of_one_element_with_dims(m):
    x = leaf(m, 3.0)
    (x**2).backward()
    return x.grad


@program
def backward_with_a_gradient(m):
    x = leaf(m, 1.0, 2.0)
    (x * x).backward(leaf(m, 1.0, 10.0, grad=False))
    return x.grad


@program
def backward_with_a_gradient_of_another_shape(m):
    (leaf(m, 1.0, 2.0) * 2).backward(m.ones(3))


@program
def backward_with_a_gradient_that_is_no_tensor(m):
    (leaf(m, 1.0, 2.0) * 2).backward(1.0)


@program
def backward_with_a_gradient_of_another_dtype(m):
    x = leaf(m, 1.0, 2.0)
    (x * 2).backward(m.ones(2))
    return x.grad


@program
def backward_of_a_constant(m):
    m.ones(1).sum().backward()


@program
def backward_of_a_leaf(m):
    x = leaf(m, 5.0)
    x.backward()
    return x.grad


@program
def gradients_accumulate(m):
    x = leaf(m, 1.0, 2.0)
    (x * 2).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    return x.grad, first is x.grad, first


@program
def gradients_accumulate_out_of_place_with_a_graph(m):
    x = leaf(m, 1.0, 2.0)
    (x * x).sum().backward(create_graph=True)
    first = x.grad
    (x * x).sum().backward(create_graph=True)
    return x.grad, first is x.grad, first


@program
def the_graph_is_freed(m):
    y = (leaf(m, 1.0, 2.0) ** 2).sum()
    y.backward()
    y.backward()


@program
def a_graph_that_saves_nothing_can_be_used_again(m):
    x = leaf(m, 1.0, 2.0)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    return x.grad


@program
def the_graph_is_retained(m):
    x = leaf(m, 1.0, 2.0)
    y = (x**2).sum()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad


@program
def a_shared_part_is_freed(m):
    x = leaf(m, 1.0, 2.0)
    h = x.exp()
    (h * 2).sum().backward()
    (h * 3).sum().backward()


@program
def backward_to_some_inputs(m):
    x, w = leaf(m, 1.0, 2.0), leaf(m, 3.0, 4.0)
    y = x * w
    (y * y).sum().backward(inputs=[w, y])
    return x.grad, w.grad


@program
def backward_to_one_input(m):
    x, w = leaf(m, 1.0, 2.0), leaf(m, 3.0, 4.0)
    (x * w).sum().backward(inputs=x)
    return x.grad, w.grad


@program
def backward_to_no_inputs(m):
    leaf(m, 1.0).sum().backward(inputs=[])


@program
def backward_to_an_input_that_needs_none(m):
    (leaf(m, 1.0) * 2).backward(inputs=[m.ones(1)])


@program
def backward_of_several(m):
    x = leaf(m, 1.0, 2.0)
    y, z = x * 2, (x * x).sum()
    m.autograd.backward([y, z], [leaf(m, 1.0, 5.0, grad=False), None])
    return x.grad


@program
def backward_of_several_with_too_few_gradients(m):
    x = leaf(m, 1.0)
    m.autograd.backward([x * 2, x * 3], [None])


@program
def grad_of_several_inputs(m):
    x, w = leaf(m, 1.0, 2.0), leaf(m, 3.0, 4.0)
    return m.autograd.grad((x * w).sum(), (x, w)), x.grad


@program
def grad_is_a_tuple(m):
    x = leaf(m, 1.0, 2.0)
    return type(m.autograd.grad(x.sum(), x)).__name__


@program
def grad_of_an_unused_input(m):
    m.autograd.grad(leaf(m, 1.0).sum(), leaf(m, 1.0))


@program
def grad_of_an_unused_input_allowed(m):
    x = leaf(m, 1.0)
    return m.autograd.grad(x.sum(), [leaf(m, 1.0), x], allow_unused=True)


@program
def grad_of_an_unused_input_materialised(m):
    return m.autograd.grad(leaf(m, 1.0).sum(), leaf(m, 1.0, 2.0), materialize_grads=True)


@program
def grad_materialised_and_not_allowed(m):
    x = leaf(m, 1.0)
    m.autograd.grad(x.sum(), x, allow_unused=False, materialize_grads=True)


@program
def grad_of_a_constant_input(m):
    m.autograd.grad(leaf(m, 1.0).sum(), m.ones(1))


@program
def grad_at_a_result(m):
    x = leaf(m, 1.0, 2.0)
    y = x * x
    return m.autograd.grad((y * y).sum(), y)


@program
def grad_at_a_result_and_its_leaf(m):
    x = leaf(m, 1.0, 2.0)
    y = x * x
    return m.autograd.grad((y * y).sum() + x.sum(), [y, x])


@program
def grad_of_the_output_itself(m):
    y = (leaf(m, 1.0, 2.0) * 2).sum()
    return m.autograd.grad(y, y)


@program
def grad_with_weights(m):
    x = leaf(m, 1.0, 2.0)
    return m.autograd.grad([x * 2, x * x], x, [m.ones(2).double(), leaf(m, 1.0, 3.0, grad=False)])


@program
def grad_twice(m):
    x = leaf(m, 1.0, 2.0)
    (g,) = m.autograd.grad((x**3).sum(), x, create_graph=True)
    (h,) = m.autograd.grad(g.sum(), x, create_graph=True)
    (k,) = m.autograd.grad(h.sum(), x)
    return g, h, k


@program
def gradient_penalty(m):
    x, w = leaf(m, 1.0, 2.0), leaf(m, 0.5, -0.3)
    y = (x * w).tanh().sum()
    (g,) = m.autograd.grad(y, x, create_graph=True)
    (g * g).sum().backward()
    return x.grad, w.grad


@program
def mixed_dtypes(m):
    x = m.ones(2, requires_grad=True)
    w = leaf(m, 2.0, 3.0)
    (x * w).sum().backward()
    return x.grad, w.grad


@program
def a_number_used_twice(m):
    x = m.tensor(3.0, requires_grad=True)
    x.register_hook(lambda g: g * 2)
    (x * x + x).backward()
    (g,) = m.autograd.grad(x * x * x, x)
    return x.grad, g


# ---- leaves ----


@program
def integers_require_no_grad(m):
    m.ones(2, dtype=m.int64, requires_grad=True)


@program
def integers_require_no_grad_later(m):
    m.ones(2, dtype=m.int64).requires_grad_()


@program
def integers_require_no_grad_by_attribute(m):
    m.ones(2, dtype=m.bool).requires_grad = True


@program
def results_cannot_stop_requiring_grad(m):
    (leaf(m, 1.0) * 2).requires_grad = False


@program
def results_can_be_asked_to_require_grad(m):
    return (leaf(m, 1.0) * 2).requires_grad_().is_leaf


@program
def leaves(m):
    x = leaf(m, 1.0)
    y = x * 2
    with m.no_grad():
        z = x * 2
    return [t.is_leaf for t in (x, y, z, m.ones(1), y.detach(), x.double(), x.float(), x[:1])]


@program
def grad_can_be_set(m):
    x = leaf(m, 1.0, 2.0)
    x.grad = m.ones(2, dtype=m.float64)
    (x * 2).sum().backward()
    return x.grad


@program
def grad_of_another_shape(m):
    leaf(m, 1.0).grad = m.ones(2, dtype=m.float64)


@program
def grad_of_another_dtype(m):
    leaf(m, 1.0).grad = m.ones(1)


@program
def grad_that_is_no_tensor(m):
    leaf(m, 1.0).grad = 1.0


@program
def grad_of_itself(m):
    x = leaf(m, 1.0)
    x.grad = x


@program
def grad_can_be_deleted(m):
    x = leaf(m, 1.0)
    x.sum().backward()
    del x.grad
    return x.grad


@program
def retained(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    y.retain_grad()
    y.retain_grad()
    (y * y).sum().backward()
    return y.grad, y.retains_grad, x.retains_grad


@program
def retained_at_a_write(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    (y * y).sum().backward()
    return y.grad, x.grad


@program
def retained_after_hooks(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    return y.grad, x.grad


@program
def retain_without_grad(m):
    m.ones(1).retain_grad()


@program
def retain_of_a_leaf(m):
    x = leaf(m, 1.0)
    x.retain_grad()
    x.sum().backward()
    return x.grad


@program
def numpy_of_a_tracked_tensor(m):
    leaf(m, 1.0).numpy()


@program
def data_is_not_tracked(m):
    x = leaf(m, 1.0, 2.0)
    x.data.mul_(3)
    x.data[0] = 9.0
    (x * x).sum().backward()
    return x, x.grad, x.data.requires_grad


@program
def data_can_be_replaced(m):
    x = leaf(m, 1.0, 2.0)
    x.data = m.zeros(3, dtype=m.float64)
    (x + 1).sum().backward()
    return x, x.grad


@pytest.mark.parametrize("name", program)
def test_program(name):
    same(program[name])
