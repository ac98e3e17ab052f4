"""PyTorch's own table of optimizers: each setting moves and is refused alike in both libraries."""

import importlib
import warnings

import numpy
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")
pytest.importorskip("expecttest", reason="PyTorch's tables import it")

import core  # noqa: E402

table = importlib.import_module("torch.testing._internal.common_optimizers")

LEFT_OUT = {
    "SparseAdam": "sparse tensors are left out",
    "differentiable": "steps that are part of the graph are left out",
    "complex": "complex tensors are left out",
}
TABLE = [info for info in table.optim_db if info.optim_cls.__name__ not in LEFT_OUT]


def ours(x):
    """What stands for PyTorch's `x` in ours; a tensor is the same one each time."""
    made = {}

    def convert(x):
        if isinstance(x, torch.Tensor):
            if id(x) not in made:
                tensor = core.from_numpy(x.detach().numpy().copy())
                made[id(x)] = tensor.requires_grad_(x.requires_grad)
            return made[id(x)]
        if isinstance(x, (tuple, list)):
            return type(x)(map(convert, x))
        return {k: convert(v) for k, v in x.items()} if isinstance(x, dict) else x

    return convert(x)


def plain(value):
    """State without its library."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (core.Tensor, torch.Tensor)):
        return value.detach().numpy().tolist()
    return value


def parameters(info):
    """Matrices, and where an optimizer takes them other shapes too."""
    shapes = [(3, 4), (4, 2)] if info.optim_cls.__name__ == "Muon" else [(3, 4), (5,), ()]
    source = numpy.random.default_rng(0)
    return [torch.tensor(source.standard_normal(shape)).requires_grad_() for shape in shapes]


def trajectory(cls, params, options, steps=6):
    """(parameters, state, text) after steps down a valley whose sides are of the fourth power."""
    optimizer = cls(params, **options)

    def closure():
        optimizer.zero_grad()
        loss = sum(((p - 0.3) ** 4).sum() + (p * p).sum() for p in params)
        loss.backward()
        return loss

    losses = [float(optimizer.step(closure).detach()) for _ in range(steps)]
    return [*plain(params), losses], plain(optimizer.state_dict()), repr(optimizer)


@pytest.mark.parametrize("info", TABLE, ids=lambda info: info.optim_cls.__name__)
def test_each_setting_moves_as_pytorchs(info):
    for given in info.optim_inputs_func(device="cpu"):
        if given.kwargs.get("differentiable"):
            continue
        params = parameters(info)
        cls = getattr(core.optim, info.optim_cls.__name__)
        a, a_state, a_text = trajectory(cls, ours(params), ours(given.kwargs))
        b, b_state, b_text = trajectory(info.optim_cls, params, given.kwargs)
        assert a_text.replace("core", "torch") == b_text, given.desc
        assert_close(a, b, given.desc)
        assert a_state["param_groups"] == b_state["param_groups"], given.desc
        assert_close(a_state["state"], b_state["state"], given.desc)


def assert_close(a, b, what):
    """Numbers in nested lists and dicts agree, and so do the keys and their order."""
    if isinstance(b, dict):
        assert list(a) == list(b), what
        a, b = list(a.values()), list(b.values())
    if isinstance(b, list):
        assert len(a) == len(b), what
        for x, y in zip(a, b, strict=True):
            assert_close(x, y, what)
    elif b is None:
        assert a is None, what
    else:
        assert a == pytest.approx(b, rel=1e-9, abs=1e-10), what


def outcome(cls, given):
    """None, or the type of what making an optimizer and one step raise or warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            optimizer = cls(given.params, **given.kwargs)
            optimizer.step() if cls.__name__ != "LBFGS" else None
        except Exception as error:
            return type(error)
    return None


def is_complex(given):
    params = given.params if isinstance(given.params, list) else []
    return any(isinstance(p, torch.Tensor) and p.is_complex() for p in params)


@pytest.mark.parametrize("info", TABLE, ids=lambda info: info.optim_cls.__name__)
def test_each_wrong_setting_is_refused_as_by_pytorch(info):
    found = []
    for error in info.optim_error_inputs_func(device="cpu", dtype=torch.float32):
        given = error.optimizer_error_input
        if is_complex(given):
            continue
        if given.params is None:
            given.params = [torch.nn.Parameter(torch.randn(1, 1))]
        theirs = outcome(info.optim_cls, given)
        given.params, given.kwargs = ours([given.params, given.kwargs])
        mine = outcome(getattr(core.optim, info.optim_cls.__name__), given)
        if mine is not theirs:
            found.append(f"{given.desc}: {mine}, PyTorch's {theirs}")
    assert not found, "\n".join(found)
