"""What people know as torch.accelerator: the GPU of this process by one name, if there is one."""

from __future__ import annotations

from typing import Any

from core import cuda
from core.backend import Device


def is_available() -> bool:
    """Whether there is a GPU that this process can use."""
    return cuda.is_available()


def device_count() -> int:
    """The number of GPUs that this process can use."""
    return cuda.device_count()


def current_accelerator(check_available: bool = False) -> Device | None:
    """The kind of device that computes fastest here, without an index; None without a GPU.

    Example:
        >>> (current_accelerator() or Device("cpu")).type in ("cuda", "cpu")
        True
    """
    return Device("cuda") if cuda.is_available() else None


def current_device_index() -> int:
    """The index of this thread's current GPU."""
    return cuda.current_device()


def set_device_index(device: Any) -> None:
    """Make a GPU the current one of this thread; a negative index changes nothing."""
    cuda.set_device(device)


def synchronize(device: Any = None) -> None:
    """Wait for all work of a GPU; nothing where there is none."""
    if cuda.is_available():
        cuda.synchronize(device)


current_device_idx = current_device_index
set_device_idx = set_device_index
