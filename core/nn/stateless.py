"""A module called with other parameters than its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from core.nn.module import Module


class StandIns(threading.local):
    """How many times over modules of this thread hold tensors that are not their own."""

    depth = 0


stand_ins = StandIns()


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """What the module returns with the given tensors in place of its parameters and buffers.

    Raises: RuntimeError under `strict` where names are missing or unknown.
    """
    given = _merged(parameter_and_buffer_dicts)
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    places = _places(module)
    _check(given, places, strict)
    if tie_weights:
        given = _tied(given, places)
    with _swapped(given, places):
        return module(*args, **(kwargs or {}))


def _merged(dicts: Any) -> dict[str, Any]:
    if isinstance(dicts, Mapping):
        return dict(dicts)
    if not isinstance(dicts, Sequence):
        raise ValueError(
            "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got"
            f" {type(dicts)}"
        )
    out: dict[str, Any] = {}
    for part in dicts:
        repeated = [key for key in part if key in out]
        if repeated:
            raise ValueError(f"{repeated} appeared in multiple dictionaries; behavior is ambiguous")
        out.update(part)
    return out


def _places(module: Module) -> dict[str, tuple[dict[str, Any], str]]:
    """Where each parameter and buffer, by its full name, is kept."""
    out = {}
    for path, owner in module.named_modules(remove_duplicate=False):
        for kept in (owner.__dict__["_parameters"], owner.__dict__["_buffers"]):
            for name in kept:
                out[f"{path}.{name}" if path else name] = (kept, name)
    return out


def _check(given: dict[str, Any], places: dict[str, Any], strict: bool) -> None:
    unknown = [key for key in given if key not in places]
    missing = [
        key for key, (kept, name) in places.items() if kept[name] is not None and key not in given
    ]
    if unknown:
        raise AttributeError(f"the module has no parameter or buffer called {unknown[0]!r}")
    if strict and missing:
        raise RuntimeError(f"Missing key(s): {', '.join(map(repr, missing))}.")


def _tied(given: dict[str, Any], places: dict[str, Any]) -> dict[str, Any]:
    """The given tensors also for every other name of the tensors they replace."""
    new = {id(places[key][0][places[key][1]]): value for key, value in given.items()}
    out = dict(given)
    for key, (kept, name) in places.items():
        if kept[name] is not None and id(kept[name]) in new:
            out.setdefault(key, new[id(kept[name])])
    return out


@contextmanager
def _swapped(given: dict[str, Any], places: dict[str, Any]) -> Iterator[None]:
    before = {key: places[key][0][places[key][1]] for key in given}
    stand_ins.depth += 1
    try:
        for key, value in given.items():
            kept, name = places[key]
            kept[name] = value
        yield
    finally:
        stand_ins.depth -= 1
        for key, value in before.items():
            kept, name = places[key]
            kept[name] = value
