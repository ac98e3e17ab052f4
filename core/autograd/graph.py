"""The graph from outside: its nodes, and hooks on several tensors at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from core.autograd.saved import disable_saved_tensors_hooks, save_on_cpu, saved_tensors_hooks
from core.autograd.value import Node, RemovableHandle, version_of

__all__ = [
    "Node", "disable_saved_tensors_hooks", "increment_version", "register_multi_grad_hook",
    "save_on_cpu", "saved_tensors_hooks",
]  # fmt: skip


class _Handles(RemovableHandle):
    """One handle for the hooks on several tensors."""

    def __init__(self, handles: list[RemovableHandle]) -> None:
        self.handles = handles

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()


def register_multi_grad_hook(
    tensors: Sequence[Any], fn: Callable[..., Any], *, mode: str = "all"
) -> RemovableHandle:
    """A handle of `fn`, run once per backward: with all gradients when the last is known, or "any".

    With "all", `fn` gets one gradient (or None) per tensor; with "any", the first that is known.

    Raises: ValueError for another mode.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    state: dict[int, Any] = {}
    lock = threading.Lock()

    def hook_of(i: int) -> Callable[[Any], None]:
        def hook(g: Any) -> None:
            with lock:
                state[i] = g
                first, full = len(state) == 1, len(state) == len(tensors)
                seen = [state.get(k) for k in range(len(tensors))]
                if full:
                    state.clear()
            if mode == "any" and first:
                fn(g)
            elif mode == "all" and full:
                fn(seen)

        return hook

    return _Handles([x.register_hook(hook_of(i)) for i, x in enumerate(tensors)])


def increment_version(tensor: Any) -> None:
    """Count a write to the memory of a tensor (or of several) that was made behind our back."""
    for x in tensor if isinstance(tensor, (list, tuple)) else (tensor,):
        version_of(x)[0] += 1
