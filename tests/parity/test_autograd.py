"""Autograd: each program gives what it gives in PyTorch, or fails alike."""

import pytest

from tests.parity.programs import leaf, same

PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


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


# ---- hooks ----


@program
def hooks_run_in_order(m):
    x = leaf(m, 1.0, 2.0)
    seen = []
    x.register_hook(lambda g: seen.append(("a", g.tolist())) or g + 1)
    x.register_hook(lambda g: seen.append(("b", g.tolist())) or g * 2)
    (x * 3).sum().backward()
    return seen, x.grad


@program
def hooks_on_results(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.register_hook(lambda g: g * 2)
    (y * 3).sum().backward()
    return seen, x.grad


@program
def hook_removed(m):
    x = leaf(m, 1.0)
    handle = x.register_hook(lambda g: g * 100)
    with x.register_hook(lambda g: g * 2):
        x.sum().backward()
    handle.remove()
    handle.remove()
    x.sum().backward()
    return x.grad


@program
def hook_on_a_constant(m):
    m.ones(1).register_hook(print)


@program
def hook_that_raises(m):
    x = leaf(m, 1.0)

    def hook(g):
        raise KeyError("no")

    x.register_hook(hook)
    x.sum().backward()


@program
def hook_runs_once_on_the_sum(m):
    x = leaf(m, 1.0, 2.0)
    seen = []
    x.register_hook(lambda g: seen.append(g.tolist()))
    (x * 2 + x * 3).sum().backward()
    return seen


@program
def hook_before_a_write_belongs_to_the_former_value(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.mul_(3)
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.sum().backward()
    return seen


@program
def hook_in_grad(m):
    x = leaf(m, 1.0, 2.0)
    x.register_hook(lambda g: g * 7)
    return m.autograd.grad((x * x).sum(), x)


@program
def hook_with_a_graph(m):
    x = leaf(m, 1.0, 2.0)
    x.register_hook(lambda g: g * x)
    (g,) = m.autograd.grad((x * x).sum(), x, create_graph=True)
    return g, m.autograd.grad(g.sum(), x)


@program
def hook_that_calls_backward(m):
    x, w = leaf(m, 1.0, 2.0), leaf(m, 3.0)

    def hook(g):
        with m.enable_grad():
            (w * g.sum()).backward()

    x.register_hook(hook)
    (x * x).sum().backward()
    return x.grad, w.grad


@program
def after_accumulation(m):
    x = leaf(m, 1.0, 2.0)
    seen = []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    x.register_hook(lambda g: seen.append("before"))
    (x * 2 + x).sum().backward()
    m.autograd.grad(x.sum(), x)
    return seen


@program
def after_accumulation_the_gradient_can_go(m):
    x = leaf(m, 1.0, 2.0)

    def step(p):
        with m.no_grad():
            p.sub_(p.grad)
        p.grad = None

    x.register_post_accumulate_grad_hook(step)
    (x * 2).sum().backward()
    return x, x.grad


@program
def after_accumulation_of_a_result(m):
    (leaf(m, 1.0) * 2).register_post_accumulate_grad_hook(print)


@program
def node_hooks(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 2
    seen = []
    y.grad_fn.register_prehook(lambda gs: (seen.append(("pre", len(gs))), (gs[0] * 3,))[1])
    y.grad_fn.register_hook(lambda gi, go: seen.append(("post", gi[0].tolist(), go[0].tolist())))
    y.sum().backward()
    return seen, x.grad


@program
def node_hook_replaces(m):
    x = leaf(m, 1.0, 2.0)
    y = x.exp()
    y.grad_fn.register_hook(lambda gi, go: (gi[0] * 0 + 5,))
    y.sum().backward()
    return x.grad


@program
def several_tensors_one_hook(m):
    x, w = leaf(m, 1.0, 2.0), leaf(m, 3.0, 4.0)
    seen = []
    m.autograd.graph.register_multi_grad_hook(
        [x, w], lambda gs: seen.append([g.tolist() for g in gs])
    )
    (x * w).sum().backward()
    return seen


# ---- the graph seen from outside ----


def name_of(node):
    return None if node is None else node.name().rsplit("::", 1)[-1]


@program
def names(m):
    x = leaf(m, 1.0, 2.0)
    results = [x + 1, x - 1, x * 2, x / 2, x**2, -x, x.exp(), x.log(), x.sum(), x.mean(), x.relu()]
    results += [x.view(2, 1), x[0], x[:1], x[None], x.t(), x.sqrt(), x.tanh(), x.sigmoid()]
    results += [
        x.clone(),
        x.view(2, 1) @ x.view(1, 2),
        x.unsqueeze(0),
        x.reshape(2, 1),
        x.abs(),
        x.float(),
        x.detach(),
    ]
    return [name_of(r.grad_fn) for r in results]


@program
def next_functions(m):
    x, w = leaf(m, 1.0, 2.0), leaf(m, 1.0, 2.0, grad=False)
    y = (x * 3).exp() * x + w
    found = []
    stack = [(y.grad_fn, 0)]
    while stack:
        node, i = stack.pop(0)
        found.append((name_of(node), i))
        stack += [] if node is None else list(node.next_functions)
    return found


@program
def the_end_of_the_graph_holds_the_leaf(m):
    x = leaf(m, 1.0)
    node = (x + 1).grad_fn.next_functions[0][0]
    return node.variable is x, node.next_functions


@program
def outputs_are_numbered(m):
    a, b = leaf(m, 1.0, 2.0).unbind(0)
    return a.output_nr, b.output_nr, (a + b).grad_fn.next_functions[1][1]


@program
def nodes_carry_notes(m):
    node = (leaf(m, 1.0) * 2).grad_fn
    node.metadata["line"] = 3
    return dict(node.metadata)


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


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    same(PROGRAMS[name])
