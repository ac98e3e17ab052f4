"""Laws of what programs call that were written for torch.distributed, beside models."""

import numpy as np

import core
import ddp


def refused(call, kind=ValueError):
    """The text of the error that `call` raises."""
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError(f"expected {kind.__name__}")


def subgroups_are_neighbours():
    rank, size = ddp.get_rank(), ddp.get_world_size()
    for count in [n for n in range(1, size + 1) if size % n == 0]:
        mine, groups = ddp.new_subgroups(count)
        start = rank // count * count
        assert ddp.get_process_group_ranks(mine) == [*range(start, start + count)]
        assert len(groups) == size // count and groups[rank // count] is mine
        others = [group for group in groups if group is not mine]
        assert all(group is ddp.GroupMember.NON_GROUP_MEMBER for group in others)
        x = core.tensor([rank])
        ddp.all_reduce(x, group=mine)
        assert x.item() == sum(range(start, start + count))
        ddp.destroy_process_group(mine)
    mine, groups = ddp.new_subgroups()  # a node each
    assert ddp.get_world_size(mine) == size and groups == [mine]
    for wrong in (0, size + 1):
        assert f"got {wrong}" in refused(lambda wrong=wrong: ddp.new_subgroups(wrong))


def subgroups_are_as_listed():
    rank, size = ddp.get_rank(), ddp.get_world_size()
    lists = [[*range(size - 1, 0, -1)], [0]][size == 1 :]
    mine, groups = ddp.new_subgroups_by_enumeration(lists)
    assert mine is groups[rank == 0 and size > 1]
    assert ddp.get_process_group_ranks(mine) == ([*range(1, size)] if rank else [0])
    mine, (alone,) = ddp.new_subgroups_by_enumeration([[size - 1]])
    assert (mine is None) == (rank < size - 1) and ddp.get_rank(alone) == (0 if mine else -1)
    assert "rank 0 is in two" in refused(lambda: ddp.new_subgroups_by_enumeration([[0], [0]]))
    assert "got none" in refused(lambda: ddp.new_subgroups_by_enumeration([]))


def bits_are_combined():
    rank, size = ddp.get_rank(), ddp.get_world_size()
    flags = np.array([rank == 0, True, False])
    expected = {"BAND": [size == 1, True, False], "BOR": [True, True, False]}
    expected["BXOR"] = [True, size % 2 == 1, False]
    for name, values in expected.items():
        x = core.tensor(flags)
        ddp.all_reduce(x, ddp.ReduceOp[name])
        assert x.tolist() == values
    every, share = core.tensor([1 << rank] * size), core.tensor([0])
    ddp.reduce_scatter_single(share, every, ddp.ReduceOp.BOR)
    assert share.item() == (1 << size) - 1


def pieces(group_rank):
    """What a rank puts in: one row of numbers for each of the ranks."""
    size = ddp.get_world_size()
    start = 1.0 + 10 * group_rank
    x = core.arange(start, start + 2 * size, dtype=core.float64).reshape(size, 2)
    return x.sin().requires_grad_()


def zeros(*shape):
    return core.zeros(shape, dtype=core.float64)


# Each collective as a function of one rank's pieces, and as one of all ranks' and a rank.
FLOWS = {
    "all_gather": (lambda x: core.cat(ddp.nn.all_gather(x)), lambda xs, r: core.cat(xs)),
    "all_reduce": (lambda x: ddp.nn.all_reduce(x), lambda xs, r: sum(xs)),
    "broadcast": (lambda x: ddp.nn.broadcast(x, 0), lambda xs, r: xs[0]),
    "reduce": (lambda x: ddp.nn.reduce(x, 0), lambda xs, r: sum(xs) * (r == 0)),
    "gather": (
        lambda x: core.cat(ddp.nn.gather(x, 0)),
        lambda xs, r: core.cat(xs) * (r == 0),
    ),
    "scatter": (lambda x: ddp.nn.scatter(list(x), 0), lambda xs, r: xs[0][r]),
    "reduce_scatter": (
        lambda x: ddp.nn.reduce_scatter(zeros(2), list(x), ddp.ReduceOp.AVG),
        lambda xs, r: sum(x[r] for x in xs) / len(xs),
    ),
    "all_to_all_single": (
        lambda x: ddp.nn.all_to_all_single(zeros(*x.shape), x),
        lambda xs, r: core.stack([x[r] for x in xs]),
    ),
    "all_to_all": (
        lambda x: core.cat(
            ddp.nn.all_to_all(
                [zeros(1 + ddp.get_rank()) for _ in x],
                [row[:1].repeat(1 + r) for r, row in enumerate(x)],
            )
        ),
        lambda xs, r: core.cat([x[r, :1].repeat(1 + r) for x in xs]),
    ),
}


def gradients_flow_as_if_one_process_had_all_pieces():
    """Of the sum of what all ranks compute, each with weights of its own."""
    rank, size = ddp.get_rank(), ddp.get_world_size()

    def loss(out, r):
        return (out * core.arange(1.0 + r, 1 + r + out.numel()).reshape(out.shape)).cos().sum()

    for name, (here, there) in FLOWS.items():
        x, xs = pieces(rank), [pieces(r) for r in range(size)]
        out, expected = here(x), there(xs, rank)
        np.testing.assert_allclose(out.detach(), expected.detach(), rtol=1e-12, err_msg=name)
        loss(out, rank).backward()
        sum(loss(there(xs, r), r) for r in range(size)).backward()
        slope = zeros(*x.shape) if xs[rank].grad is None else xs[rank].grad
        np.testing.assert_allclose(x.grad, slope, rtol=1e-9, atol=1e-12, err_msg=name)
    assert "takes SUM" in refused(lambda: ddp.nn.reduce(x, 0, ddp.ReduceOp.AVG), TypeError)


LAWS = [
    gradients_flow_as_if_one_process_had_all_pieces,
    subgroups_are_neighbours,
    subgroups_are_as_listed,
    bits_are_combined,
]
