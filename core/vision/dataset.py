"""What image datasets share; an image is a NumPy array until a transform changes it.

Shape of an image: (H, W) for gray, (H, W, 3) for color, uint8. Files of images give PIL images.
"""

from __future__ import annotations

import os
import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy

from core.data.dataset import Dataset
from core.ops.creation import from_numpy
from core.random import Key, integers

Transform = Callable[[Any], Any] | None


class VisionDataset(Dataset[Any]):
    """Images and targets, each through its transform.

    A subclass fills `data` and `targets`, or defines `pair(index)`.
    """

    data: Any
    targets: Any
    classes: Sequence[str] = ()

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        transform: Transform = None,
        target_transform: Transform = None,
    ) -> None:
        self.root = None if root is None else os.path.expanduser(os.fspath(root))
        self.transform = transform
        self.target_transform = target_transform

    def pair(self, index: int) -> tuple[Any, Any]:
        """The image and the target at `index`, before any transform."""
        return self._images[index], int(self._labels[index])

    def hold(self, images: numpy.ndarray, labels: numpy.ndarray) -> None:
        """Keeps what pair() reads; `data` and `targets` are tensors of the same memory."""
        self._images, self._labels = images, labels.astype(numpy.int64)
        self.data, self.targets = from_numpy(images), from_numpy(self._labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, target = self.pair(index)
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class name."""
        return {name: number for number, name in enumerate(self.classes)}

    def __repr__(self) -> str:
        lines = [f"Dataset {type(self).__name__}", f"    Number of datapoints: {len(self)}"]
        if self.root is not None:
            lines.append(f"    Root location: {self.root}")
        return "\n".join(lines)


class Digits(VisionDataset):
    """1,797 handwritten digits of 8x8 pixels with values 0 to 16, which come with this package.

    The last 360 are the test part when `train` is given; None means all.
    Source: Alpaydin & Kaynak (1998), doi 10.24432/C50P49, CC BY 4.0; see data/README.md.
    Example:
        >>> len(Digits()), len(Digits(train=True)), Digits()[0][0].shape
        (1797, 1437, (8, 8))
    """

    classes = tuple(string.digits)

    def __init__(
        self,
        train: bool | None = None,
        transform: Transform = None,
        target_transform: Transform = None,
    ) -> None:
        super().__init__(None, transform, target_transform)
        with numpy.load(Path(__file__).parent / "data" / "digits.npz") as file:
            images, labels = file["images"], file["labels"]
        part = {None: slice(None), True: slice(0, 1437), False: slice(1437, None)}[train]
        self.train = train
        self.hold(images[part], labels[part])


class FakeData(VisionDataset):
    """Images of random pixels, the same at every visit, for trying out a program."""

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, int, int] = (3, 224, 224),
        num_classes: int = 10,
        transform: Transform = None,
        target_transform: Transform = None,
        random_offset: int = 0,
    ) -> None:
        super().__init__(None, transform, target_transform)
        self.size = size
        self.image_size = tuple(image_size)
        self.num_classes = num_classes
        self.random_offset = random_offset

    def pair(self, index: int) -> tuple[Any, Any]:
        """The image and the target at `index`, before any transform."""
        if not 0 <= index < self.size:
            raise IndexError(f"{type(self).__name__} index {index} is out of range for {self.size}")
        key = Key(seed=index + self.random_offset, stream=0, offset=0)
        channels, height, width = self.image_size
        image = integers(key, (height, width, channels), 0, 256, numpy.uint8)
        return image, int(integers(key._replace(offset=1), 1, 0, self.num_classes)[0])

    def __len__(self) -> int:
        return self.size
