"""When ranks must share cores: what each may run on is asked of all, not guessed."""

import os

import pytest

from ddp.backends.polling import more_ranks_than_cores


class Node:
    """The ranks of one machine, each bound to its cores."""

    def __init__(self, *cores):
        self.cores = cores

    def allgather(self, mine):
        assert mine == sorted(os.sched_getaffinity(0))
        return self.cores

    def Get_size(self):  # noqa: N802  (MPI names it so)
        return len(self.cores)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system binds no process")
@pytest.mark.parametrize(
    "cores, crowded",
    [
        ([[0, 1], [0, 1]], False),
        ([[0, 1], [0, 1], [0, 1]], True),
        ([[0], [1], [2]], False),
        ([[0], [0]], True),
    ],
)
def test_ranks_share_cores_when_all_theirs_together_are_fewer(cores, crowded):
    assert more_ranks_than_cores(Node(*cores)) is crowded
