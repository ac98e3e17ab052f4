"""What can take part in a Join besides models: anything whose steps are collectives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class JoinHook:
    """What a rank without data does for one Joinable."""

    def main_hook(self) -> None:
        """Nothing; the collectives of one step have been answered, adding nothing to them."""

    def post_hook(self, is_last_joiner: bool) -> None:
        """Nothing; this rank, which may be among the last to join, has what the last ones have."""


class Joinable(ABC):
    """Something with collectives of its own, that takes part in `Join`.

    Its steps begin with `Join.notify_join_context(self)`: ranks without data run the main hook.
    """

    joined_by: Any = None  # the Join under way

    @abstractmethod
    def join_hook(self, **kwargs: Any) -> JoinHook:
        """What ranks without data do; `kwargs` are what `Join` was given besides its own."""

    @property
    def join_device(self) -> Any:
        """The device on which it communicates; nothing here depends on it."""
        return None

    @property
    def join_process_group(self) -> Any:
        """The group of its collectives; None is the default one."""
        return None
