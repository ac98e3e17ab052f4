"""Laws of files: only what is whole is read, and downloads are all or nothing."""

import gzip
import hashlib
import io
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.vision import download as network
from core.vision import formats

ROOT = Path(__file__).parents[2]
CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def idx(array, code=8):
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


IMAGES = numpy.arange(2 * 3 * 4, dtype="u1").reshape(2, 3, 4)


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("packed", [False, True])
def test_idx_arrays_are_read(tmp_path, dtype, packed):
    array = numpy.arange(-3, 21).reshape(2, 3, 4).astype(dtype)
    data = idx(array, CODES[dtype])
    (tmp_path / "x").write_bytes(gzip.compress(data) if packed else data)
    read = formats.read_idx(tmp_path / "x")
    assert read.dtype.isnative and read.flags.writeable
    numpy.testing.assert_array_equal(read, array)


BROKEN = {
    "empty": (b"", "magic number need 4 bytes"),
    "magic": (b"\0\1\x08\1" + bytes(9), "magic number 00010801"),
    "code": (b"\0\0\x07\1" + bytes(9), "magic number"),
    "rank": (b"\0\0\x08\0", "magic number"),
    "no sizes": (b"\0\0\x08\3\0\0\0\1", "sizes need 12 bytes, the file has 4"),
    "truncated": (idx(IMAGES)[:-1], r"sizes \(2, 3, 4\) need 24 bytes, but at most|has 23"),
    "trailing": (idx(IMAGES) + b"x", "bytes after the 24"),
    "huge": (b"\0\0\x08\3" + b"\xff" * 12, "at most 16 can be there"),
    "broken gzip": (gzip.compress(idx(IMAGES))[:-5], "broken gzip data"),
    "gzip of nothing": (b"\x1f\x8b", "broken gzip data"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_idx_files_are_refused_by_name(tmp_path, name):
    data, message = BROKEN[name]
    (tmp_path / "images").write_bytes(data)
    if name == "truncated":
        message = "need 24 bytes"
    with pytest.raises(formats.DataFormatError, match=message) as caught:
        formats.read_idx(tmp_path / "images")
    assert str(tmp_path / "images") in str(caught.value)


@given(st.data())
def test_no_mutation_gives_another_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("idx") / "x"
    whole = bytearray(idx(IMAGES))
    if data.draw(st.booleans()):
        whole = bytearray(gzip.compress(bytes(whole), mtime=0))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        assert formats.read_idx(path).nbytes <= 24
    except formats.DataFormatError:
        return


def test_a_gzip_bomb_is_refused_without_its_memory(tmp_path):
    header = struct.pack(">HBBI", 0, 8, 1, 2**31)
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(header + bytes(2**22)))
    with pytest.raises(formats.DataFormatError, match="need 2147483648 bytes, but at most"):
        formats.read_idx(path)
    path.write_bytes(gzip.compress(idx(IMAGES) + bytes(2**22)))
    with pytest.raises(formats.DataFormatError, match="bytes after"):
        formats.read_idx(path)
    with pytest.raises(formats.DataFormatError, match="at most 10 can"):
        formats.read_idx(path, limit=10)


def test_records_are_labels_then_pixels(tmp_path):
    path = tmp_path / "batch.bin"
    path.write_bytes(bytes([7, *range(6), 9, *range(6, 12)]))
    images, labels = formats.read_records(path, 1, (2, 3))
    assert images.tolist() == numpy.arange(12).reshape(2, 2, 3).tolist()
    assert labels.tolist() == [[7], [9]]
    path.write_bytes(bytes(13))
    with pytest.raises(formats.DataFormatError, match="13 bytes are no whole number"):
        formats.read_records(path, 1, (2, 3))
    path.write_bytes(b"")
    with pytest.raises(formats.DataFormatError, match="0 bytes"):
        formats.read_records(path, 1, (2, 3))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2], "have"),
        ([0, 10], "run from 0 to 10"),
        ([-1, 0], "from -1"),
        ([[0], [1]], "have"),
    ],
)
def test_pairs_that_do_not_match_are_refused(labels, message):
    with pytest.raises(formats.DataFormatError, match=message):
        formats.check_pairs("file", IMAGES, numpy.array(labels), 10)


# ---- downloads ----

CONTENT = b"content" * 1000
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class Network:
    """Opens what `answers` has for an address; a number is an error."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked = []

    def __call__(self, request, timeout):
        self.asked.append(request.full_url)
        answer = self.answers[request.full_url.rpartition("/")[2]]
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer)


def test_a_download_is_whole_and_leaves_nothing_else(tmp_path):
    net, path = Network(file=CONTENT), tmp_path / "raw" / "file"
    network.download(["https://host/file"], path, MD5, net)
    assert path.read_bytes() == CONTENT
    network.download(["https://host/file"], path, MD5, net)
    assert len(net.asked) == 1
    assert sorted(os.listdir(path.parent)) == [".lock", "file"]


def test_the_next_source_is_asked(tmp_path):
    net = Network(gone=OSError("refused"), short=CONTENT[:-1], good=CONTENT)
    urls = [f"https://host/{name}" for name in ("gone", "short", "good")]
    network.download(urls, tmp_path / "file", MD5, net)
    assert net.asked == urls and (tmp_path / "file").read_bytes() == CONTENT


def test_a_wrong_file_never_gets_its_name(tmp_path):
    net = Network(bad=b"something else", gone=OSError("no network"))
    with pytest.raises(network.DownloadError) as caught:
        network.download(["https://host/bad", "https://host/gone"], tmp_path / "file", MD5, net)
    text = str(caught.value)
    for part in (str(tmp_path / "file"), MD5, "https://host/bad", "14 bytes", "no network"):
        assert part in text
    assert os.listdir(tmp_path) == [".lock"]


def test_a_damaged_file_is_replaced(tmp_path):
    (tmp_path / "file").write_bytes(b"damaged")
    network.download(["https://host/file"], tmp_path / "file", MD5, Network(file=CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["http://host/file", "file:///etc/passwd", "ftp://host/file"])
def test_only_https_is_asked(tmp_path, url):
    with pytest.raises(ValueError, match="https only"):
        network.download([url], tmp_path / "file", MD5, Network())


RACE = """
import io, sys
from pathlib import Path
from core.vision import download as network
content = b"content" * 1000
def opener(request, timeout):
    print("asked", flush=True)
    return io.BytesIO(content)
network.download(["https://host/file"], Path(sys.argv[1]), sys.argv[2], opener)
assert Path(sys.argv[1]).read_bytes() == content
"""


def test_of_many_processes_one_downloads(tmp_path):
    command = [sys.executable, "-c", RACE, str(tmp_path / "file"), MD5]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    racers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) for _ in range(3)
    ]
    said = [racer.communicate(timeout=60)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert sorted(said) == ["", "", "asked\n"]


# ---- archives ----


def tar(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_named_members_are_extracted(tmp_path):
    tar(tmp_path / "a.tgz", [(tarfile.TarInfo("in/x"), b"one"), (tarfile.TarInfo("../y"), b"two")])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/z", b"three")
    out = tmp_path / "out"
    out.mkdir()
    network.extract(tmp_path / "a.tgz", ["in/x"], out)
    network.extract(tmp_path / "a.zip", ["in/z"], out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"x": b"one", "z": b"three"}


def test_members_that_are_no_files_are_refused(tmp_path):
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    tar(tmp_path / "a.tgz", [(link, b""), (tarfile.TarInfo("big"), bytes(100))])
    for name, limit in (("link", 1000), ("big", 99), ("missing", 1000)):
        with pytest.raises(formats.DataFormatError, match=name):
            network.extract(tmp_path / "a.tgz", [name], tmp_path, limit)
    (tmp_path / "b").write_bytes(b"no archive")
    with pytest.raises(formats.DataFormatError, match="b: "):
        network.extract(tmp_path / "b", ["x"], tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a.tgz", "b"]
