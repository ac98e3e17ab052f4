"""What must be a tensor: the TypeError for a number, a string, a list or None in its place."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any, TypeVar

from core.autograd.value import Value

F = TypeVar("F", bound=Callable[..., Any])

# PyTorch's names of arguments and functions, where ours differ.
_ARGUMENTS = {"x": "input", "a": "input", "y": "other", "b": "other"}
_FUNCTIONS = {"plus": "add", "minus": "sub", "quotient": "div", "choose": "where",
              "matrix_product": "matmul"}  # fmt: skip


def refusal(name: str, param: str, i: int, given: Any) -> TypeError:
    """The error for `given` as argument `param`, at position `i`, of the function called `name`."""
    return TypeError(
        f"{_FUNCTIONS.get(name, name)}(): argument '{_ARGUMENTS.get(param, param)}' (position"
        f" {i + 1}) must be Tensor, not {type(given).__name__}"
    )


def of_tensors(*names: str) -> Callable[[F], F]:
    """A decorator for a function that fails: where one of the arguments called `names` is then no
    tensor, that is what the error says.

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

        call.demands = names  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return demanding


def published(namespace: dict[str, Any], module: str, *, firsts: str, but: str) -> dict[str, Any]:
    """The functions of a public namespace, `module`, that say of a first argument of one of the
    names `firsts` that it must be a tensor; none whose name is in `but`, or that say so already.

    As methods they are left bare: there the first argument is a tensor.
    """
    out = {}
    for name, function in namespace.items():
        known = hasattr(function, "op") or hasattr(function, "demands") or name in but.split()
        if known or not isinstance(function, types.FunctionType):
            continue
        first = plain(function).__code__.co_varnames[:1]
        if first and first[0] in firsts.split():
            out[name] = of_tensors(first[0])(function)
            out[name].__module__, out[name].__qualname__ = module, name  # where pickle finds it
    return out


def plain(function: Any) -> Any:
    """The function as it was written, without its decorators."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def _places(function: Any, names: tuple[str, ...]) -> list[tuple[int, str, bool]]:
    """For each name the position of the argument, and whether it may be None."""
    written = plain(function)
    code = written.__code__
    defaults = len(written.__defaults__ or ())
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
