"""Functions that write in place, return odd things or fail: what PyTorch does with them."""

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


def doubling(m):
    class Doubling(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 2

    return Doubling


@program
def dirty(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 1
    z = doubling(m).apply(y)
    (z * z).sum().backward()
    return z is y, y, x.grad, y._version, y.grad_fn.name()


@program
def dirty_leaf(m):
    doubling(m).apply(leaf(m, 1.0, 2.0))


@program
def dirty_constant(m):
    x = m.ones(2)
    y = doubling(m).apply(x)
    return y is x, x


@program
def dirty_saved_before(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 1
    z = y * y
    doubling(m).apply(y)
    z.sum().backward()


@program
def dirty_but_not_returned(m):
    class Lost(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g

    Lost.apply(leaf(m, 1.0) * 1)


@program
def an_input_returned_as_it_is(m):
    class Same(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 5

    x = leaf(m, 1.0, 2.0)
    y = Same.apply(x)
    y.sum().backward()
    return y is x, y.requires_grad, x.grad


@program
def once(m):
    class Square(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @m.autograd.function.once_differentiable
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 2 * x

    x = leaf(m, 1.0, 2.0)
    Square.apply(x).sum().backward()
    (g,) = m.autograd.grad(Square.apply(x).sum(), x, create_graph=True)
    try:
        g.sum().backward()
    except RuntimeError as error:
        return x.grad, g, str(error)


@program
def too_few_gradients(m):
    class Sum(m.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            return g

    Sum.apply(leaf(m, 1.0), leaf(m, 1.0)).backward()


@program
def too_many_gradients(m):
    returning(m, lambda m, g: g, lambda m, g: g).apply(leaf(m, 1.0)).backward()


@program
def too_many_gradients_that_are_none(m):
    x = leaf(m, 1.0)
    returning(m, lambda m, g: g, lambda m, g: None).apply(x).backward()
    return x.grad


@program
def no_gradient_at_all(m):
    x = leaf(m, 1.0)
    (returning(m, lambda m, g: None).apply(x) + x * 0).backward()
    return x.grad


@program
def a_gradient_of_the_wrong_shape(m):
    returning(m, lambda m, g: m.ones(3).double()).apply(leaf(m, 1.0, 2.0)).sum().backward()


@program
def a_gradient_that_broadcast_explains(m):
    x = leaf(m, 1.0, 2.0)
    returning(m, lambda m, g: m.ones(3, 2).double()).apply(x).sum().backward()
    return x.grad


@program
def a_gradient_of_another_dtype(m):
    x = leaf(m, 1.0, 2.0)
    returning(m, lambda m, g: g.float()).apply(x).sum().backward()
    return x.grad


@program
def a_gradient_that_is_no_tensor(m):
    returning(m, lambda m, g: 1.0).apply(leaf(m, 1.0)).backward()


@program
def a_gradient_that_is_the_one_that_came(m):
    x = leaf(m, 1.0, 2.0)
    g = m.ones(2, dtype=m.float64)
    returning(m, lambda m, g: g).apply(x).backward(g)
    x.grad.add_(1)
    return g, x.grad


@program
def saving_what_is_no_tensor(m):
    class Wrong(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(3)
            return x * 2

    Wrong.apply(leaf(m, 1.0))


@program
def saving_none(m):
    class Some(m.autograd.Function):
        @staticmethod
        def forward(ctx, x, bias):
            ctx.save_for_backward(x, bias)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            _, bias = ctx.saved_tensors
            return g * 2 if bias is None else g, None

    x = leaf(m, 1.0)
    Some.apply(x, None).backward()
    return x.grad


@program
def without_a_backward(m):
    class Half(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    Half.apply(leaf(m, 1.0)).backward()


@program
def without_a_forward(m):
    class Empty(m.autograd.Function):
        pass

    Empty.apply(leaf(m, 1.0))


@program
def called_as_an_instance(m):
    product(m)()(leaf(m, 1.0), leaf(m, 1.0))


@program
def backward_inside_backward(m):
    class Nested(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            with m.enable_grad():
                ctx.x = x.detach().requires_grad_()
                ctx.y = ctx.x.tanh() * ctx.x
            return ctx.y.detach()

        @staticmethod
        def backward(ctx, g):
            ctx.y.backward(g)
            return ctx.x.grad

    x = leaf(m, 0.5, -0.3)
    (Nested.apply(x) * 3).sum().backward()
    return x.grad


@program
def grad_mode_inside(m):
    seen = []

    class Modes(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            seen.append(m.is_grad_enabled())
            return x * 2

        @staticmethod
        def backward(ctx, g):
            seen.append(m.is_grad_enabled())
            return g * 2

    x = leaf(m, 1.0)
    Modes.apply(x).backward()
    Modes.apply(x).backward(create_graph=True)
    return seen


@program
def the_result_written_in_place(m):
    x = leaf(m, 1.0, 2.0)
    y = product(m).apply(x, x)
    y.mul_(3)
    y.sum().backward()
    return x.grad


@program
def integers_come_and_go(m):
    class Lookup(m.autograd.Function):
        @staticmethod
        def forward(ctx, table, index):
            ctx.save_for_backward(index)
            ctx.rows = len(table)
            return table[index]

        @staticmethod
        def backward(ctx, g):
            (index,) = ctx.saved_tensors
            out = m.zeros(ctx.rows, dtype=g.dtype)
            out[index] = g
            return out, None

    x = leaf(m, 1.0, 2.0, 3.0)
    Lookup.apply(x, m.tensor([2, 0])).sum().backward()
    return x.grad


@pytest.mark.parametrize("name", program)
def test_program(name):
    same(program[name])
