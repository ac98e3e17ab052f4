"""Starts the ranks itself, with the mpiexec that belongs to the MPI which mpi4py loads."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

from launch import report, stacks, supervisor
from launch.options import Options, interpreter_flags, unparsed
from launch.status import UsageError
from launch.world import HYDRA, OPEN_MPI, mpi_family, no_mpi, outside

# What `mpiexec --version` says, and whose it is.
_MARKS = (
    ("open mpi", OPEN_MPI),
    ("openrte", OPEN_MPI),
    ("prterun", OPEN_MPI),
    ("hydra", HYDRA),
    ("intel", HYDRA),
    ("mpich", HYDRA),
)
# MPI is loaded, not started: on login nodes starting it ends the interpreter.
_ASK = """\
import mpi4py
mpi4py.rc.initialize = mpi4py.rc.finalize = False
from mpi4py import MPI
name, version = MPI.get_vendor()
print(name, ".".join(map(str, version)), sep="|")
for line in open("/proc/self/maps") if __import__("os").path.exists("/proc/self/maps") else ():
    if "libmpi" in line:
        print(line.split()[-1])
        break
"""


def loaded_mpi() -> tuple[str, str, str]:
    """(vendor, version, path of the library or "") of the MPI that mpi4py loads.

    Raises: UsageError if there is no mpi4py or no MPI.
    """
    asked = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True)
    if asked.returncode:
        raise UsageError(no_mpi(asked.stderr or f"status {asked.returncode}"))
    first, *rest = asked.stdout.splitlines()
    vendor, _, version = first.partition("|")
    return vendor, version, rest[0] if rest else ""


def find_mpiexec() -> tuple[str, str]:
    """(path, vendor) of the mpiexec that belongs to mpi4py's MPI.

    Raises: UsageError naming both MPIs if only another MPI's mpiexec is there.
    """
    vendor, version, library = loaded_mpi()
    seen: list[str] = []
    for path in _candidates(library):
        found = _vendor_of(path)
        if found == mpi_family(vendor):
            return path, found
        seen.append(f"{path} is {found or 'of an unknown MPI'}")
    have = f"mpi4py loads {vendor} {version}"
    if seen:
        raise UsageError(f"{have}, but {seen[0]}: put the mpiexec of {vendor} on the PATH")
    raise UsageError(f"{have}, but there is no mpiexec beside python nor on the PATH")


def command(options: Options) -> list[str]:
    """The command line that starts the ranks, with the flags that this MPI needs."""
    path, vendor = find_mpiexec()
    words = [path, "-n", str(options.ranks)]
    if vendor == OPEN_MPI:
        # Open MPI refuses more ranks than cores, refuses root, and binds each rank to one core,
        # which data workers and BLAS threads then share.
        words += ["--oversubscribe", "--bind-to", "none"]
        words += ["--allow-run-as-root"] if os.geteuid() == 0 else []
    else:
        words += bootstrap(os.environ, shutil.which("srun") is not None)
    return [*words, sys.executable, *interpreter_flags(), "-m", "launch", *unparsed(options)]


def spawn(options: Options) -> int:
    """Run the job, again after a failure if asked to; the status of the last run."""
    words = command(options)
    if not options.quiet:
        report.say(f"launch: {shlex.join(words)}\n")
    restarts = 0
    while True:
        begun = stacks.memory_file()
        code = _run(words, restarts, begun)
        some_began = os.fstat(begun).st_size > 0
        os.close(begun)
        if code == 0 or restarts >= options.max_restarts or code in _NOT_AGAIN:
            return code
        restarts += 1
        text = f"launch: status {code}; restart {restarts} of {options.max_restarts}"
        fewer = 0 if some_began or not options.min_ranks else next_size(options)
        if fewer:
            text += f" on {fewer} ranks, since none of {options.ranks} began"
            options = replace(options, ranks=fewer)
            words = command(options)
        report.say(f"{text}\n")


def bootstrap(environ: Mapping[str, str], has_srun: bool) -> list[str]:
    """Flags of Hydra for a job of Slurm's, whose hosts it reaches by srun.

    Where there is no srun, as in a container, it would wait for ever; and for one host in a shell
    that has all of the job's tasks.
    Example:
        >>> bootstrap({"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "1"}, has_srun=True)
        ['-bootstrap', 'fork']
    """
    chosen = "HYDRA_LAUNCHER" in environ or "HYDRA_BOOTSTRAP" in environ
    if "SLURM_JOB_ID" not in environ or chosen:
        return []
    one_host = environ.get("SLURM_JOB_NUM_NODES", environ.get("SLURM_NNODES")) == "1"
    return ["-bootstrap", "fork"] if one_host or not has_srun else []


def next_size(options: Options) -> int:
    """The next smaller number of ranks on which the job gives the same bits, 0 if there is none.

    Example:
        >>> next_size(Options(ranks=8, shards=8, min_ranks=2))
        4
    """
    sizes = range(options.ranks - 1, options.min_ranks - 1, -1)
    return next((size for size in sizes if options.shards % size == 0), 0)


# Bad use does not get better, and who interrupts a job wants it to end.
_NOT_AGAIN = (2, 128 + signal.SIGINT, 128 + signal.SIGTERM)


def _run(words: list[str], restarts: int, begun: int) -> int:
    environ = {**outside(os.environ), "UNISON_RESTARTS": str(restarts)}
    environ["UNISON_STARTER"] = stacks.address(begun)
    job = subprocess.Popen(words, env=environ, preexec_fn=_with_parent)
    asked: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        asked.append(number)
        job.send_signal(number)

    # Ctrl-C at a terminal reaches mpiexec too, which then gets it twice; both take that well.
    before = {n: signal.signal(n, pass_on) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    try:
        code = job.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    ending = [number for number in asked if number != signal.SIGUSR1]
    if ending and code:
        return 128 + ending[0]
    return 128 - code if code < 0 else code


def _with_parent() -> None:
    supervisor.die_with_parent(signal.SIGTERM)


def _candidates(library: str) -> list[str]:
    folders = [os.path.dirname(sys.executable)]
    if library:
        folders.append(os.path.join(os.path.dirname(os.path.dirname(library)), "bin"))
    places = [os.path.join(folder, "mpiexec") for folder in folders]
    places += [shutil.which("mpiexec") or "", shutil.which("mpirun") or ""]
    there = [place for place in places if place and os.access(place, os.X_OK)]
    return list(dict.fromkeys(there))


def _vendor_of(path: str) -> str:
    try:
        asked = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    text = (asked.stdout + asked.stderr).lower()
    return next((vendor for mark, vendor in _MARKS if mark in text), "")
