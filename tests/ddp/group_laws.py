"""The laws of process groups that need no drawn case, as functions of a group."""

import time

import numpy as np

from ddp.call import CollectiveError
from ddp.group import ReduceOp
from tests.ddp import laws
from tests.ddp.laws import Case, definition, everyone, same_bits, values_of


def every_dtype_is_reduced_by_every_op(group):
    """Twice: what is remembered of the first call must fit the second."""
    for dtype in laws.DTYPES:
        for op in ReduceOp:
            for shape in ((), (0,), (3, 2)) if laws.is_defined(dtype, op) else ():
                for seed in (1, 2):
                    laws.all_reduce_is_the_reduction_over_ranks(
                        group, Case(dtype, shape, "C", op, seed)
                    )


def groups_are_made_inside_groups(group):
    half = group.split(group.rank // 2)
    one = half.new_group([half.size - 1])
    assert (one is None) == (half.rank < half.size - 1)
    again = half.split(0, key=-half.rank)
    assert again.ranks == half.ranks[::-1] and again.rank == half.size - 1 - half.rank
    names = [None] * again.size
    again.all_gather_object(names, group.rank)
    assert names == again.ranks == [group.ranks[r] for r in names]
    if one is not None:
        assert one.ranks == [group.rank]
        one.barrier()
    for part in (again, one, half):
        if part is not None:
            part.close()


def large_arrays_are_reduced_wherever_they_lie(group):
    """In memory that the group made, elsewhere, or differently on each rank: the same bits."""
    counts = [9_000, 70_001, 600_000]
    whole = group.allocate(2 * counts[-1], np.float32)
    for number, count in enumerate(counts):
        case = Case(np.dtype(np.float32), (count,), "C", list(ReduceOp)[number], count)
        expected = definition(everyone(group, case), case.op)
        places = [whole[:count], whole[count : 2 * count], np.empty(count, np.float32)]
        for turn in ([0] * group.size, [2] * group.size, range(group.size)):
            array = places[turn[group.rank] % 3]
            array[...] = values_of(case, group.rank)
            group.all_reduce(array, case.op)
            same_bits(array, expected)
            array[...] = values_of(case, group.rank)
            group.all_reduce(array, case.op, async_op=True).wait()
            same_bits(array, expected)


def a_late_rank_is_waited_for(group):
    """Longer than ranks look before they rest; each rank is the late one once."""
    large = group.allocate(20_000, np.float32)
    for array in (np.empty(3, np.float32), large, np.empty(20_000, np.float32)):
        for late in range(group.size):
            array[...] = group.rank + 1
            end = time.monotonic() + (0.004 if group.rank == late else 0)
            while time.monotonic() < end:
                pass
            group.all_reduce(array, timeout=float("inf") if late % 2 else None)
            assert (array == group.size * (group.size + 1) / 2).all()


def large_arrays_move_whole(group):
    """Several pieces of shared memory, the last one not full."""
    case = Case(np.dtype(np.float64), (150_001,), "C", ReduceOp.SUM, 3)
    for law in (
        laws.reduce_changes_only_the_root,
        laws.broadcast_gives_what_the_root_has,
        laws.all_gather_gives_every_array_in_rank_order,
        laws.gather_then_scatter_is_the_identity,
        laws.messages_go_round_the_ring,
    ):
        law(group, case)
    share = Case(case.dtype, (150_001 // group.size,), "C", ReduceOp.AVG, 4)
    laws.reduce_scatter_then_all_gather_is_all_reduce(group, share)


def objects_arrive_as_copies(group):
    mine = {"rank": group.rank, "list": [1, 2]}
    outs = [None] * group.size
    group.all_gather_object(outs, mine)
    assert [out["rank"] for out in outs] == list(range(group.size))
    assert outs[group.rank] is not mine
    values = [group.rank, mine]
    group.broadcast_object_list(values, group.size - 1)
    assert values[0] == group.size - 1 and values[1]["rank"] == group.size - 1
    gathered = [None] * group.size
    group.gather_object(group.rank**2, gathered if group.rank == 0 else None)
    assert group.rank or gathered == [r**2 for r in range(group.size)]
    out = [None]
    group.scatter_object_list(
        out, [f"to {r}" for r in range(group.size)] if not group.rank else None
    )
    assert out == [f"to {group.rank}"]


def objects_travel_between_two_ranks(group):
    if group.rank == 0:
        for r in range(1, group.size):
            group.send_object({"for": r}, r, tag=r)
    else:
        assert group.recv_object(0, tag=group.rank) == {"for": group.rank}


def split_orders_by_key_and_keeps_groups_apart(group):
    part = group.split(group.rank % 2, key=-group.rank)
    members = [r for r in range(group.size) if r % 2 == group.rank % 2][::-1]
    assert part.size == len(members) and members[part.rank] == group.rank
    array = np.array([2.0**group.rank])
    part.all_reduce(array)
    assert array[0] == sum(2.0**r for r in members)
    part.close()
    assert group.split(None) is None


def new_group_holds_the_given_ranks_in_order(group):
    ranks = list(range(group.size))[::-2]
    part = group.new_group(ranks)
    assert (part is None) == (group.rank not in ranks)
    if part is not None:
        outs = [None] * part.size
        part.all_gather_object(outs, group.rank)
        assert outs == ranks
        part.close()


def works_of_two_groups_do_not_wait_for_each_other(group):
    other = group.new_group()
    a, b = np.full(3, group.rank), np.full(3, group.rank)
    first = group.all_reduce(a, async_op=True)
    second = other.all_reduce(b, async_op=True)
    for work in (second, first) if group.rank % 2 else (first, second):
        work.wait()
    assert (a == sum(range(group.size))).all() and (b == a).all()
    other.close()


def more_works_than_the_board_has_slots(group):
    arrays = [np.full(2, group.rank + i) for i in range(150)]
    works = [group.all_reduce(array, async_op=True) for array in arrays]
    for i, (work, array) in enumerate(zip(works, arrays)):
        work.wait()
        assert (array == sum(range(group.size)) + i * group.size).all()


class Mixture:
    """The same random calls on all ranks, waited for in another order on each."""

    def __init__(self, group, seed):
        self.group, self.part = group, group.split(group.rank % 2)
        self.shared = np.random.default_rng(seed)
        self.own = np.random.default_rng([seed, group.rank])
        self.pool = [group.allocate(9000, np.float64) for _ in range(4)]
        self.mine, self.total = group.rank + 1.0, group.size * (group.size + 1) / 2
        self.pending = []
        self.calls = [
            lambda array, root: self.later(group.all_reduce, array, self.total),
            lambda array, root: self.later(group.broadcast, array, root + 1, root),
            lambda array, root: self.now(group.all_reduce, array, self.total),
            lambda array, root: self.now(group.broadcast, array, root + 1, root),
            lambda array, root: self.now(
                group.reduce, array, self.total if group.rank == root else self.mine, root
            ),
            lambda array, root: self.pending.append(
                (self.part.barrier(async_op=True), array, array)
            ),
            lambda array, root: self.part.all_reduce(array),
            self.gather_and_scatter,
            self.wait_for_some,
        ]

    def some_array(self):
        """Now and then one in shared memory, on some ranks or on all."""
        length = int(self.shared.choice([1, 17, 3000, 4097, 9000]))
        kind = self.shared.integers(3)
        lies_there = kind == 0 or (kind == 1 and self.own.integers(2))
        array = self.pool.pop()[:length] if lies_there and self.pool else np.empty(length)
        array[...] = self.mine
        return array

    def later(self, verb, array, expected, *root):
        self.pending.append((verb(array, *root, async_op=True), array, expected))

    def now(self, verb, array, expected, *root):
        verb(array, *root)
        assert (array == expected).all()

    def gather_and_scatter(self, array, root):
        outs, size = np.zeros((self.group.size, *array.shape)), self.group.size
        work = self.group.all_gather_into_tensor(outs, array, async_op=True)
        self.pending.append((work, outs.T, np.arange(1.0, size + 1)))
        share = np.empty_like(array)
        self.group.reduce_scatter(share, [array] * size)
        assert (share == self.total).all()

    def wait_for_some(self, array, root):
        while self.pending:
            self.check(self.pending.pop(int(self.own.integers(len(self.pending)))))

    def check(self, entry):
        work, result, expected = entry
        assert work.wait() and (result == expected).all()


def any_mixture_of_calls_is_right(group, seed=0, count=60):
    mixture = Mixture(group, seed)
    for _ in range(count):
        call = mixture.calls[mixture.shared.integers(len(mixture.calls))]
        call(mixture.some_array(), int(mixture.shared.integers(group.size)))
    for entry in mixture.pending:
        mixture.check(entry)
    mixture.part.close()


def a_user_error_stays_on_its_rank(group):
    fixed, good, size = np.ones(2), np.ones(2), group.size
    fixed.flags.writeable = False
    mixed = [*[good] * (size - 1), np.ones(2, np.int8)]
    others, listed = (group.rank + 1) % size, [good] * (size + (size == 1))
    group.all_reduce(good)
    for wrong in (lambda: group.all_reduce(fixed),
                  lambda: group.all_reduce(good.astype(">f8")),
                  lambda: group.broadcast(np.ones(2), root=group.size),
                  lambda: group.all_reduce(np.ones(2), op="sum"),
                  lambda: group.all_gather([], np.ones(2)),
                  lambda: group.scatter_object_list([], [0] * size, group.rank),
                  lambda: group.all_to_all([good] * size, mixed),
                  lambda: group.gather(good, listed, others),
                  lambda: group.scatter(good, listed, others),
                  lambda: group.gather_object(0, listed, others)):  # fmt: skip
        try:
            wrong()
        except (TypeError, ValueError) as error:
            assert f"rank {group.rank}" in str(error)
        else:
            raise AssertionError("expected an error")
    group.barrier()


def a_closed_group_says_so(group):
    part = group.new_group()
    part.close()
    try:
        part.barrier()
    except CollectiveError as error:
        assert "closed" in str(error)
    else:
        raise AssertionError("a closed group was used")


GROUP_LAWS = [
    large_arrays_are_reduced_wherever_they_lie,
    a_late_rank_is_waited_for,
    large_arrays_move_whole,
    every_dtype_is_reduced_by_every_op,
    groups_are_made_inside_groups,
    objects_arrive_as_copies,
    objects_travel_between_two_ranks,
    split_orders_by_key_and_keeps_groups_apart,
    new_group_holds_the_given_ranks_in_order,
    works_of_two_groups_do_not_wait_for_each_other,
    more_works_than_the_board_has_slots,
    any_mixture_of_calls_is_right,
    a_user_error_stays_on_its_rank,
    a_closed_group_says_so,
]
