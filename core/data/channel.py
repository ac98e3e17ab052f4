"""Messages between a process and its data workers, over one socket pair each.

Arrays travel apart from the pickle that describes them: small ones in the socket, large ones in
anonymous shared memory that goes with its last user, so a killed process leaves nothing behind.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import socket
import struct
from collections.abc import Callable
from typing import Any

_HEADER = struct.Struct("<QQQ")  # bytes of the pickle, number of buffers, bytes of shared memory
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_POPULATE = getattr(mmap, "MAP_POPULATE", 0)
# Below this a copy through the socket costs less than the page faults of fresh shared memory.
_SHARED_FROM = 1 << 17
_ALIGN = 64


class Unpickler(pickle.Unpickler):
    """Reads pickles of our own processes; calls `main` before it looks up a name of the script."""

    main: Callable[[], None] | None = None

    def find_class(self, module: str, name: str) -> Any:
        """The object that a pickle names."""
        if module in ("__main__", "__mp_main__"):
            module = "__main__"
            if self.main is not None:
                self.main()
        return super().find_class(module, name)


class Channel:
    """One end of a pair: `send` and `receive` whole messages.

    Raises: EOFError from receive() when the other end is gone, BrokenPipeError from send().
    """

    def __init__(self, end: socket.socket) -> None:
        self.socket = end

    def send(self, message: Any) -> None:
        """Sends one message that can be pickled."""
        buffers: list[pickle.PickleBuffer] = []
        body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        sizes = struct.pack(f"<{len(views)}Q", *(view.nbytes for view in views))
        offsets, total = _layout([view.nbytes for view in views])
        if total < _SHARED_FROM or not hasattr(os, "memfd_create"):
            self.socket.sendall(_HEADER.pack(len(body), len(views), 0) + sizes + body)
            for view in views:
                self.socket.sendall(view)
            return
        memory = os.memfd_create("batch")
        try:
            os.ftruncate(memory, total)
            for view, offset in zip(views, offsets):
                _write(memory, view, offset)
            header = _HEADER.pack(len(body), len(views), total)
            sent = socket.send_fds(self.socket, [header], [memory])
            self.socket.sendall(header[sent:] + sizes + body)
        finally:
            os.close(memory)

    def receive(self) -> Any:
        """The next message."""
        start, files, _, _ = socket.recv_fds(self.socket, _HEADER.size, 1, _CLOSE_ON_EXEC)
        if not start:
            raise EOFError("the other end of the channel is gone")
        try:
            start += self._read(_HEADER.size - len(start))
            length, count, total = _HEADER.unpack(start)
            sizes = struct.unpack(f"<{count}Q", self._read(8 * count))
            body = self._read(length)
            if total:
                memory = memoryview(_map(files[0], total))
                offsets = _layout(sizes)[0]
                views = [memory[o : o + size] for o, size in zip(offsets, sizes)]
            else:
                views = [memoryview(self._read(size)) for size in sizes]
        finally:
            for file in files:
                os.close(file)
        return Unpickler(io.BytesIO(body), buffers=views).load()

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        rest = memoryview(data)
        while rest:
            got = self.socket.recv_into(rest)
            if not got:
                raise EOFError("the other end of the channel went away within a message")
            rest = rest[got:]
        return data

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self.socket.fileno()

    def close(self) -> None:
        """Closes this end."""
        self.socket.close()


def _layout(sizes: Any) -> tuple[list[int], int]:
    """Aligned places for buffers of these sizes, and the bytes they take together."""
    offsets, end = [], 0
    for size in sizes:
        offsets.append(end)
        end += -(-size // _ALIGN) * _ALIGN
    return offsets, end


def _write(file: int, view: memoryview, offset: int) -> None:
    while view:
        # Linux writes at most 2 GiB at a time.
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _map(file: int, size: int) -> mmap.mmap:
    return mmap.mmap(file, size, mmap.MAP_SHARED | _POPULATE)
