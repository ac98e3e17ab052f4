"""CuPy's functions on arrays of simulated GPUs, with CuPy's own arguments.

The table is CuPy 14.2's; tests/test_cupy_names.py compares it with an installed CuPy.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy

from core.simulated.array import check_devices, fresh, ndarray, seen, unwrapped
from core.simulated.device import declare_synchronize, settle

# Arguments in order; `=` marks those with a default, and after `|` they go by name only.
SIGNATURES: dict[str, str] = {
    "arange": "start stop= step= dtype=",
    "argsort": "a axis= kind=",
    "atleast_1d": "*arys",
    "bincount": "x weights= minlength=",
    "broadcast_to": "array shape",
    "clip": "a a_min a_max out=",
    "concatenate": "tup axis= out= | dtype= casting=",
    "cumsum": "a axis= dtype= out=",
    "dot": "a b out=",
    "empty": "shape dtype= order=",
    "empty_like": "prototype dtype= order= subok= shape=",
    "expand_dims": "a axis",
    "eye": "N M= k= dtype= order=",
    "flatnonzero": "a",
    "flip": "a axis=",
    "full": "shape fill_value dtype= order=",
    "isin": "element test_elements assume_unique= invert=",
    "lexsort": "keys",
    "moveaxis": "a source destination",
    "nonzero": "a",
    "ones": "shape dtype= order=",
    "pad": "array pad_width mode= **kwargs",
    "roll": "a shift axis=",
    "searchsorted": "a v side= sorter=",
    "sort": "a axis= kind=",
    "stack": "tup axis= out= | dtype= casting=",
    "swapaxes": "a axis1 axis2",
    "take": "a indices axis= out=",
    "take_along_axis": "a indices axis",
    "tensordot": "a b axes=",
    "tile": "A reps",
    "tri": "N M= k= dtype=",
    "triu": "m k=",
    "unique": "ar return_index= return_inverse= return_counts= axis= | equal_nan=",
    "vdot": "a b",
    "where": "condition x= y=",
    "zeros": "shape dtype= order=",
    "zeros_like": "a dtype= order= subok= shape=",
}
# In cupy.linalg; CuPy's cholesky and solve give NaN, not an error, unless they are asked.
LINALG: dict[str, str] = {
    "cholesky": "a",
    "det": "a",
    "eigh": "a UPLO=",
    "inv": "a",
    "pinv": "a rcond=",
    "qr": "a mode=",
    "slogdet": "a",
    "solve": "a b",
    "svd": "a full_matrices= compute_uv=",
}
# What needs a number from the GPU to know the size of its result.
_LOOKS = frozenset({"bincount", "flatnonzero", "nonzero", "unique"})
_VIEWS = frozenset({"broadcast_to", "expand_dims", "flip", "moveaxis", "swapaxes", "atleast_1d"})


def signature(text: str) -> inspect.Signature:
    """The signature that an entry of the tables describes."""
    kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = []
    for word in text.split():
        if word == "|":
            kind = inspect.Parameter.KEYWORD_ONLY
        elif word.startswith("**"):
            parameters.append(inspect.Parameter(word[2:], inspect.Parameter.VAR_KEYWORD))
        elif word.startswith("*"):
            parameters.append(inspect.Parameter(word[1:], inspect.Parameter.VAR_POSITIONAL))
        else:
            default = None if word.endswith("=") else inspect.Parameter.empty
            parameters.append(inspect.Parameter(word.rstrip("="), kind, default=default))
    return inspect.Signature(parameters)


def function(name: str, text: str, plain: Any) -> Any:
    """CuPy's function `name` by NumPy's function `plain`."""
    expected = signature(text)

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            expected.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"cupy.{name}(): {error}") from None
        return _run(name, plain, args, kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"What cupy.{name} returns."
    call.__signature__ = expected  # type: ignore[attr-defined]
    return call


def _run(name: str, plain: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    arrays: list[ndarray] = []
    args = [unwrapped(x, arrays) for x in args]
    out = kwargs.pop("out", None)
    kwargs = {key: unwrapped(x, arrays) for key, x in kwargs.items()}
    _check(name, args, arrays)
    if name in _VIEWS and arrays:
        return seen(arrays[0], _writable(plain(*args, **kwargs), arrays[0]))
    check_devices(arrays if out is None else [*arrays, out])
    if name in _LOOKS:
        declare_synchronize()
    settle()
    with numpy.errstate(all="ignore"):
        if out is not None:
            out.plain[...] = plain(*args, **kwargs)
            return out
        return _wrapped(plain(*args, **kwargs))


def _writable(view: Any, array: ndarray) -> Any:
    """NumPy's broadcast views may not be written to; CuPy's may."""
    if isinstance(view, (list, tuple)):
        view = view[0]
    return numpy.lib.stride_tricks.as_strided(view, writeable=True) if view.size else view


def _wrapped(value: Any) -> Any:
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        return fresh(value)
    if isinstance(value, tuple):
        parts = [_wrapped(v) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


def _check(name: str, args: list[Any], arrays: list[ndarray]) -> None:
    """Raise where CuPy's function does not take what NumPy's takes."""
    if name == "where" and not (arrays and isinstance(args[0], numpy.ndarray)):
        raise AttributeError("cupy.where: the condition must be an array")
    if name in _OF_ARRAYS and not arrays:
        raise TypeError(f"cupy.{name} was called without an array")
    if name in ("concatenate", "stack"):
        for part in args[0]:
            if not isinstance(part, numpy.ndarray):
                raise TypeError(f"Only cupy arrays can be joined, got {type(part).__name__}")
    _check_more(name, args)


def _check_more(name: str, args: list[Any]) -> None:
    if name == "searchsorted" and not isinstance(args[1], (numpy.ndarray, int, float)):
        raise NotImplementedError("Only int or ndarray are supported for v")
    if name == "lexsort" and isinstance(args[0], (list, tuple)):
        raise TypeError("cupy.lexsort takes one array of keys")
    if name == "argsort" and len(args) > 2 and args[2] not in (None, "stable"):
        raise ValueError("CuPy's sort is stable: only kind=None and 'stable' are supported")
    if name == "bincount" and len(args) > 1 and args[1] is not None:
        raise TypeError("bincount with weights adds in an order that is not fixed on a GPU")
    if name == "matmul" and max(x.ndim for x in args) > 2 and args[0].dtype.name == "bfloat16":
        raise TypeError("cupy.matmul of more than 2 axes has no bfloat16")


_OF_ARRAYS = frozenset(SIGNATURES) - {
    "arange", "empty", "eye", "full", "ones", "tri", "zeros", "broadcast_shapes",
}  # fmt: skip
