"""Whether this rank has run out of data, and only keeps the others company in their collectives."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class _Current(threading.local):
    absent = False


_current = _Current()


def is_absent() -> bool:
    """Whether what this rank computes now must count for nothing."""
    return _current.absent


@contextlib.contextmanager
def absent() -> Iterator[None]:
    """A context in which this rank takes part in collectives with zeros of weight zero."""
    before, _current.absent = _current.absent, True
    try:
        yield
    finally:
        _current.absent = before
