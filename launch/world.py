"""Who this process is among the ranks, as the launcher's environment claims it before MPI starts.

Reads the variables of Open MPI, of Hydra (MPICH, Intel MPI, MVAPICH) and of a Slurm step. What MPI
itself says is compared with the claim once MPI is up; until then the claim is all there is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

OPEN_MPI = "Open MPI"
HYDRA = "MPICH (Hydra)"
SLURM = "Slurm"
ALONE = "none"

# One row per launcher: name, a variable that only it sets, rank and size, local rank and size.
# The order matters: an mpirun inside a Slurm step sees the step's variables as well. Slurm is
# believed for SLURM_STEP_NUM_TASKS only: SLURM_NTASKS is the job's and is set in batch scripts,
# where one process would wait for ranks that never come.
_CLAIMS = (
    (
        OPEN_MPI,
        "OMPI_COMM_WORLD_SIZE",
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
        ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ),
    (HYDRA, "PMI_FD", ("PMI_RANK", "PMI_SIZE"), ("MPI_LOCALRANKID", "MPI_LOCALNRANKS")),
    (HYDRA, "HYDI_CONTROL_FD", ("PMI_RANK", "PMI_SIZE"), ("MPI_LOCALRANKID", "MPI_LOCALNRANKS")),
    (
        SLURM,
        "SLURM_STEP_NUM_TASKS",
        ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
        ("SLURM_LOCALID", ""),
    ),
    ("PMI", "PMI_SIZE", ("PMI_RANK", "PMI_SIZE"), ("MPI_LOCALRANKID", "MPI_LOCALNRANKS")),
)

# Taken out of the environment once MPI is up: a data worker that inherits them takes itself for an
# MPI process (measured: Open MPI parents segfault, MPICH floods errors). MPI_LOCAL* are Hydra's.
LAUNCHER_PREFIXES = ("PMI", "OMPI_", "PRTE_", "HYDI_", "HYDRA_", "MPI_LOCAL")


@dataclass(frozen=True, slots=True)
class World:
    """The place of this process: rank of size in the job, local rank of local size on its node.

    `node` is the rank that is local rank 0 there.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    launcher: str = ALONE
    node: int = 0


def mpi_family(vendor: str) -> str:
    """OPEN_MPI or HYDRA: whose mpiexec can start the programs of this MPI (mpi4py's name of it)."""
    return OPEN_MPI if vendor in (OPEN_MPI, "Spectrum MPI") else HYDRA


def no_mpi(why: str) -> str:
    """The sentence for who has no MPI, given what mpi4py said about it, line by line.

    Example:
        >>> no_mpi("libmpi.so.40: cannot open shared object file").partition(";")[0]
        'mpi4py cannot load an MPI (libmpi.so.40: cannot open shared object file)'
    """
    last = why.strip().splitlines()[-1:] or ["no reason given"]
    return (
        f"mpi4py cannot load an MPI ({last[0]}); load the cluster's MPI module, or install one, "
        "for example: pip install mpich"
    )


def claimed(environ: Mapping[str, str]) -> World:
    """The world that the environment claims; one rank where no launcher speaks.

    Example:
        >>> claimed({"PMI_FD": "6", "PMI_RANK": "1", "PMI_SIZE": "4"}).rank
        1
    """
    for launcher, mark, (rank, size), (local_rank, local_size) in _CLAIMS:
        if mark in environ and environ.get(size, "").isdigit():
            total = int(environ[size])
            if total == 1 and environ.get("SLURM_STEP_NUM_TASKS") == "1":
                # Mostly `srun --pty bash`, a shell in which jobs are started: no rank of one.
                return World()
            return World(
                rank=int(environ.get(rank, "0")),
                size=total,
                local_rank=int(environ.get(local_rank, environ.get(rank, "0"))),
                local_size=int(environ.get(local_size) or _slurm_local_size(environ) or total),
                launcher=launcher,
            )
    return World()


def outside(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables for an mpiexec: without the place of this process in a step of Slurm's.

    Ranks would have two places: MPICH's end where they see both (measured with --mpi=pmix).
    Example:
        >>> outside({"PMIX_RANK": "0", "PMIX_MCA_ptl": "tcp", "PMIX_PREFIX": "/opt", "HOME": "/"})
        {'PMIX_MCA_ptl': 'tcp', 'PMIX_PREFIX': '/opt', 'HOME': '/'}
    """
    return {name: value for name, value in environ.items() if not _is_place(name)}


def _is_place(name: str) -> bool:
    is_setting = name.startswith("PMIX_MCA_") or name.endswith("_PREFIX")
    return name.startswith(("PMI_", "PMIX_")) and not is_setting


def _slurm_local_size(environ: Mapping[str, str]) -> int:
    # "4(x2),3" means four tasks on each of two nodes and three on the third.
    counts: list[int] = []
    for part in environ.get("SLURM_STEP_TASKS_PER_NODE", "").split(","):
        count, _, times = part.partition("(x")
        if count.isdigit():
            counts += [int(count)] * int(times.rstrip(")") or 1)
    node = int(environ.get("SLURM_NODEID", "0"))
    return counts[node] if node < len(counts) else 0
