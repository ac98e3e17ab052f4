"""The group of one rank: every collective is an identity, nothing travels, nothing is started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ddp.call import CollectiveTimeoutError
from ddp.group import ProcessGroup, Timeout
from ddp.guard import BoardGuard
from ddp.schedule import Channel
from ddp.work import Engine, Work


class SingleEngine(Engine):
    """An engine without other ranks: what is not done at once will never be."""

    def wait_until(self, work: Work) -> None:
        """Nothing; `work` fails if it is not done."""
        self.progress()
        if not work.done:
            work.fail(CollectiveTimeoutError(f"{work.call} waits in a group of one rank"))


class SingleChannel(Channel):
    """A channel to nobody."""

    rank, size = 0, 1

    def send(self, buffer: Any, peer: int) -> NoReturn:
        """Never; there is no other rank."""
        raise ValueError(f"rank 0 of 1 cannot send to rank {peer}")

    def recv(self, buffer: Any, peer: int) -> NoReturn:
        """Never; there is no other rank."""
        raise ValueError(f"rank 0 of 1 cannot receive from rank {peer}")

    def recv_any(self, buffer: Any) -> NoReturn:
        """Never; there is no other rank."""
        raise ValueError("rank 0 of 1 cannot receive from another rank")

    def done(self, requests: list[Any]) -> Callable[[], bool]:
        """The condition that holds at once."""
        return lambda: True


class SingleGroup(ProcessGroup):
    """A group of size 1."""

    name = "single"

    def __init__(self, timeout: Timeout = None) -> None:
        super().__init__(0, 1, 0, 1, SingleEngine(), BoardGuard(0, None, [None]), timeout)

    def channel(self, seq: int) -> Channel:
        """A channel to nobody."""
        return SingleChannel()

    def peer_channel(self, tag: int) -> Channel:
        """A channel to nobody."""
        return SingleChannel()

    def subgroup(self, ranks: Sequence[int], key: str, timeout: Timeout) -> SingleGroup:
        """Another group of the same rank."""
        return SingleGroup(timeout)
