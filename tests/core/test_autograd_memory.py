"""Graphs: deep ones do not recurse, and each dies by reference count, garbage collector off."""

import contextlib
import gc
import threading
import tracemalloc
import weakref

import numpy
import pytest

import core
import core.nn
from core.autograd.value import leaf_of

DEEP = 50_000


@contextlib.contextmanager
def no_collector():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_a_deep_graph_is_differentiated_without_recursion():
    x = core.ones(1, requires_grad=True)
    y = x
    for _ in range(DEEP):
        y = y + 1
    y.backward()
    assert x.grad.item() == 1
    del y


def test_a_deep_graph_that_was_never_used_is_deleted_without_recursion():
    x = core.ones(1, requires_grad=True)
    y = x
    for _ in range(DEEP):
        y = (y * x).view(1)
    del y


def test_a_deep_graph_of_writes_in_place():
    x = core.ones(2, dtype=core.float64, requires_grad=True)
    y = x * 1
    for _ in range(2000):
        y[0].mul_(1.0001)
    y.sum().backward()
    assert abs(x.grad[0].item() - 1.0001**2000) < 1e-9 and x.grad[1].item() == 1


class Square(core.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x * x
        ctx.save_for_backward(x, y)
        return y, x * 2

    @staticmethod
    def backward(ctx, g, h):
        x, _ = ctx.saved_tensors
        return g * 2 * x + h * 2


def hooked(x):
    y = x * 2
    y.register_hook(lambda g: g)
    y.retain_grad()
    return y.exp()


def written(x):
    y = x * 2
    y[1:].mul_(x[1:])
    y.tanh_()
    return y


def penalised(x):
    (g,) = core.autograd.grad((x**3).sum(), x, create_graph=True)
    return g * x


BUILDERS = {
    "saved input": lambda x: x * x,
    "saved output": lambda x: x.exp().tanh().sqrt(),
    "view": lambda x: x.view(2, 2)[0] * 2,
    "write in place": written,
    "hooks": hooked,
    "function": lambda x: Square.apply(x)[0] * Square.apply(x)[1],
    "second order": penalised,
    "recomputed": lambda x: core.checkpoint(lambda t: (t * 2).exp(), x),
    "matmul": lambda x: x.view(2, 2) @ x.view(2, 2).t(),
}


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", BUILDERS)
def test_a_graph_dies_by_reference_count(name, backward):
    x = core.tensor([0.1, 0.2, 0.3, 0.4], requires_grad=True)
    with no_collector():
        y = BUILDERS[name](x).sum()
        node, value = weakref.ref(y.grad_fn), weakref.ref(y)
        inner = weakref.ref(y.grad_fn.next_functions[0][0])
        if backward:
            y.backward()
        del y
        assert node() is None and value() is None and inner() is None


def test_backward_frees_what_was_saved():
    x = core.ones(4, requires_grad=True)
    with no_collector():
        h = x * 2
        saved = weakref.ref(h)
        y = (h * h).sum()
        del h
        assert saved() is not None
        y.backward()
        assert saved() is None


def test_add_keeps_no_operand_and_a_frozen_weight_frees_its_input():
    x, w = core.ones(2, 2, requires_grad=True), core.ones(2, 2)
    with no_collector():
        h = x * 1
        seen = weakref.ref(h)
        y = h + 1
        del h
        assert seen() is None
        h = x * 1
        seen = weakref.ref(h)
        y = h @ w
        del h
        assert seen() is None and y.requires_grad


def test_threads_have_their_own_modes_and_run_their_own_backward():
    results, errors = {}, []
    barrier = threading.Barrier(4)

    def work(i):
        try:
            barrier.wait()
            x = core.full((50,), float(i), requires_grad=True)
            for _ in range(20):
                with core.no_grad():
                    assert not (x * 2).requires_grad
                assert core.is_grad_enabled()
                y = x
                for _ in range(10):
                    y = y * 1 + x
                y.sum().backward()
            results[i] = x.grad
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert all((g == 220).all() for g in results.values()) and len(results) == 4


def test_no_grad_in_one_thread_is_not_seen_by_another():
    inside, go_on = threading.Event(), threading.Event()

    def work():
        with core.no_grad():
            inside.set()
            go_on.wait()

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    try:
        assert (core.ones(1, requires_grad=True) * 2).requires_grad
    finally:
        go_on.set()
        thread.join()


USES = {
    "once": lambda w, x: core.nn.functional.linear(x, w).sum(),
    "twice": lambda w, x: core.nn.functional.linear(core.nn.functional.linear(x, w), w).sum(),
    "by itself": lambda w, x: core.nn.functional.linear(w, w).sum(),
    "in another way": lambda w, x: (core.nn.functional.linear(x, w) ** 2).sum() + (w * 3).sum(),
    "rows of rows": lambda w, x: core.nn.functional.linear(x.expand(2, 5, 4), w).square().sum(),
}


@pytest.mark.parametrize("dtype", [core.float32, core.float64, core.float16])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_gradient_that_has_a_home_lies_there_with_the_bits_that_it_has_elsewhere(
    use, times, dtype
):
    x = (core.arange(20).reshape(5, 4) / 7).to(dtype)
    w, plain = ((core.arange(16).reshape(4, 4) / 9).to(dtype).requires_grad_() for _ in range(2))
    home = leaf_of(w).home = numpy.full((4, 4), numpy.nan, w.array.dtype)
    for _ in range(times):
        use(w, x).backward()
        use(plain, x).backward()
    assert w.grad.array is home
    assert home.tobytes() == plain.grad.array.tobytes()


def test_only_what_a_leaf_gathers_is_written_to_its_home():
    x, w = core.ones(5, 4), core.ones(4, 4, requires_grad=True)
    leaf_of(w).home = numpy.full((4, 4), 7, numpy.float32)
    (g,) = core.autograd.grad(USES["once"](w, x), w)
    assert (g == 5).all() and (leaf_of(w).home == 7).all()
    handle = w.register_hook(lambda g: g * 2)
    USES["once"](w, x).backward()
    assert (w.grad == 10).all() and w.grad.array is leaf_of(w).home
    handle.remove()
    w.grad = None
    USES["once"](w, x).backward(create_graph=True)
    assert (w.grad == 5).all() and w.grad.array is not leaf_of(w).home


@pytest.mark.parametrize(
    "cut", [lambda a: core.from_numpy(a[1:]), lambda a: core.from_numpy(a)[1:]]
)
def test_an_assigned_gradient_stays_in_the_memory_that_it_was_given(cut):
    x, flat = core.ones(3, requires_grad=True), numpy.zeros(4, "f")
    part = cut(flat)
    for optimizer in (core.optim.SGD([x], lr=0.1), None):
        x.grad = part
        (x * x).sum().backward()
        if optimizer is None:
            x.grad = None
        else:
            optimizer.zero_grad()
    assert flat.tolist() == [0, 4, 4, 4]


# ---- gradients that are written over -----------------------------------------------------------

LARGE = (8, 8, 64, 64)


def pooled(r):
    return core.nn.functional.max_pool2d(r, 2)


def kept_by_a_hook(x, kept):
    r = x.mul(2).relu()
    r.register_hook(lambda g: kept.append((g, g.clone())))
    return pooled(r)


def kept_by_the_node(x, kept):
    y = pooled(x.mul(2).relu())
    y.grad_fn.register_hook(lambda ins, outs: kept.append((ins[0], ins[0].clone())))
    return y


FORMS = {
    "alone": lambda x, kept: pooled(x.mul(2).relu()),
    "on two edges": lambda x, kept: pooled(x.mul(2).relu() + x.mul(-3).relu()),
    "with another": lambda x, kept: (lambda r: pooled(r) * pooled(r * 3))(x.mul(2).relu()),
    "relu twice": lambda x, kept: pooled(x.mul(2).relu().relu()),
    "kept by a hook": kept_by_a_hook,
    "kept by a hook of the node": kept_by_the_node,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("times", [1, 2])
def test_a_gradient_is_written_over_only_where_nobody_else_has_it(form, times):
    x = core.from_numpy(numpy.random.default_rng(0).standard_normal(LARGE).astype("f"))
    w = core.from_numpy(numpy.random.default_rng(1).standard_normal((8, 8, 32, 32)).astype("f"))
    x.requires_grad_()
    kept = []
    loss = (FORMS[form](x, kept) * w).sum()
    (want,) = core.autograd.grad(loss, [x], retain_graph=True)
    seen = [then for _, then in kept]
    kept.clear()
    for i in range(times):
        x.grad = None
        loss.backward(retain_graph=i < times - 1)
        assert numpy.array_equal(x.grad.numpy(), want.numpy())
    assert bool(kept) == form.startswith("kept")
    for (_, then), before in zip(kept, seen * times, strict=True):
        assert numpy.array_equal(then.numpy(), before.numpy())
    assert all(numpy.array_equal(now.numpy(), then.numpy()) for now, then in kept[-1:])


def peak_of_backward(hooked):
    x = core.ones(LARGE[1:], requires_grad=True)
    r = (core.zeros(LARGE) + x).relu()
    if hooked:
        r.register_hook(lambda g: None)
    y = pooled(r)
    w = core.ones(y.shape)
    tracemalloc.start()
    y.backward(w)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_a_large_gradient_is_written_over_where_it_can_be():
    assert peak_of_backward(hooked=True) - peak_of_backward(hooked=False) > 3 * 8 * 8 * 64 * 64


@pytest.mark.parametrize(
    ("write", "copies"),
    [
        (lambda y: y.relu_(), 0),
        (lambda y: y.add_(y), 0),
        (lambda y: y.mul_(2.0), 0),
        (lambda y: y.div_(2.0), 0),
        (lambda y: y.sigmoid_(), 0),
        # Of these the slope asks for the input.
        (lambda y: core.nn.functional.relu6(y, inplace=True), 1),
        (lambda y: core.nn.functional.silu(y, inplace=True), 1),
        (lambda y: core.nn.functional.elu(y, inplace=True), 1),
        (lambda y: core.nn.functional.leaky_relu(y, inplace=True), 1),
        (lambda y: core.nn.functional.hardswish(y, inplace=True), 1),
    ],
    ids="relu add mul div sigmoid relu6 silu elu leaky_relu hardswish".split(),
)
def test_a_write_in_place_takes_new_memory_only_for_what_a_slope_asks_for(write, copies):
    x = core.from_numpy(numpy.linspace(-4, 4, 1 << 19, dtype="f"))  # many pieces
    x.requires_grad_()
    write(x * 1).sum().backward()  # the pattern of arguments is met for the first time
    want = write((x * 1).detach())
    y = x * 1
    array, before = y.array, y._version
    tracemalloc.start()
    write(y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert copies * y.nbytes <= peak < (copies + 0.5) * y.nbytes
    assert y.array is array and y._version == before + 1
    assert numpy.array_equal(y.detach().numpy(), want.numpy())
    g, x.grad = x.grad, None
    y.sum().backward()
    assert numpy.array_equal(x.grad.numpy(), g.numpy())
