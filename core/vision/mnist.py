"""MNIST and the datasets that share its format."""

from __future__ import annotations

import os
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy

from core.vision.dataset import Transform, VisionDataset
from core.vision.download import download, extract, only_one
from core.vision.formats import DataFormatError, check_pairs, read_idx


class MNIST(VisionDataset):
    """Handwritten digits of 28x28 pixels: 60,000 to train, 10,000 to test.

    Reads `root/MNIST/raw/`, where files may be compressed or not.
    Raises: RuntimeError if they are missing, DataFormatError if they are broken.
    Source: LeCun, Cortes & Burges (1998).
    """

    folder = "MNIST"
    mirrors: Sequence[str] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    resources: Sequence[tuple[str, str]] = (
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    )
    classes: Sequence[str] = (
        "0 - zero",
        "1 - one",
        "2 - two",
        "3 - three",
        "4 - four",
        "5 - five",
        "6 - six",
        "7 - seven",
        "8 - eight",
        "9 - nine",
    )

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Transform = None,
        target_transform: Transform = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform, target_transform)
        self.train = train
        images, labels = self.names()
        if download and not (self._find(images) and self._find(labels)):
            self.download()
        paths = [self._find(images), self._find(labels)]
        if None in paths:
            raise RuntimeError(
                f"Dataset not found: {images}[.gz] and {labels}[.gz] in {self.raw_folder}."
                " You can use download=True to download it"
            )
        self._read(*paths)

    def _read(self, images: Any, labels: Any) -> None:
        pixels, numbers = read_idx(images), read_idx(labels)
        if pixels.ndim != 3 or pixels.dtype != numpy.uint8:
            raise DataFormatError(
                f"{images}: expected uint8 images (N, H, W), got {pixels.dtype} {pixels.shape}"
            )
        check_pairs(labels, pixels, numbers, len(self.classes))
        self.hold(pixels, numbers)

    @property
    def raw_folder(self) -> Path:
        """Where the files lie."""
        return Path(str(self.root)) / self.folder / "raw"

    def names(self) -> tuple[str, str]:
        """The files of images and of labels, without `.gz`."""
        part = "train" if self.train else "t10k"
        return f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"

    def _find(self, name: str) -> Path | None:
        both = (self.raw_folder / name, self.raw_folder / f"{name}.gz")
        return next((path for path in both if path.is_file()), None)

    def download(self) -> None:
        """Puts the files that are missing into `raw_folder`."""
        for name, md5 in self.resources:
            if self._find(name.removesuffix(".gz")) is None:
                download([mirror + name for mirror in self.mirrors], self.raw_folder / name, md5)


class FashionMNIST(MNIST):
    """Articles of clothing in MNIST's format. Source: Xiao, Rasul & Vollgraf (2017)."""

    folder = "FashionMNIST"
    mirrors = (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    )
    resources = (
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    )
    classes = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )


class KMNIST(MNIST):
    """Cursive Japanese characters in MNIST's format. Source: Clanuwat et al. (2018)."""

    folder = "KMNIST"
    mirrors = ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",)
    resources = (
        ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
        ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
        ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
        ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    )
    classes = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


_LETTERS = string.ascii_uppercase + string.ascii_lowercase
_MERGED = string.digits + "".join(c for c in _LETTERS if c not in "cijklmopsuvwxyz")


class EMNIST(MNIST):
    """Handwritten letters and digits in MNIST's format, transposed as they come.

    Raises: ValueError for an unknown split.
    Source: Cohen, Afshar, Tapson & van Schaik (2017).
    """

    folder = "EMNIST"
    mirrors = (
        "https://biometrics.nist.gov/cs_links/EMNIST/",
        "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
    )
    resources = (("gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e"),)
    classes_split_dict = {
        "byclass": tuple(string.digits + _LETTERS),
        "bymerge": tuple(_MERGED),
        "balanced": tuple(_MERGED),
        "letters": ("N/A", *string.ascii_lowercase),
        "digits": tuple(string.digits),
        "mnist": tuple(string.digits),
    }

    def __init__(self, root: str | os.PathLike[str], split: str, **options: Any) -> None:
        if split not in self.classes_split_dict:
            raise ValueError(f"split is one of {list(self.classes_split_dict)}, got {split!r}")
        self.split = split
        self.classes = self.classes_split_dict[split]
        super().__init__(root, **options)

    def names(self) -> tuple[str, str]:
        """The files of images and of labels, without `.gz`."""
        start = f"emnist-{self.split}-{'train' if self.train else 'test'}"
        return f"{start}-images-idx3-ubyte", f"{start}-labels-idx1-ubyte"

    def download(self) -> None:
        """Puts the archive of all splits, and this part of this split, into `raw_folder`."""
        name, md5 = self.resources[0]
        archive = self.raw_folder / name
        download([mirror + name for mirror in self.mirrors], archive, md5)
        with only_one(self.raw_folder):
            extract(archive, [f"gzip/{part}.gz" for part in self.names()], self.raw_folder)
