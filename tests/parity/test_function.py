"""Functions with their own backward: each program gives what PyTorch gives, or fails alike."""

import pytest

from tests.parity.programs import Table, leaf, same

program = Table()


def product(m):
    class Product(m.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y, g * x

    return Product


def exponential(m, **marks):
    class Exponential(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    return Exponential


def returning(m, *grads):
    """The identity, with a backward that returns what is given."""

    class Returning(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            found = tuple(f(m, g) for f in grads)
            return found[0] if len(found) == 1 else found

    return Returning


@program
def first_gradients(m):
    x, y = leaf(m, 1.0, 2.0), leaf(m, 3.0, 4.0)
    product(m).apply(x, y).sum().backward()
    return x.grad, y.grad


@program
def second_gradients(m):
    x, y = leaf(m, 1.0, 2.0), leaf(m, 3.0, 4.0)
    (g,) = m.autograd.grad(product(m).apply(x, y).pow(2).sum(), x, create_graph=True)
    return g, m.autograd.grad(g.sum(), [x, y])


@program
def second_gradients_by_a_saved_output(m):
    x = leaf(m, 1.0, 2.0)
    (g,) = m.autograd.grad(exponential(m).apply(x).sum(), x, create_graph=True)
    (h,) = m.autograd.grad(g.sum(), x, create_graph=True)
    return g, h, m.autograd.grad(h.sum(), x)


@program
def a_frozen_argument(m):
    x, y = leaf(m, 1.0, 2.0), leaf(m, 3.0, 4.0, grad=False)
    z = product(m).apply(x, y)
    z.sum().backward()
    return x.grad, z.requires_grad


@program
def no_argument_requires_grad(m):
    z = product(m).apply(m.ones(2), m.ones(2))
    return z, z.is_leaf


@program
def under_no_grad(m):
    x = leaf(m, 1.0, 2.0)
    with m.no_grad():
        return product(m).apply(x, x)


@program
def freed(m):
    x = leaf(m, 1.0, 2.0)
    y = product(m).apply(x, x).sum()
    y.backward()
    y.backward()


@program
def retained(m):
    x = leaf(m, 1.0, 2.0)
    y = product(m).apply(x, x).sum()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad


@program
def nothing_saved_nothing_freed(m):
    x = leaf(m, 1.0, 2.0)
    y = returning(m, lambda m, g: g * 2).apply(x).sum()
    y.backward()
    y.backward()
    return x.grad


@program
def saved_input_changed(m):
    x = leaf(m, 1.0, 2.0) * 1
    y = product(m).apply(x, x)
    x.add_(1)
    y.sum().backward()


@program
def saved_output_changed(m):
    y = exponential(m).apply(leaf(m, 1.0, 2.0))
    y.mul_(2)
    y.sum().backward()


@program
def name(m):
    y = exponential(m).apply(leaf(m, 1.0, 2.0))
    return y.grad_fn.name(), repr(y).split("grad_fn")[1]


@program
def next_functions(m):
    x, y = leaf(m, 1.0, 2.0), leaf(m, 3.0, 4.0, grad=False)
    node = product(m).apply(x * 2, y).grad_fn
    return [f if f is None else f.name() for f, _ in node.next_functions]


@program
def saved_tensors_of_the_node(m):
    node = product(m).apply(leaf(m, 1.0), leaf(m, 2.0)).grad_fn
    return node.saved_tensors


@program
def needs_input_grad(m):
    seen = []

    class Seen(m.autograd.Function):
        @staticmethod
        def forward(ctx, x, n, y):
            ctx.n = n
            return x * n + y

        @staticmethod
        def backward(ctx, g):
            seen.append(ctx.needs_input_grad)
            return g * ctx.n, None, g

    x = leaf(m, 1.0, 2.0)
    Seen.apply(x, 3, m.ones(2)).sum().backward()
    return seen, x.grad


@program
def with_a_context_set_up_apart(m):
    class Power(m.autograd.Function):
        @staticmethod
        def forward(x, n):
            return x**n

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, ctx.n = inputs
            ctx.save_for_backward(x, output)

        @staticmethod
        def backward(ctx, g):
            x, _ = ctx.saved_tensors
            return g * ctx.n * x ** (ctx.n - 1), None

    x = leaf(m, 1.0, 2.0)
    (g,) = m.autograd.grad(Power.apply(x, 3).sum(), x, create_graph=True)
    g.sum().backward()
    return g, x.grad


def parts(m, materialize=True, seen=None):
    class Parts(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(materialize)
            return x * 2, x * 3, "text"

        @staticmethod
        def backward(ctx, g, h, text):
            if seen is not None:
                seen.append(
                    (None if g is None else g.tolist(), None if h is None else h.tolist(), text)
                )
            total = None
            for weight, part in ((2, g), (3, h)):
                if part is not None:
                    total = weight * part if total is None else total + weight * part
            return total

    return Parts


@program
def several_outputs(m):
    x = leaf(m, 1.0, 2.0)
    a, b, text = parts(m).apply(x)
    (a * b).sum().backward()
    return a, b, text, x.grad


@program
def several_outputs_of_which_one_is_used(m):
    x = leaf(m, 1.0, 2.0)
    seen = []
    _, b, _ = parts(m, seen=seen).apply(x)
    b.sum().backward()
    return seen, x.grad


@program
def several_outputs_without_zeros(m):
    x = leaf(m, 1.0, 2.0)
    seen = []
    _, b, _ = parts(m, False, seen).apply(x)
    b.sum().backward()
    return seen, x.grad


@program
def several_outputs_twice(m):
    x = leaf(m, 1.0, 2.0)
    a, b, _ = parts(m).apply(x)
    (g,) = m.autograd.grad((a * b).sum(), x, create_graph=True)
    return m.autograd.grad(g.sum(), x)


@program
def an_output_that_has_no_gradient(m):
    class Sorted(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            order = x.argmax()
            mask = x > 0
            ctx.mark_non_differentiable(order, mask)
            return x * 2, order, mask

        @staticmethod
        def backward(ctx, g, *rest):
            return g * 2

    x = leaf(m, -1.0, 2.0)
    y, order, mask = Sorted.apply(x)
    y.sum().backward()
    return order.requires_grad, mask.requires_grad, x.grad


@program
def a_float_output_marked_without_gradient(m):
    class Two(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x * 3
            ctx.mark_non_differentiable(y)
            return x * 2, y

        @staticmethod
        def backward(ctx, g, h):
            return g * 2 + h

    x = leaf(m, 1.0, 2.0)
    a, b = Two.apply(x)
    (a + b).sum().backward()
    return b.requires_grad, x.grad


@pytest.mark.parametrize("name", program)
def test_program(name):
    same(program[name])
