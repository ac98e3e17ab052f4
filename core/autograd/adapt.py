"""Functions that watchers know by name: autocast casts their arguments before they check them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from core.autograd.mode import mode

F = TypeVar("F", bound=Callable[..., Any])


def adapted(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments as this thread's watchers want them for the function called `name`."""
    for watcher in mode.watchers:
        adapt = getattr(watcher, "adapt", None)
        if adapt is not None:
            args = adapt(name, args)
    return args


def adaptable(function: F) -> F:
    """The function, its arguments adapted while anything watches."""
    name = function.__name__

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if mode.fast is None and mode.watchers:
            args = adapted(name, args)
            kwargs = dict(zip(kwargs, adapted(name, tuple(kwargs.values()))))
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]
