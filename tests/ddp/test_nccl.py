"""The NCCL backend's host logic, on simulated GPUs with ranks as threads."""

import functools

import numpy as np
import pytest

import core
import ddp
from core import backend
from core.simulated.device import Task
from ddp.backends.nccl import NcclGroup, gpus_differ
from ddp.current_group import current_group, set_group
from ddp.group import ReduceOp

SIZE = 3


@pytest.fixture(autouse=True)
def gpus(monkeypatch):
    monkeypatch.setenv("UNISON_SIMULATED_GPUS", str(SIZE))


def on_ranks(fn, size=SIZE, **options):
    """The results of fn(group, cupy) on ranks that have a GPU each."""

    def rank():
        control = current_group()
        cp = backend.cuda_module()
        with cp.cuda.Device(control.rank):
            group = NcclGroup(control)
            try:
                return fn(group, cp)
            finally:
                if group.failure is None:
                    group.close()
                else:
                    group.watched.stop()

    return ddp.simulate(rank, size, **options)


def values(rank, n, dtype):
    return np.random.default_rng(rank).integers(-5, 5, n).astype(dtype)


# ---- results ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32", "int64", "uint8"])
@pytest.mark.parametrize("op", [ReduceOp.SUM, ReduceOp.MAX, ReduceOp.MIN, ReduceOp.PRODUCT])
def test_all_reduce_is_that_of_the_cpu(op, dtype):
    def fn(group, cp):
        mine = values(group.rank, 1000, dtype)
        on_gpu, on_cpu = cp.asarray(mine), mine.copy()
        group.all_reduce(on_gpu, op)
        group.all_reduce(on_cpu, op)
        np.testing.assert_array_equal(on_gpu.get(), on_cpu)

    on_ranks(fn)


def test_every_verb_of_gpu_arrays():
    def fn(group, cp):
        r = group.rank
        x = cp.full(4, r, "float32")
        group.all_reduce(x, ReduceOp.AVG)
        assert x.tolist() == [1.0] * 4
        x = cp.full((2, 2), r)
        group.broadcast(x, root=1)
        assert x.tolist() == [[1, 1], [1, 1]]
        out = cp.empty((SIZE, 2))
        group.all_gather_into_tensor(out, cp.full(2, float(r)))
        assert out.tolist() == [[float(i)] * 2 for i in range(SIZE)]
        outs = [cp.empty(2) for _ in range(SIZE)]
        group.all_gather(outs, cp.full(2, float(r)))
        assert [o.tolist() for o in outs] == [[float(i)] * 2 for i in range(SIZE)]
        part = cp.empty(2, "float32")
        group.reduce_scatter_tensor(part, cp.arange(2 * SIZE, dtype="float32"))
        assert part.tolist() == [SIZE * (2.0 * r), SIZE * (2.0 * r + 1)]
        x = cp.full(3, r + 1)
        group.reduce(x, root=2)
        assert x.tolist() == ([6] * 3 if r == 2 else [r + 1] * 3)
        several = [cp.full(2, r, "float32"), cp.full(3, r)]
        group.all_reduce_coalesced(several)
        assert [s.tolist() for s in several] == [[3.0] * 2, [3] * 3]
        group.broadcast_coalesced(several, root=0)
        group.barrier()

    on_ranks(fn)


def test_arrays_with_gaps_are_filled():
    def fn(group, cp):
        whole = cp.zeros((4, 4))
        part = whole[:, 1:3]
        part += group.rank
        group.all_reduce(part)
        assert whole[:, 1:3].tolist() == [[3.0, 3.0]] * 4 and whole[:, 0].tolist() == [0.0] * 4

    on_ranks(fn)


def test_the_cpus_arrays_and_objects_take_the_group_underneath():
    def fn(group, cp):
        x = np.full(3, group.rank)
        group.all_reduce(x)
        out = [None] * SIZE
        group.all_gather_object(out, group.rank)
        return x.tolist(), out

    assert on_ranks(fn) == [([3, 3, 3], [0, 1, 2])] * SIZE


def test_subgroups_have_a_communicator_of_their_own():
    def fn(group, cp):
        part = group.new_group([0, 2])
        if part is None:
            return None
        x = cp.full(2, group.rank + 1)
        part.all_reduce(x)
        part.close()
        return part.name, part.rank, x.tolist()

    assert on_ranks(fn) == [("nccl", 0, [4, 4]), None, ("nccl", 1, [4, 4])]


# ---- order: streams, events, references --------------------------------------------------------


def test_nccl_waits_for_what_was_computed_and_the_next_work_for_nccl():
    def fn(group, cp):
        with cp.cuda.Stream() as compute:
            before = Task()
            compute.add(before)  # a kernel that is still running
            x = group.module.ndarray(4, "float32")
            x.plain[...] = 1
            work = group.all_reduce(x, async_op=True)
            group.barrier()
            assert not group.stream.done and not work.done
            before.finish()
            work.wait()
            x *= 2  # on the compute stream, after NCCL
            assert work.done
        return x.tolist()

    assert on_ranks(fn) == [[6.0] * 4] * SIZE


def test_buffers_are_kept_until_their_event_has_passed():
    def fn(group, cp):
        task = Task()
        group.stream.add(task)  # NCCL cannot start yet
        group.all_reduce(cp.ones(8, "float32"), async_op=True)
        group.barrier()
        held = [arrays for _, _, _, arrays in group.watched.entries]
        assert len(held) == 1 and held[0][0].size == 8
        group.barrier()
        task.finish()
        group.stream.synchronize()
        assert group.watched.problem() is None and group.watched.entries == []

    on_ranks(fn)


def test_waiting_out_of_order_is_fine():
    def fn(group, cp):
        arrays = [cp.full(5, group.rank + i, "float32") for i in range(4)]
        works = [group.all_reduce(x, async_op=True) for x in arrays]
        for work in reversed(works):
            work.wait()
        return [x.tolist()[0] for x in arrays]

    assert on_ranks(fn) == [[3.0, 6.0, 9.0, 12.0]] * SIZE


# ---- mistakes and failures ---------------------------------------------------------------------


def test_ranks_that_disagree_are_told_before_nccl_is_called():
    def fn(group, cp):
        group.all_reduce(cp.ones(2 + group.rank, "float32"))

    with pytest.raises(ddp.CollectiveMismatchError, match="all_reduce"):
        on_ranks(fn)


def test_what_nccl_cannot_take_is_refused():
    def fn(group, cp):
        with pytest.raises(TypeError, match="AVG of int64"):
            group.all_reduce(cp.ones(2, "int64"), ReduceOp.AVG)
        with cp.cuda.Device((group.rank + 1) % SIZE):
            wrong = cp.ones(2)
        with pytest.raises(ValueError, match=f"expected an array on cuda:{group.rank}"):
            group.all_reduce(wrong)

    on_ranks(fn)


def test_past_the_deadline_nccl_is_aborted_and_the_group_has_failed():
    def fn(group, cp):
        group.stream.add(stuck := Task())  # one rank's GPU never comes to the collective
        group.timeout = 0.2
        work = group.all_reduce(cp.ones(2, "float32"), async_op=True)
        work.is_completed()
        group.barrier()
        group.watched.thread.join()
        stuck.finish()
        with pytest.raises(ddp.CollectiveTimeoutError, match=r"all_reduce.*on the GPU"):
            work.wait()
        with pytest.raises(ddp.CollectiveTimeoutError, match="failed before"):
            group.all_reduce(cp.ones(2, "float32"))

    with pytest.raises((ddp.CollectiveError, ddp.RankFailedError)):
        on_ranks(lambda group, cp: (fn(group, cp), group.barrier()))


def test_two_ranks_on_one_gpu_are_seen_and_refused():
    def rank():
        cp = backend.cuda_module()
        with cp.cuda.Device(0):
            differ = gpus_differ(current_group())
            with pytest.raises(cp.cuda.nccl.NcclError):
                NcclGroup(current_group())
        return differ

    assert ddp.simulate(rank, 2) == [False, False]


# ---- training ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hook, state",
    [
        (None, None),
        (ddp.fp16_compress_hook, ddp.ErrorFeedback),
        (ddp.topk_hook, functools.partial(ddp.TopKState, 0.3)),
        (ddp.powerSGD_hook, functools.partial(ddp.PowerSGDState, None, 1, 2, 1.0)),
    ],
)
@pytest.mark.parametrize("away", [0, 1])
def test_ddp_over_nccl_equals_ddp_over_the_cpu(hook, state, away):
    """Also where another GPU than the model's is the current one."""

    def train(device):
        core.manual_seed(0)
        model = core.nn.Sequential(core.nn.Linear(6, 8), core.nn.ReLU(), core.nn.Linear(8, 2))
        model = ddp.DistributedDataParallel(model.double().to(device))
        if hook is not None:
            model.register_comm_hook(state(), hook)
        optimizer = core.optim.SGD(model.parameters(), lr=0.1)
        rng = np.random.default_rng(ddp.get_rank())
        for _ in range(5):
            x = core.from_numpy(rng.standard_normal((4, 6))).to(device)
            optimizer.zero_grad()
            (model(x) ** 2).mean().backward()
            optimizer.step()
        return [p.detach().cpu().numpy() for p in model.parameters()]

    def fn(group, cp):
        control = group.control
        set_group(group)
        try:
            with cp.cuda.Device((group.rank + away) % SIZE):
                on_gpu = train(f"cuda:{group.rank}")
        finally:
            set_group(control)
        return on_gpu

    over_nccl = on_ranks(fn)
    over_cpu = ddp.simulate(lambda: train("cpu"), SIZE)
    for mine, theirs in zip(over_nccl, over_cpu, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
    for other in over_nccl[1:]:
        for a, b in zip(over_nccl[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
