"""The laws of process groups hold for arrays of GPUs: by NCCL, and by the host where GPUs are few.

The ranks are threads, each with a simulated GPU of its own, or all with the same one.
"""

import dataclasses
import functools

import numpy as np
import pytest

import core
import ddp
from core import backend
from core.pinned import is_pinned
from ddp.backends import by_host
from ddp.backends.by_host import HostGroup
from ddp.backends.nccl import NcclGroup
from ddp.current_group import current_group, set_group
from ddp.group import P2POp, ProcessGroup
from ddp.lifecycle import for_gpus
from tests.ddp import laws

SIZES = [1, 2, 3]


@pytest.fixture(autouse=True)
def gpus(monkeypatch):
    monkeypatch.setenv("UNISON_SIMULATED_GPUS", str(max(SIZES)))


def put(array):
    """A GPU's array that equals NumPy's and lies in memory as it does."""
    cp = backend.cuda_module()
    if array.ndim and array.strides[0] < 0:
        return put(array[::-1])[::-1]
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        return put(array.T).T
    if array.flags.c_contiguous:
        return cp.asarray(array)
    wide = cp.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = cp.asarray(np.ascontiguousarray(array))
    return wide[..., ::2]


class Waiting:
    """A work whose end brings the GPU's results back into NumPy's arrays."""

    def __init__(self, work, pairs):
        self.work, self.pairs = work, pairs

    def wait(self):
        self.work.wait()
        for mine, theirs in self.pairs:
            if mine.flags.writeable:
                mine[...] = theirs.get()
        return True

    def is_completed(self):
        return self.work.is_completed()

    def source_rank(self):
        return self.work.source_rank()


class OnGpu:
    """A group whose verbs see copies on the GPU of the arrays they are given."""

    def __init__(self, group):
        self.group = group

    def __getattr__(self, name):
        found = getattr(self.group, name)
        if name.startswith("_") or not callable(found) or not hasattr(ProcessGroup, name):
            return found
        return functools.partial(self.call, name)

    def call(self, name, *args, **kwargs):
        pairs = []
        args = [self.moved(x, pairs) for x in args]
        out = getattr(self.group, name)(*args, **kwargs)
        if isinstance(out, list):
            return [Waiting(work, pairs) for work in out]
        if kwargs.get("async_op") or name in ("isend", "irecv"):
            return Waiting(out, pairs)
        for mine, theirs in pairs:
            mine[...] = theirs.get()
        return out

    def moved(self, x, pairs):
        if isinstance(x, np.ndarray):
            pairs.append((x, put(x)))
            return pairs[-1][1]
        if isinstance(x, P2POp):
            return dataclasses.replace(x, array=self.moved(x.array, pairs))
        return [self.moved(y, pairs) for y in x] if isinstance(x, (list, tuple)) else x


def nccl():
    return NcclGroup(current_group())


def by_one_gpu():
    return HostGroup(current_group())


def on_ranks(law, size, make, *args, timeout=20.0):
    """Nothing; the law holds for a group that each rank makes on its GPU."""

    def rank():
        cp = backend.cuda_module()
        with cp.cuda.Device(current_group().rank if make is nccl else 0):
            group = make()
            law(OnGpu(group), *args)
            group.close()

    ddp.simulate(rank, size, timeout=timeout)


KINDS = [nccl, by_one_gpu]
# Seconds until a simulation ends in which one rank was refused and the other waits on its GPU.
REFUSED = 3.0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("law", laws.CASE_LAWS, ids=lambda law: law.__name__)
def test_law_of_cases(law, make, size):
    for case in laws.fixed_cases(10):
        on_ranks(law, size, make, case)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_many_works_are_waited_for_in_any_order(make, size):
    on_ranks(laws.asynchronous_calls_finish_in_any_order, size, make, laws.fixed_cases(1)[0])


def test_arrays_of_a_shared_gpu_reach_the_group_as_pinned_memory(monkeypatch):
    seen = []

    def rank():
        cp = backend.cuda_module()
        group = HostGroup(current_group())
        plain = group.control.check_output
        monkeypatch.setattr(
            group.control, "check_output", lambda op, x, *a: (seen.append(x), plain(op, x, *a))[1]
        )
        x = cp.full(4, 1.0 + group.rank)
        group.all_reduce(x)
        assert x.tolist() == [3.0] * 4
        group.close()

    ddp.simulate(rank, 2)
    assert len(seen) == 2 and all(type(x) is np.ndarray and is_pinned(x) for x in seen)


def test_no_verb_of_arrays_is_forgotten():
    """Every verb that takes arrays has a way by the host, and NCCL's group its own."""
    verbs = set(by_host.WRITES)
    assert verbs <= set(dir(ProcessGroup))
    taken = {n for n in vars(HostGroup) if n in verbs}
    assert taken == verbs


def test_tensors_on_a_shared_gpu_train_together_and_one_line_says_how(capsys, monkeypatch):
    def rank():
        with backend.cuda_module().cuda.Device(0):
            group = for_gpus(current_group())
            assert isinstance(group, HostGroup) and group.name == "thread"
            x = core.ones(3, device="cuda:0") * (1 + group.rank)
            group.all_reduce(x.array)
            group.close()
            return x.tolist()

    assert ddp.simulate(rank, 2) == [[3.0] * 3] * 2
    said = capsys.readouterr().err
    assert said.count("ddp: several of 2 ranks have one GPU") == 1


# ---- messages of two ranks ---------------------------------------------------------------------


def test_a_batch_of_another_shape_is_refused():
    def law(group):
        way, n = ("isend", 4) if group.rank == 0 else ("irecv", 5)
        group.batch_isend_irecv([P2POp(way, np.ones(n), 1 - group.rank)])[0].wait()
        group.barrier()

    with pytest.raises(ddp.CollectiveMismatchError, match=r"expected float64 \(5,\) in a batch"):
        on_ranks(law, 2, nccl, timeout=REFUSED)


@pytest.mark.parametrize("batched", [0, 1])
def test_a_batch_on_one_side_alone_is_refused(batched):
    def law(group):
        other = 1 - group.rank
        if group.rank == batched:
            way = "irecv" if group.rank else "isend"
            group.batch_isend_irecv([P2POp(way, np.ones(4), other)])[0].wait()
        else:
            (group.recv if group.rank else group.send)(np.ones(4), other)
        group.barrier()

    with pytest.raises(ddp.CollectiveMismatchError, match="in a batch on GPUs"):
        on_ranks(law, 2, nccl, timeout=REFUSED)


def test_messages_that_cross_travel_when_they_are_batched():
    def law(group):
        other = 1 - group.rank
        mine, got = np.full(9, group.rank), np.empty(9, int)
        ops = [P2POp("isend", mine, other), P2POp("irecv", got, other)]
        for work in group.batch_isend_irecv(ops):
            work.wait()
        assert (got == other).all()

    on_ranks(law, 2, nccl)


def test_the_function_hands_its_batch_to_nccl(monkeypatch):
    monkeypatch.setattr(NcclGroup, "by_host", None)

    def law(group):
        set_group(group.group)
        try:
            device = f"cuda:{core.cuda.current_device()}"
            mine, got = core.full((9,), group.rank, device=device), core.empty(9, device=device)
            ops = [
                ddp.P2POp(ddp.isend, mine.float(), 1 - group.rank),
                ddp.P2POp(ddp.irecv, got, 1 - group.rank),
            ]
            for work in ddp.batch_isend_irecv(ops):
                work.wait()
            assert got.tolist() == [1.0 - group.rank] * 9
        finally:
            set_group(group.group.control)

    on_ranks(law, 2, nccl)


def test_all_to_all_of_sizes_that_do_not_fit_is_told():
    def law(group):
        arrays = [np.ones(2 + group.rank) for _ in range(group.size)]
        group.all_to_all([np.ones(2) for _ in range(group.size)], arrays)

    with pytest.raises(ddp.CollectiveMismatchError, match="sends 3 elements"):
        on_ranks(law, 2, nccl)


def test_batches_that_cross_end_at_the_deadline():
    """NCCL works in order: two batches, each before the other's counterpart, wait for ever."""

    def law(group):
        other, nccl_group = 1 - group.rank, group.group
        nccl_group.timeout = 0.3
        ops = [P2POp("isend", np.ones(4), other), P2POp("irecv", np.ones(4), other)]
        batches = [group.batch_isend_irecv([op]) for op in ops]
        first = batches[0]
        nccl_group.engine.progress()
        nccl_group.watched.thread.join()
        first[0].wait()

    with pytest.raises((ddp.CollectiveError, ddp.RankFailedError), match=r"on the GPU|failed"):
        on_ranks(law, 2, nccl)


# ---- what is not arrays has a way --------------------------------------------------------------


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_numbers_objects_and_statistics_have_a_way(make):
    def law(group):
        set_group(group.group)
        try:
            out = [None] * group.size
            ddp.all_gather_object(out, {"rank": group.rank})
            assert [o["rank"] for o in out] == list(range(group.size))
            mean = ddp.mean(core.ones(2, device=f"cuda:{core.cuda.current_device()}") * group.rank)
            assert float(mean.mean()) == (group.size - 1) / 2
        finally:
            set_group(group.group.control)

    on_ranks(law, 3, make)
