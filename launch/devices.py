"""Which GPU a rank computes on, decided from the environment before anything touches CUDA."""

import importlib.util
import os
import pathlib
from collections.abc import Mapping, Sequence

from launch.status import UsageError

_DRIVER = pathlib.Path("/proc/driver/nvidia/gpus")


def visible(environ: Mapping[str, str], driver: pathlib.Path = _DRIVER) -> list[str]:
    """The GPUs that this process may use, by UUID where it is known, in CUDA's order.

    Example:
        >>> visible({"CUDA_VISIBLE_DEVICES": "GPU-1a,GPU-2b"})
        ['GPU-1a', 'GPU-2b']
    """
    simulated = environ.get("UNISON_SIMULATED_GPUS", "")
    if simulated.isdigit() and int(simulated):
        return [f"simulated GPU {index}" for index in range(int(simulated))]
    uuids = _uuids(driver)
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return uuids
    found: list[str] = []
    for word in chosen.split(","):
        # CUDA itself stops at the first name it does not know.
        if word.strip() in ("", "-1"):
            break
        found.append(_name(word.strip(), uuids, environ))
    return found


def choose(gpus: Sequence[str], local_rank: int, local_size: int, wanted: str = "auto") -> str:
    """The device of a rank: "cpu" or "cuda:N".

    Raises: UsageError if there are fewer GPUs than ranks on this host.
    """
    host = os.uname().nodename
    if wanted == "cpu" or (wanted == "auto" and not gpus):
        return "cpu"
    if len(gpus) >= local_size:
        return f"cuda:{local_rank}"
    if len(gpus) == 1:
        return "cuda:0"
    fewer = "start fewer ranks or " if gpus else ""
    raise UsageError(
        f"{local_size} ranks on host {host}, but {len(gpus)} GPUs visible: "
        f"[{', '.join(gpus)}]; {fewer}use --device cpu"
    )


def require_cupy(environ: Mapping[str, str]) -> None:
    """None, if what computes on these GPUs is installed.

    Raises: UsageError with what to install.
    """
    simulated = environ.get("UNISON_SIMULATED_GPUS", "0") not in ("", "0")
    if not simulated and importlib.util.find_spec("cupy") is None:
        raise UsageError(
            f"host {os.uname().nodename} has GPUs, but CuPy is not installed: install the extra "
            "that fits the driver, unison-ddp[cuda12] or unison-ddp[cuda13], or use --device cpu"
        )


def duplicate(used: Sequence[tuple[str, str]]) -> str:
    """A sentence if two ranks have one GPU, given (host, GPU) of each rank, "" if none have.

    A GPU named "" is unknown, and on the CPU there is none.
    """
    seen: dict[tuple[str, str], int] = {}
    for rank, (host, gpu) in enumerate(used):
        if gpu and (host, gpu) in seen:
            return (
                f"ranks {seen[host, gpu]} and {rank} on host {host} have the same GPU ({gpu}): "
                "start fewer ranks, show them more GPUs, or use --device cpu"
            )
        seen[host, gpu] = rank
    return ""


def _name(word: str, uuids: Sequence[str], environ: Mapping[str, str]) -> str:
    if not word.isdigit():
        return word
    if "SLURM_STEP_NUM_TASKS" in environ:
        # Under --gpus-per-task each task calls its own GPU 0: the number says nothing.
        return ""
    ordered = environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    return uuids[int(word)] if ordered and int(word) < len(uuids) else f"GPU {word}"


def _uuids(driver: pathlib.Path) -> list[str]:
    found: list[str] = []
    for folder in sorted(driver.iterdir()) if driver.is_dir() else ():
        lines = (folder / "information").read_text(encoding="utf-8").splitlines()
        values = [line.split(":", 1)[1].strip() for line in lines if line.startswith("GPU UUID")]
        found.append(values[0] if values else f"GPU {folder.name}")
    return found
