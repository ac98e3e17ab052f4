"""What programs written for PyTorch met: each expression says the same in `torch` and in `core`."""

import warnings

import pytest

import core

torch = pytest.importorskip("torch", reason="the oracle: pip install unison-ddp[parity]")

AGREE = {
    "questions on devices": lambda m, x: [
        getattr(x, f"is_{name}")
        for name in "cuda cpu xpu xla mtia ipu maia vulkan mps meta sparse mkldnn".split()
    ],
    "a type by its name": lambda m, x: x.type("torch.LongTensor").tolist(),
    "an instance of a type": lambda m, x: (
        isinstance(x, m.FloatTensor),
        isinstance(x, m.cuda.FloatTensor),
    ),
    "dropout2d of a matrix": lambda m, x: m.nn.functional.dropout2d(x, 1.0).tolist(),
    "dropout2d of three dims": lambda m, x: channels(
        m.nn.functional.dropout2d(m.ones(4, 50, 3)), (4, 50)
    ),
    "dropout3d of four dims": lambda m, x: channels(
        m.nn.functional.dropout3d(m.ones(50, 2, 3, 4)), (50,)
    ),
    "dropout3d of a matrix": lambda m, x: channels(m.nn.functional.dropout3d(m.ones(50, 3)), (50,)),
    "old names of first values": lambda m, x: (
        m.nn.init.constant(m.empty(3), 2.0).tolist(),
        m.nn.init.eye(m.empty(2, 3)).tolist(),
    ),
    "fans by their private name": lambda m, x: m.nn.init._calculate_fan_in_and_fan_out(
        m.empty(4, 3, 5, 5)
    ),
    "the old name of clipping": lambda m, x: m.nn.utils.clip_grad_norm([], 1.0).item(),
    "compile that is switched off": lambda m, x: m.compile(len, disable=True) is len,
    "nothing is being compiled": lambda m, x: (
        m.compiler.is_compiling(),
        m.jit.is_scripting(),
        m.jit.is_tracing(),
    ),
    "functions that write": lambda m, x: (
        m.square_(x) is x,
        m.fill_(x, 3) is x,
        m.neg_(x).tolist(),
    ),
    "layers as functions": lambda m, x: [
        m.dropout(x, 0.5, False).tolist(),
        m.dropout_(x.clone(), 1.0, train=True).tolist(),
        m.feature_dropout(x, 1.0, True).tolist(),
        m.embedding(x, m.tensor([1, 0])).tolist(),
        m.selu(x).tolist(),
        m.layer_norm(x, (2,)).tolist(),
        m.batch_norm(x, None, None, None, None, True, 0.1, 1.0, False).tolist(),
        m.instance_norm(x[None], None, None, None, None, True, 0.1, 1.0, False).sum().item() < 1e-6,
    ],
    "new tensors by a method": lambda m, x: [
        (y.shape, y.dtype is x.dtype)
        for y in (x.new(), x.new(2, 3), x.new([1, 2]), x.new(x), x.new(m.Size([4]), device="cpu"))
    ],
    "tensors of one element in lists": lambda m, x: [
        (y.tolist(), str(y.dtype).split(".")[1])
        for y in (
            m.tensor([[m.tensor([1.5])], [m.tensor([[2.0]])]]),
            m.tensor([2, m.tensor(1.5, dtype=m.float64)]),
            m.tensor([m.tensor([True]), 2]),
            m.as_tensor((m.tensor([1.0]), m.tensor(2))),
            m.FloatTensor([m.tensor([1]), m.tensor(2.5)]),
            x.new_tensor([m.tensor([3])]),
        )
    ],
    "other tensors in lists": lambda m, x: [
        refused(lambda: m.tensor([x, x])),
        refused(lambda: m.tensor([x[:0]])),
        refused(lambda: m.tensor([x[0, 0]], dtype=m.int64)),
    ],
    "results that are changed in place": lambda m, x: [
        changed(m, function, m.linspace(0.1, 0.9, 64).reshape(1, 4, 4, 4))
        for function in (
            lambda y: y / (y + 1),
            lambda y: 2 / y,
            lambda y: m.cov(y.reshape(4, 16)),
            m.erfinv,
            m.nn.functional.normalize,
            m.nn.functional.softsign,
            lambda y: m.nn.functional.local_response_norm(y, 2),
            lambda y: m.nn.functional.max_pool1d(y[0], 2),
            lambda y: m.nn.functional.max_pool2d(y, 2),
            lambda y: m.nn.functional.max_pool2d(y, 3, 1, 1),
            lambda y: m.nn.functional.max_pool3d(y, 2),
        )
    ],
    "Python functions of elements": lambda m, x: [
        x.apply_(lambda a: a * 2).tolist(),
        x.map_(m.ones(2), lambda a, b: a - b).tolist(),
        m.zeros(2, dtype=m.int64).apply_(lambda a: a + 1.7).tolist(),
        refused(lambda: m.ones(2, requires_grad=True).apply_(abs)),
    ],
    "questions on tensors": lambda m, x: [
        m.is_nonzero(x[:1, :1]),
        m.is_same_size(x, x[0]),
        refused(lambda: x.is_nonzero()),
        refused(lambda: x[:0].is_nonzero()),
        [m.typename(y) for y in (3, len)],
        m.typename(x).split(".")[1:],
    ],
    "ways of attention": lambda m, x: attended(m, x[None]),
    "states of generators": lambda m, x: (m.cuda.get_rng_state_all(), m.cuda.set_rng_state_all([])),
    "closeness by its old name": lambda m, x: [
        m.testing.assert_allclose(x, [[1.5001, -2], [0, 3]]),
        refused(lambda: m.testing.assert_allclose(x, x + 1)),
    ],
    "batches of strings": lambda m, x: [
        m.utils.data.default_collate(batch) if m is torch else m.data.default_collate(batch)
        for batch in (["a", "b"], [("a", b"c"), ("b", b"d")], [{"k": "a"}, {"k": "b"}])
    ],
    "batches of two sizes": lambda m, x: told(
        lambda: (m.utils if m is torch else m).data.default_collate([x[0], x[0], x[0, :1]])
    ),
    "permissions to unpickle": lambda m, x: permitted(m.serialization),
    "marks for compilers": lambda m, x: [
        mark(lambda y: y + 1)(2)
        for mark in (m.compiler.disable, m.jit.ignore, m.jit.unused, m.jit.export)
    ],
}


def channels(x, leading):
    """Whether each of the leading positions was kept or dropped as a whole, and some of each."""
    rows = x.reshape(*leading, -1)
    kept = rows.amax(-1) > 0
    return (rows.amax(-1) == rows.amin(-1)).all().item(), 0 < kept.sum().item() < kept.numel()


def changed(m, function, x):
    """The gradient, rounded, through a result that is doubled in place before backward."""
    y = function(x.requires_grad_())
    y.mul_(2)
    y.sum().backward()
    return [round(v, 2) for v in x.grad.flatten().tolist()]


def refused(function):
    """The type of what a function raises."""
    with pytest.raises(Exception) as caught:
        function()
    return caught.type


def told(function):
    """What the error that a function raises says."""
    with pytest.raises(RuntimeError) as caught:
        function()
    return str(caught.value)


def attended(m, x):
    """Attention in a block that permits only some ways, and the names of all."""
    names = m.nn.attention.SDPBackend
    with m.nn.attention.sdpa_kernel([names.MATH]):
        y = m.nn.functional.scaled_dot_product_attention(x, x, x)
    return [y.shape, *((name, way.value) for name, way in names.__members__.items())]


def permitted(m):
    """What is permitted before, in and after a block, and when all of it is forgotten."""
    m.clear_safe_globals()
    m.add_safe_globals([dict])
    said = [m.get_safe_globals()]
    with m.safe_globals([set]):
        said.append(sorted(m.get_safe_globals(), key=str))
    said.append(m.get_safe_globals())
    m.clear_safe_globals()
    return [*said, m.get_safe_globals()]


@pytest.mark.parametrize("name", AGREE)
def test_a_program_does_not_notice(name):
    said = []
    for m in (torch, core):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            value = AGREE[name](m, m.tensor([[1.5, -2.0], [0.0, 3.0]]))
        said.append((value, [w.category for w in caught]))
    assert said[0] == said[1]


def test_that_nothing_is_compiled_is_said():
    def double(x):
        return 2 * x

    for made in (core.compile, core.compile(mode="max-autotune"), core.jit.script):
        with pytest.warns(UserWarning, match="compiles no Python code"):
            assert made(double) is double
