"""What must be a tensor: the TypeError for a number, a string, a list or None in its place."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from core.autograd.value import Value

F = TypeVar("F", bound=Callable[..., Any])

_FACES = {"x": "input", "a": "input", "y": "other", "b": "other", "self": "input"}


def refusal(name: str, param: str, i: int, given: Any) -> TypeError:
    """The error for `given` as argument `param`, at position `i`, of the function called `name`."""
    return TypeError(
        f"{name}(): argument '{_FACES.get(param, param)}' (position {i + 1}) must be Tensor, not"
        f" {type(given).__name__}"
    )


def of_tensors(*names: str) -> Callable[[F], F]:
    """A decorator for a function of tensors: where it fails and one of the arguments called `names`
    is no tensor, that is what the error says.

    None is one where it is the default. Asked after the failure: a check before costs every call.
    """

    def demanding(function: F) -> F:
        places = _places(function, names)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except Exception:
                _refuse(function.__name__, places, args, kwargs)
                raise

        if len(names) == 1 and places[0][0] == 0:
            call.method = function  # type: ignore[attr-defined] # its tensor is the one called on
        return call  # type: ignore[return-value]

    return demanding


def method_of(function: Any) -> Any:
    """The function as a method: without a check of the tensor whose method it is."""
    return getattr(function, "method", function)


def _places(function: Any, names: tuple[str, ...]) -> list[tuple[int, str, bool]]:
    """For each name the position of the argument, and whether it may be None."""
    plain = function
    while hasattr(plain, "__wrapped__"):
        plain = plain.__wrapped__
    code = plain.__code__
    defaults = len(plain.__defaults__ or ())
    params = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    free = set(params[code.co_argcount - defaults :])
    return [(params.index(n), n, n in free) for n in names]


def _refuse(name: str, places: Any, args: Any, kwargs: Any) -> None:
    for i, param, optional in places:
        given = args[i] if i < len(args) else kwargs.get(param)
        if isinstance(given, Value) or (given is None and (optional or i >= len(args))):
            continue
        if not hasattr(given, "dtype"):  # an array is what a gradient rule works on
            raise refusal(name, param, i, given) from None
