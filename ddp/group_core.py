"""`GroupCore`: a group without verbs: who is in it, how an operation starts, what arguments may be.

An operation is checked, shown to the guard (which raises on every rank when the ranks disagree),
and only then are its messages started. A backend gives a group its engine, its guard, its channels
and its subgroups; nothing else.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol

import numpy as np

from ddp.call import Call, CollectiveError, call_site, described
from ddp.reduction import Array, ReduceOp, check_reducible
from ddp.schedule import Channel, Schedule
from ddp.work import Engine, Steps, Work, seconds_of

DEFAULT_TIMEOUT = 600.0
# The same by PyTorch's name, and as it is there.
default_pg_timeout = timedelta(seconds=DEFAULT_TIMEOUT)
Timeout = float | timedelta | None


class Guard(Protocol):
    """What a group asks before it moves data (see `ddp.guard`)."""

    def post(self, call: Call) -> int:
        """The sequence number of `call`; from now on the other ranks can see it."""

    def full(self) -> bool:
        """Whether an earlier call must be agreed on before another one is posted."""

    def agree(self, seq: int, call: Call, channel: Channel) -> Steps:
        """None, once every rank that can be seen has posted the same call."""

    def wait_patiently(self) -> None:
        """Nothing; the call just posted has no deadline."""

    def leave(self) -> None:
        """Nothing; the call is over."""

    def check_peers(self) -> None:
        """None, if no other rank has given up."""

    def fail(self, error: BaseException) -> None:
        """Nothing; the other ranks learn that this one has given up."""

    def explain(self, text: str) -> str:
        """`text` followed by a roll call: which rank is where."""


def timeout_seconds(timeout: Timeout) -> float:
    """The deadline in seconds: the argument, else UNISON_TIMEOUT (0: never), else ten minutes."""
    if timeout is None:
        return float(os.environ.get("UNISON_TIMEOUT", DEFAULT_TIMEOUT)) or float("inf")
    seconds = seconds_of(timeout)
    if not seconds > 0:
        raise ValueError(f"timeout must be a positive number of seconds, got {seconds:g}")
    return seconds


class GroupCore(ABC):
    """A group without verbs: who is in it, and how an operation is started."""

    name = ""
    array_type: type[Any] = np.ndarray

    def __init__(
        self,
        rank: int,
        size: int,
        local_rank: int,
        local_size: int,
        engine: Engine,
        guard: Guard,
        timeout: Timeout = None,
        schedule: Schedule | None = None,
    ) -> None:
        self.rank, self.size = rank, size
        # The ranks of the default group that are ranks 0, 1, ... here.
        self.ranks = list(range(size))
        self.shards: int | None = None  # logical shards, where the run was asked to have them
        self.local_rank, self.local_size = local_rank, local_size
        self.timeout = timeout_seconds(timeout)
        self.engine, self.guard = engine, guard
        self.schedule = schedule or Schedule()
        self.failure: BaseException | None = None
        self.closed = False
        self.initialized = False  # by init_process_group
        self.subgroups = 0

    # ---- what a backend implements ----

    @abstractmethod
    def channel(self, seq: int) -> Channel:
        """The messages of collective number `seq`, apart from those of all others."""

    @abstractmethod
    def peer_channel(self, tag: int) -> Channel:
        """The messages that users send with `tag`."""

    @abstractmethod
    def subgroup(self, ranks: Sequence[int], key: str, timeout: Timeout) -> Any:
        """A group of these ranks in this order, called by exactly these ranks with one `key`."""

    def release(self) -> None:  # noqa: B027  (most backends hold nothing)
        """Nothing; what the backend holds is given back. All ranks call it together."""

    def allocate(self, count: int, dtype: Any) -> Array:
        """Zeros that this group reduces best; all ranks call together, with the same arguments."""
        return np.zeros(count, dtype)

    def reduces_at_once(self, array: Array, op: ReduceOp, timeout: Timeout, label: str) -> bool:
        """Whether the all-reduce has been made here, in a quicker way than by messages."""
        return False

    # ---- how an operation is started ----

    def start(
        self,
        call: Call,
        plan: Callable[[Channel], Steps],
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Work:
        """The started work of `plan`, which runs once all ranks have agreed on `call`."""
        self.check_usable(call)
        while self.guard.full():
            self.engine.wait_until(self._oldest())
            self.check_usable(call)
        seq = self.guard.post(call)
        self.note_patience(timeout)
        steps = self._guarded(seq, call, plan)
        return self._launch(call, steps, async_op, timeout, collective=True)

    def start_unguarded(
        self, call: Call, steps: Steps, async_op: bool = False, timeout: Timeout = None
    ) -> Work:
        """The started work of `steps`, between two ranks only, so without agreement of all."""
        self.check_usable(call)
        return self._launch(call, steps, async_op, timeout, collective=False)

    def note_patience(self, timeout: Timeout) -> None:
        """Nothing; where `timeout` is infinite, those who watch know that the call has none."""
        if timeout is not None and timeout_seconds(timeout) == float("inf"):
            self.guard.wait_patiently()

    def check_usable(self, call: Call) -> None:
        """None, if the group can still be used.

        Raises: CollectiveError after `close()`; after a failure an error of its type.
        """
        if self.closed:
            raise CollectiveError(f"rank {self.rank}: {call} on a group that was closed")
        if self.failure is not None:
            kind = type(self.failure) if isinstance(self.failure, CollectiveError) else None
            raise (kind or CollectiveError)(
                f"rank {self.rank}: {call} on a group that failed before: {self.failure}"
            ) from self.failure

    def _oldest(self) -> Work:
        return next(w for w in self.engine.works if w.owner is self and w.collective)

    def _launch(
        self, call: Call, steps: Steps, async_op: bool, timeout: Timeout, collective: bool
    ) -> Work:
        seconds = self.timeout if timeout is None else timeout_seconds(timeout)
        work = Work(self, call, steps, seconds, collective)
        work.step()
        if not async_op:
            work.wait()
        return work

    def _guarded(self, seq: int, call: Call, plan: Callable[[Channel], Steps]) -> Steps:
        channel = self.channel(seq)
        yield from self.guard.agree(seq, call, channel)
        channel.only_for(call.fingerprint)
        result = yield from plan(channel)
        self.guard.leave()
        return result

    def explain(self, text: str) -> str:
        """`text` with this rank before it and a roll call behind it."""
        return self.guard.explain(f"rank {self.rank}: {text}")

    def fail(self, error: BaseException) -> None:
        """Nothing; the group cannot be used any more, and the other ranks learn of it."""
        if self.failure is None:
            self.failure = error
            self.guard.fail(error)

    def check_peers(self) -> None:
        """None, if no other rank is known to have failed or ended."""
        self.guard.check_peers()

    # ---- argument checks ----

    def call(
        self,
        op: str,
        array: Array = None,
        reduce_op: ReduceOp | None = None,
        root: int = -1,
        label: str = "",
    ) -> Call:
        """The record of a call with these arguments, at the user's file and line."""
        if array is not None:
            self.check_array(op, array)
        if reduce_op is not None:
            self.check_reduce_op(op, array, reduce_op)
        if root != -1:
            self.check_rank(op, "root", root)
        return Call(
            *described(
                op,
                None if array is None else array.dtype,
                () if array is None else array.shape,
                "" if reduce_op is None else reduce_op.value,
                root,
                label,
            ),
            call_site(),
        )

    def check_array(self, op: str, array: Array) -> None:
        """None, if `array` is of the type that this backend moves."""
        if not isinstance(array, self.array_type):
            of_gpu = hasattr(array, "device") and self.array_type is np.ndarray
            hint = "; init_process_group('nccl') makes a group for arrays of GPUs" if of_gpu else ""
            raise TypeError(
                f"rank {self.rank}: {op} on the {self.name} backend takes a "
                f"{self.array_type.__module__}.{self.array_type.__name__}, got "
                f"{type(array).__module__}.{type(array).__name__}{hint}"
            )
        if array.dtype.hasobject:
            raise TypeError(f"rank {self.rank}: {op} of dtype {array.dtype}: use the object form")
        if not array.dtype.isnative:
            raise TypeError(
                f"rank {self.rank}: {op} of dtype {array.dtype.str}: bytes travel as they are; "
                "convert the array to this machine's byte order first"
            )

    def check_output(self, op: str, array: Any, dtype: Any, shape: tuple) -> None:
        """None, if `array` can be written to and has this dtype and shape."""
        self.check_array(op, array)
        if not getattr(array.flags, "writeable", True):  # a GPU's arrays always are
            raise ValueError(f"rank {self.rank}: {op} cannot write to a read-only array")
        if array.dtype != dtype or tuple(array.shape) != tuple(shape):
            raise ValueError(
                f"rank {self.rank}: {op} expected an output {dtype} {tuple(shape)}, "
                f"got {array.dtype} {tuple(array.shape)}"
            )

    def check_reduce_op(self, op: str, array: Array, reduce_op: Any) -> None:
        """None, if `reduce_op` is one, and is defined for the dtype of `array`."""
        if not isinstance(reduce_op, ReduceOp):
            raise TypeError(f"rank {self.rank}: {op} expected a ReduceOp, got {reduce_op!r}")
        check_reducible(array.dtype, reduce_op)

    def check_rank(self, op: str, what: str, rank: Any) -> None:
        """None, if `rank` is a rank of this group."""
        if not isinstance(rank, (int, np.integer)) or not 0 <= rank < self.size:
            raise ValueError(
                f"rank {self.rank}: {op} expected {what} in 0..{self.size - 1}, got {rank!r}"
            )

    def check_only_root(self, op: str, what: str, given: Sequence[Any] | None, root: int) -> None:
        """None, if what the root gives for all ranks is given on no other rank."""
        if self.rank != root and given is not None and len(given):
            raise ValueError(
                f"rank {self.rank}: {op} must not be given {what} on other ranks than {root}"
            )

    def check_count(self, op: str, what: str, arrays: Sequence[Any]) -> None:
        """None, if there is one entry per rank."""
        if arrays is None or len(arrays) != self.size:
            got = "none" if arrays is None else len(arrays)
            raise ValueError(
                f"rank {self.rank}: {op} expected {self.size} {what}, one per rank, got {got}"
            )
