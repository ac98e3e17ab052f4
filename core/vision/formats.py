"""Readers of the binary formats that image datasets come in; what is not whole is refused.

A reader allocates no more than the file can hold, whatever its header claims, and runs no code.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy

# What the third byte of an IDX file says about its numbers, which are big-endian.
_IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
# Deflate cannot shrink further than this, so a header that claims more is a lie.
_DEFLATE_RATIO = 1032
# The largest file of the family, EMNIST byclass, has 547 MB.
_LIMIT = 2**30


class DataFormatError(ValueError):
    """A data file that is not what it says; the message has the file and the numbers."""


def read_idx(path: str | os.PathLike[str], limit: int = _LIMIT) -> numpy.ndarray:
    """The array of an IDX file, plain or compressed by gzip.

    Raises: DataFormatError for a wrong magic number, sizes that the file does not have, a broken
        or truncated compression, bytes after the end, or more than `limit` bytes.
    """
    path = Path(path)
    stored = path.stat().st_size
    with open(path, "rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            if not compressed:
                return _idx(raw, path, stored, limit)
            with gzip.GzipFile(fileobj=raw) as file:
                return _idx(file, path, stored * _DEFLATE_RATIO, limit)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataFormatError(f"{path}: broken gzip data: {error}") from error


def _idx(file: Any, path: Path, possible: int, limit: int) -> numpy.ndarray:
    zeros, code, rank = struct.unpack(">HBB", _exactly(file, 4, path, "the magic number"))
    if zeros or code not in _IDX_DTYPES or not 1 <= rank <= 8:
        magic = f"{zeros:04x}{code:02x}{rank:02x}"
        raise DataFormatError(f"{path}: magic number {magic} is not that of an IDX file")
    shape = struct.unpack(f">{rank}I", _exactly(file, 4 * rank, path, "the sizes"))
    dtype = numpy.dtype(_IDX_DTYPES[code])
    size = math.prod(shape) * dtype.itemsize
    if size > min(possible, limit):
        raise DataFormatError(
            f"{path}: sizes {shape} need {size} bytes, but at most {min(possible, limit)} can be"
            " there"
        )
    array = numpy.frombuffer(bytearray(_exactly(file, size, path, f"sizes {shape}")), dtype)
    if file.read(1):
        raise DataFormatError(f"{path}: there are bytes after the {size} of sizes {shape}")
    return array.reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _exactly(file: Any, size: int, path: Path, what: str) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise DataFormatError(f"{path}: {what} need {size} bytes, the file has {len(data)}")
    return data


def read_records(
    path: str | os.PathLike[str], labels: int, shape: tuple[int, ...]
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Images and labels of a file of records: `labels` label bytes, then the bytes of an image.

    Shape: -> (N, *shape), (N, labels).
    Raises: DataFormatError if the file is empty or no whole number of records.
    """
    record = labels + math.prod(shape)
    size = Path(path).stat().st_size
    if size == 0 or size % record:
        raise DataFormatError(f"{path}: {size} bytes are no whole number of records of {record}")
    rows = numpy.fromfile(path, numpy.uint8).reshape(-1, record)
    return rows[:, labels:].reshape(-1, *shape), rows[:, :labels]


def check_pairs(path: Any, images: numpy.ndarray, labels: numpy.ndarray, classes: int) -> None:
    """Refuses images and labels that do not belong together.

    Raises: DataFormatError if their numbers differ or a label is out of range.
    """
    if labels.ndim != 1 or len(images) != len(labels):
        raise DataFormatError(f"{path}: {images.shape} images have {labels.shape} labels")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise DataFormatError(
            f"{path}: labels run from {labels.min()} to {labels.max()}, with {classes} classes"
        )
