"""The ranks as MPI sees them: started, checked against the claim, and able to talk."""

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from launch.status import UsageError
from launch.world import HYDRA, LAUNCHER_PREFIXES, OPEN_MPI, World, mpi_family, no_mpi

if TYPE_CHECKING:
    from mpi4py import MPI

_SEGMENTS = ("/dev/shm/mpich", "/dev/shm/sm_segment.")


class Team:
    """All ranks of the job, this one at `world`; one rank without MPI is a team as well."""

    def __init__(self, world: World, comm: "MPI.Intracomm | None" = None) -> None:
        self.world = world
        self.has_mpi = comm is not None
        self._comm = comm

    def gather(self, value: Any) -> list[Any]:
        """The value of each rank, on every rank."""
        return [value] if self._comm is None else self._comm.allgather(value)

    def collect(self, value: Any) -> list[Any]:
        """The value of each rank, on rank 0; nothing on the others."""
        return [value] if self._comm is None else self._comm.gather(value) or []

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self._comm is not None:
            self._comm.Barrier()

    def end_together(self) -> None:
        """Wait for all ranks to come here, polling, so that signals and the watchdog go on working.

        Without a limit: the others may rightly have work left.
        """
        if self._comm is None:
            return
        done = self._comm.Ibarrier()
        pause = 1e-4
        while not done.Test():
            time.sleep(pause)
            pause = min(2 * pause, 0.02)

    def abort(self, code: int) -> None:
        """End all processes of the job; may hang, so call it with a deadline."""
        if self._comm is not None:
            self._comm.Abort(code)

    def tidy(self) -> None:
        """Once all ranks are up: unlink MPI's shared memory, hide the launcher's variables.

        MPICH leaves 2-4 MiB in /dev/shm after every failed job, Open MPI sometimes as much; all
        ranks have it mapped by now.
        """
        self.barrier()
        _remove_segments()
        for name in [name for name in os.environ if name.startswith(LAUNCHER_PREFIXES)]:
            del os.environ[name]


def start(claim: World) -> Team:
    """The team of this job: MPI is started, unless no launcher started this process.

    Raises: UsageError if mpi4py is missing, or if its MPI is not the one that started the ranks.
    """
    try:
        import mpi4py

        # Loading and starting are two steps here: the wrong MPI would end the process itself.
        mpi4py.rc.initialize = False
        mpi4py.rc.finalize = True
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise UsageError(no_mpi(str(error))) from error
    name, loaded = MPI.get_vendor()[0], version()
    _refuse_other_mpi(claim, mpi_family(name), loaded)
    # Open MPI's ranks of other hosts abort with 14 when the sockets of a failed rank close: a
    # second later its own status has arrived (without, 67 came out as 14).
    os.environ.setdefault("OMPI_MCA_mpi_abort_delay", "1")
    # Below MULTIPLE the watchdog could not act, and MPICH took 984 ms for a 1 MiB all-reduce on
    # oversubscribed cores (0.62 ms with it).
    MPI.Init_thread(MPI.THREAD_MULTIPLE)
    _compare(claim, MPI.COMM_WORLD.size, name, loaded)
    comm = MPI.COMM_WORLD.Dup()
    local = comm.Split_type(MPI.COMM_TYPE_SHARED)
    seen = replace(
        claim,
        rank=comm.rank,
        size=comm.size,
        local_rank=local.rank,
        local_size=local.size,
        node=local.bcast(comm.rank),
    )
    local.Free()
    return Team(seen, comm)


def _compare(claim: World, size: int, name: str, loaded: str) -> None:
    if claim.size == size:
        return
    _remove_segments()
    plugin = "pmix" if mpi_family(name) == OPEN_MPI else "pmi2"
    raise UsageError(
        f"{claim.launcher} started {claim.size} ranks, but {loaded} of mpi4py sees {size}: "
        f"start the job with the mpiexec of {name} (srun: --mpi={plugin})"
    )


def version() -> str:
    """Name and version of the MPI that mpi4py has loaded."""
    from mpi4py import MPI

    name, numbers = MPI.get_vendor()
    return f"{name} {'.'.join(map(str, numbers))}"


def _remove_segments() -> None:
    for path in _segments():
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue


def _segments() -> list[str]:
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            paths = [line.split()[-1] for line in file]
    except OSError:
        return []
    return sorted({path for path in paths if path.startswith(_SEGMENTS)})


def _refuse_other_mpi(claim: World, family: str, loaded: str) -> None:
    known = claim.launcher in (OPEN_MPI, HYDRA)
    if claim.size > 1 and known and claim.launcher != family:
        raise UsageError(
            f"the ranks were started by {claim.launcher}, but mpi4py loads {loaded}, for which "
            f"each would be rank 0 of 1: use the mpiexec of {loaded}"
        )
