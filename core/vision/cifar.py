"""CIFAR-10 and CIFAR-100, from their binary version."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy

from core.vision.dataset import Transform, VisionDataset
from core.vision.download import download, extract, only_one
from core.vision.formats import check_pairs, read_records


class CIFAR10(VisionDataset):
    """Color photographs of 32x32 pixels in 10 classes: 50,000 to train, 10,000 to test.

    Reads the binary version, which needs no pickle, from `root/cifar-10-batches-bin/`.
    Raises: RuntimeError if files are missing, DataFormatError if they are broken.
    Source: Krizhevsky (2009).
    """

    base_folder = "cifar-10-batches-bin"
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    tgz_md5 = "c32a1d4ab5d03f1284b67883e8d87530"
    train_list: Sequence[str] = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
    test_list: Sequence[str] = ("test_batch.bin",)
    names_file = "batches.meta.txt"
    label_bytes = 1

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
        folder = Path(str(self.root)) / self.base_folder
        wanted = [*(self.train_list if train else self.test_list), self.names_file]
        missing = [name for name in wanted if not (folder / name).is_file()]
        if missing and download:
            self.download()
        elif missing:
            raise RuntimeError(
                f"Dataset not found: {', '.join(missing)} in {folder}."
                " You can use download=True to download it"
            )
        self._read([folder / name for name in wanted])

    def _read(self, paths: list[Path]) -> None:
        lines = paths.pop().read_text(encoding="ascii").split("\n")
        self.classes = tuple(line.strip() for line in lines if line.strip())
        parts = [read_records(path, self.label_bytes, (3, 32, 32)) for path in paths]
        images = numpy.concatenate([part[0] for part in parts]).transpose(0, 2, 3, 1)
        labels = numpy.concatenate([part[1] for part in parts])[:, -1]
        check_pairs(paths[0].parent, images, labels, len(self.classes))
        self._images = self.data = numpy.ascontiguousarray(images)
        self._labels = labels.astype(numpy.int64)
        self.targets = self._labels.tolist()

    def download(self) -> None:
        """Puts the archive into `root` and its files into their folder."""
        root = Path(str(self.root))
        archive, folder = root / self.url.rpartition("/")[2], root / self.base_folder
        download([self.url], archive, self.tgz_md5)
        with only_one(folder):
            names = [*self.train_list, *self.test_list, self.names_file]
            # Another process may have extracted them while this one waited.
            if not all((folder / name).is_file() for name in names):
                extract(archive, [f"{self.base_folder}/{name}" for name in names], folder)


class CIFAR100(CIFAR10):
    """Color photographs of 32x32 pixels in 100 classes: 50,000 to train, 10,000 to test."""

    base_folder = "cifar-100-binary"
    url = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
    tgz_md5 = "03b5dce01913d631647c71ecec9e9cb8"
    train_list = ("train.bin",)
    test_list = ("test.bin",)
    names_file = "fine_label_names.txt"
    label_bytes = 2  # the coarse label, then the fine one
