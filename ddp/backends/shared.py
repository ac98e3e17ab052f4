"""Collectives inside one node: every rank writes and reads the same memory, no messages at all.

Each rank owns a part of it: a word that counts the steps it has taken, two areas for small
arrays, and one for pieces of large ones. Arrays made by `Arena.allocate` lie in shared
memory of their own and are reduced where they are. Sums have the order of `ddp.reduction`, so the
bits are those of every other backend.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ddp.reduction import Array, ReduceOp, reduce_arrays, reduce_into
from ddp.schedule import Channel, Schedule, slices
from ddp.work import Steps

# Up to here every rank reads all inputs and reduces them itself: one step in place of two.
SMALL_BYTES = 32 << 10
# A piece of every rank's input and result fits the caches together.
PIECE_BYTES = 1 << 20
_HEADER_BYTES = 64
_WORD = 8


class Arena:
    """The shared memory of the ranks of one node, and this rank's place in them.

    `node` is a communicator of exactly the ranks of the group, in their order.
    """

    def __init__(self, node: Any) -> None:
        self.node = node
        self.rank, self.size = node.Get_rank(), node.Get_size()
        self.arrays: list[list[Array]] = []  # of each allocation, every rank's memory as bytes
        parts = self._window(_HEADER_BYTES + 2 * SMALL_BYTES + 2 * PIECE_BYTES)
        self._steps = [memoryview(part[:_WORD]).cast("Q") for part in parts]
        start = _HEADER_BYTES
        self.small = [[p[start + SMALL_BYTES * i :][:SMALL_BYTES] for p in parts] for i in (0, 1)]
        start += 2 * SMALL_BYTES
        self.inputs = [part[start:][:PIECE_BYTES] for part in parts]
        self.results = [part[start + PIECE_BYTES :][:PIECE_BYTES] for part in parts]
        self.step = 0
        self.flips = 0
        self._views: dict[Any, list[Array]] = {}
        self._fence = threading.Lock()
        self._open: dict[int, weakref.ref[Channel]] = {}
        self._steps[self.rank][0] = 0
        node.Barrier()

    def _window(self, count: int) -> list[Array]:
        """Every rank's part of new shared memory, of `count` bytes per rank."""
        count = -(-count // 4096) * 4096
        memory = shared_memory(self.node, count * self.size)
        whole = np.frombuffer(memory, np.uint8)
        return [whole[count * rank : count * (rank + 1)] for rank in range(self.size)]

    def allocate(self, count: int, dtype: Any) -> Array:
        """Zeros in shared memory; all ranks call this together, with the same arguments."""
        dtype = np.dtype(dtype)
        parts = self._window(max(count, 1) * dtype.itemsize)
        self.arrays.append(parts)
        mine = parts[self.rank][: count * dtype.itemsize].view(dtype)
        mine[...] = np.zeros((), dtype)
        self.node.Barrier()
        return mine

    def shared(self, flat: Array) -> list[Array] | None:
        """Every rank's counterpart of an array that `allocate` made, or of a part of one."""
        address = flat.__array_interface__["data"][0]
        for parts in self.arrays:
            start = address - parts[self.rank].__array_interface__["data"][0]
            if 0 <= start < parts[self.rank].nbytes:
                return [part[start : start + flat.nbytes].view(flat.dtype) for part in parts]
        return None

    def put_small(self, flat: Array) -> list[Array]:
        """Every rank's next small area, as arrays like `flat`, which is copied into this rank's.

        The areas alternate: a rank writes one again only after all ranks have come one collective
        further, so nobody still reads it.
        """
        self.flips ^= 1
        key = (self.flips, flat.size, flat.dtype)
        areas = self._views.get(key)
        if areas is None:
            areas = [area[: flat.nbytes].view(flat.dtype) for area in self.small[self.flips]]
            if len(self._views) < 1024:
                self._views[key] = areas
        areas[self.rank][...] = flat
        return areas

    def idle(self) -> bool:
        """Whether no earlier collective of this group is under way on this rank."""
        return self._oldest() is None

    # ---- steps and turns ----

    def done(self) -> Callable[[], bool]:
        """Say that this rank has taken its next step; the condition that all ranks have."""
        self.step = target = self.step + 1
        # The lock is a full fence: what was written before is visible before the step is.
        with self._fence:
            pass
        self._steps[self.rank][0] = target
        others = [word for rank, word in enumerate(self._steps) if rank != self.rank]
        if len(others) == 1:
            other = others[0]
            return lambda: other[0] >= target
        return lambda: all(word[0] >= target for word in others)

    def enter(self, seq: int, channel: Channel) -> None:
        """Note that collective `seq` has begun; it is over when its channel is gone."""
        self._open[seq] = weakref.ref(channel)

    def turn(self, channel: Channel) -> Callable[[], bool]:
        """The condition that every earlier collective of this group is over on this rank."""
        mine = weakref.ref(channel)  # the condition must not keep its own collective open
        return lambda: self._oldest() is mine()

    def _oldest(self) -> Channel | None:
        for seq, reference in list(self._open.items()):
            channel = reference()
            if channel is not None:
                return channel
            del self._open[seq]
        return None

    def close(self) -> None:
        """Let go of the memory, which ends with the last array that lies in it."""
        self._steps = []
        self.small = self.inputs = self.results = []
        self.arrays = []
        self._views = {}


def shared_memory(node: Any, count: int) -> mmap.mmap:
    """`count` zero bytes that all ranks of `node` share; no file of theirs stays behind.

    Raises: OSError, on every rank, where one of them cannot have it.
    """
    rank, problem, memory = node.Get_rank(), "", None
    name = node.bcast(secrets.token_hex(8) if rank == 0 else None)
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
    path = os.path.join(folder, f"unison-{name}")
    for first in (True, False):
        if (rank == 0) == first and not problem:
            try:
                memory = _mapped(path, count, first)
            except OSError as error:
                problem = f"rank {rank} of this node cannot share {count} bytes in {path}: {error}"
        problem = next((text for text in node.allgather(problem) if text), "")
    if rank == 0:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    if problem or memory is None:
        raise OSError(problem)
    return memory


def _mapped(path: str, count: int, create: bool) -> mmap.mmap:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags | (os.O_CREAT | os.O_EXCL if create else 0), 0o600)
    try:
        if create:
            os.posix_fallocate(fd, 0, count)  # a full /dev/shm is an error here, not a crash later
        return mmap.mmap(fd, count)
    finally:
        os.close(fd)


class SharedSchedule(Schedule):
    """Dense reductions, broadcast and gather through an arena; everything else by messages."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena

    def all_reduce(self, channel: Channel, flat: Array, op: ReduceOp) -> Steps:
        """The reduction of all ranks' `flat`: `flat` itself where that lies in shared memory."""
        yield self.arena.turn(channel)
        every = self.arena.shared(flat)
        if every is not None and flat.nbytes > SMALL_BYTES:
            yield from self._reduce_in_place(every, op)
            return flat
        if flat.nbytes <= SMALL_BYTES:
            return (yield from self._reduce_small(flat, op))
        out = np.empty_like(flat)
        per_piece = PIECE_BYTES // flat.itemsize
        for start in range(0, flat.size, per_piece):
            part = slice(start, start + per_piece)
            yield from self._reduce_piece(flat[part], out[part], op)
        return out

    def _reduce_small(self, flat: Array, op: ReduceOp) -> Steps:
        """Every rank reads all inputs; the areas alternate, so none is written while it is read."""
        arena = self.arena
        areas = arena.put_small(flat)
        yield arena.done()
        out = reduce_arrays(areas, op)
        return out.copy() if len(areas) == 1 else out

    def _reduce_piece(self, flat: Array, out: Array, op: ReduceOp) -> Steps:
        """Every rank reduces its slice of all inputs, then reads the others' results."""
        arena = self.arena
        inputs = [part[: flat.nbytes].view(flat.dtype) for part in arena.inputs]
        inputs[arena.rank][...] = flat
        yield arena.done()
        cuts = slices(flat.size, arena.size)
        results = [part[: flat.nbytes].view(flat.dtype) for part in arena.results]
        cut = cuts[arena.rank]
        results[arena.rank][cut] = reduce_arrays([part[cut] for part in inputs], op)
        yield arena.done()
        for rank, theirs in enumerate(cuts):
            out[theirs] = results[rank][theirs]

    def _reduce_in_place(self, every: Sequence[Array], op: ReduceOp) -> Steps:
        """Every rank reduces its slice of all arrays and writes it into all of them."""
        yield self.arena.done()
        self.reduce_mine(every, op)
        yield self.arena.done()

    def reduce_mine(self, every: Sequence[Array], op: ReduceOp) -> None:
        """Reduce this rank's slice of all ranks' arrays and write it into all of them."""
        rank = self.arena.rank
        cut = slices(every[0].size, self.arena.size)[rank]
        step = PIECE_BYTES // (4 * every[0].itemsize)
        for start in range(cut.start, cut.stop, step):
            piece = slice(start, min(start + step, cut.stop))
            mine = every[rank][piece]
            reduce_into(mine, [array[piece] for array in every], op)
            for other, array in enumerate(every):
                if other != rank:
                    array[piece] = mine

    def broadcast(self, channel: Channel, flat: Array, root: int) -> Steps:
        """None; `flat` holds what the root's held."""
        arena = self.arena
        if not flat.size:
            return
        yield arena.turn(channel)
        per_piece = PIECE_BYTES // flat.itemsize
        for start in range(0, flat.size, per_piece):
            piece = flat[start : start + per_piece]
            area = arena.inputs[root][: piece.nbytes].view(piece.dtype)
            if arena.rank == root:
                area[...] = piece
            yield arena.done()
            if arena.rank != root:
                piece[...] = area
            yield arena.done()  # the root may write the next piece

    def all_gather(self, channel: Channel, outs: Sequence[Array], flat: Array) -> Steps:
        """None; `outs[r]` holds what rank r had in `flat`."""
        arena = self.arena
        if not flat.size:
            return
        yield arena.turn(channel)
        per_piece = PIECE_BYTES // flat.itemsize
        for start in range(0, flat.size, per_piece):
            part = slice(start, start + per_piece)
            n = flat[part].nbytes
            arena.inputs[arena.rank][:n].view(flat.dtype)[...] = flat[part]
            yield arena.done()
            for rank, out in enumerate(outs):
                out[part] = arena.inputs[rank][:n].view(flat.dtype)
            yield arena.done()

    def barrier(self, channel: Channel) -> Steps:
        """None, once every rank has come."""
        yield self.arena.turn(channel)
        yield self.arena.done()
