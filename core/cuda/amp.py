"""What people know as torch.cuda.amp: autocast that need not be told for which device."""

from typing import Any

from core import amp
from core.amp import GradScaler as GradScaler
from core.amp import custom_bwd as custom_bwd
from core.amp import custom_fwd as custom_fwd


class autocast(amp.autocast):  # noqa: N801 - PyTorch's name
    """core.amp.autocast for the GPU."""

    def __init__(self, enabled: bool = True, dtype: Any = None, cache_enabled: Any = None) -> None:
        super().__init__("cuda", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)
