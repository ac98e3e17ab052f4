"""Functions of tensors that touch arrays by hand, run with the tensors' GPU as the current one.

CuPy makes new arrays on the current GPU and computes there, wherever its operands lie. Ops see to
this themselves; a function around ops that reads `x.array` is marked.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from core.autograd.value import Value
from core.backend import MODULE_OF, elsewhere, on

F = TypeVar("F", bound=Callable[..., Any])


def where_it_lies(function: F) -> F:
    """The function, run with the GPU of its first argument on one as the current GPU."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if len(MODULE_OF) > 1:  # else no GPU was ever used
            given = (*args, *kwargs.values())
            there = elsewhere([a.array if isinstance(a, Value) else a for a in given])
            if there is not None:
                with on(there):
                    return function(*args, **kwargs)
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]
