"""A data worker: a process that makes batches and knows nothing of MPI or of the rank's GPU.

It is started as a fresh interpreter, never forked: MPI, CUDA and threads do not survive a fork. It
ends when its loader says so, or when the process that started it is gone.
"""

from __future__ import annotations

import ctypes
import io
import multiprocessing.spawn
import os
import pickle
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from core.data.channel import Channel, Unpickler
from core.data.fetch import Fetcher, seed_globals
from core.random import default_generator

# What tells a process that it is a rank. A worker that inherits these and imports mpi4py.MPI brings
# the ranks down with it (Open MPI: segmentation fault, MPICH: endless errors).
_RANK_VARIABLES = ("PMI", "OMPI_", "PRTE_", "HYDI_", "HYDRA_", "MPI_LOCAL", "MPIR_")
# A worker is one of several on a machine where the ranks have their own share of the cores.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PR_SET_PDEATHSIG = 1
_BOOT = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.path[:] = {path!r};"
    " {first}; from core.data import worker; worker.main({fd})"
)
# What each worker runs before it finds the script, such as what serves the script's imports.
first_statements: list[str] = []
# What else stands in a worker's environment, as the thread that starts it says.
notes: list[Callable[[], dict[str, str]]] = []


@dataclass
class WorkerInfo:
    """Who a worker is: its number, how many there are, its seed, and its copy of the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None
_is_worker = False


def get_worker_info() -> WorkerInfo | None:
    """The WorkerInfo in a data worker; None in any other process."""
    return _info


def is_worker() -> bool:
    """Whether this process is a data worker, from its start on."""
    return _is_worker


class _Verbatim(str):
    """A message that KeyError, which shows the repr of its argument, shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass
class Failure:
    """An exception of a worker: the type to raise, its name, and its traceback as text."""

    type: Any
    name: str
    text: str
    worker: int

    def reraise(self) -> None:
        """Raises the exception here, with the worker's traceback in its message."""
        message = (
            f"Caught {self.name} in DataLoader worker process {self.worker}.\nOriginal {self.text}"
        )
        try:
            error = self.type(_Verbatim(message))
        except TypeError:  # a type that wants other arguments
            error = RuntimeError(message)
        raise error


# ---- in the process that has the loader ----


def packed(job: Any) -> bytes:
    """The job of a worker as bytes.

    Raises: TypeError if it cannot be sent to another process.
    """
    try:
        return pickle.dumps(job, protocol=5)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise TypeError(
            "num_workers > 0 sends the dataset, collate_fn and worker_init_fn to other processes,"
            f" which needs pickle: {error}"
        ) from error


def start() -> tuple[subprocess.Popen[bytes], Channel]:
    """A new worker process, which waits for its introduction(), and the channel to it.

    Raises: RuntimeError within a worker, which is where a script without a main guard gets to.
    """
    if _is_worker:
        raise RuntimeError(
            "a data worker cannot start data workers. If this is the script that trains: workers"
            " import it to find the classes it defines, so what it does must stand under"
            " `if __name__ == '__main__':`"
        )
    ours, theirs = socket.socketpair()
    path = [os.path.abspath(p or ".") for p in sys.path]
    first = "; ".join(["pass", *first_statements])
    command = _BOOT.format(path=path, first=first, fd=theirs.fileno())
    flags = [f"-W{option}" for option in sys.warnoptions]
    noted = {name: text for note in notes for name, text in note().items()}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, *flags, "-c", command],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env=worker_environment({**os.environ, **noted}),
        )
    return process, Channel(ours)


def introduction(payload: bytes, worker: int) -> Any:
    """The first message to a worker: its job, the script, its number, and whom to die with."""
    # The kernel ties a child to the thread that started it, and only the main thread lasts.
    main = threading.current_thread() is threading.main_thread()
    # As an array, which is sent from where it lies.
    job = numpy.frombuffer(payload, numpy.uint8)
    return job, preparation(), worker, os.getpid() if main else None


def worker_environment(environ: dict[str, str]) -> dict[str, str]:
    """The environment without what makes a process a rank, and with one thread for BLAS."""
    kept = {k: v for k, v in environ.items() if not k.startswith(_RANK_VARIABLES)}
    return {**dict.fromkeys(_ONE_THREAD, "1"), **kept}


def preparation() -> dict[str, Any]:
    """How a worker finds the script, should the dataset need a class that it defines."""
    data = multiprocessing.spawn.get_preparation_data("data worker")
    wanted = ("init_main_from_name", "init_main_from_path", "sys_argv", "orig_dir", "dir")
    found = {name: data[name] for name in wanted if name in data}
    if not os.path.exists(found.get("init_main_from_path", "")):  # read from a pipe: no file
        found.pop("init_main_from_path", None)
    return found


# ---- in the worker ----


class _Inbox(threading.Thread):
    """Reads tasks at once, so that the end of the loader's process is noticed at once."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(daemon=True)
        self.channel = channel
        self.tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.stopping = False

    def run(self) -> None:
        while not self.stopping:
            try:
                task = self.channel.receive()
            except (EOFError, OSError):
                os._exit(1)  # the loader's process is gone: nobody is left to tell
            self.stopping = task is None
            self.tasks.put(task)


def main(fd: int) -> None:
    """Runs a worker on the channel with this descriptor."""
    global _is_worker
    _is_worker = True
    os.set_inheritable(fd, False)
    with socket.socket(fileno=fd) as end:
        _work(Channel(end))


def _work(channel: Channel) -> None:
    payload, script, number, parent = channel.receive()
    if parent is not None:
        _die_with(parent)
    inbox = _Inbox(channel)
    inbox.start()
    try:
        _serve(channel, inbox, _load(payload, script), number)
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the loader has closed while a batch was on its way


def _load(payload: Any, script: dict[str, Any]) -> Any:
    done: list[bool] = []

    def find_script() -> None:
        if not done:
            done.append(True)
            multiprocessing.spawn.prepare(script)

    unpickler = Unpickler(io.BytesIO(payload))
    unpickler.main = find_script
    try:
        return unpickler.load()
    except BaseException as error:
        return error


def _serve(channel: Channel, inbox: _Inbox, job: Any, number: int) -> None:
    """Answers tasks (epoch, index, task); (epoch, None, seed) begins an epoch and has no answer."""
    worker = _Worker(job, number)
    while (message := inbox.tasks.get()) is not None and not inbox.stopping:
        epoch, index, task = message
        if index is None:
            worker.begin(task)
            continue
        reply = worker.answer(index, task)
        try:
            channel.send((epoch, index, reply))
        except (pickle.PicklingError, TypeError, AttributeError) as error:  # a batch of any kind
            channel.send((epoch, index, _failure(error, number)))


class _Worker:
    """The job of this process; an error is kept and given as the answer to what depends on it."""

    def __init__(self, job: Any, number: int) -> None:
        self.job = job
        self.number = number
        self.fetcher: Fetcher | None = None
        self.failure = _failure(job, number) if isinstance(job, BaseException) else None

    def begin(self, seed: int) -> None:
        try:
            if self.failure is None:
                self.fetcher = self.fetcher or _prepare(self.job, self.number, seed)
                self.fetcher.begin(seed, self.number)
        except Exception as error:
            self.failure = _failure(error, self.number)

    def answer(self, index: int, task: Any) -> Any:
        if self.failure is not None or self.fetcher is None:
            return self.failure
        try:
            seed_globals(self.fetcher.seed_of(index), random, numpy.random)
            return self.fetcher(index, task)
        except Exception as error:
            return _failure(error, self.number)


def _prepare(job: Any, number: int, seed: int) -> Fetcher:
    global _info
    fetcher, init, workers = job
    own_seed = (seed + number) % 2**64
    _info = WorkerInfo(number, workers, own_seed, fetcher.dataset)
    default_generator().manual_seed(own_seed)
    random.seed(own_seed)
    numpy.random.seed([own_seed % 2**32, own_seed >> 32])
    if init is not None:
        init(number)
    return fetcher


def _failure(error: BaseException, number: int) -> Failure:
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    kind = type(error)
    local = kind.__module__ in ("__main__", "__mp_main__") or "<" in kind.__qualname__
    return Failure(RuntimeError if local else kind, kind.__name__, text, number)


def _die_with(parent: int) -> None:
    """Asks the kernel for SIGKILL when the process that started this one ends (Linux)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it ended before the request was made
