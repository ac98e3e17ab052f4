"""Groups over NCCL: arrays on GPUs travel by NCCL, everything else by the group underneath.

`control` (MPI, or the threads of simulated ranks) agrees on every call before NCCL sees it, carries
the CPU's arrays, objects and messages, and keeps the order. NCCL works on a stream of its own: it
waits for what was computed before the call, and `Work.wait` lets the current stream, not the CPU,
wait for it. NCCL has no deadlines, so a thread watches what is under way.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

from core import backend, simulated
from core.backend import Device, on
from ddp.backends.nccl_messages import GpuMessages
from ddp.backends.nccl_verbs import GpuCollectives
from ddp.backends.nccl_work import Watched
from ddp.call import CollectiveError
from ddp.group import ProcessGroup, Timeout

_SHARES_GPUS = 23000  # the first version that can


class NcclGroup(GpuCollectives, GpuMessages):
    """A group whose GPU arrays travel by NCCL, made by all ranks of `control` at the same time.

    The GPU is this thread's current one. The group owns `control` and closes it.
    Raises: RuntimeError where CuPy finds no NCCL, or where two ranks have one GPU.
    """

    name = "nccl"

    def __init__(self, control: ProcessGroup, timeout: Timeout = None) -> None:
        self.module = backend.cuda_module()
        self.nccl = nccl_module()
        self.device = Device("cuda", self.module.cuda.Device().id)
        super().__init__(control, timeout)
        self.array_type = self.module.ndarray
        self.communicator = self._communicator()
        self.stream = self.module.cuda.Stream(non_blocking=True)
        self.watched = Watched(self)

    def _communicator(self) -> Any:
        """The ranks' communicator; whoever does not come is named when the deadline has passed."""
        box = [self.nccl.get_unique_id() if self.rank == 0 else None]
        self.control.broadcast_object_list(box)
        late = threading.Timer(self.timeout, _end_of_patience, [self.rank, self.timeout])
        late.daemon = True
        if self.timeout != float("inf"):
            late.start()
        try:
            return self.nccl.NcclCommunicator(self.size, box[0], self.rank)
        finally:
            late.cancel()

    # ---- what comes from the group underneath ----

    def subgroup(self, ranks: Sequence[int], key: str, timeout: Timeout) -> NcclGroup:
        """A group of these ranks of this group, in this order, on the same GPUs."""
        self.control.subgroups = self.subgroups
        with on(self.device):
            return NcclGroup(self.control.subgroup(ranks, key, timeout), timeout)

    def release(self) -> None:
        """Nothing; NCCL's resources and the group underneath are given back."""
        with on(self.device):
            self.stream.synchronize()
            self.watched.stop()
            self.communicator.destroy()
        super().release()

    def give_up(self, error: CollectiveError) -> None:
        """Nothing; what NCCL has under way ends, and the other ranks learn of it.

        Aborted before anything is destroyed: the destructor of a communicator whose peers are gone
        may wait for ever.
        """
        self.fail(error)
        self.communicator.abort()


def gpus_differ(control: ProcessGroup) -> bool:
    """Whether every rank of a group has a GPU of its own; all ranks ask together."""
    device = backend.cuda_module().cuda.Device()
    mine = (os.uname().nodename, device.pci_bus_id)
    every: list[Any] = [None] * control.size
    control.all_gather_object(every, mine)
    return len(dict.fromkeys(every)) == control.size


SHARED_GPU = (
    "ddp: several of {size} ranks have one GPU, or simulated ones, where NCCL makes no group:"
    " arrays of GPUs travel through pinned host memory and the {name} group"
)


def may_have_nccl(control: ProcessGroup) -> bool:
    """Whether NCCL makes a group of these ranks; all ranks ask together.

    Since 2.30 it does so for ranks that share a GPU, where NCCL_MULTI_RANK_GPU_ENABLE=1 asks. The
    memory of a simulated GPU is its process's own: between processes there is the host.
    """
    if simulated.count() and control.name != "thread":
        return False
    if gpus_differ(control):
        return True
    asked = os.environ.get("NCCL_MULTI_RANK_GPU_ENABLE") == "1"
    return asked and nccl_module().get_version() >= _SHARES_GPUS


def nccl_module() -> Any:
    """CuPy's NCCL.

    Raises: RuntimeError where its library is not installed.
    """
    module = backend.cuda_submodule("cuda.nccl")
    if not module.available:
        raise RuntimeError(
            "the nccl backend needs NCCL: install nvidia-nccl-cu12 or nvidia-nccl-cu13, whichever"
            " matches the CuPy package"
        )
    return module


def _end_of_patience(rank: int, seconds: float) -> None:
    """End the process: NCCL waits for a rank that does not come, and cannot be interrupted."""
    os.write(2, f"rank {rank}: NCCL did not start within {seconds:g} s\n".encode())
    os._exit(68)
