"""The bytes of a file: the safetensors layout, with a checksum over all of them.

Eight bytes hold the length of a JSON header that says what tensors follow and where; any program
that knows safetensors reads it. Our own files begin their header with a checksum.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from typing import Any, BinaryIO

import ml_dtypes
import numpy

from core.serialization.errors import CheckpointError

VERSION = "1"
MAX_HEADER = 100_000_000  # safetensors' own limit
PREFIX = b'{"__metadata__":{"unison.crc32":"'
BLANK = b"00000000"
NAMES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
EXTENDED = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
DTYPES = {
    short: numpy.dtype(getattr(ml_dtypes, name) if name in EXTENDED else name)
    for name, short in NAMES.items()
}


# ---- writing ----


def pieces(arrays: dict[str, numpy.ndarray], metadata: dict[str, str]) -> list[Any]:
    """The parts of a file in order: length, header, and the memory of each array.

    Raises: TypeError for a dtype that the layout does not have.
    """
    table: dict[str, Any] = {"__metadata__": {"unison.crc32": BLANK.decode()} | metadata}
    data = []
    end = 0
    for name, array in arrays.items():
        lies = numpy.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        if lies.dtype.name not in NAMES:
            raise TypeError(f"cannot save {name!r}: no file layout for dtype {array.dtype}")
        table[name] = {
            "dtype": NAMES[lies.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [end, end + lies.nbytes],
        }
        end += lies.nbytes
        data.append(lies.reshape(-1).view(numpy.uint8).data)
    header = json.dumps(table, separators=(",", ":"), allow_nan=False).encode()
    header += b" " * (-len(header) % 8)
    if len(header) > MAX_HEADER:
        raise ValueError(f"the names and values take {len(header)} bytes, over {MAX_HEADER}")
    length = struct.pack("<Q", len(header))
    sum_ = zlib.crc32(header, zlib.crc32(length))
    for part in data:
        sum_ = zlib.crc32(part, sum_)
    at = len(PREFIX)
    header = header[:at] + b"%08x" % sum_ + header[at + len(BLANK) :]
    return [length, header, *data]


# ---- reading ----


_PICKLE = (
    "it is a pickle (of torch.save?), which is never read since it can run any code; with PyTorch,"
    " safetensors.torch.save_file(torch.load(...), 'x.safetensors') makes a file that can be read"
)


class File:
    """A file read strictly: `arrays` by name, and `metadata`.

    Raises: CheckpointError for whatever is not exactly a file of this layout.
    """

    def __init__(self, stream: BinaryIO, size: int, foreign: bool) -> None:
        length = stream.read(8)
        if len(length) < 8:
            raise CheckpointError(f"it has {size} bytes, too few for any header")
        (count,) = struct.unpack("<Q", length)
        if count > min(size - 8, MAX_HEADER):
            raise CheckpointError(
                _PICKLE
                if length[:2] == b"PK" or length[:1] == b"\x80"
                else f"its header would take {count} bytes of a file of {size}: truncated, or not a"
                " file that core.save wrote"
            )
        header = stream.read(count)
        if len(header) < count:
            raise CheckpointError(f"it ends inside its header, which should take {count} bytes")
        own = header.startswith(PREFIX)
        if not own and (not foreign or b"unison" in header):
            raise CheckpointError(
                "its checksum is not where it should be: not a file that core.save wrote"
            )
        table = _parsed(header)
        self.metadata = _metadata(table)
        places = _places(table, size - 8 - count)
        sum_ = zlib.crc32(header, zlib.crc32(length)) if not own else _blanked(length, header)
        self.arrays: dict[str, numpy.ndarray] = {}
        for name, (kind, shape, nbytes) in places.items():
            memory = numpy.empty(nbytes, numpy.uint8)
            if stream.readinto(memory.data) != nbytes:  # type: ignore[attr-defined]
                raise CheckpointError(f"it ends inside the tensor {name!r}")
            sum_ = zlib.crc32(memory.data, sum_)
            self.arrays[name] = _shaped(memory, kind, shape, name)
        if own:
            self._check(header, sum_)

    def _check(self, header: bytes, sum_: int) -> None:
        at = len(PREFIX)
        stored = header[at : at + len(BLANK)]
        if stored != b"%08x" % sum_:
            raise CheckpointError(
                f"its checksum is {sum_:08x} and should be {stored.decode('ascii', 'replace')}:"
                " bytes have changed since it was written"
            )
        if self.metadata.get("unison.version") != VERSION:
            raise CheckpointError(
                f"it has format version {self.metadata.get('unison.version')!r}, and this program"
                f" reads version {VERSION}"
            )


def _blanked(length: bytes, header: bytes) -> int:
    at = len(PREFIX)
    blank = header[:at] + BLANK + header[at + len(BLANK) :]
    return zlib.crc32(blank, zlib.crc32(length))


def _parsed(header: bytes) -> dict[str, Any]:
    try:
        table = json.loads(header.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"its header is no JSON that can be read ({error})") from None
    if not isinstance(table, dict):
        raise CheckpointError("its header is no JSON object")
    return table


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a name stands there twice")
    return out


def _metadata(table: dict[str, Any]) -> dict[str, str]:
    metadata = table.pop("__metadata__", {})
    texts = isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())
    if not texts:
        raise CheckpointError("its metadata is no table of texts")
    return metadata


def _places(table: dict[str, Any], size: int) -> dict[str, tuple[Any, tuple[int, ...], int]]:
    """Each tensor's dtype, shape and bytes, in the order they lie, without gap or overlap."""
    rows = []
    for name, about in table.items():
        if not isinstance(about, dict) or sorted(about) != ["data_offsets", "dtype", "shape"]:
            raise CheckpointError(f"the entry of tensor {name!r} is {about!r:.80}")
        shape, offsets = about["shape"], about["data_offsets"]
        if not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
            raise CheckpointError(f"tensor {name!r} has shape {shape!r:.80} at {offsets!r:.80}")
        kind = DTYPES.get(about["dtype"]) if isinstance(about["dtype"], str) else None
        if kind is None:
            raise CheckpointError(f"tensor {name!r} has the unknown dtype {about['dtype']!r:.40}")
        start, end = offsets
        if math.prod(shape) * kind.itemsize != end - start:
            raise CheckpointError(
                f"tensor {name!r} of shape {shape} and {kind} needs"
                f" {math.prod(shape) * kind.itemsize} bytes and has {end - start}"
            )
        rows.append((start, end, name, kind, tuple(shape)))
    rows.sort(key=lambda row: row[:2])
    at = 0
    for start, end, name, *_ in rows:
        if start != at:
            raise CheckpointError(f"tensor {name!r} begins at {start}, and should at {at}")
        at = end
    if at != size:
        raise CheckpointError(f"its tensors take {at} bytes and it holds {size}: cut off, or more")
    return {name: (kind, shape, end - start) for start, end, name, kind, shape in rows}


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(n) is int and n >= 0 for n in values)


def _shaped(memory: Any, kind: Any, shape: tuple[int, ...], name: str) -> Any:
    try:
        return memory.view(kind).reshape(shape)
    except ValueError as error:
        raise CheckpointError(f"tensor {name!r} of shape {shape}: {error}") from None
