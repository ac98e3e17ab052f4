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
