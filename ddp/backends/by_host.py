"""Arrays of a GPU in a group that moves the CPU's: there through pinned memory, and back.

For ranks that share a GPU, which NCCL refuses, and for dtypes that NCCL does not add up. The memory
of a GPU is never shown to MPI: the libraries on PyPI are built without CUDA and would crash.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import numpy

from core.pinned import from_pinned, to_pinned
from ddp.backends.over import OverGroup
from ddp.futures import HasFuture
from ddp.group import ProcessGroup, Timeout

# Verb -> the argument whose arrays it writes to.
WRITES = {
    "all_reduce": "array", "broadcast": "array", "reduce": "array", "all_gather": "outs",
    "all_gather_into_tensor": "out", "gather": "outs", "scatter": "array",
    "reduce_scatter": "out", "reduce_scatter_tensor": "out", "all_to_all": "outs",
    "all_to_all_single": "out", "all_reduce_coalesced": "arrays",
    "all_gather_coalesced": "outs", "broadcast_coalesced": "arrays", "isend": "", "irecv": "array",
}  # fmt: skip


class Returning(HasFuture):
    """A started verb on copies; `wait()` brings the results back to the GPU."""

    def __init__(self, work: Any, back: list[tuple[Any, Any]]) -> None:
        self.work, self.back = work, back

    @property
    def error(self) -> Any:  # type: ignore[override]
        """Why it failed; None while it has not."""
        return self.work.error

    def source_rank(self) -> int:
        """The rank in the group whose message a receive has got."""
        return self.work.source_rank()

    def is_completed(self) -> bool:
        """Whether the result is on the host; never waits."""
        return self.work.is_completed()

    def wait(self, timeout: float | timedelta | None = None) -> bool:
        """True, once the results are on their way to the GPU: what is computed next has them."""
        self.work.wait(timeout)
        _bring(self.back)
        self.back = []
        return True


def through_host(group: ProcessGroup, verb: str, args: Sequence[Any], **kwargs: Any) -> Any:
    """What a verb of `group` gives for arrays of a GPU, some of which it writes to."""
    bound = inspect.signature(getattr(group, verb)).bind(*args, **kwargs)
    back: list[tuple[Any, Any]] = []
    for name, value in bound.arguments.items():
        pairs = back if name == WRITES[verb] else []
        bound.arguments[name] = _on_host(value, pairs)
    work = getattr(group, verb)(*bound.args, **bound.kwargs)
    if work is not None and hasattr(work, "wait"):
        return Returning(work, back)
    _bring(back)
    return work


def _on_host(value: Any, pairs: list[tuple[Any, Any]]) -> Any:
    """`value` with the arrays of a GPU in it as pinned copies, which are noted with them."""
    if isinstance(value, (list, tuple)):
        return [_on_host(part, pairs) for part in value]
    if not hasattr(value, "get") or not hasattr(value, "device"):
        return value
    host = to_pinned(value)
    pairs.append((host, value))
    return host


def _bring(back: list[tuple[Any, Any]]) -> None:
    for host, array in back:
        from_pinned(host, array)


class HostGroup(OverGroup):
    """The group `control`, which also takes arrays of a GPU. It owns `control` and closes it."""

    def __init__(self, control: ProcessGroup, timeout: Timeout = None) -> None:
        self.name = control.name
        super().__init__(control, timeout)

    def subgroup(self, ranks: Sequence[int], key: str, timeout: Timeout) -> HostGroup:
        """A group of these ranks of this group, in this order."""
        self.control.subgroups = self.subgroups
        return HostGroup(self.control.subgroup(ranks, key, timeout), timeout)

    def allocate(self, count: int, dtype: Any) -> Any:
        """Zeros that this group reduces best; all ranks call together, with the same arguments."""
        return self.control.allocate(count, dtype)


def _staged(verb: str) -> Callable[..., Any]:
    plain = getattr(ProcessGroup, verb)

    def call(self: HostGroup, *args: Any, **kwargs: Any) -> Any:
        if any(_of_gpu(x) for x in (*args, *kwargs.values())):
            return through_host(self.control, verb, args, **kwargs)
        return getattr(self.control, verb)(*args, **kwargs)

    call.__name__, call.__doc__ = verb, plain.__doc__
    return call


def _of_gpu(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(map(_of_gpu, x))
    return hasattr(x, "device") and not isinstance(x, numpy.ndarray)


for _verb in WRITES:
    setattr(HostGroup, _verb, _staged(_verb))
