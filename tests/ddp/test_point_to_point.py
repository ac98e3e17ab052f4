"""Messages between two ranks: from any of them, of objects, by ranks of either group."""

import numpy as np
import pytest

import core
import ddp


@pytest.fixture
def alone():
    """A default group of one rank."""
    yield ddp.init_process_group("single")
    ddp.destroy_process_group()


def values(tensor):
    return tensor.tolist()


def filled(value):
    return core.full((3,), float(value))


def test_messages_from_any_rank_tell_the_rank_in_the_default_group():
    def body():
        pair = ddp.new_group([1, 2])
        if ddp.get_rank() == 2:
            ddp.send(np.ones(2), 1, pair)
            ddp.send_object_list(["a", 2], 1, pair)
        elif ddp.get_rank() == 1:
            array, objects = np.zeros(2), [None, None]
            assert ddp.recv(array, group=pair) == 2 and array.sum() == 2
            assert ddp.recv_object_list(objects, group=pair) == 2 and objects == ["a", 2]
        ddp.barrier()
        return True

    assert ddp.simulate(body, 3) == [True] * 3


def test_another_number_of_objects_is_refused():
    def body():
        if ddp.get_rank() == 0:
            ddp.send_object_list([1, 2], 1)
        else:
            ddp.recv_object_list([None], 0)

    with pytest.raises(ValueError, match="expected 1 objects, rank 0 sent 2"):
        ddp.simulate(body, 2)


def test_messages_may_go_to_ranks_of_the_group_that_is_spoken_to():
    def body():
        group, got, objects = ddp.new_group([2, 1], sort_ranks=False), filled(0), [None]
        if ddp.get_rank() == 2:
            ddp.send(filled(7), group=group, group_dst=1)
            ddp.isend(filled(8), group=group, group_dst=1).wait()
            ddp.send_object_list(["a"], group=group, group_dst=1)
        elif ddp.get_rank() == 1:
            assert ddp.recv(got, group=group, group_src=0) == 2 and values(got) == [7.0] * 3
            ddp.irecv(got, group=group, group_src=0).wait()
            assert values(got) == [8.0] * 3
            assert ddp.recv_object_list(objects, group=group, group_src=0) == 2
        if ddp.get_rank():
            here = ddp.get_rank(group)
            out = filled(here)
            ways = [(ddp.isend, out), (ddp.irecv, got)]
            ops = [ddp.P2POp(way, x, group=group, group_peer=1 - here) for way, x in ways]
            assert ops[0].peer == ddp.get_global_rank(group, 1 - here)
            for work in ddp.batch_isend_irecv(ops):
                work.wait()
            assert values(got) == [1.0 - here] * 3

    ddp.simulate(body, 3)


def test_a_batch_is_of_one_group():
    def body():
        other, groups, got = 1 - ddp.get_rank(), [None, ddp.new_group()], filled(0)
        ops = [
            ddp.P2POp(way, x, other, group)
            for group, way, x in zip(groups, [ddp.isend, ddp.irecv], [filled(1), got], strict=True)
        ]
        assert ops[0].group_peer == other and ddp.batch_isend_irecv([]) == []
        for wrong in (ops, ["isend"], ops[0]):
            with pytest.raises(ValueError, match="batch_isend_irecv"):
                ddp.batch_isend_irecv(wrong)

    ddp.simulate(body, 2)


@pytest.mark.parametrize(
    "say",
    [
        lambda **ranks: ddp.broadcast(core.ones(1), **ranks),
        lambda **ranks: ddp.recv(core.ones(1), **ranks),
        lambda **ranks: ddp.P2POp(ddp.irecv, core.ones(1), ranks["src"], None, 0, 0),
    ],
)
def test_a_rank_is_meant_in_one_way(say, alone):
    with pytest.raises(ValueError, match="Can't specify both group_rank and global_rank"):
        say(src=0, group_src=0)
    for neither in (
        lambda: ddp.send(core.ones(1)),
        lambda: ddp.reduce(core.ones(1)),
        lambda: ddp.P2POp(ddp.isend, core.ones(1)),
    ):
        with pytest.raises(ValueError, match="Must specify global_rank or group_rank"):
            neither()
    with pytest.raises(ValueError, match="no rank 1 in the group"):
        ddp.get_global_rank(None, 1)
