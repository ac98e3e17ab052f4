"""core.cuda, on simulated GPUs: what PyTorch's names mean; what is said where there is no GPU."""

import importlib.metadata
import os
import subprocess
import sys
import threading
import warnings

import numpy
import pytest

import core
from core import backend, pinned, random
from core.simulated.device import Task
from core.simulated.memory import pool


@pytest.fixture
def gpus(monkeypatch):
    monkeypatch.setenv("UNISON_SIMULATED_GPUS", "2")
    with core.cuda.device(0):
        yield 2


def run(code, **environment):
    """What a fresh Python prints."""
    env = {k: v for k, v in os.environ.items() if k != "UNISON_SIMULATED_GPUS"} | environment
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    ).stdout.strip()


# ---- devices ----------------------------------------------------------------------------------


def test_devices_are_counted_chosen_and_described(gpus):
    assert core.cuda.is_available() and core.cuda.device_count() == 2
    assert core.cuda.current_device() == 0
    core.cuda.set_device(1)
    assert core.cuda.current_device() == 1
    assert core.ones(2, device="cuda").device == core.device("cuda:1")
    with core.cuda.device(0):
        assert core.ones(2, device="cuda").device == core.device("cuda:0")
    assert core.cuda.current_device() == 1
    core.cuda.set_device(core.device("cuda:0"))
    found = core.cuda.get_device_properties(1)
    assert found.name == core.cuda.get_device_name(1) == "simulated GPU"
    assert core.cuda.get_device_capability() == (found.major, found.minor) == (9, 0)
    assert core.cuda.is_initialized() and not core.cuda.can_device_access_peer(0, 1)
    core.cuda.synchronize()


def test_without_a_gpu_its_memory_is_empty_and_can_be_emptied():
    code = (
        "import core.cuda as c; c.empty_cache()\n"
        "print(c.memory_allocated(), c.memory_reserved(), c.max_memory_allocated())"
    )
    assert run(code, CUDA_VISIBLE_DEVICES="") == "0 0 0"


def test_the_old_names_of_mixed_precision_mean_the_gpu(gpus):
    with core.cuda.amp.autocast(dtype=core.bfloat16):
        x = core.ones(2, 2, device="cuda")
        assert (x @ x).dtype == core.bfloat16
        assert (x.cpu() @ x.cpu()).dtype == core.float32
    assert issubclass(core.cuda.amp.GradScaler, core.amp.GradScaler)


def test_a_negative_index_changes_nothing(gpus):
    with core.cuda.device(-1):
        assert core.cuda.current_device() == 0
    core.cuda.set_device(-1)
    assert core.cuda.current_device() == 0


@pytest.mark.parametrize("wrong", [2, "cuda:7", core.device("cuda:3")])
def test_a_gpu_that_is_not_there_is_named(gpus, wrong):
    with pytest.raises(RuntimeError, match=r"invalid device ordinal: cuda:.*visible devices: 2"):
        core.cuda.set_device(wrong)


def test_the_cpu_is_no_gpu(gpus):
    with pytest.raises(ValueError, match="Expected a cuda device, but got: cpu"):
        core.cuda.synchronize("cpu")


# ---- without a GPU ----------------------------------------------------------------------------


def test_importing_loads_no_gpu_library():
    code = "import sys, core, ddp; print([m for m in sys.modules if m.split('.')[0] in %r])"
    assert run(code % (("cupy", "cupyx", "cupy_backends", "mpi4py"),)) == "[]"


@pytest.mark.skipif(backend.device_count() > 0, reason="there is a GPU")
def test_without_a_gpu_one_sentence_says_so():
    code = (
        "import core\n"
        "print(core.cuda.is_available(), core.cuda.device_count())\n"
        "try: core.ones(2, device='cuda')\n"
        "except RuntimeError as error: print(error)"
    )
    available, said = run(code).split("\n")
    assert available == "False 0"
    assert said.startswith("cuda ") and ("CuPy" in said or "no GPU" in said)


def distribution(folder, name):
    info = folder / f"{name.replace('-', '_')}-14.2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 14.2.0\n")


def test_two_cupy_packages_are_named_in_one_warning(tmp_path, monkeypatch):
    for name in ("cupy-cuda12x", "cupy-cuda13x", "cupyx-lookalike"):
        distribution(tmp_path, name)
    monkeypatch.setattr(importlib.metadata, "distributions", _found_in(tmp_path))
    assert backend.cupy_distributions() == ["cupy-cuda12x 14.2.0", "cupy-cuda13x 14.2.0"]
    monkeypatch.setattr(backend, "_cuda", None)
    monkeypatch.setattr(backend.importlib, "import_module", _stand_in)
    monkeypatch.setattr(backend, "MODULE_OF", dict(backend.MODULE_OF))
    monkeypatch.delenv("UNISON_SIMULATED_GPUS", raising=False)
    with pytest.warns(UserWarning, match="cupy-cuda12x 14.2.0, cupy-cuda13x 14.2.0") as caught:
        backend.cuda_module()
    backend.cuda_module()
    assert len(caught) == 1


@pytest.mark.parametrize("name", ["cupy", "cupy-cuda11x", "CuPy_CUDA13x", "cupy-rocm-5-0"])
def test_any_one_cupy_package_is_found_and_nothing_is_said(name, tmp_path, monkeypatch):
    distribution(tmp_path, name)
    monkeypatch.setattr(importlib.metadata, "distributions", _found_in(tmp_path))
    monkeypatch.setattr(backend, "_cuda", None)
    monkeypatch.setattr(backend.importlib, "import_module", _stand_in)
    monkeypatch.setattr(backend, "MODULE_OF", dict(backend.MODULE_OF))
    monkeypatch.delenv("UNISON_SIMULATED_GPUS", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backend.cuda_module()
    assert len(backend.cupy_distributions()) == 1


def _found_in(folder):
    real = importlib.metadata.distributions
    return lambda: real(path=[str(folder)])


def _stand_in(name, real=importlib.import_module):
    return real("core.simulated.cupy" if name == "cupy" else name)


# ---- streams and events -----------------------------------------------------------------------


def test_work_goes_to_the_stream_of_the_context(gpus):
    side = core.cuda.Stream()
    assert core.cuda.current_stream() == core.cuda.default_stream() != side
    with core.cuda.stream(side):
        assert core.cuda.current_stream() == side
        with core.cuda.stream(None):
            assert core.cuda.current_stream() == side
    assert core.cuda.current_stream() == core.cuda.default_stream()
    other = core.cuda.Stream(device=1)
    with core.cuda.stream(other):
        assert core.cuda.current_device() == 1 and core.cuda.current_stream() == other
    assert core.cuda.current_device() == 0


def test_streams_wait_for_events_of_others(gpus):
    first, second = core.cuda.Stream(), core.cuda.Stream()
    task = Task()
    first.array_stream.add(task)
    event = first.record_event()
    second.wait_event(event)
    assert not event.query() and not first.query() and not second.query()
    task.finish()
    assert event.query() and first.query() and second.query()
    second.wait_stream(first)
    event.synchronize()
    first.synchronize()


def test_times_are_kept_only_when_asked_for(gpus):
    start, end = core.cuda.Event(enable_timing=True), core.cuda.Event(enable_timing=True)
    start.record()
    end.record()
    assert start.elapsed_time(end) >= 0
    plain = core.cuda.Event()
    assert plain.query()
    with pytest.raises(ValueError, match="enable_timing=True"):
        start.elapsed_time(plain)


# ---- memory -----------------------------------------------------------------------------------


def test_memory_is_counted_per_gpu(gpus):
    before = [core.cuda.memory_allocated(i) for i in (0, 1)]
    core.cuda.reset_peak_memory_stats(1)
    x = core.zeros(1 << 20, device="cuda:1")
    taken = core.cuda.memory_allocated(1) - before[1]
    assert taken == 4 << 20 and core.cuda.memory_allocated(0) == before[0]
    del x
    assert core.cuda.memory_allocated(1) == before[1]
    assert core.cuda.max_memory_allocated(1) >= before[1] + taken
    assert core.cuda.memory_reserved(1) >= before[1] + taken
    with core.cuda.device(1):
        core.cuda.empty_cache()
    assert core.cuda.memory_reserved(1) == before[1]
    free, total = core.cuda.mem_get_info(1)
    assert 0 < free <= total
    core.cuda.reset_peak_memory_stats(1)
    assert core.cuda.max_memory_allocated(1) == before[1]


def test_running_out_of_memory_has_its_error(gpus):
    core.cuda.set_per_process_memory_fraction(1e-6, 1)
    try:
        with pytest.raises(core.cuda.OutOfMemoryError, match="Out of memory allocating"):
            core.zeros(1 << 20, device="cuda:1")
    finally:
        core.cuda.set_per_process_memory_fraction(0.0, 1)
    with pytest.raises(ValueError, match="Allowed range: 0~1"):
        core.cuda.set_per_process_memory_fraction(2)


def test_no_cycle_keeps_a_graphs_memory(gpus):
    before = core.cuda.memory_allocated()
    w = core.randn(64, 64, device="cuda", requires_grad=True)
    (w @ w).tanh().sum().backward()
    del w
    assert core.cuda.memory_allocated() == before


# ---- copies -----------------------------------------------------------------------------------


def test_copies_from_pinned_memory_wait_for_nothing_and_keep_their_source(gpus):
    x = core.arange(6.0)
    assert not x.is_pinned()
    y = x.pin_memory()
    assert y.is_pinned() and y[1:].is_pinned() and y.pin_memory() is y and not x.is_pinned()
    on_gpu = y.to("cuda", non_blocking=True)
    assert on_gpu.device == core.device("cuda:0") and on_gpu.cpu().tolist() == x.tolist()
    assert any(kept is y.array for _, kept in pinned.in_flight)
    assert y[::2].cuda(non_blocking=True).tolist() == [0, 2, 4]
    with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
        on_gpu.pin_memory()


def test_gradients_pass_through_copies_from_pinned_memory(gpus):
    x = core.ones(3).pin_memory().requires_grad_()
    (x.to("cuda", non_blocking=True) * 2).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_values_cross_devices_and_dlpack(gpus):
    x = core.arange(4.0, device="cuda:0")
    y = x.to("cuda:1")
    assert y.device == core.device("cuda:1") and y.tolist() == x.tolist()
    z = core.from_dlpack(x)
    z += 1
    assert x.tolist() == [1, 2, 3, 4]
    assert x.__dlpack_device__() == (2, 0)


def test_random_bits_are_the_cpus(gpus):
    key, cp = random.Key(seed=3, stream=1, offset=2), backend.simulated.module()
    numpy.testing.assert_array_equal(random.bits(key, 101, cp).get(), random.bits(key, 101))
    core.manual_seed(5)
    on_gpu = core.randn(100, device="cuda")
    core.manual_seed(5)
    numpy.testing.assert_array_equal(on_gpu.cpu().numpy(), core.randn(100).numpy())


# ---- the stand-in refuses what a GPU refuses ---------------------------------------------------


def bfloat16(cp):
    return cp.zeros((2, 2, 2), core.bfloat16.numpy)


def refusals(cp):
    a, n = cp.arange(3.0), numpy.arange(3.0)
    with cp.cuda.Device(1):
        b = cp.arange(3.0)
    return {
        "numpy on the right": (TypeError, lambda: a + n),
        "numpy on the left": (TypeError, lambda: n + a),
        "numpy's functions": (TypeError, lambda: numpy.concatenate([a, a])),
        "numpy in a list": (TypeError, lambda: cp.concatenate([a, n])),
        "implicit conversion": (TypeError, lambda: numpy.asarray(a)),
        "another device": (ValueError, lambda: a + b),
        "objects": (ValueError, lambda: cp.array([object()])),
        "texts": (ValueError, lambda: cp.array(["a"])),
        "where=": (TypeError, lambda: cp.add(a, a, where=a > 1)),
        "casting in sum": (TypeError, lambda: a.sum(initial=3)),
        "an index": (TypeError, lambda: [1, 2][cp.asarray(1)]),
        "unordered sums": (TypeError, lambda: cp.add.at(a, cp.asarray([0, 0]), 1.0)),
        "products at": (NotImplementedError, lambda: cp.multiply.at(a, cp.asarray([0]), 2)),
        "writing numpy": (ValueError, lambda: a.__setitem__(slice(None), n)),
        "a name beyond": (AttributeError, lambda: cp.vectorize),
        "a plain condition": (AttributeError, lambda: cp.where(True, a, 0)),
        "bfloat16 over 3 axes": (TypeError, lambda: cp.matmul(*[bfloat16(cp)] * 2)),
        "bytes of another dtype": (TypeError, lambda: a.set(numpy.arange(3))),
        "bytes into gaps": (
            RuntimeError,
            lambda: cp.zeros((4, 4))[:, ::2].set(numpy.zeros((4, 2))),
        ),
        "integers that do not fit": (OverflowError, lambda: cp.arange(3, dtype=cp.int8) + 300),
    }


def test_the_stand_in_refuses(gpus):
    for what, (error, call) in refusals(backend.simulated.module()).items():
        with pytest.raises(error):
            call()
            pytest.fail(what)


def test_results_of_the_stand_in_are_arrays_never_scalars(gpus):
    cp = backend.simulated.module()
    a = cp.arange(6.0).reshape(2, 3)
    for x in (a.sum(), a[0, 0], a.max(0), cp.sqrt(a[1, 1]), a[0, 1] * 2):
        assert type(x) is cp.ndarray
    view = a[0, 0]
    view += 5
    assert float(a[0, 0]) == 5
    assert cp.asarray([1, 2, 3])[cp.asarray([4])].tolist() == [2]  # wrapped round, not checked


def test_a_block_that_is_freed_in_the_midst_of_an_allocation_is_counted(gpus, monkeypatch):
    before = core.cuda.memory_allocated()
    held = [core.ones(128, device="cuda")]

    class Limits(dict):
        def get(self, *args):
            held.clear()
            return super().get(*args)

    monkeypatch.setattr(pool, "_limit", Limits())
    thread = threading.Thread(target=core.ones, args=(128,), kwargs={"device": "cuda"}, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), "the allocation waits for itself"
    assert held == [] and core.cuda.memory_allocated() == before


def test_every_gpu_has_a_null_stream_of_its_own(gpus):
    cp, task = backend.simulated.module(), Task()
    with cp.cuda.Device(1):
        cp.cuda.Stream.null.add(task)
        assert not cp.cuda.get_current_stream().done
    assert cp.cuda.get_current_stream().done
    core.cuda.synchronize(0)
    task.finish()
    core.cuda.synchronize(1)


def test_reading_numbers_waits_for_the_gpu_that_holds_them(gpus):
    cp, x = backend.simulated.module(), core.zeros(1, device="cuda:0")

    class Writing(Task):
        def wait(self):
            x.array.plain[...] = 7
            self.finish()

    for read in (core.Tensor.tolist, core.Tensor.item, core.Tensor.cpu):
        x.array.plain[...] = 0
        cp.cuda.Stream.null.add(Writing())
        with core.cuda.device(1):
            assert numpy.asarray(read(x)).item() == 7
