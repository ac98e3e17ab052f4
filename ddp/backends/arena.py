"""The memory that the ranks of one node share, and the steps they take through it together.

Each rank owns a part of it: a word that counts the steps it has taken, a word that says where its
array lies, two areas for small arrays, and one for pieces of large ones. Arrays made by
`Arena.allocate` lie in shared memory of their own and are reduced where they are.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import secrets
import tempfile
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ddp.backends.nodes import Nodes
from ddp.reduction import Array
from ddp.schedule import Channel

# Up to here every rank reads all inputs and reduces them itself: one step in place of two.
SMALL_BYTES = 32 << 10
# A piece of the inputs and results of a few ranks fits the last cache.
PIECE_BYTES = 1 << 20
_HEADER_BYTES = 64
_WORD = 8
# How many kinds of arrays are remembered.
_KINDS = 1024

Made = TypeVar("Made")


class Arena:
    """The shared memory of the ranks of one node, and this rank's place in them.

    `node` is a communicator of exactly the ranks `nodes.here`, in their order.
    """

    def __init__(self, node: Any, nodes: Nodes) -> None:
        self.node, self.nodes = node, nodes
        self.rank, self.size = node.Get_rank(), node.Get_size()
        self.arrays: list[list[Array]] = []  # of each allocation, every rank's memory as bytes
        small = SMALL_BYTES * nodes.load
        parts = self._window(_HEADER_BYTES + 2 * small + PIECE_BYTES)
        words = [memoryview(part[: 2 * _WORD]).cast("Q") for part in parts]
        self.mine = words[self.rank]
        self.others = [word for rank, word in enumerate(words) if rank != self.rank]
        self.small = [
            [
                parts[holder][_HEADER_BYTES + small * flip + SMALL_BYTES * place :][:SMALL_BYTES]
                for holder, place in nodes.places
            ]
            for flip in (0, 1)
        ]
        self.pieces = [part[_HEADER_BYTES + 2 * small :][:PIECE_BYTES] for part in parts]
        self.step = 0
        self.flip = 0
        self._views: dict[Any, list[list[Array]]] = {}
        self._fence = threading.Lock()
        self._open: dict[int, weakref.ref[Channel]] = {}
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

    def locate(self, flat: Array) -> tuple[int, list[Array]]:
        """Where `flat` lies and every rank's counterpart of it; 0 and none if nobody else sees it.

        That is: in memory that `allocate` made.
        """
        address = flat.__array_interface__["data"][0] if self.arrays else 0
        for number, parts in enumerate(self.arrays, 1):
            start = address - parts[self.rank].__array_interface__["data"][0]
            if 0 <= start < parts[self.rank].nbytes:
                every = [part[start : start + flat.nbytes].view(flat.dtype) for part in parts]
                return number << 48 | start, every
        return 0, []

    def say(self, where: int) -> None:
        """Nothing; after this rank's next step the others know where its array lies."""
        self.mine[1] = where

    def same_place(self) -> bool:
        """Whether the arrays of all ranks of the node are counterparts of each other."""
        where = self.mine[1]
        return where != 0 and all(word[1] == where for word in self.others)

    def small_areas(self, like: Array) -> list[list[Array]]:
        """Both areas of every rank of the group, as arrays like `like`."""
        key = (like.shape, like.dtype)
        areas = self._views.get(key)
        if areas is None:
            areas = [
                [area[: like.nbytes].view(like.dtype).reshape(like.shape) for area in every]
                for every in self.small
            ]
            if len(self._views) < _KINDS:
                self._views[key] = areas
        return areas

    def next_flip(self) -> int:
        """Which of its two small areas this rank may write now.

        They alternate: a rank writes one again only after all ranks have come one collective
        further, so nobody still reads it.
        """
        self.flip ^= 1
        return self.flip

    def idle(self) -> bool:
        """Whether no earlier collective of this group is under way on this rank."""
        return not self._open or self._oldest() is None

    # ---- steps and turns ----

    def take_step(self) -> int:
        """The number of this rank's next step, which all others of the node see that it has taken.

        What it has written before they see too.
        """
        self.step += 1
        # The lock is a full fence: what was written before is visible before the step is.
        with self._fence:
            pass
        self.mine[0] = self.step
        return self.step

    def done(self) -> Callable[[], bool]:
        """Take the next step; the condition that all ranks of the node have taken it."""
        target, others = self.take_step(), self.others
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
        self.mine, self.others = memoryview(b""), []
        self.small, self.pieces = [], []
        self.arrays = []
        self._views = {}


def shared_memory(node: Any, count: int) -> mmap.mmap:
    """`count` zero bytes that all ranks of `node` share.

    Raises: OSError, on every rank, where one of them cannot have it.
    """
    return made_together(node, f"{count} bytes", lambda path, new: _mapped(path, count, new))


def made_together(node: Any, what: str, make: Callable[[str, bool], Made]) -> Made:
    """What `make(path, new)` gives: of a new file on rank 0 of `node`, then of it on the others.

    The file is gone before anyone uses what it holds: none stays behind.
    Raises: OSError, on every rank, where one of them cannot have it.
    """
    rank, problem, made = node.Get_rank(), "", None
    name = node.bcast(secrets.token_hex(8) if rank == 0 else None)
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
    path = os.path.join(folder, f"unison-{name}")
    for first in (True, False):
        if (rank == 0) == first and not problem:
            try:
                made = make(path, first)
            except OSError as error:
                problem = f"rank {rank} of this node cannot share {what} in {path}: {error}"
                if error.errno == errno.ENOSPC:
                    problem += " (in a container: docker run --shm-size=1g)"
        problem = next((text for text in node.allgather(problem) if text), "")
    if rank == 0:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    if problem or made is None:
        raise OSError(problem)
    return made


def _mapped(path: str, count: int, create: bool) -> mmap.mmap:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags | (os.O_CREAT | os.O_EXCL if create else 0), 0o600)
    try:
        if create:
            os.posix_fallocate(fd, 0, count)  # a full /dev/shm is an error here, not a crash later
        return mmap.mmap(fd, count)
    finally:
        os.close(fd)
