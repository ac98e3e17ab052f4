"""What a rank asked of a group, how two such calls are compared, and the errors that name them."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class CollectiveError(RuntimeError):
    """A collective that could not give a right result; the group cannot be used any more."""


class CollectiveMismatchError(CollectiveError):
    """The ranks of a group called different collectives, or one with different arguments."""


class CollectiveTimeoutError(CollectiveError):
    """A collective did not finish before its deadline."""


class RankFailedError(CollectiveError):
    """A collective cannot finish because another rank failed or has already ended."""


class DeadlockError(CollectiveError):
    """Every rank that is still running waits for another one."""


def call_site() -> str:
    """The file and line of the nearest caller outside this package, as "train.py:57"."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


@dataclass(frozen=True)
class Call:
    """One collective as one rank sees it: everything that must be equal on all ranks, and the site.

    `shape` and `dtype` are empty where ranks may rightly differ (objects, uneven all_to_all).
    """

    op: str
    dtype: str = ""
    shape: tuple = ()
    reduce_op: str = ""
    root: int = -1
    label: str = ""
    site: str = field(default="", compare=False)

    @property
    def text(self) -> str:
        """The compared part in words: "all_reduce float32 (128,) sum"."""
        words = [self.op]
        if self.dtype:
            words += [self.dtype, str(self.shape)]
        if self.reduce_op:
            words.append(self.reduce_op)
        if self.root >= 0:
            words.append(f"root={self.root}")
        if self.label:
            words.append(f"[{self.label}]")
        return " ".join(words)

    @property
    def fingerprint(self) -> int:
        """31 bits that differ (but for 1 in 2**31) when the compared parts differ; never 0."""
        return zlib.crc32(self.text.encode()) & 0x7FFFFFFF or 1

    def __str__(self) -> str:
        return f"{self.text} at {self.site}" if self.site else self.text


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
