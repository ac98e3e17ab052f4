"""The laws of process groups, as functions of a group: simulated and real ranks run the same ones.

Every rank can compute every rank's input, so each checks its result against the definition.
"""

import dataclasses

import ml_dtypes
import numpy as np

from ddp.group import P2POp, ReduceOp

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = [np.dtype(name) for name in ("float16", "float32", "float64")] + [BFLOAT16]
INTEGERS = [np.dtype(name) for name in ("bool", "uint8", "int8", "int16", "int32", "int64")]
DTYPES = FLOATS + INTEGERS + [np.dtype("complex64")]
BITWISE = {
    ReduceOp.BAND: np.bitwise_and,
    ReduceOp.BOR: np.bitwise_or,
    ReduceOp.BXOR: np.bitwise_xor,
}
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
    if op in BITWISE:
        return dtype.kind in "biu"
    ordered = dtype.kind != "c" or op not in (ReduceOp.MIN, ReduceOp.MAX)
    return ordered and (dtype.kind not in "biu" or op is not ReduceOp.AVG)


def fixed_cases(count=24):
    """Cases drawn from a fixed seed, for ranks that cannot share a hypothesis draw."""
    rng = np.random.default_rng(20260)
    shapes = [(), (0,), (1,), (5,), (3, 4), (2, 0, 3), (2, 3, 4), (4099,), (70, 61)]
    cases = []
    while len(cases) < count:
        dtype, op = DTYPES[rng.integers(len(DTYPES))], list(ReduceOp)[rng.integers(8)]
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
    combine |= BITWISE
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


# ---- laws of (group, case); laws of a group alone are in group_laws.py ----


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
    arrays = [array_of(case, group.rank), array_of(case, group.rank, (7,))]
    outs = [[np.zeros_like(array) for array in arrays] for _ in range(group.size)]
    group.all_gather_coalesced(outs, arrays)
    for r, (first, second) in enumerate(outs):
        same_bits(first, values_of(case, r))
        same_bits(second, values_of(case, r, (7,)))


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


def messages_keep_their_order_and_bounds(group, case):
    """Receives that wait before anything is sent; sizes differ, so none may take another's."""
    other, shapes = group.rank ^ 1, [case.shape, (), (3, 7), (0,), case.shape]
    if other < group.size:
        outs = [laid_out(np.zeros(shape, case.dtype), case.layout) for shape in shapes]
        works = [group.irecv(out, other) for out in outs]
        group.send(np.zeros(1), other, tag=1)
        group.recv(np.zeros(1), other, tag=1)
        works += [group.isend(array_of(case, group.rank, shape), other) for shape in shapes]
        for work in works[::-1]:
            work.wait()
        for out, shape in zip(outs, shapes):
            same_bits(out, values_of(case, other, shape))


def a_receive_from_anyone_tells_the_sender(group, case):
    """One named receive before two nameless ones: each message arrives once, whole."""
    if group.rank:
        group.send(array_of(case, group.rank), 0, tag=5)
        group.send(array_of(case, group.rank), 0, tag=5)
        group.send_object(group.rank, 0, tag=6)
    else:
        _receive_twice_from_each(group, case)
    group.barrier()  # else a quick rank's next messages come among these


def _receive_twice_from_each(group, case):
    senders, seen = list(range(1, group.size)), []
    first = laid_out(np.zeros(case.shape, case.dtype), case.layout)
    named = group.irecv(first, senders[-1], tag=5) if senders else None
    for _ in range(2 * len(senders) - 1):
        out = laid_out(np.zeros(case.shape, case.dtype), case.layout)
        seen.append(group.recv(out, tag=5))
        same_bits(out, values_of(case, seen[-1]))
    if named is not None:
        named.wait()
        assert named.source_rank() == senders[-1]
        same_bits(first, values_of(case, senders[-1]))
        seen.append(named.source_rank())
    assert sorted(seen) == sorted(2 * senders)
    assert sorted(group.recv_object(tag=6) for _ in senders) == senders


CASE_LAWS = [
    messages_keep_their_order_and_bounds,
    a_receive_from_anyone_tells_the_sender,
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
