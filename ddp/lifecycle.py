"""The default group: how it begins and ends, and who this process is in it.

The same script runs alone, launched, and under an MPI that somebody else started; no address, no
port, no variable is needed.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from core.backend import resolve
from core.cuda import set_device
from ddp.backends.by_host import HostGroup
from ddp.backends.mpi import MpiGroup
from ddp.backends.nccl import SHARED_GPU, NcclGroup, may_have_nccl
from ddp.backends.single import SingleGroup
from ddp.current_group import current_group, promised_size, served, set_group
from ddp.group import ProcessGroup, Timeout

# Names of other libraries' transports that people pass: their CPU collectives are ours.
_CPU_NAMES = ("gloo", "cpu:gloo", "cpu")
_GPU_NAMES = ("nccl", "cuda:nccl", "cpu:gloo,cuda:nccl")
BACKENDS = ("mpi", "single", *_CPU_NAMES, *_GPU_NAMES)


class NonMember:
    """What `new_group` gives to ranks outside the group; collectives on it do nothing but warn."""

    rank = -1
    size = -1

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"this rank is not in the group, of which {name!r} was asked: only its members can wrap"
            " a model in it, or ask who they are (on other ranks new_group() gives"
            " GroupMember.NON_GROUP_MEMBER)"
        )


NON_GROUP_MEMBER = NonMember()


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: Timeout = None,
    world_size: int = -1,
    rank: int = -1,
    *,
    comm: Any = None,
    shards: int | None = None,
    **not_needed: Any,
) -> ProcessGroup:
    """The new default group: over `comm`, else over all MPI ranks, else this process alone.

    `backend` is None, "mpi", "nccl" or "single"; None is "nccl" where the launcher gave every rank
    a GPU of its own. `shards` is the number of logical shards (default UNISON_SHARDS, else the run
    has none). `init_method`, `store`, `group_name`, `pg_options`, `device_id` are not needed.
    Raises: ValueError if there is one, or if rank, size or shards contradict the job.
    """
    _known("init_process_group", not_needed, "store group_name pg_options device_id")
    before = current_group()
    # A simulated rank has a group from the beginning, which its script initializes.
    if before is not None and (before.initialized or before.name != "thread"):
        raise ValueError(f"rank {before.rank}: the default process group was initialized before")
    group = _new_group(backend, comm, timeout) if before is None else before
    if world_size not in (-1, group.size) or rank not in (-1, group.rank):
        raise ValueError(
            f"this is rank {group.rank} of {group.size}, not rank {rank} of {world_size}"
        )
    group.shards = _checked_shards(shards, group.size)
    group.initialized = True
    if before is None:
        set_group(group)
    return group


def _known(function: str, given: dict[str, Any], names: str) -> None:
    for name in given:
        if name not in names.split():
            raise TypeError(f"{function}() got an unexpected keyword argument '{name}'")


def _known_backend(backend: str | None) -> str | None:
    backend = backend and str(backend).lower()
    if backend not in (None, *BACKENDS):
        raise ValueError(f"unknown backend {backend!r}: expected 'mpi', 'nccl', 'single' or None")
    return backend


def _new_group(backend: str | None, comm: Any, timeout: Timeout) -> ProcessGroup:
    backend = _known_backend(backend)
    if comm is not None and backend == "single":
        raise ValueError("the single backend takes no communicator")
    if backend in _GPU_NAMES:
        use_given_device()
        resolve("cuda")  # says so where there is no GPU
        return for_gpus(_over_ranks(comm, timeout))
    if backend == "mpi":
        return MpiGroup(comm, timeout)
    group = SingleGroup(timeout) if backend == "single" else _over_ranks(comm, timeout)
    # The launcher has said on which device each rank computes. Gloo moves arrays of GPUs, too.
    if backend in (None, "gloo") and group.size > 1 and use_given_device():
        return for_gpus(group) if backend is None else HostGroup(group)
    # A script that runs alone may have its tensors on a GPU.
    return HostGroup(group) if isinstance(group, SingleGroup) else group


def for_gpus(group: ProcessGroup) -> ProcessGroup:
    """`group` with a way for arrays of GPUs: NCCL, or the host where ranks share a GPU."""
    if may_have_nccl(group):
        return NcclGroup(group)
    if group.rank == 0:
        print(SHARED_GPU.format(size=group.size, name=group.name), file=sys.stderr)
    return HostGroup(group)


def use_given_device() -> bool:
    """Whether the launcher gave this rank a GPU, which is the current one from now on."""
    device = os.environ.get("UNISON_DEVICE", "")
    if device.startswith("cuda"):
        set_device(device)
    return device.startswith("cuda")


def _over_ranks(comm: Any, timeout: Timeout) -> ProcessGroup:
    if comm is not None:
        return MpiGroup(comm, timeout)
    # Read first: the launcher's variables are gone once MPI runs.
    promised = promised_size()
    running = sys.modules.get("mpi4py.MPI")
    if running is not None and running.Is_initialized() and not running.Is_finalized():
        group = MpiGroup(None, timeout) if running.COMM_WORLD.Get_size() > 1 else None
    else:
        group = MpiGroup(None, timeout) if promised > 1 else None
    if promised > 1 and (group is None or group.size == 1):
        raise RuntimeError(
            f"this is one of {promised} processes, says the environment, and alone, says MPI: they"
            " were started by another MPI's mpirun, by torchrun, or by srun without the plugin that"
            " fits (--mpi=pmi2 or pmix); `python -m launch --doctor` names the mpiexec that fits"
        )
    return group or SingleGroup(timeout)


def _checked_shards(shards: int | None, size: int) -> int | None:
    if shards is None:
        shards = int(os.environ.get("UNISON_SHARDS", "0")) or None
    if shards is not None and (
        type(shards) is not int or shards < 1 or shards % size or shards & (shards - 1)
    ):
        raise ValueError(
            f"shards: expected a power of two and a multiple of {size} ranks, got {shards}"
        )
    return shards


def destroy_process_group(group: ProcessGroup | None = None) -> None:
    """Nothing; the group (default: the default group) is closed. All its ranks call this."""
    default = current_group()
    closing = default_group(group)
    if default is not None and closing is default:
        default.initialized = False
    # The default group of a simulated rank lasts as long as the rank.
    if isinstance(closing, ProcessGroup) and not (closing is default and closing.name == "thread"):
        closing.close()
        if closing is default:
            set_group(None)


def is_initialized() -> bool:
    """Whether there is a default group; in a data worker, whether its rank had one."""
    return (served() or current_group()) is not None


def default_group(group: Any = None) -> Any:
    """`group`, or the default one for None.

    Raises: ValueError if there is none; TypeError for what is no group, such as a communicator.
    """
    if group is not None:
        if not isinstance(group, (ProcessGroup, NonMember)):
            raise TypeError(f"expected a process group, got {group!r:.80}")
        return group
    found = current_group()
    if found is None:
        hint = "call ddp.init_process_group() first"
        if served() is not None:
            hint = "a data worker may ask which rank it serves, but takes part in nothing"
        raise ValueError(f"there is no default process group: {hint}")
    return found


def member_of(group: Any) -> ProcessGroup | None:
    """The group that was meant, None with a warning on a rank that is not in it."""
    found = default_group(group)
    if isinstance(found, NonMember):
        warnings.warn("a collective on a group that this rank is not in does nothing", stacklevel=3)
        return None
    return found


def _place_in(group: Any) -> Any:
    """Who has a rank and a size: the group, or in a data worker the rank that it serves."""
    return (served() if group is None else None) or default_group(group)


def get_rank(group: Any = None) -> int:
    """The rank of this process in the group, -1 outside; in a data worker, of whom it serves."""
    return _place_in(group).rank


def get_world_size(group: Any = None) -> int:
    """The number of ranks in the group, -1 outside of it."""
    return _place_in(group).size


def get_local_rank(group: Any = None) -> int:
    """The rank of this process among those of the group on its node."""
    return _place_in(group).local_rank


def get_backend(group: Any = None) -> str:
    """The name of the group's backend."""
    return default_group(group).name


def get_shards() -> int:
    """The number of logical shards of the run."""
    group = default_group()
    return group.shards or group.size


def get_group_rank(group: Any, global_rank: int) -> int:
    """The rank in `group` of a rank of the default group.

    Raises: ValueError if it is not in the group.
    """
    ranks = default_group(group).ranks
    if global_rank not in ranks:
        raise ValueError(f"rank {global_rank} is not in the group of ranks {ranks}")
    return ranks.index(global_rank)


def get_global_rank(group: Any, group_rank: int) -> int:
    """The rank in the default group of a rank of `group`.

    Raises: ValueError if it has no such rank.
    """
    ranks = default_group(group).ranks
    if not 0 <= group_rank < len(ranks):
        raise ValueError(f"there is no rank {group_rank} in the group of ranks {ranks}")
    return int(ranks[group_rank])


def place_in(group: Any, rank: int | None, in_group: int | None, other: int | None = None) -> int:
    """The rank in the group that was meant by a rank of the default group or by one of its own.

    Raises: ValueError for both, or for neither where there is no `other`.
    """
    if in_group is not None:
        if rank is not None:
            raise ValueError("Can't specify both group_rank and global_rank")
        return in_group
    rank = other if rank is None else rank
    if rank is None:
        raise ValueError("Must specify global_rank or group_rank")
    return get_group_rank(group, rank)


def get_process_group_ranks(group: Any = None) -> list[int]:
    """The ranks of the default group that are in the group, in its order."""
    return list(default_group(group).ranks)


def new_group(
    ranks: Sequence[int] | None = None,
    timeout: Timeout = None,
    backend: str | None = None,
    pg_options: Any = None,
    use_local_synchronization: bool = False,
    *,
    sort_ranks: bool = True,
    **not_needed: Any,
) -> Any:
    """The group of these ranks of the default group; NON_GROUP_MEMBER on other ranks.

    Its ranks are sorted, or with `sort_ranks=False` in the order given. Called by all ranks of the
    default group, whose backends it has. `backend`, `pg_options`, `group_desc` and `device_id` are
    not needed.
    Raises: ValueError for a backend that is not known, and for `use_local_synchronization`.
    """
    _known("new_group", not_needed, "group_desc device_id")
    _known_backend(backend)
    if use_local_synchronization:
        raise ValueError("new_group: all ranks call it, so use_local_synchronization must be False")
    if ranks is not None and sort_ranks:
        ranks = sorted(ranks)
    group = default_group().new_group(ranks, timeout)
    return NON_GROUP_MEMBER if group is None else group
