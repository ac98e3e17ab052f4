"""Calls that do not match: one rank does something else, and every rank must say so.

Functions of a group, for simulated and real ranks alike.
"""

import functools

import numpy as np

from ddp.call import CollectiveError, CollectiveMismatchError
from ddp.group import ReduceOp


def _all_reduce(group, array, **changes):
    group.all_reduce(array, **changes)


# name: (what the other ranks do, what the odd rank does), functions of (group, array of 4 floats)
MISMATCHES = {
    "shape": (_all_reduce, lambda g, a: g.all_reduce(a[:2])),
    "shape of the same size": (_all_reduce, lambda g, a: g.all_reduce(a.reshape(2, 2))),
    "dtype": (_all_reduce, lambda g, a: g.all_reduce(a.view(np.int32))),
    "dtype of the same bytes": (_all_reduce, lambda g, a: g.all_reduce(a.view(np.float64))),
    "record": (
        lambda g, a: g.broadcast(a.view([("x", "f4"), ("y", "i4")])),
        lambda g, a: g.broadcast(a.view([("x", "i4"), ("y", "f4")])),
    ),
    "reduce op": (_all_reduce, functools.partial(_all_reduce, op=ReduceOp.MAX)),
    "verb": (_all_reduce, lambda g, a: g.broadcast(a)),
    "verb without data": (_all_reduce, lambda g, a: g.barrier()),
    "label": (
        functools.partial(_all_reduce, label="bucket 1"),
        functools.partial(_all_reduce, label="bucket 2"),
    ),
    "root": (lambda g, a: g.broadcast(a, 0), lambda g, a: g.broadcast(a, 1)),
    "objects": (lambda g, a: g.all_gather_object([0] * g.size, 1), _all_reduce),
    "large": (
        lambda g, a: g.all_reduce(np.ones(2**18, np.float32)),
        lambda g, a: g.all_reduce(np.ones(2**17, np.float32)),
    ),
    "sizes of all_to_all": (
        lambda g, a: g.all_to_all([a.copy() for _ in range(g.size)], [a] * g.size),
        lambda g, a: g.all_to_all([a.copy() for _ in range(g.size)], [a[:2]] * g.size),
    ),
    "order of asynchronous calls": (
        lambda g, a: [w.wait() for w in (g.all_reduce(a, async_op=True), g.barrier(True))],
        lambda g, a: [w.wait() for w in (g.barrier(True), g.all_reduce(a, async_op=True))],
    ),
}


def a_mismatch_raises_on_every_rank(group, name):
    """Every rank raises CollectiveMismatchError, no array changes, and the parent still works."""
    part = group.new_group()
    usual, odd = MISMATCHES[name]
    array = np.full(4, group.rank + 1, np.float32)
    outcome = "no error"
    try:
        (odd if group.rank == group.size - 1 else usual)(part, array)
    except CollectiveMismatchError as error:
        outcome = "mismatch"
        assert f"rank {group.rank}" in str(error)
        assert "sizes" in name or (
            "mismatches.py:" in str(error) and f"{group.size - 1}:" in str(error)
        )
    assert (array == group.rank + 1).all()
    outcomes = [None] * group.size
    group.all_gather_object(outcomes, outcome)
    assert outcomes == ["mismatch"] * group.size, outcomes
    part.close()


def a_missing_rank_is_named(group):
    """The others raise at their deadline (simulated: at once), and say who was not there."""
    part = group.new_group()
    if group.rank == group.size - 1:
        group.barrier()
    else:
        array = np.full(4, group.rank)
        try:
            part.all_reduce(array, timeout=0.5)
        except CollectiveError as error:
            assert f"rank {group.size - 1}" in str(error) and "mismatches.py:" in str(error)
        else:
            raise AssertionError("no error")
        assert (array == group.rank).all()
        group.barrier()


def a_message_of_another_shape_is_refused(group):
    part = group.new_group()
    if group.rank == 0:
        part.send(np.ones((2, 3)), 1)
    elif group.rank == 1:
        array = np.zeros(6)
        try:
            part.recv(array, 0)
        except CollectiveMismatchError as error:
            assert "(2, 3)" in str(error) and "(6,)" in str(error) and (array == 0).all()
        else:
            raise AssertionError("no error")
    group.barrier()
