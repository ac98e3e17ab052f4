"""Starts MPI in a rank and makes it livable: checked against the claim, scrubbed, without litter."""

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from launch import world
from launch.spawn import MPICH, OPEN_MPI, family
from launch.status import UsageError
from launch.world import World

if TYPE_CHECKING:
    from mpi4py import MPI


def start(claim: World) -> "tuple[MPI.Intracomm, World]":
    """A private communicator over all ranks, and the world as MPI itself sees it.

    Raises: UsageError if mpi4py is missing, or if its MPI is not the one that started the ranks.
    """
    try:
        import mpi4py

        mpi4py.rc.initialize = False
        mpi4py.rc.finalize = True
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise UsageError(
            f"mpi4py cannot load an MPI ({error}); install one, for example: pip install mpich"
        ) from error
    name, version = MPI.get_vendor()
    loaded = f"{name} {'.'.join(map(str, version))}"
    _refuse_other_mpi(claim, family(name), loaded)
    # Below MULTIPLE the watchdog could not act, and MPICH took 984 ms for a 1 MiB all-reduce on
    # oversubscribed cores (0.62 ms with it).
    MPI.Init_thread(MPI.THREAD_MULTIPLE)
    if claim.size != MPI.COMM_WORLD.size:
        raise UsageError(
            f"{claim.launcher} started {claim.size} ranks, but {loaded} of mpi4py sees "
            f"{MPI.COMM_WORLD.size}: start the job with the mpiexec of {name}"
        )
    comm = MPI.COMM_WORLD.Dup()
    node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    seen = replace(
        claim, rank=comm.rank, size=comm.size, local_rank=node.rank, local_size=node.size
    )
    node.Free()
    return comm, seen


def version() -> str:
    """Name and version of the running MPI."""
    from mpi4py import MPI

    name, numbers = MPI.get_vendor()
    return f"{name} {'.'.join(map(str, numbers))}"


def tidy(comm: "MPI.Intracomm", seen: World) -> None:
    """Once all ranks are up: unlink MPICH's shared memory, hide the launcher's variables.

    MPICH leaves 2-4 MiB in /dev/shm after every failed job; all ranks have it mapped by now.
    """
    paths = _segments()
    comm.Barrier()
    if seen.local_rank == 0:
        for path in paths:
            if os.path.exists(path):
                os.unlink(path)
    for name in [n for n in os.environ if n.startswith(world.LAUNCHER_PREFIXES)]:
        del os.environ[name]


def _segments() -> list[str]:
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            paths = [line.split()[-1] for line in file]
    except OSError:
        return []
    return sorted({path for path in paths if path.startswith("/dev/shm/mpich")})


def _refuse_other_mpi(claim: World, loaded_family: str, loaded: str) -> None:
    started_by = {world.OPEN_MPI: OPEN_MPI, world.HYDRA: MPICH}.get(claim.launcher)
    if claim.size > 1 and started_by not in (None, loaded_family):
        raise UsageError(
            f"the ranks were started by {claim.launcher}, but mpi4py loads {loaded}: "
            f"every process would be rank 0 of 1; use the mpiexec of {loaded}"
        )
