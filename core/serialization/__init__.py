"""save and load: whole files, without pickle; loading runs no code."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
from collections.abc import Callable, Iterator
from typing import Any

from core.backend import device_count, resolve
from core.serialization.atomic import replace_file
from core.serialization.errors import CheckpointError as CheckpointError
from core.serialization.layout import VERSION, File, pieces
from core.serialization.structure import Packer, Unpacker

__all__ = [
    "CheckpointError", "add_safe_globals", "clear_safe_globals", "get_safe_globals", "load",
    "safe_globals", "save",
]  # fmt: skip


def save(
    obj: Any,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: int | None = None,
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Nothing; `f`, a path or a binary file, holds `obj`: tensors, numbers, strings, containers.

    A path is written beside its place and renamed, so it holds the old or the new, never less. The
    file has the safetensors layout, so other programs can read its tensors. The arguments about
    pickle change nothing.
    Raises: TypeError for what cannot be saved, naming where in `obj` it is; OSError.
    """
    packer = Packer()
    structure = packer.pack(obj)
    text = json.dumps(structure, separators=(",", ":"), allow_nan=False)
    parts = pieces(packer.arrays, {"unison.version": VERSION, "unison.structure": text})
    if isinstance(f, (str, os.PathLike)):
        replace_file(os.fspath(f), parts)
        return
    for part in parts:
        f.write(part)


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """What `save` was given; of a plain `.safetensors` file a dict of its tensors.

    `map_location` is a device, a dict of devices, or `function(tensor, device) -> tensor`.
    The other arguments change nothing: no file is ever trusted with more than weights.
    Raises: CheckpointError for a file that is broken, foreign, or of a newer version.
    """
    with _opened(f) as (stream, size, name):
        try:
            file = File(stream, size, foreign=name.endswith(".safetensors"))
            return _object(file, _placer(map_location))
        except CheckpointError as error:
            raise CheckpointError(f"cannot load {name}: {error}") from None


def _object(file: File, place: Callable[[Any, str], Any]) -> Any:
    unpacker = Unpacker(file.arrays, place)
    text = file.metadata.get("unison.structure")
    if text is None:
        return {name: unpacker.unpack({"tensor": name}) for name in file.arrays}
    try:
        return unpacker.unpack(json.loads(text))
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"its structure cannot be read ({error!r:.120})") from None


@contextlib.contextmanager
def _opened(f: Any) -> Iterator[tuple[Any, int, str]]:
    """The stream, how many bytes it still has, and what to call it."""
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as stream:
            about = os.fstat(stream.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise CheckpointError(f"cannot load {os.fspath(f)}: it is no regular file")
            yield stream, about.st_size, os.fspath(f)
        return
    start = f.tell()
    size = f.seek(0, io.SEEK_END) - start
    f.seek(start)
    yield f, size, str(getattr(f, "name", "this file"))


def _placer(map_location: Any) -> Callable[[Any, str], Any]:
    """Where each tensor goes, given where it was when it was saved."""
    if callable(map_location):
        return lambda x, device: _as_told(map_location, x, device)
    if isinstance(map_location, dict):
        return lambda x, device: _moved(x, map_location.get(device, device))
    if map_location is None:
        return _moved
    return lambda x, device: _moved(x, map_location)


def _as_told(function: Callable[[Any, str], Any], x: Any, device: str) -> Any:
    found = function(x, device)
    return _moved(x, device) if found is None else found


def _moved(x: Any, device: Any) -> Any:
    if str(device).startswith("cuda") and not device_count():
        raise RuntimeError(
            f"Attempting to load a tensor that was saved on {device}, and there is no GPU here:"
            " use map_location='cpu'"
        )
    return x.to(resolve(device))


# ---- permissions that PyTorch's unpickler asks for ---------------------------------------------

_permitted: list[Any] = []


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Nothing but a note of what was permitted: loading makes no objects of classes."""
    _permitted.extend(x for x in safe_globals if x not in _permitted)


def get_safe_globals() -> list[Any]:
    """What was permitted."""
    return list(_permitted)


def clear_safe_globals() -> None:
    """Nothing is permitted any more."""
    _permitted.clear()


@contextlib.contextmanager
def safe_globals(safe_globals: list[Any]) -> Iterator[None]:
    """A block in which more is permitted."""
    before = get_safe_globals()
    add_safe_globals(safe_globals)
    try:
        yield
    finally:
        _permitted[:] = before
