"""The laws of process groups, as functions of a group: simulated and real ranks run the same ones.

Every rank can compute every rank's input, so each checks its result against the definition.
"""

import dataclasses

import ml_dtypes
import numpy as np

from ddp.call import CollectiveError
from ddp.group import P2POp, ReduceOp

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = [np.dtype(name) for name in ("float16", "float32", "float64")] + [BFLOAT16]
INTEGERS = [np.dtype(name) for name in ("bool", "uint8", "int8", "int16", "int32", "int64")]
DTYPES = FLOATS + INTEGERS + [np.dtype("complex64")]
LAYOUTS = ["C", "F", "strided", "reversed"]


@dataclasses.dataclass(frozen=True)
class Case:
    """What one collective is called with; the same on every rank."""

    dtype: np.dtype
    shape: tuple
    layout: str
    op: ReduceOp
    seed: int


def is_defined(dtype, op):
    """Whether the group reduces this dtype with this op."""
    ordered = dtype.kind != "c" or op not in (ReduceOp.MIN, ReduceOp.MAX)
    return ordered and (dtype.kind not in "biu" or op is not ReduceOp.AVG)


def fixed_cases(count=24):
    """Cases drawn from a fixed seed, for ranks that cannot share a hypothesis draw."""
    rng = np.random.default_rng(20260)
    shapes = [(), (0,), (1,), (5,), (3, 4), (2, 0, 3), (2, 3, 4), (4099,), (70, 61)]
    cases = []
    while len(cases) < count:
        dtype, op = DTYPES[rng.integers(len(DTYPES))], list(ReduceOp)[rng.integers(5)]
        if is_defined(dtype, op):
            shape, layout = shapes[rng.integers(len(shapes))], LAYOUTS[rng.integers(4)]
            cases.append(Case(dtype, shape, layout, op, len(cases)))
    return cases


def laid_out(values, layout):
    """An array equal to `values` whose memory is laid out in another way."""
    if layout == "F":
        return values.copy("F")
    if layout == "strided" and values.ndim:
        wide = np.zeros((*values.shape[:-1], 2 * values.shape[-1]), values.dtype)
        wide[..., ::2] = values
        return wide[..., ::2]
    if layout == "reversed" and values.ndim:
        return values[::-1].copy()[::-1]
    return values.copy()


def values_of(case, rank, shape=None):
    """The input of `rank`."""
    rng = np.random.default_rng([case.seed, rank])
    shape = case.shape if shape is None else shape
    if case.dtype.kind == "b":
        return np.asarray(rng.random(shape) < 0.5)
    if case.dtype.kind in "iu":
        return np.asarray(rng.integers(0, 100, shape)).astype(case.dtype)
    return np.asarray(rng.normal(0, 3, shape)).astype(case.dtype)


def array_of(case, rank, shape=None):
    """The input of `rank`, in the layout of the case."""
    return laid_out(values_of(case, rank, shape), case.layout)


def definition(values, op):
    """The reduction in the promised order: halves are reduced, i with i + ceil(n/2), n falling."""
    dtype = values[0].dtype
    combine = {ReduceOp.MIN: np.minimum, ReduceOp.MAX: np.maximum, ReduceOp.PRODUCT: np.multiply}
    wide = np.float32 if dtype in (np.dtype("float16"), BFLOAT16) else dtype

    def tree(parts):
        half = (len(parts) + 1) // 2
        if len(parts) == 1:
            return parts[0]
        pairs = [combine.get(op, np.add)(a, b) for a, b in zip(parts, parts[half:])]
        return tree(pairs + parts[len(pairs) : half])

    with np.errstate(all="ignore"):
        total = tree([v.astype(wide) for v in values])
        total = total / np.asarray(len(values), wide) if op is ReduceOp.AVG else total
        return np.asarray(total).astype(dtype)


def same_bits(a, b):
    """Nothing; both have one dtype, one shape and the same bits."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype and a.shape == b.shape, (a.dtype, a.shape, b.dtype, b.shape)
    assert a.tobytes() == b.tobytes(), (a, b)


def everyone(group, case, shape=None):
    """The inputs of all ranks."""
    return [values_of(case, r, shape) for r in range(group.size)]


# ---- laws of (group, case) ----


def all_reduce_is_the_reduction_over_ranks(group, case):
    array = array_of(case, group.rank)
    group.all_reduce(array, case.op)
    same_bits(array, definition(everyone(group, case), case.op))


def reduce_changes_only_the_root(group, case):
    root = case.seed % group.size
    array = array_of(case, group.rank)
    group.reduce(array, root, case.op)
    inputs = everyone(group, case)
    same_bits(array, definition(inputs, case.op) if group.rank == root else inputs[group.rank])


def broadcast_gives_what_the_root_has(group, case):
    root = case.seed % group.size
    array = array_of(case, group.rank)
    group.broadcast(array, root)
    same_bits(array, values_of(case, root))


def all_gather_gives_every_array_in_rank_order(group, case):
    outs = [laid_out(np.zeros(case.shape, case.dtype), case.layout) for _ in range(group.size)]
    group.all_gather(outs, array_of(case, group.rank))
    for out, expected in zip(outs, everyone(group, case)):
        same_bits(out, expected)


def all_gather_into_tensor_is_the_stack(group, case):
    stacked = laid_out(np.zeros((group.size, *case.shape), case.dtype), case.layout)
    group.all_gather_into_tensor(stacked, array_of(case, group.rank))
    same_bits(stacked, np.stack(everyone(group, case)))


def gather_then_scatter_is_the_identity(group, case):
    root = case.seed % group.size
    array, back = array_of(case, group.rank), np.zeros(case.shape, case.dtype)
    outs = [np.zeros(case.shape, case.dtype) for _ in range(group.size)]
    group.gather(array, outs if group.rank == root else None, root)
    if group.rank == root:
        same_bits(np.stack(outs), np.stack(everyone(group, case)))
    group.scatter(back, outs if group.rank == root else None, root)
    same_bits(back, array)


def reduce_scatter_then_all_gather_is_all_reduce(group, case):
    shape = (group.size, *case.shape)
    array, whole = array_of(case, group.rank, shape), array_of(case, group.rank, shape)
    share, other = np.zeros(case.shape, case.dtype), np.zeros(case.shape, case.dtype)
    group.reduce_scatter_tensor(share, array, case.op)
    group.reduce_scatter(other, [array[r, ...] for r in range(group.size)], case.op)
    same_bits(share, other)
    again = np.zeros(shape, case.dtype)
    group.all_gather_into_tensor(again, share)
    group.all_reduce(whole, case.op)
    same_bits(again, whole)


def all_to_all_is_a_transposition(group, case):
    arrays = [array_of(case, group.size * group.rank + r) for r in range(group.size)]
    outs = [laid_out(np.zeros(case.shape, case.dtype), case.layout) for _ in range(group.size)]
    group.all_to_all(outs, arrays)
    for r, out in enumerate(outs):
        same_bits(out, values_of(case, group.size * r + group.rank))


def uneven_all_to_all_single_concatenates_the_rows(group, case):
    def rows(src, dst):
        return values_of(case, group.size * src + dst, (src + 2 * dst, 3))

    mine, size = group.rank, range(group.size)
    array = np.concatenate([rows(mine, r) for r in size])
    expected = np.concatenate([rows(r, mine) for r in size])
    out = np.zeros_like(expected)
    in_splits, out_splits = [mine + 2 * r for r in size], [r + 2 * mine for r in size]
    group.all_to_all_single(out, array, out_splits, in_splits)
    same_bits(out, expected)


def coalesced_forms_equal_one_by_one(group, case):
    arrays = [array_of(case, group.rank), array_of(case, group.rank, (7,))]
    alone = [array.copy() for array in arrays]
    group.all_reduce_coalesced(arrays, case.op)
    for array in alone:
        group.all_reduce(array, case.op)
    for array, expected in zip(arrays, alone):
        same_bits(array, expected)
    group.broadcast_coalesced(arrays, group.size - 1)
    same_bits(arrays[0], alone[0])


def asynchronous_calls_finish_in_any_order(group, case):
    arrays = [array_of(case, group.rank) for _ in range(4)]
    works = [group.all_reduce(array, case.op, async_op=True) for array in arrays]
    order = works if group.rank % 2 else works[::-1]
    for work in order:
        assert work.wait() and work.is_completed()
    for array in arrays:
        same_bits(array, definition(everyone(group, case), case.op))


def messages_go_round_the_ring(group, case):
    if group.size == 1:
        return
    array, got = array_of(case, group.rank), laid_out(np.zeros(case.shape, case.dtype), case.layout)
    ahead, behind = (group.rank + 1) % group.size, (group.rank - 1) % group.size
    ops = [P2POp("isend", array, ahead, 3), P2POp("irecv", got, behind, 3)]
    for work in group.batch_isend_irecv(ops):
        work.wait()
    same_bits(got, values_of(case, behind))


CASE_LAWS = [
    all_reduce_is_the_reduction_over_ranks,
    reduce_changes_only_the_root,
    broadcast_gives_what_the_root_has,
    all_gather_gives_every_array_in_rank_order,
    all_gather_into_tensor_is_the_stack,
    gather_then_scatter_is_the_identity,
    reduce_scatter_then_all_gather_is_all_reduce,
    all_to_all_is_a_transposition,
    uneven_all_to_all_single_concatenates_the_rows,
    coalesced_forms_equal_one_by_one,
    asynchronous_calls_finish_in_any_order,
    messages_go_round_the_ring,
]


# ---- laws of (group) ----


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


def any_mixture_of_calls_is_right(group, seed=0, count=60):
    """The same random calls on all ranks, waited for in another order on each."""
    shared, own = np.random.default_rng(seed), np.random.default_rng([seed, group.rank])
    part = group.split(group.rank % 2)
    total, pending = group.size * (group.size + 1) / 2, []
    for _ in range(count):
        kind, root = shared.integers(6), int(shared.integers(group.size))
        array = np.full(int(shared.integers(1, 3000)), group.rank + 1.0)
        if kind == 0:
            pending.append((group.all_reduce(array, async_op=True), array, total))
        elif kind == 1:
            pending.append((part.barrier(async_op=True), array, group.rank + 1))
        elif kind == 2:
            group.broadcast(array, root)
            assert (array == root + 1).all()
        elif kind == 3:
            group.all_reduce(array)
            assert (array == total).all()
        elif kind == 4:
            part.all_reduce(array)
        while pending and kind == 5:
            work, result, expected = pending.pop(int(own.integers(len(pending))))
            assert work.wait() and (result == expected).all()
    for work, result, expected in pending:
        assert work.wait() and (result == expected).all()
    part.close()


def a_user_error_stays_on_its_rank(group):
    for wrong in (lambda: group.broadcast(np.ones(2), root=group.size),
                  lambda: group.all_reduce(np.ones(2), op="sum"),
                  lambda: group.all_gather([], np.ones(2))):  # fmt: skip
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
