"""Mixed precision: autocast chooses dtypes, GradScaler keeps float16 gradients in range."""

from core.amp.casting import autocast as autocast
from core.amp.casting import clear_autocast_cache as clear_autocast_cache
from core.amp.casting import custom_bwd as custom_bwd
from core.amp.casting import custom_fwd as custom_fwd
from core.amp.casting import get_autocast_dtype as get_autocast_dtype
from core.amp.casting import is_autocast_available as is_autocast_available
from core.amp.casting import is_autocast_cache_enabled as is_autocast_cache_enabled
from core.amp.casting import is_autocast_enabled as is_autocast_enabled
from core.amp.casting import set_autocast_cache_enabled as set_autocast_cache_enabled
from core.amp.casting import set_autocast_dtype as set_autocast_dtype
from core.amp.scaler import GradScaler as GradScaler

__all__ = [
    "GradScaler",
    "autocast",
    "custom_bwd",
    "custom_fwd",
    "is_autocast_available",
]
