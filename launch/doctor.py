"""`--doctor` says what this machine has and how fast it is; `--selftest` that training is right."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable

from launch import cores, devices, handshake, report, spawn
from launch.ledger import folder
from launch.status import UsageError

# One size of a measurement gets this long before it counts as hanging.
LIMIT = 20
# Shards and ranks of the self-test: with shards fixed, the curves must have the same bits.
SHARDS = 4
RANKS = (1, 2, 4)
# MPICH's segment and our board: less than this and jobs die of a bus error.
SMALL = 64 << 20


def doctor() -> int:
    """0 if ranks can be started and talk to each other here; prints what there is, a line each."""
    for name, find in _FINDINGS.items():
        _line(name, find())
    ended = _job(2, "-m", "launch.bandwidth", options=["--timeout", str(LIMIT)])
    for line in ended.stdout.splitlines():
        _line("all-reduce, 2 ranks", line)
    if ended.returncode:
        sys.stderr.write(ended.stderr)
        _line("all-reduce, 2 ranks", f"failed with status {ended.returncode}")
    return ended.returncode


def selftest() -> int:
    """0 if the same training on 1, 2 and 4 ranks gives the same curve; prints OK and the number."""
    curves: dict[int, list[float]] = {}
    for ranks in RANKS:
        ended = _job(ranks, "-m", "launch.tiny_training", options=["--shards", str(SHARDS)])
        if ended.returncode:
            sys.stderr.write(ended.stderr)
            return ended.returncode
        curves[ranks] = json.loads(ended.stdout)
        _line(
            f"{ranks} rank{'s' if ranks > 1 else ''}", " ".join(f"{x:.6f}" for x in curves[ranks])
        )
    same = all(curve == curves[1] for curve in curves.values())
    _line("selftest", f"OK {curves[1][-1]!r}" if same else "FAILED: the curves differ")
    return 0 if same else 1


def _job(ranks: int, *words: str, options: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "launch", "-q", "--device", "cpu", "-n", str(ranks)]
    return subprocess.run([*command, *options, *words], capture_output=True, text=True)


def _versions() -> str:
    found = {name: handshake.version_of(name) for name in handshake.PACKAGES}
    known = [f"{name} {version}" for name, version in found.items() if version]
    return ", ".join([f"Python {platform.python_version()}", *known])


def _mpi() -> str:
    try:
        vendor, version, library = spawn.loaded_mpi()
        path, _ = spawn.find_mpiexec()
    except UsageError as error:
        return str(error)
    return f"{vendor} {version} ({library or 'library unknown'}), started by {path}"


def _gpus() -> str:
    return ", ".join(name or "unknown" for name in devices.visible(os.environ)) or "none visible"


def _cores() -> str:
    mine = cores.mine()
    bad = cores.complaint(mine, range(os.cpu_count() or 1))
    return f"{report.runs_text(mine)} of {os.cpu_count()}" + (f"; {bad}" if bad else "")


def shared_memory() -> str:
    """How much is free, and what to do if that is too little for MPI and the board."""
    free = shutil.disk_usage(folder()).free
    hint = "; too little: docker run --shm-size=1g" if free < SMALL else ""
    return f"{free >> 20} MiB free in {folder()}{hint}"


def _line(name: str, text: str) -> None:
    sys.stdout.write(f"{name + ':':<21} {text}\n")
    sys.stdout.flush()


_FINDINGS: dict[str, Callable[[], str]] = {
    "versions": _versions,
    "MPI": _mpi,
    "GPUs": _gpus,
    "cores": _cores,
    "shared memory": shared_memory,
}

if __name__ == "__main__":
    sys.exit(selftest() if "selftest" in sys.argv else doctor())
