"""Files from the network: whole and as expected, or not there at all.

One process of a machine downloads, the others wait for it; a file appears under its name only when
its checksum is right.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tarfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from core.vision.formats import DataFormatError

_BLOCK = 1 << 20
_TIMEOUT = 30.0


class DownloadError(RuntimeError):
    """No source gave the file; the message has its place, its checksum and each source's fault."""


def checksum(path: Path, kind: str = "md5") -> str:
    """The digest of a file in hexadecimal."""
    with open(path, "rb") as file:
        digest = hashlib.new(kind, usedforsecurity=False)
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """A context that one process of the machine is in at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that gets its name at the end, if nothing was raised."""
    temporary = path.with_name(f"{path.name}.tmp.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def download(
    urls: Sequence[str], path: Path, md5: str, opener: Callable[..., Any] = urllib.request.urlopen
) -> None:
    """Puts a file with this checksum at `path`, from the first of the sources that has it.

    Raises: DownloadError if none has; ValueError for an address that is not https.
    """
    for url in urls:
        if not url.startswith("https://"):
            raise ValueError(f"data is downloaded by https only, not from {url}")
    with only_one(path.parent):
        if path.exists():
            if checksum(path) == md5:
                return
            path.unlink()
        faults = []
        for url in urls:
            try:
                return _transfer(url, path, md5, opener)
            except (OSError, DataFormatError) as error:
                faults.append(f"{url}: {error}")
        raise DownloadError(
            f"{path} (md5 {md5}) could not be downloaded. Put it there by hand, or see:\n  "
            + "\n  ".join(faults)
        )


def _transfer(url: str, path: Path, md5: str, opener: Callable[..., Any]) -> None:
    digest = hashlib.new("md5", usedforsecurity=False)
    request = urllib.request.Request(url, headers={"User-Agent": "unison"})
    with opener(request, timeout=_TIMEOUT) as source, replacing(path) as file:
        while block := source.read(_BLOCK):
            digest.update(block)
            file.write(block)
        if digest.hexdigest() != md5:
            raise DataFormatError(
                f"expected a file with md5 {md5}, got {file.tell()} bytes with md5"
                f" {digest.hexdigest()}"
            )


def extract(archive: Path, members: Sequence[str], folder: Path, limit: int = 2**30) -> None:
    """Puts the named members of a tar or zip archive into `folder`, under their last names.

    Nothing else of the archive is written, so no name in it can point elsewhere.
    Raises: DataFormatError if one is missing, no regular file, or larger than `limit`.
    """
    opened: Any = zipfile.ZipFile if zipfile.is_zipfile(archive) else tarfile.open
    try:
        with opened(archive) as held:
            for name in members:
                with _member(held, name, archive, limit) as source:
                    with replacing(folder / Path(name).name) as file:
                        shutil.copyfileobj(source, file)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise DataFormatError(f"{archive}: {error}") from error


def _member(held: Any, name: str, archive: Path, limit: int) -> Any:
    source: Any
    if isinstance(held, zipfile.ZipFile):
        size, source = held.getinfo(name).file_size, held.open(name)
    else:
        info = held.getmember(name)
        # No link is followed: it could name a file outside the archive.
        size, source = (info.size, held.extractfile(info)) if info.isfile() else (0, None)
    if source is None or size > limit:
        raise DataFormatError(f"{archive}: {name} is no regular file of at most {limit} bytes")
    return source
