"""The last node of a function made of several ops bears PyTorch's name, which printing shows."""

import pytest

torch = pytest.importorskip("torch", reason="the oracle: pip install unison-ddp[parity]")

import core  # noqa: E402 - after the skip


def leaf(m, *shape):
    return (m.rand(*shape) + 0.1).requires_grad_()


def definite(m):
    x = leaf(m, 3, 3)
    return x @ x.mT + m.eye(3)


FUNCTIONS = {
    "linear": lambda f, x: f.linear(x(2, 3), x(4, 3), x(4)),
    "linear without bias": lambda f, x: f.linear(x(2, 3), x(4, 3)),
    "linear of a batch": lambda f, x: f.linear(x(5, 2, 3), x(4, 3), x(4)),
    "linear of a batch without bias": lambda f, x: f.linear(x(5, 2, 3), x(4, 3)),
    "linear of a vector": lambda f, x: f.linear(x(3), x(4, 3), x(4)),
    "linear of a vector without bias": lambda f, x: f.linear(x(3), x(4, 3)),
    "dropout": lambda f, x: f.dropout(x(2, 3)),
    "dropout2d": lambda f, x: f.dropout2d(x(2, 3, 4, 4)),
    "layer_norm": lambda f, x: f.layer_norm(x(2, 3), (3,)),
    "scaled layer_norm": lambda f, x: f.layer_norm(x(2, 3), (3,), x(3), x(3)),
    "rms_norm": lambda f, x: f.rms_norm(x(2, 3), (3,), x(3)),
    "group_norm": lambda f, x: f.group_norm(x(2, 4, 3), 2),
    "instance_norm": lambda f, x: f.instance_norm(x(2, 4, 3)),
    "batch_norm": lambda f, x: f.batch_norm(x(4, 3), None, None, training=True),
    "reflect": lambda f, x: f.pad(x(1, 2, 4), (1, 1), "reflect"),
    "replicate": lambda f, x: f.pad(x(1, 2, 4, 4), (1, 1, 1, 1), "replicate"),
    "constant": lambda f, x: f.pad(x(1, 2, 4), (1, 1)),
    "adaptive mean": lambda f, x: f.adaptive_avg_pool2d(x(1, 2, 4, 4), 2),
    "global mean": lambda f, x: f.adaptive_avg_pool2d(x(1, 2, 4, 4), 1),
    "nearest": lambda f, x: f.interpolate(x(1, 1, 2, 2), scale_factor=2),
    "bilinear": lambda f, x: f.interpolate(x(1, 1, 2, 2), scale_factor=2, mode="bilinear"),
    "glu": lambda f, x: f.glu(x(2, 4)),
    "pairwise_distance": lambda f, x: f.pairwise_distance(x(2, 3), x(2, 3)),
}
OPS = {
    "matrices": lambda m, x: x(2, 3) @ x(3, 4),
    "batches": lambda m, x: x(5, 2, 3) @ x(5, 3, 4),
    "batch and matrix": lambda m, x: x(5, 2, 3) @ x(3, 4),
    "broadcast batches": lambda m, x: x(5, 1, 2, 3) @ x(4, 3, 2),
    "bmm": lambda m, x: m.bmm(x(5, 2, 3), x(5, 3, 4)),
    "embedding": lambda m, x: m.nn.functional.embedding(m.tensor([0, 1]), x(3, 2)),
    "roll": lambda m, x: x(4).roll(1),
    "rot90": lambda m, x: m.rot90(x(4, 4)),
    "rot180": lambda m, x: m.rot90(x(4, 4), 2),
    "log1p": lambda m, x: x(2).log1p(),
    "deg2rad": lambda m, x: x(2).deg2rad(),
    "clamp_min": lambda m, x: x(2).clamp_min(0),
    "clamp_max": lambda m, x: x(2).clamp_max(1),
    "dist": lambda m, x: m.dist(x(3), x(3)),
    "cdist": lambda m, x: m.cdist(x(3, 2), x(3, 2)),
    "matrix_exp": lambda m, x: m.matrix_exp(x(3, 3)),
    "solve": lambda m, x: m.linalg.solve(definite(m), x(3)),
    "solve_triangular": lambda m, x: m.linalg.solve_triangular(definite(m), x(3, 2), upper=True),
    "lstsq": lambda m, x: m.linalg.lstsq(definite(m), x(3, 2))[0],
    "cholesky_inverse": lambda m, x: m.cholesky_inverse(m.linalg.cholesky(definite(m))),
    "cholesky_solve": lambda m, x: m.cholesky_solve(x(3, 1), m.linalg.cholesky(definite(m))),
}


def named(m, name):
    def x(*shape):
        return leaf(m, *shape)

    y = FUNCTIONS[name](m.nn.functional, x) if name in FUNCTIONS else OPS[name](m, x)
    before = y.grad_fn.name()
    y.sum().backward()
    assert y.grad_fn.name() == before
    return before


@pytest.mark.parametrize("name", [*FUNCTIONS, *OPS])
def test_last_node(name):
    assert named(core, name) == named(torch, name)
