"""What a rank asked of a group, how two such calls are compared, and the errors that name them."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import core

# Gradients are reduced from inside `core`, in a backward that somebody called.
_PACKAGES = tuple(os.path.dirname(os.path.abspath(f)) + os.sep for f in (__file__, core.__file__))
# A context of ours is entered and left there.
_PACKAGES += (contextlib.__file__,)


class CollectiveError(RuntimeError):
    """A collective that could not give a right result; the group cannot be used any more.

    `exit_status` is what a launched job ends with when nobody catches the error; with `is_echo`
    another rank has the cause to tell, and `launch` lets it speak first.
    """

    exit_status = 1
    is_echo = False


# What programs written for PyTorch catch.
DistError = DistBackendError = CollectiveError


class CollectiveMismatchError(CollectiveError):
    """The ranks of a group called different collectives, or one with different arguments."""

    exit_status = 66


class CollectiveTimeoutError(CollectiveError):
    """A collective did not finish before its deadline."""

    exit_status = 68


class RankFailedError(CollectiveError):
    """A collective cannot finish because another rank failed or has already ended."""

    exit_status = 67
    is_echo = True


class DeadlockError(CollectiveError):
    """Every rank that is still running waits for another one."""

    exit_status = 68


class Call(NamedTuple):
    """One collective as one rank sees it.

    `text` holds all that must be equal on all ranks, `fingerprint` is 31 bits of it, `kind` is the
    part that names dtype and shape; `site` is the file and line, reported and never compared.
    """

    text: str
    fingerprint: int
    kind: str
    site: str

    def __str__(self) -> str:
        return f"{self.text} at {self.site}"


# A training loop makes the same few calls for ever: each is put into words once (8 us, then 0.2).
@functools.lru_cache(4096)
def described(
    op: str, dtype: Any, shape: tuple[int, ...], reduce_op: str, root: int, label: str
) -> tuple[str, int, str]:
    """Text, fingerprint and kind of a call; `dtype` is None where ranks may rightly differ.

    Example:
        >>> import numpy
        >>> described("reduce", numpy.dtype("float32"), (128,), "sum", 0, "")[0]
        'reduce float32 (128,) sum root=0'
    """
    # The name of a record is its length alone.
    name = dtype if dtype is None or dtype.names is not None else dtype.name
    kind = "" if name is None else f"{name} {shape}"
    words = [
        op,
        kind,
        reduce_op,
        f"root={root}" if root >= 0 else "",
        f"[{label}]" if label else "",
    ]
    text = " ".join(word for word in words if word)
    # Never 0: that is what an empty slot of the board holds.
    return text, zlib.crc32(text.encode()) & 0x7FFFFFFF or 1, kind


_sites: dict[tuple[str, int], str] = {}
_ours: dict[str, bool] = {}


def call_site() -> str:
    """The file and line of the nearest caller outside `ddp` and `core`, as "train.py:57"."""
    frame = sys._getframe(1)
    while (name := frame.f_code.co_filename) and _is_ours(name) and frame.f_back is not None:
        frame = frame.f_back
    place = (name, frame.f_lineno)
    site = _sites.get(place)
    if site is None:
        site = _sites[place] = f"{os.path.basename(name)}:{frame.f_lineno}"
    return site


def _is_ours(name: str) -> bool:
    found = _ours.get(name)
    if found is None:
        found = _ours[name] = name.startswith(_PACKAGES)
    return found


def ranks_text(ranks: Iterable[int]) -> str:
    """Ranks in words, with runs shortened.

    Example:
        >>> ranks_text([0, 1, 2, 5]), ranks_text([3])
        ('ranks 0-2, 5', 'rank 3')
    """
    runs: list[list[int]] = []
    for rank in sorted(ranks):
        if runs and rank == runs[-1][-1] + 1:
            runs[-1].append(rank)
        else:
            runs.append([rank])
    texts = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    single = len(runs) == 1 and len(runs[0]) == 1
    return ("rank " if single else "ranks ") + ", ".join(texts)
