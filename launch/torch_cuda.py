"""What scripts ask of torch.cuda before they know whether there is a GPU."""

from typing import Any

from core import amp
from core.amp import GradScaler as GradScaler
from core.amp import custom_bwd as custom_bwd
from core.amp import custom_fwd as custom_fwd
from core.backend import device_count as device_count
from core.random import manual_seed


def is_available() -> bool:
    """Whether there is a GPU."""
    return device_count() > 0


def manual_seed_all(seed: int) -> None:
    """Nothing; the random numbers of all devices come from `seed`, as those of the CPU do."""
    manual_seed(seed)


class autocast(amp.autocast):  # noqa: N801 - PyTorch's name
    """core.amp.autocast for the GPU."""

    def __init__(self, enabled: bool = True, dtype: Any = None, cache_enabled: Any = None) -> None:
        super().__init__("cuda", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)
