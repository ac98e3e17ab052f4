"""What PyTorch's programs write for TorchScript: annotations, and functions left as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import Final as Final

from core.compiler import unchanged

__all__ = """
Final annotate export ignore is_scripting is_tracing script script_if_tracing unused
""".split()


def script(obj: Any, **ignored: Any) -> Any:
    """The function, module or class itself, after a warning that nothing is compiled."""
    return unchanged("jit.script", obj)


def script_if_tracing(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself: nothing is traced."""
    return fn


def export(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The method itself."""
    return fn


def ignore(drop: Any = False, **ignored: Any) -> Any:
    """The function itself; of a bool, a decorator."""
    return drop if callable(drop) else export


def unused(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The method itself."""
    return fn


def is_scripting() -> bool:
    """Whether code is being compiled: never."""
    return False


def is_tracing() -> bool:
    """Whether calls are being traced: never."""
    return False


def annotate(the_type: Any, the_value: Any) -> Any:
    """The value, whose type only a compiler would ask for."""
    return the_value
