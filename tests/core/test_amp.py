"""Mixed precision: which dtype each function gives, gradients, and what the scaler does."""

import copy
import math

import numpy
import pytest

import core

torch = pytest.importorskip("torch")

# The dtype of each result in a CPU region, given inputs of bfloat16 or of float32.
FUNCTIONS = {
    "matmul": lambda m, x: x @ m.transpose(x, 0, 1),
    "mv": lambda m, x: x @ x[0],
    "dot": lambda m, x: x[0] @ x[0],
    "bmm": lambda m, x: m.bmm(x[None], x[None].transpose(1, 2)),
    "linear": lambda m, x: m.nn.functional.linear(x, m.ones(3, 4)),
    "conv": lambda m, x: m.nn.functional.conv1d(x[None], m.ones(2, 4, 1)),
    "attention": lambda m, x: m.nn.functional.scaled_dot_product_attention(*[x[None]] * 3),
    "softmax": lambda m, x: m.nn.functional.softmax(x, -1),
    "sum": lambda m, x: x.sum(),
    "mean": lambda m, x: x.mean(),
    "exp": lambda m, x: x.exp(),
    "pow": lambda m, x: x.pow(2),
    "prod": lambda m, x: x.prod(),
    "relu": lambda m, x: m.relu(x),
    "gelu": lambda m, x: m.nn.functional.gelu(x),
    "mse": lambda m, x: m.nn.functional.mse_loss(x, x),
    "l1": lambda m, x: m.nn.functional.l1_loss(x, x),
    "cross entropy": lambda m, x: m.nn.functional.cross_entropy(x, m.tensor([0, 1, 2, 3])),
    "nll": lambda m, x: m.nn.functional.nll_loss(x, m.tensor([0, 1, 2, 3])),
    "bce": lambda m, x: m.nn.functional.binary_cross_entropy_with_logits(x, m.sigmoid(x)),
    "add": lambda m, x: x + m.ones(4),
    "cat": lambda m, x: m.cat([x, m.ones(1, 4)]),
    "layer norm": lambda m, x: m.nn.LayerNorm(4)(x),
    "batch norm": lambda m, x: m.nn.BatchNorm1d(4)(x),
    "prelu": lambda m, x: m.nn.PReLU()(x),
    "double": lambda m, x: x.double() @ x.double(),
    "lstm": lambda m, x: m.nn.LSTM(4, 3)(x[None])[0],
}  # fmt: skip


@pytest.mark.parametrize("fast", ["bfloat16", "float16"])
@pytest.mark.parametrize("given", ["float32", "same"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_results_on_the_cpu_have_pytorchs_dtypes(name, given, fast):
    if name == "lstm" and fast == "float16":
        return  # PyTorch's CPU has no LSTM of halves
    array = numpy.random.default_rng(0).standard_normal((4, 4)).astype("float32")
    found = []
    for module in (core, torch):
        low = getattr(module, fast)
        x = module.tensor(array).to(low if given == "same" else module.float32)
        with module.autocast("cpu", dtype=low):
            found.append(str(FUNCTIONS[name](module, x).dtype).partition(".")[2])
    assert found[0] == found[1]


def network(module):
    net = module.nn
    return net.Sequential(net.Linear(6, 16), net.ReLU(), net.LayerNorm(16), net.Linear(16, 3))


def pair():
    torch.manual_seed(0)
    theirs, ours = network(torch), network(core)
    ours.load_state_dict({k: core.tensor(v.numpy().copy()) for k, v in theirs.state_dict().items()})
    return ours, theirs


def batch():
    source = numpy.random.default_rng(1)
    return source.standard_normal((8, 6)).astype("float32"), source.integers(0, 3, 8)


def gradients(module, model, fast):
    x, target = batch()
    with module.autocast("cpu", dtype=getattr(module, fast)):
        out = model(module.tensor(x))
        loss = module.nn.functional.cross_entropy(out, module.tensor(target))
    loss.backward()
    return loss.item(), [p.grad for p in model.parameters()]


@pytest.mark.parametrize(("fast", "rtol"), [("bfloat16", 3e-2), ("float16", 4e-3)])
def test_losses_and_float32_gradients_are_pytorchs(fast, rtol):
    ours, theirs = pair()
    loss, grads = gradients(core, ours, fast)
    their_loss, their_grads = gradients(torch, theirs, fast)
    assert loss == pytest.approx(their_loss, rel=rtol)
    for g, expected in zip(grads, their_grads, strict=True):
        assert g.dtype is core.float32
        difference = numpy.linalg.norm(g.numpy() - expected.numpy())
        assert difference <= rtol * numpy.linalg.norm(expected.numpy())


def test_a_region_inside_can_switch_it_off():
    x = core.ones(2, 2)
    with core.autocast("cpu"):
        with core.autocast("cpu", enabled=False):
            assert (x @ x).dtype is core.float32 and not core.is_autocast_enabled("cpu")
        with core.autocast("cpu", dtype=core.float16):
            assert (x @ x).dtype is core.float16
            assert core.get_autocast_dtype("cpu") is core.float16
        assert (x @ x).dtype is core.bfloat16 and core.is_autocast_enabled("cpu")
    assert (x @ x).dtype is core.float32 and not core.is_autocast_enabled("cpu")


def test_it_decorates_and_ends_when_an_error_passes():
    @core.autocast("cpu")
    def product(x):
        if x is None:
            raise ValueError("nothing")
        return x @ x

    assert product(core.ones(2, 2)).dtype is core.bfloat16
    with pytest.raises(ValueError, match="nothing"):
        product(None)
    assert not core.is_autocast_enabled("cpu")


def test_only_tensors_of_the_device_are_cast(monkeypatch):
    monkeypatch.setenv("UNISON_SIMULATED_GPUS", "1")
    x = core.ones(2, 2)
    with core.autocast("cuda"):
        assert (x @ x).dtype is core.float32
        assert (x.to("cuda") @ x.to("cuda")).dtype is core.float16
        assert x.to("cuda").half().exp().dtype is core.float32
        assert x.to("cuda").half().sum().dtype is core.float32


def test_losses_of_probabilities_are_refused_on_a_gpu_and_wide_on_the_cpu(monkeypatch):
    monkeypatch.setenv("UNISON_SIMULATED_GPUS", "1")
    p, target = core.tensor([0.25, 0.5]), core.tensor([0.0, 1.0])
    lose, module = core.nn.functional.binary_cross_entropy, core.nn.BCELoss()
    with core.autocast("cpu"):
        assert lose(p.bfloat16(), target).dtype is core.float32
    with core.autocast("cuda"):
        assert lose(p, target).dtype is core.float32  # tensors of the CPU are not its business
        for loss in (lose, module):
            with pytest.raises(RuntimeError, match=r"unsafe to autocast.*with_logits"):
                loss(p.cuda(), target.cuda())
        with pytest.raises(RuntimeError, match="unsafe to autocast"):
            lose(input=p.cuda(), target=target.cuda())
        with core.autocast("cuda", enabled=False):
            assert float(module(p.cuda(), target.cuda())) == float(lose(p, target))
    lose(p.cuda(), target.cuda())


class Counter:
    """How often a parameter is cast."""

    def __init__(self, monkeypatch):
        self.count, real = 0, core.Tensor.to

        def to(x, *args, **kwargs):
            self.count += 1
            return real(x, *args, **kwargs)

        monkeypatch.setattr(core.Tensor, "to", to)


@pytest.mark.parametrize(("cache", "casts"), [(None, 1), (True, 1), (False, 3)])
def test_a_parameter_is_cast_once_in_a_region(cache, casts, monkeypatch):
    w, x = core.ones(2, 2).requires_grad_(), core.ones(2, 2, dtype=core.bfloat16)
    counter = Counter(monkeypatch)
    with core.autocast("cpu", cache_enabled=cache):
        out = x @ w + x @ w + x @ w
    assert counter.count == casts
    out.sum().backward()
    assert w.grad.tolist() == [[6.0, 6.0], [6.0, 6.0]]


def test_a_parameter_that_was_written_is_cast_anew():
    w, x = core.ones(1, 1).requires_grad_(), core.ones(1, 1)
    with core.autocast("cpu"):
        assert (x @ w).item() == 1
        with core.no_grad():
            w.mul_(2)
        assert (x @ w).item() == 2
        with core.no_grad():
            assert not (x @ w).requires_grad
        assert (x @ w).requires_grad


def test_wrong_regions_are_refused():
    with pytest.raises(RuntimeError, match="unsupported autocast device_type 'tpu'"):
        core.autocast("tpu")
    with pytest.raises(ValueError, match="device_type"):
        core.autocast(3)
    with pytest.warns(UserWarning, match="target dtype is not supported"):
        region = core.autocast("cpu", dtype=core.float64)
    with region:
        assert not core.is_autocast_enabled("cpu")


def test_functions_with_gradients_of_their_own_keep_the_region():
    seen = []

    class Product(core.autograd.Function):
        @staticmethod
        @core.amp.custom_fwd(device_type="cpu")
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x @ w

        @staticmethod
        @core.amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            seen.append(core.is_autocast_enabled("cpu"))
            x, w = ctx.saved_tensors
            return g.float() @ w.T, x.T @ g.float()

    x = core.ones(2, 2).requires_grad_()
    with core.autocast("cpu"):
        out = Product.apply(x, x)
    assert out.dtype is core.bfloat16
    out.sum().backward()
    assert seen == [True]


# ---- the scaler ----


def scaled_run(module, pattern, **options):
    """The scales of a run in which `pattern` says which steps overflow."""
    p = module.tensor([1.0, 2.0]).requires_grad_()
    optimizer = module.optim.SGD([p], lr=0.1)
    scaler = module.amp.GradScaler("cpu", **options)
    seen = []
    for bad in pattern:
        optimizer.zero_grad()
        loss = (p * p).sum()
        scaler.scale(loss).backward()
        if bad:
            p.grad[0] = bad
        scaler.step(optimizer)
        scaler.update()
        seen.append((scaler.get_scale(), *p.tolist()))
    return seen, scaler.state_dict()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"growth_interval": 3},
        {"init_scale": 100.0, "growth_factor": 1.7, "backoff_factor": 0.3, "growth_interval": 2},
    ],
    ids=str,
)
def test_the_scale_moves_as_pytorchs(options):
    pattern = [0, 0, math.inf, 0, 0, 0, 0, math.nan, math.nan, 0, 0, 0, 0, 0, -math.inf, 0]
    ours, state = scaled_run(core, pattern, **options)
    theirs, their_state = scaled_run(torch, pattern, **options)
    assert state == their_state
    numpy.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_a_state_loads_and_goes_on():
    _, state = scaled_run(torch, [0, math.inf, 0], growth_interval=5)
    scaler = core.amp.GradScaler("cpu")
    scaler.load_state_dict(copy.deepcopy(state))
    assert scaler.state_dict() == state
    with pytest.raises(RuntimeError, match="empty"):
        scaler.load_state_dict({})


def test_the_scale_has_a_floor_and_hopeless_runs_end():
    with pytest.raises(RuntimeError) as error:
        scaled_run(core, [math.nan] * 50, min_scale=0.5, max_skipped=40)
    assert "40 steps in a row" in str(error.value) and "down to 0.5" in str(error.value)
    assert "parameter 0 of group 0, of shape (2,)" in str(error.value)


def test_the_first_parameter_that_is_not_finite_is_named():
    model = core.nn.Linear(2, 2)
    optimizer = core.optim.SGD(model.named_parameters(), lr=0.1)
    scaler = core.amp.GradScaler("cpu", max_skipped=1)
    scaler.scale(model(core.ones(1, 2)).sum()).backward()
    model.bias.grad[1] = math.inf
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"parameter 'bias' 1 of group 0, of shape \(2,\)"):
        scaler.update()


def test_a_skipped_step_leaves_everything_as_it_was():
    p = core.ones(2).requires_grad_()
    optimizer = core.optim.AdamW([p], lr=0.1)
    schedule = core.optim.lr_scheduler.StepLR(optimizer, 1)
    scaler = core.amp.GradScaler("cpu")
    scaler.scale(p.sum()).backward()
    p.grad[0] = math.inf
    assert scaler.step(optimizer) is None
    scaler.update()
    schedule.step()  # no warning: the training loop did call step
    assert p.tolist() == [1.0, 1.0] and not optimizer.state


def test_ranks_can_agree_that_a_step_is_left_out():
    p = core.ones(2).requires_grad_()
    optimizer = core.optim.SGD([p], lr=0.1)
    scaler = core.amp.GradScaler("cpu", max_skipped=2)
    asked = []
    handle = scaler.register_overflow_hook(lambda mine: asked.append(mine) or True)
    for message in (None, "on another rank"):
        optimizer.zero_grad()
        scaler.scale(p.sum()).backward()
        scaler.step(optimizer)
        if message:
            with pytest.raises(RuntimeError, match=message):
                scaler.update()
        else:
            scaler.update()
    assert asked == [False, False] and p.tolist() == [1.0, 1.0]
    handle.remove()
    scaler.step(optimizer)
    assert p.tolist() != [1.0, 1.0]


def test_unscaled_gradients_can_be_clipped_before_the_step():
    p = core.ones(2).requires_grad_()
    optimizer = core.optim.SGD([p], lr=1.0)
    scaler = core.amp.GradScaler("cpu", init_scale=4.0)
    scaler.scale((p * 3).sum()).backward()
    assert p.grad.tolist() == [12.0, 12.0]
    scaler.unscale_(optimizer)
    assert p.grad.tolist() == [3.0, 3.0]
    with pytest.raises(RuntimeError, match="already been called on this optimizer"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    assert p.tolist() == [-2.0, -2.0]
    with pytest.raises(RuntimeError, match="already been called since the last update"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"after step\(\)"):
        scaler.unscale_(optimizer)


def test_wrong_uses_of_the_scaler_raise():
    p = core.ones(2).requires_grad_()
    optimizer = core.optim.SGD([p], lr=1.0)
    scaler = core.amp.GradScaler("cpu")
    with pytest.raises(AssertionError, match=r"did not use scaler\.scale"):
        scaler.step(optimizer)
    with pytest.raises(ValueError, match="outputs must be a Tensor"):
        scaler.scale(3)
    scaler.scale([p.sum(), (p.sum(),)])
    with pytest.raises(RuntimeError, match="Closure"):
        scaler.step(optimizer, closure=lambda: 1)
    with pytest.raises(AssertionError, match="growth factor"):
        core.amp.GradScaler("cpu", growth_factor=1.0)
    half = core.ones(2, dtype=core.float16).requires_grad_()
    half.sum().backward()
    with pytest.raises(ValueError, match="unscale FP16"):
        scaler.unscale_(core.optim.SGD([half], lr=1.0))


def test_a_disabled_scaler_does_nothing():
    p = core.ones(2).requires_grad_()
    optimizer = core.optim.SGD([p], lr=1.0)
    scaler = core.amp.GradScaler("cpu", enabled=False)
    scaler.scale(p.sum()).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert p.tolist() == [0.0, 0.0] and scaler.get_scale() == 1.0 and scaler.state_dict() == {}


def test_a_half_loss_is_scaled_without_overflow():
    loss = core.tensor(3.0, dtype=core.float16)
    assert core.amp.GradScaler("cpu").scale(loss).item() == 3 * 2**16


def test_training_in_float16_follows_float32():
    losses = []
    for fast in (None, core.float16):
        model, _ = pair()
        optimizer = core.optim.AdamW(model.parameters(), lr=0.01)
        scaler = core.amp.GradScaler("cpu", init_scale=2.0**12, enabled=fast is not None)
        x, target = batch()
        for _ in range(40):
            optimizer.zero_grad()
            with core.autocast("cpu", dtype=fast, enabled=fast is not None):
                out = model(core.tensor(x))
                loss = core.nn.functional.cross_entropy(out, core.tensor(target))
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        losses.append(loss.item())
    assert losses[0] < 0.3
    assert losses[1] == pytest.approx(losses[0], rel=2e-2)
