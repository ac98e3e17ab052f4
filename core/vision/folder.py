"""Datasets of files in folders, one folder per class."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.vision.dataset import Transform, VisionDataset

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def read_image(path: str) -> Any:
    """The image in a file, as a PIL image in RGB.

    Raises: RuntimeError where Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise RuntimeError("images in files need Pillow: pip install pillow") from error
    with Image.open(path) as image:
        return image.convert("RGB")


class DatasetFolder(VisionDataset):
    """The files of `root/<class>/`, in the order of their names, at any depth below the class.

    Raises: FileNotFoundError if there is no class, or a class without a file that counts.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        loader: Callable[[str], Any],
        extensions: tuple[str, ...] | None = None,
        transform: Transform = None,
        target_transform: Transform = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        super().__init__(root, transform, target_transform)
        if (extensions is None) == (is_valid_file is None):
            raise ValueError("extensions and is_valid_file: one of the two must be given")
        self.loader = loader
        self.extensions = extensions
        counts = is_valid_file or _has_extension(extensions or ())
        folders = sorted(entry.name for entry in os.scandir(str(self.root)) if entry.is_dir())
        if not folders:
            raise FileNotFoundError(f"Couldn't find any class folder in {self.root}.")
        self.classes = folders
        self.samples = [
            (path, number)
            for number, name in enumerate(folders)
            for path in _files(Path(str(self.root)) / name, counts)
        ]
        self.targets = [number for _, number in self.samples]
        empty = [name for i, name in enumerate(folders) if i not in frozenset(self.targets)]
        if empty and not allow_empty:
            raise FileNotFoundError(f"Found no valid file for the classes {', '.join(empty)}.")

    def pair(self, index: int) -> tuple[Any, Any]:
        """The image and the target at `index`, before any transform."""
        path, target = self.samples[index]
        return self.loader(path), target


class ImageFolder(DatasetFolder):
    """The images of `root/<class>/`; an image is a PIL image in RGB."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Transform = None,
        target_transform: Transform = None,
        loader: Callable[[str], Any] = read_image,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        extensions = IMG_EXTENSIONS if is_valid_file is None else None
        super().__init__(
            root, loader, extensions, transform, target_transform, is_valid_file, allow_empty
        )
        self.imgs = self.samples


def _has_extension(extensions: tuple[str, ...]) -> Callable[[str], bool]:
    return lambda path: path.lower().endswith(extensions)


def _files(folder: Path, counts: Callable[[str], bool]) -> list[str]:
    found = []
    for place, inner, names in os.walk(folder, followlinks=True):
        inner.sort()
        found += [path for name in sorted(names) if counts(path := os.path.join(place, name))]
    return found
