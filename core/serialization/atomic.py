"""A file that is there whole or not at all: written beside its place, then renamed onto it."""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
from collections.abc import Sequence
from typing import Any

_number = itertools.count().__next__
CHUNK = 1 << 26  # os.write takes at most 2 GB at once


def replace_file(path: str, parts: Sequence[Any]) -> None:
    """Nothing; `path` holds the parts, on the disk. If this fails, it holds what it held before.

    Raises: OSError, naming the file, where the disk refuses.
    """
    path = os.path.realpath(path)
    _sweep(path)
    beside = f"{path}.tmp.{os.uname().nodename}.{os.getpid()}.{_number()}"
    try:
        _write(beside, parts)
        os.replace(beside, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        if isinstance(error, OSError):
            # Of the file that was asked for, not of the one beside it.
            raise OSError(error.errno, os.strerror(error.errno or 0), path) from None
        raise
    _sync_folder(os.path.dirname(path))


def _write(path: str, parts: Sequence[Any]) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        for part in parts:
            view = memoryview(part)
            while view:
                view = view[os.write(file, view[:CHUNK]) :]
        os.fsync(file)
    finally:
        os.close(file)


def _sync_folder(folder: str) -> None:
    """The rename itself reaches the disk."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _sweep(path: str) -> None:
    """Remove what processes of this machine left behind when they died while saving."""
    start = f"{path}.tmp.{os.uname().nodename}."
    for found in glob.glob(f"{glob.escape(start)}*"):
        pid = found[len(start) :].split(".")[0]
        if pid.isdigit() and not _alive(int(pid)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(found)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
