"""The GPUs of this process: how many, which one is current, what they are."""

from __future__ import annotations

from typing import Any, NamedTuple

from core import backend
from core.backend import Device, cuda_module, resolve

_seen: list[bool] = []


class Properties(NamedTuple):
    """What a GPU is."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int
    warp_size: int
    max_threads_per_multi_processor: int


def is_available() -> bool:
    """Whether there is a GPU that this process can use."""
    return backend.device_count() > 0


def device_count() -> int:
    """The number of GPUs that this process can use."""
    return backend.device_count()


def is_initialized() -> bool:
    """Whether a GPU was asked for in this process."""
    return bool(_seen)


def init() -> None:
    """Make sure that there is a GPU.

    Raises: RuntimeError with one sentence where there is none.
    """
    resolve("cuda")
    _seen[:] = [True]


def index_of(device: Any) -> int:
    """The index of a GPU given as a Device, a string, an index, or None for the current one.

    Raises: RuntimeError where it is not there; ValueError for the CPU.
    """
    found = resolve("cuda" if device is None else device)
    if found.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {found}")
    _seen[:] = [True]
    return found.index or 0


def current_device() -> int:
    """The index of this thread's current GPU."""
    return index_of(None)


def set_device(device: Any) -> None:
    """Make a GPU the current one of this thread; a negative index changes nothing."""
    if isinstance(device, int) and device < 0:
        return
    cuda_module().cuda.Device(index_of(device)).use()


class device:  # noqa: N801 - PyTorch's name
    """A context in which a GPU is the current one; None or a negative index change nothing."""

    def __init__(self, device: Any) -> None:
        skipped = device is None or (isinstance(device, int) and device < 0)
        self.idx = -1 if skipped else index_of(device)
        self._entered: Any = None

    def __enter__(self) -> device:
        self._entered = backend.on(Device("cuda", self.idx) if self.idx >= 0 else backend.CPU)
        self._entered.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._entered.__exit__(*error)


def synchronize(device: Any = None) -> None:
    """Wait for all work of a GPU."""
    cuda_module().cuda.Device(index_of(device)).synchronize()


def get_device_properties(device: Any = None) -> Properties:
    """What a GPU is: its name, compute capability, memory and size."""
    found = cuda_module().cuda.runtime.getDeviceProperties(index_of(device))
    name = found["name"]
    return Properties(
        name.decode() if isinstance(name, bytes) else name,
        found["major"],
        found["minor"],
        found["totalGlobalMem"],
        found["multiProcessorCount"],
        found["warpSize"],
        found["maxThreadsPerMultiProcessor"],
    )


def get_device_name(device: Any = None) -> str:
    """What a GPU is called."""
    return get_device_properties(device).name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability of a GPU."""
    found = get_device_properties(device)
    return found.major, found.minor


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the current GPU computes in bfloat16, or where emulation counts any GPU."""
    return including_emulation or get_device_capability()[0] >= 8


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Whether one GPU can read another's memory.

    Raises: ValueError for a GPU and itself.
    """
    first, second = index_of(device), index_of(peer_device)
    if first == second:
        raise ValueError("Device cannot access itself as a peer")
    return bool(cuda_module().cuda.runtime.deviceCanAccessPeer(first, second))
