"""Files that all ranks save and load together, and one of them writes and reads."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy

from core import serialization
from ddp.current_group import current_group
from ddp.group import ProcessGroup

_FOREVER = float("inf")


def save(obj: Any, path: str | os.PathLike[str], group: ProcessGroup | None = None) -> None:
    """Nothing; `path` holds rank 0's `obj` (see `core.save`), once all ranks have come here.

    Raises: on rank 0 what `core.save` raises; RuntimeError, saying so, on the others.
    """
    pg = group or current_group()
    failure: Exception | None = None
    if pg is None or pg.rank == 0:
        try:
            serialization.save(obj, path)
        except (OSError, TypeError, ValueError) as error:
            failure = error
    _raise_together(pg, failure, "save", path)


def load(
    path: str | os.PathLike[str], map_location: Any = None, group: ProcessGroup | None = None
) -> Any:
    """What rank 0's file holds (see `core.load`): read once, by rank 0, and given to all ranks.

    Raises: on rank 0 what reading raises, RuntimeError on the others; CheckpointError on all ranks.
    """
    pg = group or current_group()
    failure: Exception | None = None
    data = numpy.empty(0, numpy.uint8)
    if pg is None or pg.rank == 0:
        try:
            data = numpy.frombuffer(bytearray(Path(path).read_bytes()), numpy.uint8)
        except OSError as error:
            failure = error
    _raise_together(pg, failure, "load", path)
    if pg is not None and pg.size > 1:
        count = numpy.array([data.size])
        pg.broadcast(count)
        data = data if pg.rank == 0 else numpy.empty(int(count[0]), numpy.uint8)
        pg.broadcast(data)
    return serialization.load(_NamedBytes(data, os.fspath(path)), map_location)


class RankZeroError(RuntimeError):
    """What rank 0 could not do for all ranks, as the others say it."""

    is_echo = True


class _NamedBytes(io.BytesIO):
    """The bytes of a file, called what it was called."""

    def __init__(self, data: Any, name: str) -> None:
        super().__init__(data)
        self.name = name


def _raise_together(
    pg: ProcessGroup | None, failure: Exception | None, verb: str, path: str | os.PathLike[str]
) -> None:
    if pg is not None and pg.size > 1:
        # A large file takes its time.
        pg.barrier(timeout=_FOREVER, label=f"ddp.{verb}, which all ranks call")
        box = [None if failure is None else f"{type(failure).__name__}: {failure}"]
        pg.broadcast_object_list(box)
        if pg.rank and box[0] is not None:
            what = f"{verb} {os.fspath(path)}"
            raise RankZeroError(f"rank {pg.rank}: rank 0 could not {what}: {box[0]}")
    if failure is not None:
        raise failure
