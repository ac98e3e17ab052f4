"""What PyTorch's programs ask before they start, and `spawn`: the ranks are there already."""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ddp.lifecycle import NON_GROUP_MEMBER
from launch.world import claimed

F = TypeVar("F", bound=Callable[..., Any])


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
