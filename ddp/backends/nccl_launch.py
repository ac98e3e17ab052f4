"""How a collective of arrays on a GPU is checked, agreed on and handed to NCCL.

A call is first agreed on by the group underneath; then the stream of NCCL waits for what was
computed before the call, and NCCL is called, on every rank in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from core.backend import Device, device_of, on
from ddp.backends.by_host import through_host
from ddp.backends.nccl_work import NcclWork, Watched
from ddp.backends.over import OverGroup
from ddp.call import Call
from ddp.group import Timeout
from ddp.group_core import timeout_seconds
from ddp.reduction import Array, ReduceOp
from ddp.schedule import Channel
from ddp.work import Steps, Work

_DATATYPES = {
    "int8": "NCCL_INT8", "uint8": "NCCL_UINT8", "int32": "NCCL_INT32", "uint32": "NCCL_UINT32",
    "int64": "NCCL_INT64", "uint64": "NCCL_UINT64", "float16": "NCCL_FLOAT16",
    "float32": "NCCL_FLOAT32", "float64": "NCCL_FLOAT64", "bfloat16": "NCCL_BFLOAT16",
}  # fmt: skip
_OPS = {
    ReduceOp.SUM: "NCCL_SUM",
    ReduceOp.AVG: "NCCL_AVG",
    ReduceOp.MIN: "NCCL_MIN",
    ReduceOp.MAX: "NCCL_MAX",
    ReduceOp.PRODUCT: "NCCL_PROD",
}
# Of True and False the sum is "or", the product "and", as NumPy has it; NCCL has no bools.
_OF_BOOLS = {ReduceOp.SUM: "NCCL_MAX", ReduceOp.PRODUCT: "NCCL_MIN"}
_OF_BOOLS |= {ReduceOp.BOR: "NCCL_MAX", ReduceOp.BAND: "NCCL_MIN"}
_BOOL_OPS = _OPS | _OF_BOOLS


class Launching(OverGroup):
    """A group whose GPU arrays travel by NCCL, without the verbs; `control` carries the rest."""

    module: Any  # CuPy
    nccl: Any  # its NCCL
    communicator: Any
    device: Device
    stream: Any
    watched: Watched
    tickets = 0
    served = 0

    # ---- arguments ----

    def check_array(self, op: str, array: Array) -> None:
        """None, if `array` is NumPy's, or on this group's GPU."""
        if type(array) is np.ndarray:
            return self.control.check_array(op, array)
        super().check_array(op, array)
        if device_of(array) != self.device:
            raise ValueError(
                f"rank {self.rank}: {op} expected an array on {self.device}, got one on"
                f" {device_of(array)}"
            )
        return None

    def reduces(self, array: Array, op: ReduceOp) -> bool:
        """Whether NCCL has `op` for elements of this dtype; else they go through the host."""
        if array.dtype.name == "bool":
            return op in _BOOL_OPS
        return op in _OPS and array.dtype.name in _DATATYPES

    def how(self, dtype: Any, op: ReduceOp) -> tuple[int, int]:
        """NCCL's numbers for a dtype that it reduces, and for the way to do it."""
        if dtype.name == "bool":
            return self.nccl.NCCL_UINT8, getattr(self.nccl, _BOOL_OPS[op])
        return getattr(self.nccl, _DATATYPES[dtype.name]), getattr(self.nccl, _OPS[op])

    def by_host(self, verb: str, *args: Any) -> Any:
        """What a verb of the group underneath gives, on copies in the CPU's memory."""
        return through_host(self.control, verb, args)

    def flat_on_gpu(self, array: Array) -> tuple[Array, Callable[[], None] | None]:
        """The elements in one row, and what brings a result from a copy back to `array`."""
        with on(self.device):
            if array.flags.c_contiguous:
                return array.reshape(-1), None
            flat = self.module.ascontiguousarray(array).reshape(-1)

        def store() -> None:
            array[...] = flat.reshape(array.shape)

        return flat, store

    def flats_on_gpu(self, arrays: Sequence[Array]) -> tuple[list[Array], Callable[[], None]]:
        """`flat_on_gpu` of several arrays."""
        parts = [self.flat_on_gpu(array) for array in arrays]

        def store() -> None:
            for _, after in parts:
                if after is not None:
                    after()

        return [flat for flat, _ in parts], store

    # ---- how a collective of GPU arrays is started ----

    def run_on_gpu(
        self,
        call: Call,
        arrays: Sequence[Array],
        launch: Callable[[int], None],
        async_op: bool,
        timeout: Timeout,
        after: Callable[[], None] | None = None,
        before: Callable[[Channel], Steps] | None = None,
    ) -> Any:
        """The started `launch(stream pointer)`, once all ranks have agreed on `call`."""
        work = NcclWork(self, call)
        work.after = after
        launching = self.in_order(work, arrays, launch, timeout)

        def plan(channel: Channel) -> Steps:
            if before is not None:
                yield from before(channel)
            yield from launching

        work.agreed = self.start(call, plan, True, timeout)
        return self.finished(work, async_op)

    def in_order(
        self, work: NcclWork, arrays: Sequence[Array], launch: Callable[[int], None],
        timeout: Timeout,
    ) -> Steps:  # fmt: skip
        """None, once `launch` was called: after all that was asked for before on this rank."""
        with on(self.device):
            computed = self.module.cuda.get_current_stream().record()
        ticket, self.tickets = self.tickets, self.tickets + 1
        seconds = self.timeout if timeout is None else timeout_seconds(timeout)

        def steps() -> Steps:
            yield lambda: self.served == ticket  # every rank calls NCCL in one order
            with on(self.device):
                self.stream.wait_event(computed)
                launch(self.stream.ptr)
                work.event = self.stream.record()
            self.watched.add(work.event, seconds, work.call, arrays)
            self.served += 1

        return steps()

    def finished(self, work: NcclWork, async_op: bool) -> NcclWork | None:
        """The work of an asynchronous call; None of one that is over."""
        if async_op:
            return work
        work.wait()
        return None

    def grouped(self, calls: Callable[[int], None]) -> Callable[[int], None]:
        """What makes several calls of NCCL one: they wait for nobody in between."""

        def launch(stream: int) -> None:
            self.nccl.groupStart()
            try:
                calls(stream)
            finally:
                self.nccl.groupEnd()

        return launch

    def started(self, call: Call, steps: Steps, timeout: Timeout) -> Work:
        """The started messages between two ranks, which nobody else has to agree on."""
        return self.start_unguarded(call, steps, True, timeout)
