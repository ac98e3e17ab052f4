"""Keys of the states of wrapped modules: those of the bare module, and PyTorch's with `module.`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def without_prefix(state_dict: Any, module: Any) -> Any:
    """The state with the bare module's keys, where all of them begin with `module.`."""
    keyed = isinstance(state_dict, Mapping) and state_dict and "module" not in module._modules
    if not keyed or not all(key.startswith("module.") for key in state_dict):
        return state_dict
    return {key.removeprefix("module."): x for key, x in state_dict.items()}


def prefixed(state_dict: Any, prefix: str, module: Any) -> None:
    """Nothing; keys of a wrapper that is part of another module have `module.` after `prefix`."""
    wrapped = "" if "module" in module._modules else f"{prefix}module."
    for key in [key for key in state_dict if not (wrapped and key.startswith(wrapped))]:
        state_dict[f"{prefix}module.{key[len(prefix) :]}"] = state_dict.pop(key)
