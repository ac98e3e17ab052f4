"""Which ranks of a group share memory, and which of them fetches what from other nodes."""

from __future__ import annotations

from collections.abc import Sequence


class Nodes:
    """The nodes of a group as rank `rank` sees them; `nodes` lists the ranks of each, all of them.

    What a rank has is needed once per node: it sends it to one carrier in each other node, who
    puts it in the memory of that node. Carriers go round, so that their loads are even.

    Example:
        >>> nodes = Nodes(2, [[0, 1], [2, 3]])
        >>> nodes.here, nodes.elsewhere, nodes.receivers, nodes.carried
        ([2, 3], [0, 1], [0], [0])
    """

    def __init__(self, rank: int, nodes: Sequence[Sequence[int]]) -> None:
        self.rank = rank
        self.nodes = [list(ranks) for ranks in nodes]
        self.size = sum(len(ranks) for ranks in nodes)
        self.here = next(ranks for ranks in self.nodes if rank in ranks)
        self.local = self.here.index(rank)
        self.elsewhere = [r for r in range(self.size) if r not in self.here]
        self.receivers = [self.carrier(rank, there) for there in self.nodes if there != self.here]
        self.carried = [r for r in self.elsewhere if self.carrier(r, self.here) == rank]
        # Of each rank: which local rank's memory holds its data here, and as which one of several.
        self.places = [self._place(r) for r in range(self.size)]
        # The most ranks whose data one rank of the group holds, itself among them.
        self.load = max(
            1 + sum(self.carrier(r, there) == c for r in range(self.size) if r not in there)
            for there in self.nodes
            for c in there
        )

    def carrier(self, rank: int, there: Sequence[int]) -> int:
        """The rank of node `there` that receives what `rank`, of another node, has."""
        home = next(ranks for ranks in self.nodes if rank in ranks)
        return there[home.index(rank) % len(there)]

    def _place(self, rank: int) -> tuple[int, int]:
        if rank in self.here:
            return self.here.index(rank), 0
        carrier = self.carrier(rank, self.here)
        carried = [r for r in self.elsewhere if self.carrier(r, self.here) == carrier]
        return self.here.index(carrier), 1 + carried.index(rank)
