"""Hooks, and the graph seen from outside: each program gives what it gives in PyTorch."""

import pytest

from tests.parity.programs import Table, leaf, same

program = Table()


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
def hook_runs_once_on_the_sum_and_may_keep_it(m):
    x = leaf(m, 1.0, 2.0)
    seen = []
    x.register_hook(seen.append)
    (x * 2 + x * 3).sum().backward()
    x.grad.mul_(10)
    return seen, x.grad


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
    x, other = leaf(m, 1.0, 2.0), leaf(m, 3.0)
    seen = []
    x.register_hook(lambda g: g * 7)
    other.register_hook(seen.append)
    return m.autograd.grad((x * x * other).sum(), x), seen


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
def after_accumulation_nothing_is_returned(m):
    x = leaf(m, 1.0, 2.0)
    x.register_post_accumulate_grad_hook(lambda p: p.grad)
    (x * 2).sum().backward()


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


# ---- what is saved ----


def doubling(m):
    """Hooks that keep twice what is saved, and a list of what they saw."""
    seen = []

    def pack(x):
        values = sorted(round(v, 9) for v in x.flatten().tolist())
        seen.append(("pack", values, m.is_grad_enabled()))
        return x * 2

    def unpack(x):
        seen.append(("unpack", m.is_grad_enabled()))
        return x / 2

    return m.autograd.graph.saved_tensors_hooks(pack, unpack), seen


SAVING = {
    "mul": lambda m, x, y: x * y,
    "square": lambda m, x, y: x * x,
    "add": lambda m, x, y: x + y * 1.0,
    "div": lambda m, x, y: x / y,
    "pow": lambda m, x, y: x.pow(3),
    "exp": lambda m, x, y: x.exp(),
    "tanh": lambda m, x, y: (x + y).tanh(),
    "relu": lambda m, x, y: m.relu(x - y),
    "sum": lambda m, x, y: x.sum() * y,
    "log": lambda m, x, y: x.log(),
    "matmul": lambda m, x, y: x.view(2, 1) @ y.view(1, 2),
    "softmax": lambda m, x, y: x.softmax(0),
    "a part": lambda m, x, y: x[:1] * y.detach(),
    "max": lambda m, x, y: m.maximum(x, y),
    "in place": lambda m, x, y: (x * 1).mul_(y).exp_(),
}


@pytest.mark.parametrize("name", SAVING)
def test_hooks_see_what_is_saved(name):
    def program(m):
        x, y = leaf(m, 1.0, 2.0), leaf(m, 3.0, 5.0)
        hooks, seen = doubling(m)
        with hooks:
            z = SAVING[name](m, x, y)
        z.sum().backward()
        return sorted(map(str, seen)), z, x.grad, y.grad

    same(program)


@program
def packed_tensors_are_differentiated_twice(m):
    x, y = leaf(m, 1.0, 2.0), leaf(m, 3.0, 5.0)
    hooks, _ = doubling(m)
    with hooks:
        z = (x * y * x).exp() / y + x.tanh().sum()
    first = m.autograd.grad(z.sum(), (x, y), create_graph=True)
    weighed = first[0].sum() + (first[1] * first[0]).sum()
    return first, m.autograd.grad(weighed, (x, y))


@program
def several_results_are_packed(m):
    x = (m.arange(6.0, dtype=m.float64).view(2, 3) + 0.5).cos().requires_grad_()
    hooks, _ = doubling(m)
    with hooks:
        values = m.linalg.svd(x, full_matrices=False)[1]
    (first,) = m.autograd.grad(values.sum(), x, create_graph=True)
    return first, m.autograd.grad((first * first).sum(), x)


@program
def functions_pack_what_they_save(m):
    class Product(m.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            out = x * y
            ctx.save_for_backward(x, None, out, y)
            return out

        @staticmethod
        def backward(ctx, g):
            x, _, out, y = ctx.saved_tensors
            return g * y, g * (x + 0 * out)

    x, y = leaf(m, 1.0, 2.0), leaf(m, 3.0, 5.0)
    hooks, seen = doubling(m)
    with hooks:
        z = Product.apply(x, y)
    (first,) = m.autograd.grad(z.sum(), x, create_graph=True)
    return len(seen), first, m.autograd.grad(first.sum(), y)


@program
def the_innermost_hooks_count(m):
    x = leaf(m, 1.0, 2.0)
    outer, seen = doubling(m)
    inner, also = doubling(m)
    with outer:
        with inner:
            z = x * x
        z = z * x
    z.sum().backward()
    (x * x).sum().backward()
    return x.grad, len(seen), len(also)


@program
def packed_tensors_may_be_written_after(m):
    x, y = leaf(m, 1.0, 2.0), leaf(m, 3.0, 5.0, grad=False)
    with m.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        z = x * y
    y.add_(1)
    z.sum().backward()
    return x.grad


@program
def hook_that_writes_into_what_it_packs(m):
    with m.autograd.graph.saved_tensors_hooks(lambda t: t.mul_(2), lambda t: t):
        leaf(m, 1.0) * leaf(m, 2.0).clone()


@program
def unpacked_is_no_tensor(m):
    with m.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: 7):
        z = leaf(m, 1.0).exp()
    z.backward()


@program
def hooks_are_refused(m):
    graph = m.autograd.graph
    with graph.disable_saved_tensors_hooks("not here"), graph.save_on_cpu():
        pass


@program
def hooks_are_refused_inside(m):
    graph = m.autograd.graph
    with graph.save_on_cpu(), graph.disable_saved_tensors_hooks("not here"):
        pass


@program
def hooks_may_come_back(m):
    graph = m.autograd.graph
    with graph.disable_saved_tensors_hooks("not here"):
        pass
    x = leaf(m, 1.0, 2.0)
    with graph.save_on_cpu():
        z = m.nn.functional.layer_norm(x * x, (2,)).sum() + (x @ x)
    z.backward()
    return x.grad


@pytest.mark.parametrize("name", program)
def test_program(name):
    same(program[name])
