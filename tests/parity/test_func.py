"""Transforms of functions: values, structure and requires_grad are those of PyTorch's."""

import pytest

import core

torch = pytest.importorskip("torch", reason="the oracle: pip install unison-ddp[parity]")


def layer(p, x):
    """A layer whose parameters are in a dict."""
    return (x @ p["w"] + p["b"]).tanh()


def loss(p, x):
    """A number."""
    return layer(p, x).pow(2).sum()


def params(m):
    return {"w": m.tensor([[0.5, -1.0], [0.25, 2.0]]), "b": m.tensor([0.1, -0.2])}


CASES = {
    "grad": lambda m, x: m.func.grad(lambda a: a.sin().sum())(x),
    "grad of grad": lambda m, x: m.func.grad(m.func.grad(lambda a: (a**3).sum()))(x[0, 0]),
    "grad by a dict": lambda m, x: m.func.grad(loss)(params(m), x),
    "grad by several": lambda m, x: m.func.grad(loss, argnums=(0, 1))(params(m), x),
    "grad by the last": lambda m, x: m.func.grad(loss, -1)(params(m), x),
    "grad with more": lambda m, x: m.func.grad(lambda a: (a.sum(), a * 2), has_aux=True)(x),
    "grad of what is not used": lambda m, x: m.func.grad(lambda a, b: b.sum())(x, x),
    "grad in a graph": lambda m, x: m.func.grad(lambda a: (a * a).sum())(x.requires_grad_()),
    "grad beside a graph": lambda m, x: m.func.grad(lambda a: (a * a * x).sum())(
        x.requires_grad_().detach()
    ),
    "grad without a graph": lambda m, x: without_graph(m, x),
    "grad and value": lambda m, x: m.func.grad_and_value(loss)(params(m), x),
    "vjp": lambda m, x: vjp(m, layer, (params(m), x), m.ones(2, 2)),
    "vjp of two outputs": lambda m, x: vjp(m, lambda a: (a.sin(), a.cos()), (x,), (x, x)),
    "jvp": lambda m, x: m.func.jvp(lambda a, b: a * b.exp(), (x, x), (m.ones(2, 2), x)),
    "jvp of two outputs": lambda m, x: m.func.jvp(lambda a: (a.sin(), a**2), (x,), (x,)),
    "jacrev": lambda m, x: m.func.jacrev(layer)(params(m), x),
    "jacrev by several": lambda m, x: m.func.jacrev(lambda a, b: a @ b, (0, 1))(x, x),
    "jacfwd of two outputs": lambda m, x: m.func.jacfwd(lambda a: (a.sin(), a.sum()))(x),
    "hessian": lambda m, x: m.func.hessian(lambda a: (a**3).prod())(x[0]),
    "hessian by several": lambda m, x: m.func.hessian(lambda a, b: (a * b).sum(), (0, 1))(x, x),
    "vmap": lambda m, x: m.vmap(m.dot)(x, x),
    "vmap over other dims": lambda m, x: m.vmap(m.mul, in_dims=(0, 1), out_dims=1)(x, x),
    "vmap with a constant": lambda m, x: m.vmap(loss, in_dims=(None, 0))(params(m), x),
    "vmap with keywords": lambda m, x: m.vmap(lambda a, *, b: a + b)(x, b=x),
    "vmap over a dict": lambda m, x: m.vmap(lambda d: d["w"] + d["b"], ({"w": 0, "b": None},))(
        params(m)
    ),
    "vmap of two outputs": lambda m, x: m.vmap(lambda a: (a, a.sum()))(x),
    "gradients per sample": lambda m, x: m.vmap(m.func.grad(loss), (None, 0))(params(m), x),
    "vmap in a graph": lambda m, x: m.vmap(lambda a: a * 2)(x.requires_grad_()),
    "rows of one draw": lambda m, x: m.vmap(lambda a: a * 0 + m.rand(2), randomness="same")(
        x
    ).std(0),
    "an ensemble": lambda m, x: ensemble(m, x),
}  # fmt: skip


def vjp(m, function, primals, cotangents):
    out, product = m.func.vjp(function, *primals)
    return out, product(cotangents)


def without_graph(m, x):
    with m.no_grad():
        return m.func.grad(lambda a: (a * a).sum())(x.requires_grad_())


def ensemble(m, x):
    """The outputs of two layers at once, and what is stacked of them."""
    layers = [m.nn.BatchNorm1d(2).eval() for _ in range(2)]
    stacked, buffers = m.func.stack_module_state(layers)
    outs = m.vmap(lambda p, b, y: m.func.functional_call(layers[0], (p, b), (y,)), (0, 0, None))(
        stacked, buffers, x
    )
    return stacked, buffers, outs, [p.is_leaf for p in stacked.values()]


def plain(x):
    """A nested result as lists, with requires_grad of each tensor."""
    if isinstance(x, (torch.Tensor, core.Tensor)):
        values = x.detach().double()
        return [list(x.shape), (values * 1e5).round().tolist(), x.requires_grad]
    if isinstance(x, dict):
        return {key: plain(part) for key, part in x.items()}
    return [type(x).__name__, *map(plain, x)] if isinstance(x, (list, tuple)) else x


@pytest.mark.parametrize("name", CASES)
def test_a_transform_gives_what_pytorchs_gives(name):
    theirs, ours = (
        plain(CASES[name](m, m.tensor([[1.0, -2.0], [0.5, 3.0]]))) for m in (torch, core)
    )
    assert ours == theirs


WRONG = {
    "no number": lambda m, x: m.func.grad(lambda a: a)(x),
    "no such argument": lambda m, x: m.func.grad(lambda a: a.sum(), argnums=1)(x),
    "nothing more": lambda m, x: m.func.grad(lambda a: a.sum(), has_aux=True)(x),
    "several sizes": lambda m, x: m.vmap(m.add)(x, x[:1]),
    "nothing to map": lambda m, x: m.vmap(m.neg, in_dims=None)(x),
    "no module": lambda m, x: m.func.stack_module_state([]),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_pytorch_refuses_is_refused(name):
    raised = []
    for m in (torch, core):
        with pytest.raises(Exception) as caught:
            WRONG[name](m, m.ones(2, 2))
        raised.append(caught.type)
    assert raised[0] is raised[1]
