"""The collectives of arrays on GPUs that NCCL has: reductions, broadcasts, gathers to all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from core.backend import on
from ddp.backends.nccl_launch import Launching
from ddp.group import Timeout
from ddp.reduction import Array, ReduceOp


class GpuCollectives(Launching):
    """The verbs; arrays of the CPU take the way of the group underneath, `control`."""

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
        if not self.reduces(array, op):
            return self.by_host("all_reduce", array, op, async_op, timeout, label)
        kind, how = self.how(array.dtype, op)
        flat, after = self.flat_on_gpu(array)

        def launch(stream: int) -> None:
            place = flat.data.ptr
            self.communicator.allReduce(place, place, flat.size, kind, how, stream)

        return self.run_on_gpu(call, [flat], launch, async_op, timeout, after)

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
        flat, after = self.flat_on_gpu(array)

        def launch(stream: int) -> None:
            place = flat.data.ptr
            self.communicator.broadcast(
                place, place, flat.nbytes, self.nccl.NCCL_UINT8, root, stream
            )

        return self.run_on_gpu(call, [flat], launch, async_op, timeout, after)

    def all_gather_into_tensor(
        self, out: Array, array: Array, async_op: bool = False, timeout: Timeout = None
    ) -> Any:
        """Nothing; `out` holds the arrays of all ranks one after the other."""
        if type(array) is np.ndarray:
            return super().all_gather_into_tensor(out, array, async_op, timeout)
        call = self.call("all_gather_into_tensor", array)
        self.check_whole("all_gather_into_tensor", out, array, out)
        mine, _ = self.flat_on_gpu(array)
        flat, after = self.flat_on_gpu(out)

        def launch(stream: int) -> None:
            kind = self.nccl.NCCL_UINT8
            self.communicator.allGather(mine.data.ptr, flat.data.ptr, mine.nbytes, kind, stream)

        return self.run_on_gpu(call, [mine, flat], launch, async_op, timeout, after)

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
        if not self.reduces(out, op):
            return self.by_host("reduce_scatter_tensor", out, array, op, async_op, timeout)
        kind, how = self.how(out.dtype, op)
        every, _ = self.flat_on_gpu(array)
        flat, after = self.flat_on_gpu(out)

        def launch(stream: int) -> None:
            places = every.data.ptr, flat.data.ptr
            self.communicator.reduceScatter(*places, flat.size, kind, how, stream)

        return self.run_on_gpu(call, [every, flat], launch, async_op, timeout, after)

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
        if not self.reduces(array, op):
            return self.by_host("reduce", array, root, op, async_op, timeout)
        kind, how = self.how(array.dtype, op)
        flat, after = self.flat_on_gpu(array)

        def launch(stream: int) -> None:
            place = flat.data.ptr
            self.communicator.reduce(place, place, flat.size, kind, how, root, stream)

        return self.run_on_gpu(call, [flat], launch, async_op, timeout, after)

    def all_gather(
        self, outs: Sequence[Array], array: Array, async_op: bool = False, timeout: Timeout = None
    ) -> Any:
        """Nothing; `outs[r]` holds rank r's `array`."""
        if type(array) is np.ndarray:
            return super().all_gather(outs, array, async_op, timeout)
        call = self.call("all_gather", array)
        self.check_outs("all_gather", outs, array)
        mine, _ = self.flat_on_gpu(array)
        with on(self.device):
            flat = self.module.empty((self.size, mine.size), mine.dtype)

        def launch(stream: int) -> None:
            kind = self.nccl.NCCL_UINT8
            self.communicator.allGather(mine.data.ptr, flat.data.ptr, mine.nbytes, kind, stream)

        def store() -> None:
            for out, row in zip(outs, flat, strict=True):
                out[...] = row.reshape(out.shape)

        return self.run_on_gpu(call, [mine, flat], launch, async_op, timeout, store)

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
        if not all(self.reduces(array, op) for array in arrays):
            return self.by_host("all_reduce_coalesced", arrays, op, async_op, timeout)

        def each(flat: Array, i: int, stream: int) -> None:
            place = flat.data.ptr
            self.communicator.allReduce(place, place, flat.size, *self.how(flat.dtype, op), stream)

        return self.together("all_reduce_coalesced", arrays, op, -1, each, async_op, timeout)

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

        return self.together("broadcast_coalesced", arrays, None, root, each, async_op, timeout)

    def all_gather_coalesced(
        self,
        outs: Sequence[Sequence[Array]],
        arrays: Sequence[Array],
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Any:
        """Nothing; `outs[r][i]` holds rank r's `arrays[i]`. One call of NCCL."""
        if not arrays or type(arrays[0]) is np.ndarray:
            return super().all_gather_coalesced(outs, arrays, async_op, timeout)
        name = "all_gather_coalesced"
        self.check_count(name, "lists of outputs", outs)
        with on(self.device):
            rows = [self.module.empty((self.size, x.size), x.dtype) for x in arrays]
        for places in outs:
            for out, array in zip(places, arrays, strict=True):
                self.check_output(name, out, array.dtype, array.shape)

        def each(flat: Array, i: int, stream: int) -> None:
            kind = self.nccl.NCCL_UINT8
            self.communicator.allGather(flat.data.ptr, rows[i].data.ptr, flat.nbytes, kind, stream)

        def store() -> None:
            for r, places in enumerate(outs):
                for out, row in zip(places, rows):
                    out[...] = row[r].reshape(out.shape)

        return self.together(name, arrays, None, -1, each, async_op, timeout, store)

    def reduce_scatter(
        self,
        out: Array,
        parts: Sequence[Array],
        op: ReduceOp = ReduceOp.SUM,
        async_op: bool = False,
        timeout: Timeout = None,
    ) -> Any:
        """Nothing; `out` holds the reduction over ranks of their `parts[this rank]`."""
        if type(out) is np.ndarray:
            return super().reduce_scatter(out, parts, op, async_op, timeout)
        call = self.call("reduce_scatter", out, op)
        self.check_parts("reduce_scatter", parts, out)
        if not self.reduces(out, op):
            return self.by_host("reduce_scatter", out, parts, op, async_op, timeout)
        flats, _ = self.flats_on_gpu(parts)
        flat, after = self.flat_on_gpu(out)
        with on(self.device):
            every = self.module.concatenate(flats)

        def launch(stream: int) -> None:
            places = every.data.ptr, flat.data.ptr
            self.communicator.reduceScatter(*places, flat.size, *self.how(out.dtype, op), stream)

        return self.run_on_gpu(call, [every, flat], launch, async_op, timeout, after)

    def together(
        self,
        name: str,
        arrays: Sequence[Array],
        op: ReduceOp | None,
        root: int,
        each: Callable[[Array, int, int], None],
        async_op: bool,
        timeout: Timeout,
        after: Callable[[], None] | None = None,
    ) -> Any:
        """The started calls `each(flat, i, stream)`, which NCCL takes as one."""
        label = " ".join(f"{array.dtype}{tuple(array.shape)}" for array in arrays)
        call = self.call(name, arrays[0], op, root, label)
        for array in arrays:
            self.check_array(name, array)
        flats, store = self.flats_on_gpu(arrays)

        def calls(stream: int) -> None:
            for i, flat in enumerate(flats):
                if flat.size:
                    each(flat, i, stream)

        launch = self.grouped(calls)
        return self.run_on_gpu(call, flats, launch, async_op, timeout, after or store)
