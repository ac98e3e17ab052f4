"""What the MPI tests start under mpiexec: every rank runs `python mpi_program.py PART`.

A law that fails ends the whole job at once with its traceback; the last line of rank 0 says ok.
"""

import os
import pathlib
import sys
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np
from mpi4py import MPI

from ddp import collectives, lifecycle
from ddp.backends import mpi as mpi_backend
from ddp.backends.mpi import MpiGroup
from ddp.call import CollectiveMismatchError, CollectiveTimeoutError, RankFailedError
from ddp.group import ReduceOp
from ddp.simulate import simulate
from tests.ddp import all_ddp_laws, group_laws, laws, mismatches


def every_law(group, count=24):
    laws_of_calls(group, count)
    for law in group_laws.GROUP_LAWS:
        law(group)


def laws_of_calls(group, count=8):
    for law in laws.CASE_LAWS:
        for case in laws.fixed_cases(count):
            law(group, case)


# They take half of the time of all, and say nothing of where ranks are.
ANYWHERE = (
    group_laws.every_dtype_is_reduced_by_every_op,
    group_laws.more_works_than_the_board_has_slots,
)


def laws_of_places(group):
    """What can differ by where ranks are; what several calls do together, on up to four ranks."""
    laws_of_calls(group)
    for law in group_laws.GROUP_LAWS if group.size <= 4 else ():
        if law not in ANYWHERE:
            law(group)


def all_or_those_of_places(group, count):
    """More than four ranks have met all of them in shared memory."""
    if group.size <= 4:
        every_law(group, count)
    else:
        laws_of_places(group)


def every_mismatch(group):
    if group.size == 1:
        return
    for name in mismatches.MISMATCHES:
        mismatches.a_mismatch_raises_on_every_rank(group, name)
    mismatches.a_missing_rank_is_named(group)
    mismatches.a_message_of_another_shape_is_refused(group)


def messages_find_mismatches(group):
    """The same with fingerprints as messages only, as across nodes."""
    apart = MpiGroup(MPI.COMM_WORLD, board=False)
    for name in mismatches.MISMATCHES if group.size > 1 else ():
        mismatches.a_mismatch_raises_on_every_rank(apart, name)
    all_or_those_of_places(apart, 24)
    apart.close()


class NodesOfTwo(MpiGroup):
    """Ranks 0 and 1 are one node, 2 and 3 the next: a board reaches two ranks only."""

    def ranks_of_this_node(self, mpi):
        return self.comm.Split(self.comm.Get_rank() // 2)


class NodesOfThreeAndTheRest(MpiGroup):
    """Ranks 0 to 2 are one node, all others the second."""

    def ranks_of_this_node(self, mpi):
        return self.comm.Split(self.comm.Get_rank() >= 3)


class EveryOtherRank(MpiGroup):
    """Even ranks are one node, odd ranks the second."""

    def ranks_of_this_node(self, mpi):
        return self.comm.Split(self.comm.Get_rank() % 2)


SEVERAL_NODES = [NodesOfTwo, NodesOfThreeAndTheRest, EveryOtherRank]


def several_nodes_have_the_laws_and_bits_of_one(group):
    for kind in SEVERAL_NODES:
        apart = kind(MPI.COMM_WORLD)
        laws_of_places(apart)
        same_bits_as_simulated_ranks(apart)
        apart.close()


def nodes_see_each_other_by_messages_only(group):
    apart = NodesOfTwo(MPI.COMM_WORLD)
    assert (apart.local_rank, apart.local_size <= 2) == (apart.rank % 2, True)
    for name in mismatches.MISMATCHES if group.size > 1 else ():
        mismatches.a_mismatch_raises_on_every_rank(apart, name)
    all_or_those_of_places(apart, 8)
    apart.close()


def nodes_that_disagree_unseen_change_no_array(group):
    """Without check mode nobody compares across nodes: they wait for each other in vain."""
    for name in ("shape", "dtype", "reduce op", "root") if group.size == 4 else ():
        apart = NodesOfTwo(MPI.COMM_WORLD, timeout=1.0)
        array = np.full(4, group.rank + 1, np.float32)
        try:
            mismatches.MISMATCHES[name][group.rank // 2](apart, array)
        except CollectiveTimeoutError:
            assert (array == group.rank + 1).all()
        else:
            # The root has sent what nobody takes; it may go on.
            assert name == "root" and group.rank in (0, 1)
        group.barrier()


def two_default_groups_in_one_job(group):
    """Each half of the ranks trains on its own communicator; the other half is not in its way."""
    comm = MPI.COMM_WORLD.Split(group.rank % 2, -group.rank)
    lifecycle.init_process_group(comm=comm)
    members = [r for r in range(group.size) if r % 2 == group.rank % 2][::-1]
    assert members[lifecycle.get_rank()] == group.rank
    assert lifecycle.get_world_size() == len(members)
    total = np.array([1.0 + group.rank])
    collectives.all_reduce(total)
    assert total[0] == sum(1.0 + r for r in members)
    lifecycle.destroy_process_group()
    comm.Free()
    assert MPI.Is_initialized() and not MPI.Is_finalized()


def same_bits_as_simulated_ranks(group):
    from ddp.current_group import current_group

    def sums(group):
        arrays = [np.random.default_rng([n, group.rank]).normal(0, 9, n) for n in (3, 999, 150_001)]
        arrays += [array.astype(np.float16) for array in arrays]
        for array in arrays:
            group.all_reduce(array, ReduceOp.AVG)
        return [array.tobytes() for array in arrays]

    assert sums(group) == simulate(lambda: sums(current_group()), group.size)[group.rank]


def long_messages_travel_in_pieces(group):
    apart = NodesOfTwo(MPI.COMM_WORLD)
    mpi_backend.CHUNK_BYTES, before = 1000, mpi_backend.CHUNK_BYTES
    try:
        longer = [case for case in laws.fixed_cases() if laws.values_of(case, 0).nbytes > 1000]
        for case in longer:
            laws.all_reduce_is_the_reduction_over_ranks(group, case)
            laws.messages_go_round_the_ring(group, case)
            laws.all_reduce_is_the_reduction_over_ranks(apart, case)
            laws.gather_then_scatter_is_the_identity(apart, case)
        group_laws.large_arrays_are_reduced_wherever_they_lie(apart)
    finally:
        mpi_backend.CHUNK_BYTES = before
    apart.close()


def user_messages_do_not_meet_ours(group):
    """Simulation ranks and training ranks in one job, with messages of the user's in flight."""
    world = MPI.COMM_WORLD
    rank, size = world.Get_rank(), world.Get_size()
    training = rank < (size + 1) // 2
    comm = world.Split(training, rank)
    part = MpiGroup(comm)
    got, sent = np.empty(7), np.full(7, float(rank))
    requests = [world.Irecv(got, (rank - 1) % size, 5), world.Isend(sent, (rank + 1) % size, 5)]
    total = np.array([1.0 + rank])
    part.all_reduce(total)
    members = [r for r in range(size) if (r < (size + 1) // 2) == training]
    assert total[0] == sum(1.0 + r for r in members)
    MPI.Request.Waitall(requests)
    assert (got == (rank - 1) % size).all()
    part.close()
    comm.Free()


def only_intra_communicators_are_taken(group):
    try:
        MpiGroup("world")
    except TypeError as error:
        assert "intra-communicator" in str(error)
    else:
        raise AssertionError("no error")


LAWS = [
    every_law,
    every_mismatch,
    two_default_groups_in_one_job,
    same_bits_as_simulated_ranks,
    long_messages_travel_in_pieces,
    user_messages_do_not_meet_ours,
    only_intra_communicators_are_taken,
    several_nodes_have_the_laws_and_bits_of_one,
    nodes_that_disagree_unseen_change_no_array,
]


CHECK_MODE_LAWS = [messages_find_mismatches, nodes_see_each_other_by_messages_only]


def run_laws():
    group = MpiGroup()
    for law in LAWS:
        law(group)
    os.environ["UNISON_CHECK"] = "1"
    for law in CHECK_MODE_LAWS:
        law(group)
    group.close()
    if MPI.COMM_WORLD.Get_rank() == 0:
        print("ok")


def run_ddp_laws():
    group = lifecycle.init_process_group()
    for law in all_ddp_laws.LAWS + all_ddp_laws.REAL_LAWS:
        law()
    rank = group.rank
    lifecycle.destroy_process_group()
    if rank == 0:
        print("ok")


def end_early():
    """The last rank ends after two collectives; the others must learn it, and end well."""
    group = MpiGroup()
    try:
        for _ in range(2 if group.rank == group.size - 1 else 4):
            group.all_reduce(np.ones(3))
    except RankFailedError as error:
        assert f"rank {group.size - 1} has ended after all_reduce" in str(error)
        os.write(1, b"told\n")


def run_out():
    """Rank 1 ends its loop after two steps; the others learn it and in which step they wait."""
    import ddp
    from core import nn, ones

    group = lifecycle.init_process_group()
    model = ddp.DistributedDataParallel(nn.Linear(2, 1))
    try:
        for _ in range(2 if group.rank == 1 else 4):
            model(ones(1, 2)).sum().backward()
    except RankFailedError as error:
        assert "rank 1 has ended" in str(error) and "waits in step 3" in str(error)
        os.write(1, b"told\n")


def two_against_four():
    """Two elements against four: Open MPI's own all_reduce damages the heap here."""
    group = MpiGroup()
    array = np.ones(2 if group.rank == 0 else 4, np.float32)
    try:
        group.all_reduce(array)
    except CollectiveMismatchError:
        assert (array == 1).all()
        os.write(1, b"told\n")


def train_beside_a_simulation():
    """Ranks 0 and 1 simulate, the others train; user messages fly; one line: the hash of the model.

    With four ranks all of them train: the hash must be the same.
    """
    import hashlib

    import ddp
    from tests.ddp.shard_runs import mlp_with_momentum

    world = MPI.COMM_WORLD
    simulators = world.Get_size() - 4
    trains = world.Get_rank() >= simulators
    part = world.Split(int(trains), world.Get_rank())
    if simulators and not trains:
        _simulate(world, simulators)
        return
    ddp.init_process_group(comm=part)
    if simulators:
        here = np.empty(4)
        world.Recv(here, source=part.Get_rank() % simulators, tag=7)
        world.Isend(here * 2, dest=part.Get_rank() % simulators, tag=8).Wait()
    told = hashlib.sha256(repr(mlp_with_momentum(4)).encode()).hexdigest()
    if part.Get_rank() == 0:
        print(told, flush=True)
    ddp.destroy_process_group()
    part.Free()


def _simulate(world, simulators):
    """Exchange the user's own messages, on the communicator that MPI started with."""
    mine = range(world.Get_rank(), 4, simulators)
    sends = [world.Isend(np.arange(4.0), dest=simulators + r, tag=7) for r in mine]
    for r in mine:
        back = np.empty(4)
        world.Recv(back, source=simulators + r, tag=8)
        assert (back == 2 * np.arange(4.0)).all()
    for request in sends:
        request.Wait()


if __name__ == "__main__":
    try:
        globals()[sys.argv[1]]()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        MPI.COMM_WORLD.Abort(1)
