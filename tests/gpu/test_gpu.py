"""On a real GPU: what simulated ones cannot show. `make gpu-test` runs these and all the others."""

import numpy
import pytest

import core
from core import backend, random, simulated
from tests.core import test_cuda_waits as waits

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def gpu():
    if simulated.count():
        pytest.skip("the GPUs are simulated")
    if not core.cuda.is_available():
        pytest.skip("no GPU, or no CuPy")
    return backend.cuda_module()


def test_random_numbers_have_the_cpus_bits(gpu):
    key = random.Key(seed=7, stream=1, offset=3)
    assert (random.bits(key, 1001, gpu).get() == random.bits(key, 1001)).all()
    for shape in [(), (5,), (3, 1000)]:
        ours = random.uniform(key, shape, xp=gpu).get()
        numpy.testing.assert_array_equal(ours, random.uniform(key, shape))
        masks = random.bernoulli(key, shape, 0.3, xp=gpu).get()
        numpy.testing.assert_array_equal(masks, random.bernoulli(key, shape, 0.3))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_repeated_places_have_the_same_sum_every_time(dtype):
    generator = numpy.random.default_rng(0)
    places = core.from_numpy(generator.integers(0, 50, 20_000)).cuda()
    values = core.from_numpy(generator.standard_normal((20_000, 8))).to(
        "cuda", getattr(core, dtype)
    )
    results = []
    for _ in range(5):
        table = core.zeros(50, 8, dtype=getattr(core, dtype), device="cuda", requires_grad=True)
        (g,) = core.autograd.grad((table[places] * values).sum(), [table])
        results.append(g.cpu())
    assert all((r == results[0]).all() for r in results)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(2, 3), (4, 2, 3), (2, 4, 2, 3)])
def test_products_of_matrices_and_their_gradients(dtype, shape):
    generator = numpy.random.default_rng(0)
    a = generator.standard_normal(shape).astype("float32")
    b = generator.standard_normal((*shape[:-2], shape[-1], 5)).astype("float32")
    found = []
    for device in ("cpu", "cuda"):
        x, y = (
            core.from_numpy(v).to(device, getattr(core, dtype)).requires_grad_() for v in (a, b)
        )
        out = x @ y
        found.append(
            [t.float().cpu().numpy() for t in (out, *core.autograd.grad(out.sum(), [x, y]))]
        )
    for mine, theirs in zip(*found, strict=True):
        numpy.testing.assert_allclose(mine, theirs, rtol=1e-2, atol=1e-2)


def test_views_of_memory_write_through_and_are_tracked():
    x = core.zeros(4, 4, device="cuda")
    core.as_strided(x, (4,), (5,)).fill_(1)
    assert x.sum().item() == 4 and x._version == 1
    x.t()[0] = 2
    assert x[:, 0].tolist() == [2, 2, 2, 2]


def test_streams_order_work_and_pinned_copies_arrive():
    side = core.cuda.Stream()
    source = core.arange(1 << 20, dtype=core.float32).pin_memory()
    with core.cuda.stream(side):
        x = source.to("cuda", non_blocking=True)
        y = x * 2
    core.cuda.current_stream().wait_stream(side)
    assert (y.cpu() == source * 2).all()
    start, end = core.cuda.Event(enable_timing=True), core.cuda.Event(enable_timing=True)
    start.record()
    (x @ x).item()
    end.record()
    end.synchronize()
    assert start.elapsed_time(end) > 0


def test_memory_is_counted_and_given_back():
    core.cuda.reset_peak_memory_stats()
    before = core.cuda.memory_allocated()
    x = core.zeros(1 << 22, device="cuda")
    assert core.cuda.memory_allocated() - before == 16 << 20
    del x
    assert core.cuda.memory_allocated() == before
    assert core.cuda.max_memory_allocated() >= before + (16 << 20)
    free, total = core.cuda.mem_get_info()
    with pytest.raises(core.cuda.OutOfMemoryError):
        core.empty(2 * total // 4, device="cuda")
    assert free <= total


def test_dlpack_shares_memory_with_torch_and_cupy(gpu):
    x = core.arange(4.0, device="cuda")
    y = gpu.from_dlpack(x)
    y += 1
    assert x.tolist() == [1, 2, 3, 4]
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    z = torch.from_dlpack(x)
    z += 1
    torch.cuda.synchronize()
    assert x.tolist() == [2, 3, 4, 5]
    assert core.from_dlpack(z).data_ptr() == x.data_ptr()


def test_nccl_reduces_on_one_rank():
    ddp = pytest.importorskip("ddp")
    try:
        group = ddp.init_process_group("nccl")
    except RuntimeError as error:
        pytest.skip(str(error))
    try:
        x = core.ones(1000, device="cuda")
        ddp.all_reduce(x)
        assert (x == 1).all() and group.name == "nccl"
    finally:
        ddp.destroy_process_group()


def test_failing_decompositions_raise():
    singular = core.zeros(3, 3, device="cuda")
    with pytest.raises(core.linalg.LinAlgError):
        core.linalg.inv(singular)
    with pytest.raises(core.linalg.LinAlgError):
        core.linalg.cholesky(singular - core.eye(3, device="cuda"))


@pytest.mark.filterwarnings("ignore:cupyx.allow_synchronize")
@pytest.mark.parametrize("name", waits.MODELS)
def test_training_waits_for_nothing(name, monkeypatch):
    monkeypatch.setattr(waits, "DEVICE", "cuda:0")
    waits.never_waits(waits.MODELS[name]())


@pytest.mark.filterwarnings("ignore:cupyx.allow_synchronize")
@pytest.mark.parametrize("name", waits.OPS)
def test_ops_and_gradients_wait_for_nothing(name, monkeypatch):
    monkeypatch.setattr(waits, "DEVICE", "cuda:0")
    waits.ops_wait_for_nothing(name)
