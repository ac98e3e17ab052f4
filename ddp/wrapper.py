"""A module around another one, whose states have the keys of the one inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core import nn


class Wrapper(nn.Module):
    """A module that holds another one as `module`, and saves and loads as that one does."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The state of the bare module, under its own keys."""
        return self.module.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a state of the bare module, or one whose keys begin with `module.` as PyTorch's."""
        return self.module.load_state_dict(_bare(state_dict, self.module), *args, **kwargs)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        _add_prefix(state_dict, prefix, self.module)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _bare(state_dict: Any, module: Any) -> Any:
    """The state with the bare module's keys, where all of them begin with `module.`."""
    keyed = isinstance(state_dict, Mapping) and state_dict and "module" not in module._modules
    if not keyed or not all(key.startswith("module.") for key in state_dict):
        return state_dict
    return {key.removeprefix("module."): x for key, x in state_dict.items()}


def _add_prefix(state_dict: Any, prefix: str, module: Any) -> None:
    """Nothing; keys of a wrapper that is part of another module have `module.` after `prefix`."""
    wrapped = "" if "module" in module._modules else f"{prefix}module."
    for key in [key for key in state_dict if not (wrapped and key.startswith(wrapped))]:
        state_dict[f"{prefix}module.{key[len(prefix) :]}"] = state_dict.pop(key)
