"""What must be a tensor: the TypeError for a number, a string, a list or None in its place."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from inspect import CO_VARARGS, signature
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


def of_tensors(*names: str, numbers: str = "", first: bool = False) -> Callable[[F], F]:
    """A decorator for a function that fails: where one of the arguments called `names` is then no
    tensor, that is what the error says; where one of `numbers` is neither, nor a number, likewise.

    None is one where it is the default. Asked after the failure, as a check before costs every
    call; before it if `first`, for functions that would go on.
    """

    def demanding(function: F) -> F:
        name = function.__name__

        @functools.cache  # on the first failure: for all at import it took 3 ms
        def places() -> list[tuple[int, str, Any]]:
            return _places(function, names + tuple(numbers.split()), len(names))

        def after(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except Exception:  # of any kind: it goes on, unless an argument explains it
                _refuse(name, places(), args, kwargs)
                raise

        def before(*args: Any, **kwargs: Any) -> Any:
            _refuse(name, places(), args, kwargs)
            return function(*args, **kwargs)

        call = functools.update_wrapper(before if first else after, function)
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
        if _first(function) in firsts.split():
            out[name] = found_in(module, of_tensors(_first(function))(function), name)
    return out


def found_in(module: str, function: Any, name: str) -> Any:
    """The function, made known as the one of this name in this module: where pickle finds it."""
    function.__module__, function.__qualname__ = module, name
    return function


def _first(function: Any) -> str:
    """The name of the first argument, or of the one that takes all."""
    code = plain(function).__code__
    if code.co_argcount:
        return code.co_varnames[0]
    return code.co_varnames[code.co_kwonlyargcount] if code.co_flags & CO_VARARGS else ""


def plain(function: Any) -> Any:
    """The function as it was written, without its decorators."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def _places(function: Any, names: tuple[str, ...], only: int) -> list[tuple[int, str, Any]]:
    """For each name the position of the argument, and the types that it may have.

    Those of the first `only` may be no numbers; None may be where it is the default, or the name
    ends in "?". A position below zero is that of all arguments.
    """
    parameters = signature(function).parameters
    order = list(parameters)
    out: list[tuple[int, str, Any]] = []
    for n, marked in enumerate(names):
        name = marked.removesuffix("?")
        found = parameters[name]
        kinds: tuple[type, ...] = (Value,) if n < only else (Value, int, float)
        if name != marked or found.default is None:
            kinds = (*kinds, type(None))
        out.append((-1 if found.kind is found.VAR_POSITIONAL else order.index(name), name, kinds))
    return out


def _refuse(name: str, places: Any, args: Any, kwargs: Any) -> None:
    for i, param, kinds in places:
        if i < 0 or param == "tensors":
            _refuse_elements(args[0] if i == 0 or isinstance(args[0], (list, tuple)) else args)
        elif i < len(args) or param in kwargs:
            given = args[i] if i < len(args) else kwargs[param]
            # An array is what a gradient rule works on.
            if not isinstance(given, kinds) and not hasattr(given, "dtype"):
                raise refusal(name, param, i, given) from None


def _refuse_elements(tensors: Any) -> None:
    for i, given in enumerate(tensors if isinstance(tensors, (list, tuple)) else ()):
        if not isinstance(given, Value) and not hasattr(given, "dtype"):
            raise TypeError(
                f"expected Tensor as element {i} in argument 0, but got {type(given).__name__}"
            ) from None
