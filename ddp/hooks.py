"""Communication hooks: how a bucket of gradients is reduced, where not by a plain average.

`model.register_comm_hook(state, hook)` calls `hook(state, bucket)` for each full bucket. A hook
starts what it needs and returns something whose `wait()` gives the reduced values of the buffer,
such as a future; or the values themselves; or None, if they are in the buffer already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from core.autograd.value import Value, wrap
from core.backend import device_of, on, xp
from core.dtype import bfloat16
from ddp.bucket import Bucket
from ddp.group import ProcessGroup, ReduceOp, Work
from ddp.lifecycle import default_group
from ddp.staging import Staged, needs_host

Hook = Callable[[Any, Any], Any]
Contents = list[list[tuple[str, int]]]


class GradBucket:
    """The gradients of some parameters, side by side in one flat tensor."""

    def __init__(self, bucket: Bucket, array: Any, parameters: Sequence[Any], count: int) -> None:
        self._index, self._count = bucket.index, count
        self._buffer = wrap(array)
        self._parameters = [parameters[i] for i in bucket.positions]

    def index(self) -> int:
        """The number of the bucket; the same in every step."""
        return self._index

    def is_last(self) -> bool:
        """Whether no other bucket comes after it in this step."""
        return self._index == self._count - 1

    def buffer(self) -> Any:
        """The flat tensor."""
        return self._buffer

    def set_buffer(self, buffer: Any) -> None:
        """Put another flat tensor, or array, in the buffer's place."""
        self._buffer = buffer if isinstance(buffer, Value) else wrap(buffer)

    def parameters(self) -> list[Any]:
        """The parameters, in the order of their gradients in the buffer."""
        return self._parameters

    def gradients(self) -> list[Any]:
        """Views of the buffer in the shapes of the parameters."""
        flat, views, start = self._buffer.array, [], 0
        for p in self._parameters:
            size = p.array.size
            views.append(wrap(flat[start : start + size].reshape(p.array.shape)))
            start += size
        return views


class Then:
    """What a hook returns: work under way, and what makes the values once it is done."""

    def __init__(self, work: Any, finish: Callable[[], Any]) -> None:
        self.work, self.finish = work, finish

    def wait(self) -> Any:
        """The reduced values."""
        if self.work is not None:
            self.work.wait()
        return self.finish()


class HookedWork:
    """An array on its way through a hook; waiting puts the result into it."""

    def __init__(self, array: Any, answer: Any, rank: int) -> None:
        self.array, self.answer, self.rank = array, answer, rank

    def wait(self) -> None:
        """Nothing; the array holds what the hook made of it.

        Raises: ValueError for an answer that has not as many values.
        """
        with on(device_of(self.array)):  # backward may end where another GPU is the current one
            self._store(self.answer.wait() if hasattr(self.answer, "wait") else self.answer)

    def _store(self, answer: Any) -> None:
        if answer is None or answer is True:
            return
        if isinstance(answer, list):  # the tensors of a collective's future
            (answer,) = answer
        array = answer.array if isinstance(answer, Value) else answer
        count = getattr(array, "size", None)
        if count != self.array.size:
            found = type(array).__name__ if count is None else f"{count} values"
            raise ValueError(
                f"rank {self.rank}: the communication hook gave {found} for a bucket of"
                f" {self.array.size} values"
            )
        if array is not self.array:
            self.array[...] = array.reshape(-1)


def hooked(
    state: Any, hook: Hook, parameters: Sequence[Any], count: int, group: ProcessGroup
) -> Callable[[Bucket], Any]:
    """What a reducer of `group` calls for each bucket, so that `hook` reduces it."""

    def send(bucket: Bucket) -> Any:
        def start(array: Any) -> HookedWork:
            seen = GradBucket(bucket, array, parameters, count)
            return HookedWork(array, hook(state, seen), group.rank)

        staged = needs_host(bucket.array, group)
        return Staged(bucket.array, start) if staged else start(bucket.array)

    return send


def contents(reducer: Any) -> Contents:
    """The name and size of each parameter of each bucket."""
    return [
        [(reducer.names[i], bucket.views[i].size) for i in bucket.positions]
        for bucket in reducer.buckets
    ]


def group_of(state: Any) -> ProcessGroup:
    """The group in which a hook reduces: its state, or that of its state, or the default one."""
    found = state if isinstance(state, ProcessGroup) else getattr(state, "process_group", None)
    return default_group(found)


def averaged(array: Any, group: ProcessGroup) -> Work | None:
    """The started average of `array` over the group, in place."""
    return group.all_reduce(array, ReduceOp.AVG, async_op=True)


# ---- hooks ------------------------------------------------------------------------------------


class ErrorFeedback:
    """What a lossy hook left out, added to what it sends next; `process_group` is where it reduces.

    With `enabled=False` what is left out is lost. Its `state_dict()` is of this rank alone: a run
    that is to go on as if it had not stopped saves one per rank. A pickle of it reduces in the
    default group.
    Source: Seide et al. (2014), Karimireddy et al. (2019).
    """

    def __init__(self, process_group: Any = None, enabled: bool = True) -> None:
        self.process_group, self.enabled = process_group, enabled
        self.errors: dict[int, Any] = {}

    def corrected(self, bucket: GradBucket) -> Any:
        """The buffer's values and what was left out of the last ones."""
        array = bucket.buffer().array
        error = self.errors.get(bucket.index())
        return array if error is None else array + error

    def note(self, bucket: GradBucket, wanted: Any, sent: Any) -> None:
        """Keep what `sent` lacks of `wanted`."""
        if self.enabled:
            self.errors[bucket.index()] = wanted - sent

    def state_dict(self) -> dict[str, Any]:
        """What this rank has left out so far, bucket by bucket."""
        return {"errors": {i: wrap(error.copy()) for i, error in self.errors.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave on this rank, with the same model and buckets."""
        self.errors = {int(i): error.array.copy() for i, error in state["errors"].items()}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "process_group": None}

    def regroup(self, old: Contents, new: Contents) -> None:
        """Follow parameters that have come into other buckets."""
        pieces: dict[str, Any] = {}
        for index, error in self.errors.items():
            start = 0
            for name, size in old[index]:
                pieces[name] = error[start : start + size]
                start += size
        self.errors = {}
        for index, bucket in enumerate(new):
            found = [pieces.get(name) for name, _ in bucket]
            like = next((piece for piece in found if piece is not None), None)
            if like is None:
                continue
            zeros = [xp(like).zeros(size, like.dtype) for _, size in bucket]
            parts = [zero if p is None else p for p, zero in zip(found, zeros, strict=True)]
            self.errors[index] = xp(like).concatenate(parts)


def allreduce_hook(state: Any, bucket: GradBucket) -> Any:
    """The plain average."""
    array = bucket.buffer().array
    return Then(averaged(array, group_of(state)), lambda: array)


def noop_hook(state: Any, bucket: GradBucket) -> None:
    """Nothing: each rank keeps its own gradients. It shows what a step costs without messages."""


def fp16_compress_hook(state: Any, bucket: GradBucket) -> Any:
    """The average of the gradients rounded to float16; with an ErrorFeedback nothing is lost."""
    return _cast_hook(state, bucket, numpy.dtype("float16"))


def bf16_compress_hook(state: Any, bucket: GradBucket) -> Any:
    """The average of the gradients rounded to bfloat16; with an ErrorFeedback nothing is lost."""
    return _cast_hook(state, bucket, bfloat16.numpy)


def _cast_hook(state: Any, bucket: GradBucket, narrow: Any) -> Any:
    feedback = state if isinstance(state, ErrorFeedback) else None
    array = bucket.buffer().array
    wanted = array if feedback is None else feedback.corrected(bucket)
    sent = wanted.astype(narrow)
    if feedback is not None:
        feedback.note(bucket, wanted, sent.astype(array.dtype))
    return Then(averaged(sent, group_of(state)), lambda: sent.astype(array.dtype))


class TopKState(ErrorFeedback):
    """Which part of a bucket's values `topk_hook` sends, and what it left out so far."""

    def __init__(
        self, fraction: float = 0.01, process_group: Any = None, error_feedback: bool = True
    ) -> None:
        super().__init__(process_group, error_feedback)
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction: expected more than 0 and at most 1, got {fraction}")
        self.fraction = fraction


def topk_hook(state: TopKState, bucket: GradBucket) -> Any:
    """The average of each rank's largest values, the others taken as zero.

    Values and places travel, 2 * fraction * world size of what a plain average moves.
    """
    group = group_of(state)
    wanted = state.corrected(bucket)
    count = max(1, round(state.fraction * wanted.size))
    lib = xp(wanted)
    # Sorted with the place as tie-breaker: the choice depends on the values alone.
    places = lib.sort(lib.argsort(-abs(wanted), kind="stable")[:count])
    values = wanted[places]
    sent = lib.zeros_like(wanted)
    sent[places] = values
    state.note(bucket, wanted, sent)
    every_place = lib.empty((group.size, count), places.dtype)
    every_value = lib.empty((group.size, count), values.dtype)
    # Either may be the first to be done.
    placed = group.all_gather_into_tensor(every_place, places, async_op=True)
    valued = group.all_gather_into_tensor(every_value, values, async_op=True)

    def finish() -> Any:
        if placed is not None:
            placed.wait()
        total = lib.zeros_like(wanted)
        for at, part in zip(every_place, every_value, strict=True):
            total[at] += part
        return total / total.dtype.type(group.size)

    return Then(valued, finish)


def fp16_compress_wrapper(hook: Hook) -> Hook:
    """`hook` given the gradients in float16, its result cast back."""
    return _cast_wrapper(hook, numpy.dtype("float16"))


def bf16_compress_wrapper(hook: Hook) -> Hook:
    """`hook` given the gradients in bfloat16, its result cast back."""
    return _cast_wrapper(hook, bfloat16.numpy)


def _cast_wrapper(hook: Hook, narrow: Any) -> Hook:
    def wrapped(state: Any, bucket: GradBucket) -> Any:
        array = bucket.buffer().array
        bucket.set_buffer(array.astype(narrow))
        answer = hook(state, bucket)

        def finish() -> Any:
            found = answer.wait() if hasattr(answer, "wait") else answer
            found = bucket.buffer() if found is None else found
            values = found.array if isinstance(found, Value) else found
            return values.astype(array.dtype)

        return Then(None, finish)

    return wrapped
