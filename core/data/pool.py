"""The workers of one loader: tasks out, batches in, in order, and nobody waits for the dead."""

from __future__ import annotations

import itertools
import os
import selectors
import signal
import subprocess
import time
import weakref
from collections.abc import Iterator
from typing import Any, NoReturn

from core.data.channel import Channel
from core.data.fetch import END
from core.data.worker import Failure, introduction, start

# A killed worker closes its socket, which is seen at once; this look is for one whose own children
# still hold the socket open.
_LOOK_EVERY = 1.0
_GRACE = 2.0


class WorkerPool:
    """`size` worker processes that make batches.

    Raises: RuntimeError naming the worker if one ends before its work does, or after `timeout` s.
    """

    def __init__(self, payload: bytes, size: int, timeout: float = 0) -> None:
        self.timeout = timeout
        self.processes: list[subprocess.Popen[bytes]] = []
        self.channels: list[Channel] = []
        self._epoch = 0
        self._selector = selectors.DefaultSelector()
        self.close = weakref.finalize(
            self, _shut_down, os.getpid(), self.processes, self.channels, self._selector
        )
        for number in range(size):
            process, channel = start()
            self.processes.append(process)
            self.channels.append(channel)
            self._selector.register(channel, selectors.EVENT_READ, number)
        for number in range(size):
            self._send(number, introduction(payload, number))

    def run(
        self, seed: int, tasks: Iterator[Any], first: int, ahead: int, in_order: bool
    ) -> Iterator[Any]:
        """The batches of one epoch, numbered from `first`, with `ahead` of them on their way."""
        self._epoch = epoch = self._epoch + 1
        for worker in range(len(self.processes)):
            self._send(worker, (self._epoch, None, seed))
        ended = [False] * len(self.processes)
        turns = itertools.cycle(range(len(self.processes)))
        owed: dict[int, int] = {}  # batch -> its worker, oldest first
        ready: dict[int, Any] = {}
        numbered = zip(itertools.count(first), tasks)

        def assign() -> None:
            if all(ended) or (task := next(numbered, None)) is None:
                return
            worker = next(turn for turn in turns if not ended[turn])
            owed[task[0]] = worker
            self._send(worker, (self._epoch, *task))

        for _ in range(ahead):
            assign()
        while owed:
            if epoch != self._epoch:
                raise RuntimeError(
                    "this epoch was given up when the next one of the loader began: persistent"
                    " workers serve one at a time"
                )
            index = next(iter(owed if in_order else ready), None)
            if index is None or index not in ready:
                self._receive(ready)
                continue
            worker, reply = owed.pop(index), ready.pop(index)
            ended[worker] = ended[worker] or reply is END
            assign()
            if isinstance(reply, Failure):
                reply.reraise()
            if reply is not END:
                yield reply

    def _send(self, worker: int, message: Any) -> None:
        try:
            self.channels[worker].send(message)
        except (BrokenPipeError, ConnectionResetError):
            self._lost(worker)

    def _receive(self, ready: dict[int, Any]) -> None:
        """Waits for at least one reply of this epoch."""
        deadline = time.monotonic() + self.timeout if self.timeout else None
        while not (events := self._selector.select(self._patience(deadline))):
            for worker, process in enumerate(self.processes):
                if process.poll() is not None:
                    self._lost(worker)
        for selected, _ in events:
            try:
                epoch, index, reply = self.channels[selected.data].receive()
            except (EOFError, ConnectionResetError):
                self._lost(selected.data)
            if epoch == self._epoch:  # else asked for in an epoch that was not finished
                ready[index] = reply

    def _patience(self, deadline: float | None) -> float:
        if deadline is None:
            return _LOOK_EVERY
        left = deadline - time.monotonic()
        if left <= 0:
            self._abort()
            raise RuntimeError(f"DataLoader timed out after {self.timeout} seconds")
        return min(_LOOK_EVERY, left)

    def _abort(self) -> None:
        """Ends all workers without asking: one of them is lost or stuck."""
        for process in self.processes:
            process.kill()
        self.close()

    def _lost(self, worker: int) -> NoReturn:
        process = self.processes[worker]
        try:
            status = process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            status = None
        self._abort()
        raise RuntimeError(
            f"DataLoader worker {worker} (pid {process.pid}) {_fate(status)}"
        ) from None


def _fate(status: int | None) -> str:
    if status is None:
        return "closed its connection"
    if status >= 0:
        return f"exited unexpectedly with status {status}"
    name = signal.Signals(-status).name
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return f"was killed by signal {-status}, {name}{hint}"


def _shut_down(
    owner: int,
    processes: list[subprocess.Popen[bytes]],
    channels: list[Channel],
    selector: selectors.BaseSelector,
) -> None:
    """Ends all workers: asked first, then told, then killed."""
    if os.getpid() != owner:  # a forked child of the loader's process: not its workers
        return
    selector.close()
    for channel in channels:
        try:
            channel.send(None)
        except OSError:
            pass  # that worker has ended already, which is what is wanted
        channel.close()
    deadline = time.monotonic() + _GRACE
    for process in processes:
        _end(process, deadline)


def _end(process: subprocess.Popen[bytes], deadline: float) -> None:
    for push in (process.terminate, process.kill):
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
            return
        except subprocess.TimeoutExpired:
            push()
            deadline = time.monotonic() + _GRACE
    process.wait()
