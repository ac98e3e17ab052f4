"""The function forms on tensors and arrays, the default group, and what ranks decide together."""

import io
import math
import sys
import warnings
from contextlib import redirect_stdout

import numpy as np
import pytest

import core
import ddp
from ddp import collectives, consensus, lifecycle
from ddp.call import CollectiveMismatchError, RankFailedError
from ddp.current_group import current_group
from ddp.group import ReduceOp
from ddp.simulate import simulate


@pytest.fixture
def alone():
    """A default group of one rank."""
    group = lifecycle.init_process_group("single")
    yield group
    lifecycle.destroy_process_group()


def filled(value, shape=(3,)):
    """A tensor on even ranks, an array on odd ones: a collective takes both."""
    array = np.full(shape, value, np.float32)
    return core.from_numpy(array) if lifecycle.get_rank() % 2 == 0 else array


def values(tensor):
    return np.asarray(tensor).tolist()


def test_functions_take_tensors_and_arrays():
    def body():
        rank, size = lifecycle.get_rank(), lifecycle.get_world_size()
        x = filled(rank + 1)
        collectives.all_reduce(x)
        assert values(x) == [10.0] * 3
        collectives.all_reduce(x, ReduceOp.AVG)
        assert values(x) == [10.0] * 3
        x = filled(rank)
        collectives.broadcast(x, src=2)
        assert values(x) == [2.0] * 3
        outs = [filled(-1) for _ in range(size)]
        collectives.all_gather(outs, filled(rank))
        assert [values(out)[0] for out in outs] == [0, 1, 2, 3]
        out = filled(0, (size * 3,))
        collectives.all_gather_into_tensor(out, filled(rank))
        assert values(out)[::3] == [0, 1, 2, 3]
        share = filled(0)
        collectives.reduce_scatter_tensor(share, out)
        assert values(share) == [4.0 * rank] * 3
        collectives.reduce_scatter(share, [filled(r) for r in range(size)])
        assert values(share) == [4.0 * rank] * 3
        x = filled(1)
        collectives.reduce(x, dst=3)
        assert values(x) == [4.0 if rank == 3 else 1.0] * 3
        collectives.gather(filled(rank), outs if rank == 1 else None, dst=1)
        collectives.scatter(x, [filled(r * r) for r in range(size)] if rank == 1 else None, src=1)
        assert values(x) == [rank * rank] * 3
        collectives.all_to_all(outs, [filled(rank * 10 + r) for r in range(size)])
        assert [values(out)[0] for out in outs] == [r * 10 + rank for r in range(size)]
        collectives.all_to_all_single(x, x, None, None) if size == 1 else collectives.barrier()

    simulate(body, 4)


def test_bits_are_those_of_integers(alone):
    for op in (ReduceOp.BAND, ReduceOp.BOR, ReduceOp.BXOR):
        collectives.all_reduce(core.tensor([True]), op)
        with pytest.raises(TypeError, match=f"{op.name} of float32"):
            collectives.all_reduce(core.ones(1), op)


def test_messages_and_objects():
    def body():
        rank, size = lifecycle.get_rank(), lifecycle.get_world_size()
        ahead, behind = (rank + 1) % size, (rank - 1) % size
        x = filled(-1)
        ops = [
            ddp.P2POp(ddp.isend, filled(rank), ahead),
            ddp.P2POp(ddp.irecv, x, behind),
        ]
        for work in ddp.batch_isend_irecv(ops):
            work.wait()
        assert values(x) == [behind] * 3
        if rank == 0:
            ddp.send(filled(7), 1, tag=4)
        elif rank == 1:
            assert ddp.recv(x, 0, tag=4) == 0 and values(x) == [7.0] * 3
        objects = [rank]
        collectives.broadcast_object_list(objects, src=1)
        assert objects == [1]
        gathered = [None] * size
        collectives.all_gather_object(gathered, {"r": rank})
        assert [entry["r"] for entry in gathered] == list(range(size))
        collectives.gather_object(rank, gathered if rank == 2 else None, dst=2)
        assert rank != 2 or gathered == [0, 1, 2]
        out = [None]
        collectives.scatter_object_list(out, ["a", "b", "c"] if rank == 0 else None)
        assert out == ["abc"[rank]]

    simulate(body, 3)


def test_ranks_count_in_the_default_group_and_outsiders_are_warned():
    def body():
        group = lifecycle.new_group([3, 1], sort_ranks=False)
        rank = lifecycle.get_rank()
        x = filled(rank)
        if rank in (1, 3):
            assert lifecycle.get_process_group_ranks(group) == [3, 1]
            assert lifecycle.get_group_rank(group, 1) == 1
            collectives.broadcast(x, src=3, group=group)
            assert values(x) == [3.0] * 3
        else:
            assert lifecycle.get_rank(group) == -1
            # Not pytest.warns: the list of warnings belongs to the process, ranks are threads.
            assert group is ddp.GroupMember.NON_GROUP_MEMBER
            with pytest.raises(AttributeError, match="this rank is not in the group"):
                ddp.DistributedDataParallel(core.nn.Linear(1, 1), process_group=group)

    simulate(body, 4)
    with pytest.warns(UserWarning, match="not in does nothing"):
        assert collectives.barrier(lifecycle.NON_GROUP_MEMBER) is None
    with pytest.warns(UserWarning, match="not in does nothing"):
        assert consensus.monitored_barrier(lifecycle.NON_GROUP_MEMBER, wait_all_ranks=True) is None


def test_the_ranks_of_a_group_are_sorted_as_pytorchs():
    def body():
        group, outs = ddp.new_group([1, 0]), [filled(-1), filled(-1)]
        assert ddp.get_process_group_ranks(group) == [0, 1]
        ddp.all_gather(outs, filled(ddp.get_rank(group)), group)
        return [values(out)[0] for out in outs], ddp.get_rank(group)

    assert simulate(body, 2) == [([0.0, 1.0], 0), ([0.0, 1.0], 1)]


def test_ranks_may_count_in_the_group_that_is_spoken_to():
    def body():
        assert ddp.get_process_group_ranks(ddp.new_group()) == [0, 1, 2]
        group = ddp.new_group([2, 1], sort_ranks=False)  # its rank 0 is 2, its rank 1 is 1
        rank = ddp.get_rank()
        if rank == 0:
            return True
        assert ddp.get_global_rank(group, 0) == 2 and ddp.get_global_rank(None, 1) == 1
        here, x = ddp.get_group_rank(group, rank), filled(rank)
        ddp.broadcast(x, group=group, group_src=0)
        assert values(x) == [2.0] * 3
        ddp.reduce(x, group=group, group_dst=1)
        assert values(x) == [4.0 if here == 1 else 2.0] * 3
        outs = [filled(0) for _ in range(2)]
        ddp.gather(filled(rank), outs if here == 1 else None, group=group, group_dst=1)
        assert [values(out)[0] for out in outs] == ([2, 1] if here == 1 else [0, 0])
        parts = [filled(5), filled(6)] if here == 1 else None
        ddp.scatter(x, parts, group=group, group_src=1)
        assert values(x) == [5.0 + here] * 3
        listed, out = [rank], [None]
        ddp.broadcast_object_list(listed, group=group, group_src=0)
        ddp.scatter_object_list(out, ["a", "b"] if here == 1 else None, group=group, group_src=1)
        assert listed == [2] and out == ["ab"[here]]
        gathered = [None, None]
        ddp.gather_object(rank, gathered if here == 0 else None, group=group, group_dst=0)
        assert gathered == ([2, 1] if here == 0 else [None, None])
        return True

    assert simulate(body, 3) == [True] * 3


def test_backward_refuses_what_a_collective_changed(alone):
    w = core.ones(3, requires_grad=True)
    x = core.ones(3)
    y = (w * x).sum()
    collectives.all_reduce(x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


# ---- the default group ----


def test_without_a_default_group_the_error_says_what_to_call():
    assert not lifecycle.is_initialized()
    with pytest.raises(ValueError, match="init_process_group"):
        lifecycle.get_rank()


def test_a_process_alone_is_a_group_of_one(alone):
    assert lifecycle.is_initialized()
    place = lifecycle.get_rank(), lifecycle.get_world_size(), lifecycle.get_local_rank()
    assert place == (0, 1, 0) and lifecycle.get_backend() == "single"
    x = core.ones(3)
    collectives.all_reduce(x)
    assert values(x) == [1.0] * 3
    assert "mpi4py.MPI" not in sys.modules


@pytest.mark.parametrize("use", [collectives.barrier, ddp.get_rank, ddp.destroy_process_group])
def test_what_is_no_group_is_refused(use, alone):
    with pytest.raises(TypeError, match="expected a process group, got 'gloo'"):
        use("gloo")


def test_a_second_default_group_is_refused(alone):
    with pytest.raises(ValueError, match="before"):
        lifecycle.init_process_group()

    def twice():
        lifecycle.init_process_group()
        with pytest.raises(ValueError, match="before"):
            lifecycle.init_process_group()
        lifecycle.destroy_process_group()
        lifecycle.init_process_group()

    simulate(twice, 2)


def test_what_pytorchs_groups_need_is_taken():
    not_needed = {"pg_options": None, "device_id": core.device("cpu")}
    lifecycle.init_process_group("GLOO", store=None, group_name="", **not_needed)
    try:
        group = lifecycle.new_group([0], None, "gloo", group_desc="one", **not_needed)
        collectives.barrier(group, device_ids=[0])
        for wrong in ({"backend": "pigeon"}, {"device": 0}):
            with pytest.raises((TypeError, ValueError)):
                lifecycle.new_group([0], **wrong)
        with pytest.raises(ValueError, match="all ranks call it"):
            lifecycle.new_group([0], use_local_synchronization=True)
    finally:
        lifecycle.destroy_process_group()
    with pytest.raises(TypeError, match="unexpected keyword argument 'device'"):
        lifecycle.init_process_group("gloo", device=0)


def test_the_group_is_gone_after_destroy():
    lifecycle.init_process_group("single")
    lifecycle.destroy_process_group()
    assert not lifecycle.is_initialized()
    with pytest.raises(ValueError, match="no default process group"):
        lifecycle.destroy_process_group()


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"backend": "carrier pigeon"}, "unknown backend"),
        ({"backend": "single", "comm": object()}, "no communicator"),
        ({"backend": "single", "rank": 1, "world_size": 3}, "rank 0 of 1, not rank 1 of 3"),
        ({"backend": "single", "shards": 3}, "power of two"),
    ],
)
def test_wrong_arguments_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        lifecycle.init_process_group(**arguments)
    assert not lifecycle.is_initialized()


def test_a_script_runs_unchanged_on_simulated_ranks():
    def script():
        lifecycle.init_process_group(backend="gloo", shards=8)
        found = lifecycle.get_rank(), lifecycle.get_shards()
        lifecycle.destroy_process_group()
        return found

    assert simulate(script, 2) == [(0, 8), (1, 8)]


@pytest.mark.parametrize("size, shards", [(2, 3), (2, 6), (4, 2), (3, 8), (2, 0), (1, 2.0)])
def test_shards_are_a_power_of_two_that_the_ranks_divide(size, shards):
    with pytest.raises(ValueError, match="power of two"):
        simulate(lambda: lifecycle.init_process_group(shards=shards), size)


def test_a_wrong_claim_of_rank_or_size_is_refused():
    with pytest.raises(ValueError, match="rank 0 of 2, not rank 0 of 4"):
        simulate(lambda: lifecycle.init_process_group(rank=0, world_size=4), 2)


# ---- what ranks decide together ----


def test_the_first_rank_goes_first():
    order = []

    def body():
        with consensus.main_process_first():
            order.append(lifecycle.get_rank())
        with consensus.main_process_first(local=True):
            order.append(10 + lifecycle.get_rank())

    simulate(body, 4)
    assert order[0] == 0 and sorted(order) == [0, 1, 2, 3, 10, 11, 12, 13]
    assert order.index(10) < min(order.index(10 + r) for r in (1, 2, 3))


def test_a_context_of_ours_is_reported_at_the_line_that_enters_it():
    def body():
        if lifecycle.get_rank() == 0:
            collectives.all_reduce(np.ones(1))
        with consensus.main_process_first():
            pass

    site = r"barrier \[main_process_first\] at test_collectives\.py:"
    with pytest.raises(CollectiveMismatchError, match=site):
        simulate(body, 2)


def test_when_the_first_rank_fails_the_others_do_not_wait_for_ever():
    seen = []

    def body():
        try:
            with consensus.main_process_first():
                if lifecycle.get_rank() == 0:
                    raise OSError("no network")
        except RankFailedError as error:
            seen.append(str(error))
            raise

    with pytest.raises(OSError, match="no network"):
        simulate(body, 3)
    assert len(seen) == 2 and all("rank 0 has failed" in text for text in seen)


@pytest.mark.parametrize("flags", [[0, 0, 0], [0, 1, 0], [1, 1, 1]])
def test_agreement_is_one_answer_on_all_ranks(flags):
    def body():
        flag = flags[lifecycle.get_rank()]
        return consensus.agree(flag), consensus.agree(flag, on="all")

    assert simulate(body, 3) == [(any(flags), all(flags))] * 3


def test_the_mean_of_metrics_is_weighted_over_the_union_of_names():
    def body():
        rank = lifecycle.get_rank()
        mine = {"loss": rank} if rank else {"loss": 0.0, "only on 0": (3, 4)}
        return consensus.mean_metrics(mine, weight=rank + 1)

    loss = (0 * 1 + 1 * 2 + 2 * 3) / 6
    assert simulate(body, 3) == [{"loss": loss, "only on 0": 0.75}] * 3


def test_a_mean_of_counts_has_the_same_bits_on_every_number_of_ranks():
    correct = [(i * 7919) % 2 for i in range(24)]

    def accuracy():
        mine = correct[lifecycle.get_rank() :: lifecycle.get_world_size()]
        return consensus.mean_metrics({"accuracy": (sum(mine), len(mine))})["accuracy"]

    assert {simulate(accuracy, size)[0] for size in (1, 2, 3, 4)} == {sum(correct) / 24}


def test_a_metric_without_counts_is_nan(alone):
    assert math.isnan(consensus.mean_metrics({"loss": (0, 0)})["loss"])


def test_only_rank_zero_prints_and_runs():
    calls = []

    @consensus.rank_zero_only
    def record():
        calls.append(lifecycle.get_rank())
        return "done"

    out = io.StringIO()
    with redirect_stdout(out):
        results = simulate(lambda: (consensus.print("once"), record())[1], 3)
    assert out.getvalue() == "once\n" and calls == [0] and results == ["done", None, None]


def test_the_monitored_barrier_passes_when_all_come():
    simulate(lambda: consensus.monitored_barrier(timeout=5), 3)


def test_the_default_group_of_a_simulated_rank_lasts_as_long_as_the_rank():
    def body():
        lifecycle.destroy_process_group()
        return current_group() is not None

    with warnings.catch_warnings():
        assert simulate(body, 2) == [True, True]
