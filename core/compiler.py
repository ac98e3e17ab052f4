"""What PyTorch's programs ask of a compiler: they run as they are written, and are told so."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

__all__ = """
allow_in_graph assume_constant_result compile cudagraph_mark_step_begin disable
is_compiling is_dynamo_compiling reset
""".split()


def unchanged(what: str, asked: Any) -> Any:
    """`asked` itself, after a warning that nothing was compiled."""
    warnings.warn(f"{what}() changes nothing: Unison compiles no Python code.", stacklevel=3)
    return asked


def compile(
    model: Any = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = "inductor",
    mode: str | None = None,
    options: Any = None,
    disable: bool = False,
) -> Any:
    """The function or module itself; without one, a decorator that returns what it decorates.

    It warns that nothing is compiled, unless `disable` or the backend "eager" asked for that.
    """
    if model is None:
        return functools.partial(compile, backend=backend, disable=disable)
    if disable or backend == "eager":
        return model
    return unchanged("compile", model)


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """The function itself, which nothing compiles; without one, a decorator."""
    return (lambda inner: inner) if fn is None else fn


def allow_in_graph(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself."""
    return fn


assume_constant_result = allow_in_graph


def is_compiling() -> bool:
    """Whether code is being compiled: never."""
    return False


is_dynamo_compiling = is_compiling


def reset() -> None:
    """Nothing: there is no compiled code to forget."""


def cudagraph_mark_step_begin() -> None:
    """Nothing: there are no recorded graphs."""
