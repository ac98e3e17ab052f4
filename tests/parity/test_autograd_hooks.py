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


@pytest.mark.parametrize("name", program)
def test_program(name):
    same(program[name])
