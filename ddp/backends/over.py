"""A group made over another one, whose messages and objects are the other's."""

from __future__ import annotations

from ddp.group import ProcessGroup, Timeout
from ddp.schedule import Channel


class OverGroup(ProcessGroup):
    """A group of the ranks of `control`, which it owns and closes."""

    def __init__(self, control: ProcessGroup, timeout: Timeout = None) -> None:
        self.control = control
        super().__init__(
            control.rank,
            control.size,
            control.local_rank,
            control.local_size,
            control.engine,
            control.guard,
            control.timeout if timeout is None else timeout,
            control.schedule,
        )
        self.ranks = list(control.ranks)

    def channel(self, seq: int) -> Channel:
        """The messages of collective number `seq`."""
        return self.control.channel(seq)

    def peer_channel(self, tag: int) -> Channel:
        """The messages that users send with `tag`."""
        return self.control.peer_channel(tag)

    def release(self) -> None:
        """Nothing; the group underneath is given back."""
        self.control.release()
        self.control.closed = True

    def fail(self, error: BaseException) -> None:
        """Nothing; the group cannot be used any more."""
        super().fail(error)
        self.control.failure = self.control.failure or error
