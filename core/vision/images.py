"""Images in a grid, to files and from files: what people know as torchvision.utils and .io."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.ops.creation import from_numpy
from core.tensor import Tensor


def make_grid(
    tensor: Any,
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """Images of one size in rows of `nrow`, with a margin; of one channel in three.

    `normalize` brings their numbers, or those of `value_range`, to 0 to 1.
    Shape: (B, C, H, W), (C, H, W), (H, W) or a list of images -> (C, H, W).
    """
    images = _batch(tensor)
    if normalize:
        parts = images if scale_each else images[None]
        images = numpy.stack([_scaled(part, value_range) for part in parts])
        images = images if scale_each else images[0]
    count, channels, height, width = images.shape
    if count == 1:
        return from_numpy(images[0].copy())
    columns = min(nrow, count)
    rows = math.ceil(count / columns)
    height, width = height + padding, width + padding
    shape = (channels, rows * height + padding, columns * width + padding)
    grid = numpy.full(shape, pad_value, images.dtype)
    for place, image in enumerate(images):
        top, left = place // columns * height + padding, place % columns * width + padding
        grid[:, top : top + height - padding, left : left + width - padding] = image
    return from_numpy(grid)


def save_image(tensor: Any, fp: Any, format: str | None = None, **options: Any) -> None:
    """Nothing; `fp`, a path or a file, holds the images as make_grid() lays them out."""
    from PIL import Image

    grid = make_grid(tensor, **options).numpy()
    pixels = numpy.clip(grid * 255 + 0.5, 0, 255).astype(numpy.uint8).transpose(1, 2, 0)
    Image.fromarray(pixels).save(fp, format=format)


def read_image(path: Any) -> Tensor:
    """The picture in a file.

    Shape: -> (C, H, W), of bytes.
    """
    from PIL import Image

    with Image.open(path) as image:
        array = numpy.asarray(image.convert("RGB") if image.mode == "P" else image)
    return from_numpy(array[None].copy() if array.ndim == 2 else array.transpose(2, 0, 1).copy())


def _batch(tensor: Any) -> numpy.ndarray:
    many = isinstance(tensor, (list, tuple))
    images = [x.detach().cpu().numpy() for x in (tensor if many else [tensor])]
    array = numpy.stack(images) if many else images[0]
    if array.ndim == 2:
        array = array[None]
    if array.ndim == 3:
        array = array[:, None] if many else array[None]
    if array.ndim != 4:
        raise ValueError(f"images have 2 to 4 dimensions, got {array.ndim}")
    return numpy.concatenate([array] * 3, 1) if array.shape[1] == 1 else array


def _scaled(images: numpy.ndarray, limits: tuple[float, float] | None) -> numpy.ndarray:
    low, high = limits if limits is not None else (images.min(), images.max())
    return (numpy.clip(images, low, high) - low) / max(high - low, 1e-5)
