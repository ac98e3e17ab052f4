"""Collectives through memory that the ranks of a node share; messages go between nodes only.

Sums have the order of `ddp.reduction` over all ranks, so the bits are those of every other
backend, and do not depend on which rank is on which node. For that a slice is added on one rank,
from what every rank has: partial sums per node would be fewer bytes, and other bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ddp.backends.arena import PIECE_BYTES, SMALL_BYTES, Arena
from ddp.reduction import Array, ReduceOp, reduce_arrays, reduce_into
from ddp.schedule import Channel, Schedule, slices
from ddp.work import Steps


class Piece(NamedTuple):
    """What is reduced at a time: `inputs` of all ranks, into `mine` and then the `others`."""

    mine: Array
    inputs: list[Array]
    others: list[Array]

    def reduce(self, op: ReduceOp) -> None:
        """Nothing; this rank's and the others' memory holds the reduction of the inputs."""
        reduce_into(self.mine, self.inputs, op)
        for other in self.others:
            other[...] = self.mine


class SharedSchedule(Schedule):
    """Reductions and copies through an arena; by messages what differs for each pair of nodes."""

    def __init__(self, arena: Arena) -> None:
        self.arena, self.nodes = arena, arena.nodes

    # ---- reductions ----

    def all_reduce(self, channel: Channel, flat: Array, op: ReduceOp) -> Steps:
        """The reduction of all ranks' `flat`: `flat` itself unless it is small."""
        arena = self.arena
        yield arena.turn(channel)
        if flat.nbytes <= SMALL_BYTES:
            return (yield from self._reduce_small(channel, flat, op))
        where, every = arena.locate(flat)
        arena.say(where)
        yield arena.done()
        yield from self.reduce_large(channel, flat, every, op)
        return flat

    def reduce_large(
        self, channel: Channel, flat: Array, every: Sequence[Array], op: ReduceOp
    ) -> Steps:
        """None; `flat` is reduced: where it lies, if all ranks have said that this can be done."""
        arena, alone = self.arena, not self.nodes.elsewhere
        in_place = arena.same_place()
        if in_place and alone:
            for piece in self.pieces_of_mine(every):
                piece.reduce(op)
            yield arena.done()
            return
        # Equal pieces on every node: the arrays may lie in shared memory on some nodes only.
        for part in _parts(flat):
            piece = flat[part]
            if in_place:
                areas = [array[part] for array in every]
            else:
                areas = self._piece_areas(piece)
                areas[arena.rank][...] = piece
            yield from self._reduce_in_place(channel, areas, op)
            if not in_place:
                piece[...] = areas[arena.rank]

    def _reduce_small(self, channel: Channel, flat: Array, op: ReduceOp) -> Steps:
        """Every rank reads all inputs and reduces them itself."""
        areas = self.arena.small_areas(flat)[self.arena.next_flip()]
        areas[channel.rank][...] = flat
        yield from self._carry(channel, areas)
        yield self.arena.done()
        return reduce_arrays(areas, op)

    def reduce(self, channel: Channel, flat: Array, op: ReduceOp, root: int) -> Steps:
        """The reduction of all ranks' `flat` on the root, None elsewhere; all_reduce's bits."""
        arena, is_root = self.arena, channel.rank == root
        yield arena.turn(channel)
        if flat.nbytes <= SMALL_BYTES:
            small = yield from self._reduce_small(channel, flat, op)
            return small if is_root else None
        out = np.empty_like(flat) if is_root else None
        for part in _parts(flat):
            areas = self._piece_areas(flat[part])
            areas[arena.rank][...] = flat[part]
            yield from self._reduce_in_place(channel, areas, op)
            if out is not None:
                out[part] = areas[arena.rank]
        return out

    def reduce_scatter(self, channel: Channel, parts: Sequence[Array], op: ReduceOp) -> Steps:
        """This rank's part, reduced over all ranks in the fixed order."""
        arena, nodes = self.arena, self.nodes
        if nodes.elsewhere:
            return (yield from super().reduce_scatter(channel, parts, op))
        yield arena.turn(channel)
        out = np.empty_like(parts[0])
        for part, room in self._shares(out):
            for r, theirs in enumerate(parts):
                self._share(arena.rank, r, room, theirs[part])[...] = theirs[part]
            yield arena.done()
            mine = out[part]
            every = [self._share(r, arena.rank, room, mine) for r in range(arena.size)]
            reduce_into(mine, every, op)
            yield arena.done()  # the next piece may be written
        return out

    def _shares(self, flat: Array) -> list[tuple[slice, int]]:
        """Pieces of `flat` of which one for each rank has room in one rank's area; that room."""
        room = PIECE_BYTES // self.arena.size // 64 * 64
        step = room // flat.itemsize
        return [(slice(start, start + step), room) for start in range(0, flat.size, step)]

    def _share(self, holder: int, rank: int, room: int, like: Array) -> Array:
        """Where `holder` keeps what is for `rank`."""
        return self.arena.pieces[holder][room * rank :][: like.nbytes].view(like.dtype)

    def _carry(self, channel: Channel, areas: Sequence[Array]) -> Steps:
        """None; this rank's area has gone to every other node, and what it carries has come."""
        nodes = self.nodes
        if areas[channel.rank].size and nodes.elsewhere:
            requests = [channel.recv(areas[r], r) for r in nodes.carried]
            requests += [channel.send(areas[channel.rank], r) for r in nodes.receivers]
            yield channel.done(requests)

    def _reduce_in_place(self, channel: Channel, every: Sequence[Array], op: ReduceOp) -> Steps:
        """None; all arrays of this node, `every`, hold the reduction over all ranks.

        Every rank of the group reduces one slice and writes it into all arrays of its node.
        """
        arena, nodes = self.arena, self.nodes
        mine, cuts = every[arena.rank], slices(every[0].size, nodes.size)
        cut = cuts[channel.rank]
        inputs = {r: array[cut] for r, array in zip(nodes.here, every)}
        if nodes.elsewhere:
            inputs |= {r: np.empty_like(mine[cut]) for r in nodes.elsewhere}
            recvs = [channel.recv(inputs[r], r) for r in nodes.elsewhere if inputs[r].size]
            parts = [(mine[cuts[r]], r) for r in nodes.elsewhere]
            yield channel.done(recvs + [channel.send(part, r) for part, r in parts if part.size])
        yield arena.done()
        for piece in self._pieces(every, cut, [inputs[r] for r in range(nodes.size)]):
            piece.reduce(op)
        if nodes.elsewhere:
            results = [(cuts[r], r) for r in nodes.carried]
            recvs = [channel.recv(mine[part], r) for part, r in results if mine[part].size]
            sends = [channel.send(mine[cut], r) for r in nodes.receivers if mine[cut].size]
            yield channel.done(recvs + sends)
            for part, _ in results:
                for array in every:
                    if array is not mine:
                        array[part] = mine[part]
        yield arena.done()

    def _piece_areas(self, like: Array) -> list[Array]:
        return [area[: like.nbytes].view(like.dtype) for area in self.arena.pieces]

    def pieces_of_mine(self, every: Sequence[Array]) -> list[Piece]:
        """What this rank reduces of the arrays of a node that is alone."""
        cut = slices(every[0].size, self.arena.size)[self.arena.rank]
        return self._pieces(every, cut, [array[cut] for array in every])

    def _pieces(self, every: Sequence[Array], cut: slice, inputs: Sequence[Array]) -> list[Piece]:
        """Slice `cut` of every array, which is to hold the reduction of `inputs`."""
        rank = self.arena.rank
        mine, others = every[rank], [array for r, array in enumerate(every) if r != rank]
        step = PIECE_BYTES // mine.itemsize
        ends = [(start, min(start + step, cut.stop)) for start in range(cut.start, cut.stop, step)]
        return [
            Piece(
                mine[start:end],
                [array[start - cut.start : end - cut.start] for array in inputs],
                [array[start:end] for array in others],
            )
            for start, end in ends
        ]

    # ---- what one or all ranks have ----

    def broadcast(self, channel: Channel, flat: Array, root: int) -> Steps:
        """None; `flat` holds what the root's held."""
        arena, nodes = self.arena, self.nodes
        yield arena.turn(channel)
        holder, _ = nodes.places[root]
        flat = flat.view(np.uint8)
        for part in _parts(flat):
            piece = flat[part]
            area = arena.pieces[holder][: piece.size]
            if channel.rank == root:
                area[...] = piece
                if nodes.elsewhere:
                    yield channel.done([channel.send(area, r) for r in nodes.receivers])
            elif root in nodes.carried:
                yield channel.done([channel.recv(area, root)])
            yield arena.done()
            if channel.rank != root:
                piece[...] = area
            yield arena.done()  # the next piece may be written

    def all_gather(self, channel: Channel, outs: Sequence[Array], flat: Array) -> Steps:
        """None; `outs[r]` holds what rank r had in `flat`."""
        arena, nodes = self.arena, self.nodes
        yield arena.turn(channel)
        room = PIECE_BYTES // nodes.load
        flat, outs = flat.view(np.uint8), [out.view(np.uint8) for out in outs]
        for start in range(0, flat.size, room):
            part = slice(start, start + room)
            areas = [
                arena.pieces[holder][room * place :][: flat[part].size]
                for holder, place in nodes.places
            ]
            areas[channel.rank][...] = flat[part]
            yield from self._carry(channel, areas)
            yield arena.done()
            for area, out in zip(areas, outs):
                out[part] = area
            yield arena.done()  # the next piece may be written

    def gather(self, channel: Channel, outs: Sequence[Array], flat: Array, root: int) -> Steps:
        """None; on the root `outs[r]` holds what rank r had in `flat`."""
        if self.nodes.elsewhere:
            yield from super().gather(channel, outs, flat, root)
        else:
            places = outs if channel.rank == root else []
            yield from self.all_gather(channel, places, flat)

    def scatter(self, channel: Channel, flat: Array, parts: Sequence[Array], root: int) -> Steps:
        """None; `flat` holds what the root had in `parts[this rank]`."""
        arena = self.arena
        if self.nodes.elsewhere:
            yield from super().scatter(channel, flat, parts, root)
            return
        yield arena.turn(channel)
        for part, room in self._shares(flat):
            if arena.rank == root:
                for r, theirs in enumerate(parts):
                    self._share(root, r, room, theirs[part])[...] = theirs[part]
            yield arena.done()
            flat[part] = self._share(root, arena.rank, room, flat[part])
            yield arena.done()  # the next piece may be written

    def barrier(self, channel: Channel) -> Steps:
        """None, once every rank has come."""
        yield self.arena.turn(channel)
        yield self.arena.done()
        if self.nodes.elsewhere:
            # This node has come; it is over when that is known of all others, on all ranks here.
            tokens = [np.zeros(1, np.uint8) for _ in range(self.nodes.size)]
            yield from self._carry(channel, tokens)
            yield self.arena.done()


def _parts(flat: Array) -> list[slice]:
    """`flat` cut into pieces of PIECE_BYTES."""
    per_piece = PIECE_BYTES // flat.itemsize
    return [slice(start, start + per_piece) for start in range(0, flat.size, per_piece)]
