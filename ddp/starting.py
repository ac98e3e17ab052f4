"""What PyTorch's programs ask before they start, and `spawn`: the ranks are there already."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ddp.current_group import current_group, served
from ddp.group import ReduceOp
from ddp.lifecycle import BACKENDS, NON_GROUP_MEMBER
from launch.world import claimed

F = TypeVar("F", bound=Callable[..., Any])
_STORES = "FileStore HashStore PrefixStore Store TCPStore rendezvous".split()
_OTHER_KINDS = "DeviceMesh device_mesh fsdp init_device_mesh pipelining rpc".split()


def why_missing(name: str) -> str:
    """Why there is no such name among torch.distributed's, as the end of a sentence, if we know.

    Example:
        >>> why_missing("rpc")
        ': of parallel training only the data-parallel kind is here'
    """
    if name in _STORES:
        return ": ranks find each other without a store; broadcast_object_list shares objects"
    known = name in _OTHER_KINDS
    return ": of parallel training only the data-parallel kind is here" if known else ""


class GroupMember:
    """PyTorch's names of groups: None is the default one, everywhere."""

    WORLD = None
    NON_GROUP_MEMBER = NON_GROUP_MEMBER


def is_available() -> bool:
    """True: this is not an option of the build."""
    return True


def is_mpi_available() -> bool:
    """True."""
    return True


def is_gloo_available() -> bool:
    """True: "gloo" gives our own collectives."""
    return True


def is_nccl_available() -> bool:
    """True: whether it can be loaded shows when a group of GPUs is made."""
    return True


def is_ucc_available() -> bool:
    """False."""
    return False


def is_xccl_available() -> bool:
    """False."""
    return False


def is_backend_available(backend: str) -> bool:
    """Whether `init_process_group` takes a backend of this name."""
    return backend.lower() in BACKENDS


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """The rank of this process on its node, before there is a group, too; `fallback_rank` alone.

    Example:
        >>> get_node_local_rank(fallback_rank=3) if claimed(os.environ).size == 1 else 3
        3
    """
    if (here := served() or current_group()) is not None:
        return here.local_rank
    place = claimed(os.environ)
    if fallback_rank is not None and place.size == 1 and "LOCAL_RANK" not in os.environ:
        return int(fallback_rank)
    return int(os.environ.get("LOCAL_RANK", place.local_rank))


class Backend(str):
    """The name of a backend in small letters, and PyTorch's names of those that we take.

    Raises: ValueError for what is no string.
    Example:
        >>> Backend("NCCL") == Backend.NCCL == "nccl"
        True
    """

    UNDEFINED = "undefined"
    GLOO = "gloo"
    NCCL = "nccl"
    MPI = "mpi"

    def __new__(cls, name: str) -> Backend:
        """The backend of this name, whether there is one or not."""
        if not isinstance(name, str):
            raise ValueError(f"Backend: expected a string, got {name!r}")
        return super().__new__(cls, name.lower())


class OlderReduceOp:
    """The members of `ReduceOp` by its old name, `reduce_op`, with a FutureWarning."""

    def __getattr__(self, name: str) -> Any:
        member = getattr(ReduceOp, name)
        warnings.warn("`reduce_op` is deprecated: use `ReduceOp`", FutureWarning, stacklevel=2)
        return member


reduce_op = OlderReduceOp()


def is_torchelastic_launched() -> bool:
    """Whether `launch` started several ranks, which sets the variables that torchrun sets."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def get_default_backend_for_device(device: Any) -> str:
    """The backend that moves the arrays of a device: "nccl" for a GPU, else "mpi".

    Example:
        >>> get_default_backend_for_device("cpu")
        'mpi'
    """
    return "nccl" if str(device).startswith("cuda") else "mpi"


def record(function: F) -> F:
    """The function itself: `launch` reports what any function raises."""
    return function


def spawn(
    fn: Callable[..., Any],
    args: Sequence[Any] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> None:
    """Nothing, once this rank has run its `fn(rank, *args)`: the processes are there already.

    Raises: RuntimeError where the job has another number of ranks.
    """
    size = int(os.environ.get("WORLD_SIZE", claimed(os.environ).size))
    if nprocs != size:
        raise RuntimeError(
            f"spawn of {nprocs} processes in a job of {size}: the ranks are started by"
            f" `python -m launch -n {nprocs}`, and this process is one of them"
        )
    fn(int(os.environ.get("RANK", "0")), *args)
