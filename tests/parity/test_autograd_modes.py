"""Modes, Jacobians and Hessians: each program gives what it gives in PyTorch, or fails alike."""

import pytest

import core
from core.autograd import forward_ad
from tests.parity.programs import Table, leaf, same

program = Table()


# ---- modes ----


@program
def modes_nest(m):
    x = leaf(m, 1.0)
    flags = [m.is_grad_enabled()]
    with m.no_grad():
        flags.append((x * 2).requires_grad)
        with m.enable_grad():
            flags.append((x * 2).requires_grad)
        flags.append((x * 2).requires_grad)
    with m.set_grad_enabled(False):
        flags.append((x * 2).requires_grad)
    m.set_grad_enabled(False)
    flags.append(m.is_grad_enabled())
    m.set_grad_enabled(True)
    return [*flags, m.is_grad_enabled()]


@program
def modes_decorate(m):
    x = leaf(m, 1.0)

    @m.no_grad()
    def f():
        return (x * 2).requires_grad, m.is_grad_enabled()

    @m.no_grad
    def g():
        return (x * 2).requires_grad

    @m.set_grad_enabled(False)
    def h():
        return (x * 2).requires_grad

    return f(), g(), h(), f.__name__, m.is_grad_enabled()


@program
def modes_decorate_generators(m):
    x = leaf(m, 1.0)

    @m.no_grad()
    def f():
        got = yield (x * 2).requires_grad
        yield got, (x * 2).requires_grad
        return "end"

    inside = f()
    first = (next(inside), (x * 2).requires_grad)
    second = (inside.send("sent"), m.is_grad_enabled())
    return first, second, list(inside), m.is_grad_enabled()


@program
def a_mode_ends_with_an_exception(m):
    try:
        with m.no_grad():
            raise KeyError
    except KeyError:
        return m.is_grad_enabled()


@program
def inference(m):
    x = leaf(m, 1.0)
    with m.inference_mode():
        y = x * 2
        flags = [y.requires_grad, y.is_inference(), m.is_inference_mode_enabled()]
    return [*flags, m.is_inference_mode_enabled(), x.is_inference(), m.is_grad_enabled()]


@program
def inference_written_outside(m):
    with m.inference_mode():
        y = m.ones(2) * 2
    y.add_(1)


@program
def inference_written_inside(m):
    with m.inference_mode():
        y = m.ones(2) * 2
        y.add_(1)
    return y.tolist()


@program
def inference_saved(m):
    with m.inference_mode():
        y = m.ones(1, dtype=m.float64) * 2
    (leaf(m, 1.0) * y).sum().backward()


@program
def inference_not_saved(m):
    x = leaf(m, 1.0)
    with m.inference_mode():
        y = m.ones(1, dtype=m.float64) * 2
    (x + y).sum().backward()
    return x.grad


@program
def inference_requires_grad_outside(m):
    with m.inference_mode():
        y = m.ones(2) * 2
    y.requires_grad_()


@program
def inference_has_no_version(m):
    with m.inference_mode():
        y = m.ones(2) * 2
    return y._version


@program
def inference_decorates(m):
    @m.inference_mode()
    def f(x):
        return (x * 2).requires_grad

    @m.inference_mode(False)
    def g(x):
        return (x * 2).requires_grad

    return f(leaf(m, 1.0)), g(leaf(m, 1.0))


@program
def normal_tensor_written_in_inference(m):
    x = m.ones(2)
    with m.inference_mode():
        x.add_(1)
    x.mul_(2)
    return x.tolist(), x.is_inference()


@program
def variable(m):
    x = m.autograd.Variable(m.ones(2), requires_grad=True)
    (x * 2).sum().backward()
    return x.grad, isinstance(x, m.autograd.Variable), isinstance(x, m.Tensor)


# ---- Jacobians and Hessians ----


def cubes(x):
    return (x**3).sum()


def pair(x, y):
    return x * y, x.sum() * y


@program
def jacobian(m):
    F = m.autograd.functional
    x, y = leaf(m, 1.0, 2.0, grad=False), leaf(m, 3.0, 4.0, grad=False)
    return F.jacobian(lambda v: v**2, x), F.jacobian(pair, (x, y)), F.jacobian(cubes, x)


@program
def jacobian_with_a_graph(m):
    x = leaf(m, 1.0, 2.0)
    j = m.autograd.functional.jacobian(lambda v: v**3, x, create_graph=True)
    j.sum().backward()
    return j, x.grad


@program
def jacobian_strict(m):
    x = leaf(m, 1.0, 2.0, grad=False)
    m.autograd.functional.jacobian(lambda v: m.ones(2), x, strict=True)


@program
def jacobian_of_a_constant(m):
    x = leaf(m, 1.0, 2.0, grad=False)
    return m.autograd.functional.jacobian(lambda v: m.ones(2, dtype=m.float64), x)


@program
def hessian(m):
    F = m.autograd.functional
    x, y = leaf(m, 1.0, 2.0, grad=False), leaf(m, 3.0, 4.0, grad=False)
    return F.hessian(cubes, x), F.hessian(lambda a, b: (a * b * b).sum(), (x, y))


@program
def hessian_of_many(m):
    m.autograd.functional.hessian(lambda v: v * 2, leaf(m, 1.0, 2.0))


@program
def products(m):
    F = m.autograd.functional
    x, v = leaf(m, 1.0, 2.0, grad=False), leaf(m, 5.0, 7.0, grad=False)
    square = lambda t: t * t  # noqa: E731
    return [F.vjp(square, x, v), F.jvp(square, x, v), F.vhp(cubes, x, v), F.hvp(cubes, x, v)]


@program
def vjp_of_a_number(m):
    return m.autograd.functional.vjp(cubes, leaf(m, 1.0, 2.0, grad=False))


@program
def vjp_without_weights(m):
    m.autograd.functional.vjp(lambda t: t * 2, leaf(m, 1.0, 2.0))


@program
def vjp_with_wrong_weights(m):
    m.autograd.functional.vjp(lambda t: t * 2, leaf(m, 1.0, 2.0), m.ones(3))


@program
def batch_of_gradients(m):
    x, unused = leaf(m, 1.0, 2.0), leaf(m, 1.0)
    rows = m.eye(2, dtype=m.float64)
    return m.autograd.grad(x**3, (x, unused), rows, is_grads_batched=True, allow_unused=True)


@program
def batch_of_gradients_differentiated(m):
    x = leaf(m, 1.0, 2.0)
    rows = m.eye(2, dtype=m.float64)
    (found,) = m.autograd.grad(x**3, x, rows, is_grads_batched=True, create_graph=True)
    return found, m.autograd.grad(found.sum(), x)


# ---- tangents ----


@program
def tangents_of_results(m):
    fw = m.autograd.forward_ad
    x, t = leaf(m, 1.0, 2.0, 3.0, grad=False), leaf(m, 0.5, -1.0, 2.0, grad=False)
    with fw.dual_level():
        a, b = fw.make_dual(x, t), fw.make_dual(x * 2, t * 3)
        apart = x * 2
        results = [a, (a.sin() * b).sum(), a.softmax(0), a.max(), b[:2] @ b[1:], apart]
        return [tuple(fw.unpack_dual(y)) for y in results]


@program
def tangents_are_differentiated(m):
    fw = m.autograd.forward_ad
    x, t = leaf(m, 1.0, 2.0, 3.0), leaf(m, 0.5, -1.0, 2.0)
    w = leaf(m, 0.3, 0.1, 0.2)
    found = []
    with fw.dual_level():
        y = fw.unpack_dual((fw.make_dual(x.detach(), t.detach()) * w).pow(3).sum())
        found += [*y, m.autograd.grad(y.tangent + y.primal, w)]
        y = fw.unpack_dual(fw.make_dual(x, t).exp().prod())
        found += [*y, m.autograd.grad(y.tangent + y.primal, (x, t))]
    return found


REFUSED = {
    "no level": lambda fw, x: fw.make_dual(x, x),
    "no level to leave": lambda fw, x: fw.exit_dual_level(),
    "level in a level": lambda fw, x: (fw.enter_dual_level(), fw.enter_dual_level()),
    "shapes": lambda fw, x: (fw.enter_dual_level(), fw.make_dual(x, x[:1])),
    "whole numbers": lambda fw, x: (fw.enter_dual_level(), fw.make_dual(x.long(), x)),
    "whole tangents": lambda fw, x: (fw.enter_dual_level(), fw.make_dual(x, x.long())),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_tangents(name):
    def refused(m):
        fw = m.autograd.forward_ad
        try:
            REFUSED[name](fw, m.ones(2))
        finally:
            if "no level" not in name:
                fw.exit_dual_level()

    same(refused)


def test_tangents_want_grad_mode():
    with forward_ad.dual_level(), core.no_grad(), pytest.raises(RuntimeError, match="grad mode"):
        forward_ad.make_dual(core.ones(2), core.ones(2))


@pytest.mark.parametrize("name", program)
def test_program(name):
    same(program[name])
