"""What a profiler notes of collectives: each call, and each wait for one that was started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from core.probes import probes, put
from ddp.group_core import GroupCore
from ddp.work import Work


def watch(span: Callable[[str], Any]) -> Callable[[], None]:
    """What ends it that `span` is told of collectives."""
    undo = [
        put(GroupCore, "start", _started(span, GroupCore.start)),
        put(Work, "wait", _waited(span, Work.wait)),
    ]
    undo += [put(kind, "reduces_at_once", _at_once(span, kind)) for kind in _in_quicker_ways()]

    def end() -> None:
        for back in undo:
            back()

    return end


def _in_quicker_ways(kind: type[Any] = GroupCore) -> Iterator[Any]:
    """The kinds of groups that have a way of their own for an all-reduce."""
    for below in kind.__subclasses__():
        if "reduces_at_once" in vars(below):
            yield below
        yield from _in_quicker_ways(below)


def _started(span: Any, start: Any) -> Any:
    def run(self: Any, call: Any, *args: Any, **kwargs: Any) -> Any:
        with span(f"{self.name}:{call.text.split()[0]}"):
            return start(self, call, *args, **kwargs)

    return run


def _waited(span: Any, wait: Any) -> Any:
    def run(self: Any, timeout: float | None = None) -> bool:
        with span(f"wait:{self.call.text.split()[0]}"):
            return bool(wait(self, timeout))

    return run


def _at_once(span: Any, kind: Any) -> Any:
    at_once = kind.reduces_at_once

    def run(self: Any, *args: Any) -> bool:
        with span(f"{self.name}:all_reduce") as drop:
            done = bool(at_once(self, *args))
            if not done:
                drop()
            return done

    return run


probes.append(watch)
