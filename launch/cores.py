"""The processor cores of a rank: how many threads a BLAS may start, is the binding bad."""

import os
from collections.abc import Mapping, Sequence

from launch.report import runs_text

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def mine() -> list[int]:
    """The cores on which this process may run, ascending."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def of_process(pid: int) -> list[int]:
    """The cores of another process, such as the one that started the ranks; [] if unknown."""
    try:
        return sorted(os.sched_getaffinity(pid))
    except (OSError, AttributeError):
        return []


def threads(cores: Sequence[int], starters: Sequence[int], local_size: int) -> int:
    """Threads per rank: its own cores if it is bound to them, else an equal share.

    Example:
        >>> threads([0, 1, 2, 3], [0, 1, 2, 3], 2), threads([1], [0, 1, 2, 3], 2)
        (2, 1)
    """
    bound = len(cores) < len(starters)
    return max(1, len(cores) if bound else len(cores) // local_size)


def thread_limits(environ: Mapping[str, str], count: int) -> dict[str, str]:
    """The variables to set before a BLAS is loaded: none if the user set one of them."""
    if any(name in environ for name in THREAD_VARIABLES):
        return {}
    return {name: str(count) for name in THREAD_VARIABLES}


def complaint(cores: Sequence[int], starters: Sequence[int]) -> str:
    """What is wrong with a binding and the flag that mends it, "" if nothing is."""
    if len(cores) >= min(2, len(starters)):
        return ""
    return (
        f"bound to core {runs_text(cores)} of {len(starters)}, which its threads and data workers "
        "must share; mend it with: mpirun --bind-to none (srun --cpu-bind=none)"
    )
