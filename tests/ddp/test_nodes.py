"""Who sends what to which node: data of every rank reaches every other node once, by even loads."""

import hypothesis
import hypothesis.strategies as st

from ddp.backends.nodes import Nodes


@st.composite
def placements(draw):
    """Ranks 0.. on some nodes, in any placement; each node in order of rank."""
    where = draw(st.lists(st.integers(0, 3), min_size=1, max_size=9))
    nodes = {}
    for rank, node in enumerate(where):
        nodes.setdefault(node, []).append(rank)
    return list(nodes.values())


@hypothesis.given(placements())
def test_what_a_rank_has_reaches_every_other_node_once(nodes):
    views = [Nodes(rank, nodes) for rank in range(sum(map(len, nodes)))]
    for view in views:
        reached = [views[r].here for r in view.receivers]
        assert reached == [there for there in nodes if there != view.here]
        assert all(view.rank in views[r].carried for r in view.receivers)
        assert sorted(view.here + view.elsewhere) == list(range(view.size))


@hypothesis.given(placements())
def test_every_rank_has_a_place_of_its_own_in_the_memory_of_each_node(nodes):
    views = [Nodes(rank, nodes) for rank in range(sum(map(len, nodes)))]
    for view in views:
        assert len(dict.fromkeys(view.places)) == view.size
        assert view.places[view.rank] == (view.local, 0)
        for rank, (holder, place) in enumerate(view.places):
            assert place < view.load
            keeper = views[view.here[holder]]
            assert rank == keeper.rank or rank in keeper.carried
        # Carriers share the work: no two of a node differ by more than one rank per other node.
        loads = [len(views[r].carried) for r in view.here]
        assert max(loads) - min(loads) < len(nodes)
