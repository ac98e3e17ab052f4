"""Transforms as functions, under the names of torchvision.transforms.functional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.tensor import Tensor
from core.vision.colors import adjust_brightness as adjust_brightness
from core.vision.colors import adjust_contrast as adjust_contrast
from core.vision.colors import adjust_hue as adjust_hue
from core.vision.colors import adjust_saturation as adjust_saturation
from core.vision.colors import rgb_to_grayscale as rgb_to_grayscale
from core.vision.pixels import Pixels, flip
from core.vision.pixels import crop as crop
from core.vision.pixels import pad as pad
from core.vision.pixels import rotate as turned
from core.vision.transforms.geometry import CenterCrop, InterpolationMode, Resize
from core.vision.transforms.tensors import (
    ConvertImageDtype,
    Normalize,
    PILToTensor,
    ToPILImage,
    ToTensor,
)


def to_tensor(pic: Any) -> Tensor:
    """The pixels as a tensor (C, H, W); uint8 becomes float32 from 0 to 1."""
    return ToTensor()(pic)


def pil_to_tensor(pic: Any) -> Tensor:
    """The pixels as a tensor (C, H, W) of the same dtype."""
    return PILToTensor()(pic)


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """A tensor (C, H, W) or an array (H, W[, C]) as a PIL image."""
    return ToPILImage(mode)(pic)


def convert_image_dtype(image: Tensor, dtype: Any) -> Tensor:
    """The tensor in another dtype, with whole numbers from 0 to their maximum for 0 to 1."""
    return ConvertImageDtype(dtype)(image)


def normalize(
    tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False
) -> Tensor:
    """The tensor (..., C, H, W) with (x - mean) / std per channel."""
    return Normalize(mean, std, inplace)(tensor)


def resize(
    img: Any,
    size: Any,
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool = True,
) -> Any:
    """The image at a size; one number is the length of the shorter side."""
    return Resize(size, interpolation, max_size, antialias)(img)


def center_crop(img: Any, output_size: Any) -> Any:
    """The middle of the image."""
    return CenterCrop(output_size)(img)


def resized_crop(img: Any, top: int, left: int, height: int, width: int, size: Any) -> Any:
    """The part of the image with this corner and size, at another size."""
    return resize(crop(img, top, left, height, width), size)


def hflip(img: Any) -> Any:
    """The image mirrored left to right."""
    return flip(img, horizontal=True)


def vflip(img: Any) -> Any:
    """The image mirrored top to bottom."""
    return flip(img, horizontal=False)


def rotate(
    img: Any,
    angle: float,
    interpolation: InterpolationMode = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Any = None,
    fill: float = 0,
) -> Any:
    """The image turned counter-clockwise by an angle in degrees."""
    return turned(img, angle, InterpolationMode(interpolation).value, expand, center, fill)


def get_image_size(img: Any) -> list[int]:
    """Width and height."""
    height, width = Pixels(img).size
    return [width, height]
