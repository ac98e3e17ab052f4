"""The signals of a rank: stop at the next step, terminate, interrupt; heard while MPI blocks too.

Python runs a handler in the main thread only, which may be blocked in MPI for ever. Each signal
also puts a byte into a pipe, from C; the watchdog reads it.
"""

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

from ddp import board as boards
from launch import status
from launch.supervisor import die_with_parent
from launch.watchdog import Finding

# How long a script that watches for a stop may go on after SIGTERM.
STOPPING = 30.0
# How long the main thread has to raise KeyboardInterrupt before the watchdog ends the rank.
RAISING = 0.5


class Signals:
    """The handlers of this rank, installed from the main thread; `finding` is for the watchdog."""

    def __init__(self) -> None:
        self._terminated = 0.0
        self._interrupted = 0.0
        self._by_main_thread = True
        self._reading, self._writing = os.pipe()
        for fd in (self._reading, self._writing):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGINT, self._interrupt)
        os.register_at_fork(before=self._before_fork, after_in_child=self._become_a_worker)

    def finding(self) -> Finding | None:
        """What a signal asks of this rank and has not got, None if nothing."""
        self._listen()
        now = time.monotonic()
        mine = signal.getsignal(signal.SIGTERM) == self._stop
        patience = STOPPING if boards.stop_is_watched() else 0
        if mine and self._terminated and now - self._terminated >= patience:
            text = "terminated (SIGTERM from a user, mpirun or scheduler)"
            return Finding(status.TERMINATED, text)
        mine = signal.getsignal(signal.SIGINT) == self._interrupt
        if mine and self._interrupted and now - self._interrupted > RAISING:
            return Finding(status.INTERRUPTED, "interrupted (SIGINT)")
        return None

    def _listen(self) -> None:
        try:
            numbers = os.read(self._reading, 256)
        except BlockingIOError:
            return
        if signal.SIGUSR1 in numbers or signal.SIGTERM in numbers:
            boards.request_stop()
        if signal.SIGTERM in numbers:
            self._terminated = self._terminated or time.monotonic()
        if signal.SIGINT in numbers:
            self._interrupted = time.monotonic()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        boards.request_stop()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        # The main thread is awake: it raises, and the script may catch it.
        self._listen()
        self._interrupted = 0.0
        signal.default_int_handler(number, frame)

    def _before_fork(self) -> None:
        self._by_main_thread = threading.current_thread() is threading.main_thread()

    def _become_a_worker(self) -> None:
        """In a forked child: it is no rank, and signals for the rank are not for it."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._of_a_worker():
            signal.signal(number, handler)
        threading.excepthook = threading.__excepthook__
        boards.install(None)
        # The kernel counts the thread that forked as the parent: the main thread lives as long as
        # the rank, another one may end long before its worker.
        if self._by_main_thread:
            die_with_parent()

    def _of_a_worker(self) -> list[tuple[int, Any]]:
        # A handler that the script has set itself stays.
        found: list[tuple[int, Any]] = []
        if signal.getsignal(signal.SIGTERM) == self._stop:
            found.append((signal.SIGTERM, signal.SIG_DFL))
        if signal.getsignal(signal.SIGUSR1) == self._stop:
            found.append((signal.SIGUSR1, signal.SIG_IGN))
        if signal.getsignal(signal.SIGINT) == self._interrupt:
            found.append((signal.SIGINT, signal.default_int_handler))
        return found
