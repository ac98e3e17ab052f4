"""What people know as torch.cuda: devices, streams, events, memory. Loads no GPU library itself."""

import importlib as _importlib
from typing import Any

from core.cuda.device import can_device_access_peer as can_device_access_peer
from core.cuda.device import current_device as current_device
from core.cuda.device import device as device
from core.cuda.device import device_count as device_count
from core.cuda.device import get_device_capability as get_device_capability
from core.cuda.device import get_device_name as get_device_name
from core.cuda.device import get_device_properties as get_device_properties
from core.cuda.device import init as init
from core.cuda.device import is_available as is_available
from core.cuda.device import is_bf16_supported as is_bf16_supported
from core.cuda.device import is_initialized as is_initialized
from core.cuda.device import set_device as set_device
from core.cuda.device import synchronize as synchronize
from core.cuda.memory import empty_cache as empty_cache
from core.cuda.memory import max_memory_allocated as max_memory_allocated
from core.cuda.memory import mem_get_info as mem_get_info
from core.cuda.memory import memory_allocated as memory_allocated
from core.cuda.memory import memory_reserved as memory_reserved
from core.cuda.memory import out_of_memory_error
from core.cuda.memory import reset_peak_memory_stats as reset_peak_memory_stats
from core.cuda.memory import set_per_process_memory_fraction as set_per_process_memory_fraction
from core.cuda.stream import Event as Event
from core.cuda.stream import Stream as Stream
from core.cuda.stream import current_stream as current_stream
from core.cuda.stream import default_stream as default_stream
from core.cuda.stream import set_stream as set_stream
from core.cuda.stream import stream as stream
from core.random import get_rng_state as _get_rng_state
from core.random import initial_seed as initial_seed
from core.random import manual_seed as manual_seed
from core.random import seed as seed
from core.random import set_rng_state as _set_rng_state

# One counter-based generator serves all devices.
manual_seed_all, seed_all = manual_seed, seed


def get_rng_state(device: Any = "cuda") -> Any:
    """The state of the generator, which is one for all devices."""
    return _get_rng_state()


def get_rng_state_all() -> list[Any]:
    """The state of the generator, once for each GPU."""
    return [_get_rng_state() for _ in range(device_count())]


def set_rng_state(new_state: Any, device: Any = "cuda") -> None:
    """The generator goes on from a state."""
    _set_rng_state(new_state)


def set_rng_state_all(new_states: Any) -> None:
    """The generator goes on from the first of the states."""
    for state in list(new_states)[:1]:
        _set_rng_state(state)


def __getattr__(name: str) -> Any:
    if name == "amp":  # it casts what layers compute, so it stands above this package
        return _importlib.import_module("core.cuda.amp")
    if name == "OutOfMemoryError":
        return out_of_memory_error()
    if name.endswith("Tensor") and name in (
        kinds := _importlib.import_module("core.types").ON_CUDA
    ):
        return kinds[name]
    raise AttributeError(f"module 'core.cuda' has no attribute {name!r}")
