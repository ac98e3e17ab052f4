"""The collectives of arrays on GPUs, handed to NCCL on a stream of its own.

A call is first agreed on by the group underneath; then the stream waits for what was computed
before the call, and NCCL is called, on every rank in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from core.backend import Device, device_of, on
from ddp.backends.nccl_work import NcclWork, Watched
from ddp.call import Call
from ddp.group import ProcessGroup, Timeout
from ddp.group_core import timeout_seconds
from ddp.reduction import Array, ReduceOp
from ddp.schedule import Channel
from ddp.work import Steps

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


class GpuCollectives(ProcessGroup):
    """The verbs; arrays of the CPU take the way of the group underneath, `control`."""

    control: ProcessGroup
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

    def _datatype(self, op: str, dtype: Any) -> int:
        name = _DATATYPES.get(dtype.name)
        if name is None:
            raise TypeError(f"rank {self.rank}: {op} of dtype {dtype}: NCCL cannot reduce it")
        return getattr(self.nccl, name)

    # ---- how a collective of GPU arrays is started ----

    def _run(
        self,
        call: Call,
        arrays: Sequence[Array],
        launch: Callable[[int], None],
        async_op: bool,
        timeout: Timeout,
        after: Callable[[], None] | None = None,
    ) -> Any:
        """The started `launch(stream pointer)`, once all ranks have agreed on `call`."""
        work = NcclWork(self, call)
        work.after = after
        with on(self.device):
            computed = self.module.cuda.get_current_stream().record()
        ticket, self.tickets = self.tickets, self.tickets + 1
        seconds = self.timeout if timeout is None else timeout_seconds(timeout)

        def plan(channel: Channel) -> Steps:
            yield lambda: self.served == ticket  # every rank calls NCCL in one order
            with on(self.device):
                self.stream.wait_event(computed)
                launch(self.stream.ptr)
                work.event = self.stream.record()
            self.watched.add(work.event, seconds, call, arrays)
            self.served += 1

        work.agreed = self.start(call, plan, True, timeout)
        if async_op:
            return work
        work.wait()
        return None

    # ---- the verbs ----

    def all_reduce(
        self,
        array: Array,
        op: ReduceOp = ReduceOp.SUM,
        async_op: bool = False,
        timeout: Timeout = None,
        label: str = "",
    ) -> Any:
        """Nothing; `array` holds the reduction over ranks, the same bits on every rank."""
        if type(array) is np.ndarray:
            return super().all_reduce(array, op, async_op, timeout, label)
        call = self.call("all_reduce", array, op, label=label)
        self.check_output("all_reduce", array, array.dtype, array.shape)
        kind, how = self._datatype("all_reduce", array.dtype), getattr(self.nccl, _OPS[op])
        flat, after = self._flat(array)

        def launch(stream: int) -> None:
            place = flat.data.ptr
            self.communicator.allReduce(place, place, flat.size, kind, how, stream)

        return self._run(call, [flat], launch, async_op, timeout, after)

    def broadcast(
        self,
        array: Array,
        root: int = 0,
        async_op: bool = False,
        timeout: Timeout = None,
        label: str = "",
    ) -> Any:
        """Nothing; `array` holds what the root's held."""
        if type(array) is np.ndarray:
            return super().broadcast(array, root, async_op, timeout, label)
        call = self.call("broadcast", array, root=root, label=label)
        flat, after = self._flat(array)

        def launch(stream: int) -> None:
            place = flat.data.ptr
            self.communicator.broadcast(
                place, place, flat.nbytes, self.nccl.NCCL_UINT8, root, stream
            )

        return self._run(call, [flat], launch, async_op, timeout, after)

    def all_gather_into_tensor(
        self, out: Array, array: Array, async_op: bool = False, timeout: Timeout = None
    ) -> Any:
        """Nothing; `out` holds the arrays of all ranks one after the other."""
        if type(array) is np.ndarray:
            return super().all_gather_into_tensor(out, array, async_op, timeout)
        call = self.call("all_gather_into_tensor", array)
        self.check_whole("all_gather_into_tensor", out, array, out)
        mine, _ = self._flat(array)
        flat, after = self._flat(out)

        def launch(stream: int) -> None:
            kind = self.nccl.NCCL_UINT8
            self.communicator.allGather(mine.data.ptr, flat.data.ptr, mine.nbytes, kind, stream)

        return self._run(call, [mine, flat], launch, async_op, timeout, after)

    def reduce_scatter_tensor(
        self,
        out: Array,
        array: Array,
        op: ReduceOp = ReduceOp.SUM,
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Any:
        """Nothing; `out` holds this rank's share of the reduction over ranks of `array`."""
        if type(array) is np.ndarray:
            return super().reduce_scatter_tensor(out, array, op, async_op, timeout)
        call = self.call("reduce_scatter_tensor", out, op)
        self.check_whole("reduce_scatter_tensor", array, out, out)
        kind, how = self._datatype("reduce_scatter", out.dtype), getattr(self.nccl, _OPS[op])
        every, _ = self._flat(array)
        flat, after = self._flat(out)

        def launch(stream: int) -> None:
            places = every.data.ptr, flat.data.ptr
            self.communicator.reduceScatter(*places, flat.size, kind, how, stream)

        return self._run(call, [every, flat], launch, async_op, timeout, after)

    def reduce(
        self,
        array: Array,
        root: int = 0,
        op: ReduceOp = ReduceOp.SUM,
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Any:
        """Nothing; the root's `array` holds the reduction over ranks, the others are unchanged."""
        if type(array) is np.ndarray:
            return super().reduce(array, root, op, async_op, timeout)
        call = self.call("reduce", array, op, root)
        kind, how = self._datatype("reduce", array.dtype), getattr(self.nccl, _OPS[op])
        flat, after = self._flat(array)

        def launch(stream: int) -> None:
            place = flat.data.ptr
            self.communicator.reduce(place, place, flat.size, kind, how, root, stream)

        return self._run(call, [flat], launch, async_op, timeout, after)

    def all_gather(
        self, outs: Sequence[Array], array: Array, async_op: bool = False, timeout: Timeout = None
    ) -> Any:
        """Nothing; `outs[r]` holds rank r's `array`."""
        if type(array) is np.ndarray:
            return super().all_gather(outs, array, async_op, timeout)
        call = self.call("all_gather", array)
        self.check_outs("all_gather", outs, array)
        mine, _ = self._flat(array)
        with on(self.device):
            flat = self.module.empty((self.size, mine.size), mine.dtype)

        def launch(stream: int) -> None:
            kind = self.nccl.NCCL_UINT8
            self.communicator.allGather(mine.data.ptr, flat.data.ptr, mine.nbytes, kind, stream)

        def store() -> None:
            for out, row in zip(outs, flat, strict=True):
                out[...] = row.reshape(out.shape)

        return self._run(call, [mine, flat], launch, async_op, timeout, store)

    def all_reduce_coalesced(
        self,
        arrays: Sequence[Array],
        op: ReduceOp = ReduceOp.SUM,
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Any:
        """Nothing; each array holds its reduction over ranks. One call of NCCL, no copies."""
        if not arrays or type(arrays[0]) is np.ndarray:
            return super().all_reduce_coalesced(arrays, op, async_op, timeout)
        how = getattr(self.nccl, _OPS[op])
        kinds = [self._datatype("all_reduce_coalesced", array.dtype) for array in arrays]

        def each(flat: Array, i: int, stream: int) -> None:
            place = flat.data.ptr
            self.communicator.allReduce(place, place, flat.size, kinds[i], how, stream)

        return self._together("all_reduce_coalesced", arrays, op, -1, each, async_op, timeout)

    def broadcast_coalesced(
        self,
        arrays: Sequence[Array],
        root: int = 0,
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Any:
        """Nothing; each array holds what the root's held. One call of NCCL, no copies."""
        if not arrays or type(arrays[0]) is np.ndarray:
            return super().broadcast_coalesced(arrays, root, async_op, timeout)

        def each(flat: Array, i: int, stream: int) -> None:
            place, kind = flat.data.ptr, self.nccl.NCCL_UINT8
            self.communicator.broadcast(place, place, flat.nbytes, kind, root, stream)

        return self._together("broadcast_coalesced", arrays, None, root, each, async_op, timeout)

    def _together(
        self,
        name: str,
        arrays: Sequence[Array],
        op: ReduceOp | None,
        root: int,
        each: Callable[[Array, int, int], None],
        async_op: bool,
        timeout: Timeout,
    ) -> Any:
        """The started calls `each(flat, i, stream)`, which NCCL takes as one."""
        label = " ".join(f"{array.dtype}{tuple(array.shape)}" for array in arrays)
        call = self.call(name, arrays[0], op, root, label)
        for array in arrays:
            self.check_array(name, array)
        parts = [self._flat(array) for array in arrays]

        def launch(stream: int) -> None:
            self.nccl.groupStart()
            for i, (flat, _) in enumerate(parts):
                if flat.size:
                    each(flat, i, stream)
            self.nccl.groupEnd()

        def store() -> None:
            for _, after in parts:
                if after is not None:
                    after()

        return self._run(call, [flat for flat, _ in parts], launch, async_op, timeout, store)

    def _flat(self, array: Array) -> tuple[Array, Callable[[], None] | None]:
        """The elements in one row, and what brings a result from a copy back to `array`."""
        with on(self.device):
            if array.flags.c_contiguous:
                return array.reshape(-1), None
            flat = self.module.ascontiguousarray(array).reshape(-1)

        def store() -> None:
            array[...] = flat.reshape(array.shape)

        return flat, store
