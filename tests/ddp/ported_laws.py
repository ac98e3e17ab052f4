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


LAWS = [subgroups_are_neighbours, subgroups_are_as_listed, bits_are_combined]
