"""Colours of an image whatever it is held in: brightness, contrast, saturation, hue, gray.

Numbers are those of torchvision's functions of tensors: bytes are rounded down.
"""

from __future__ import annotations

from typing import Any

from core.backend import xp
from core.tensor import Tensor
from core.vision.pixels import Pixels

# The weights of red, green and blue. Source: ITU-R Recommendation BT.601.
_WEIGHTS = (0.2989, 0.587, 0.114)


def channels(image: Any) -> int:
    """How many channels an image has."""
    return _planes(Pixels(image)).shape[0]


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """The image `brightness_factor` times as bright; 0 is black."""
    pixels = Pixels(img)
    return _mixed(pixels, 0.0, brightness_factor)


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """The image with `contrast_factor` times its contrast; 0 is one gray."""
    pixels = Pixels(img)
    return _mixed(pixels, _gray(pixels).mean(axis=(-2, -1), keepdims=True), contrast_factor)


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """The image with `saturation_factor` times its colours; 0 is gray."""
    pixels = Pixels(img)
    return img if channels(img) == 1 else _mixed(pixels, _gray(pixels), saturation_factor)


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """The image with its hues moved by a part, from -0.5 to 0.5, of the circle.

    Raises: ValueError for another part.
    """
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    pixels = Pixels(img)
    planes = _planes(pixels)
    if planes.shape[0] == 1:
        return img
    top = _top(pixels)
    turned = _with_hue(xp(pixels.array), planes / top, hue_factor) * top
    if pixels.array.dtype.kind != "f":
        turned = xp(turned).rint(turned)
    return _like(pixels, turned)


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """The image without colours, in one channel or in three equal ones.

    Raises: ValueError for another number of channels.
    """
    if num_output_channels not in (1, 3):
        raise ValueError(f"num_output_channels should be either 1 or 3, got {num_output_channels}")
    pixels = Pixels(img)
    gray = _gray(pixels)
    return _like(pixels, xp(gray).broadcast_to(gray, (num_output_channels, *gray.shape[1:])))


def _planes(pixels: Pixels) -> Any:
    """The pixels as floats, channels first."""
    array, module = pixels.array, xp(pixels.array)
    if array.dtype.kind != "f":
        array = array.astype("float32")
    if array.ndim == 2:
        return array[None]
    return module.moveaxis(array, pixels.axis - 1 if pixels.axis else 2, 0)


def _like(pixels: Pixels, planes: Any) -> Any:
    """Channels-first pixels as the kind of image they came from."""
    module = xp(planes)
    if pixels.array.dtype.kind != "f":
        planes = module.clip(planes, 0, _top(pixels)).astype(pixels.array.dtype)
    if isinstance(pixels.image, Tensor):
        out = module.moveaxis(planes, 0, pixels.axis - 1) if pixels.axis else planes[0]
    else:
        out = planes[0] if planes.shape[0] == 1 else module.moveaxis(planes, 0, 2)
    return pixels.like(module.ascontiguousarray(out))


def _top(pixels: Pixels) -> float:
    """The number that stands for full brightness."""
    return 1.0 if pixels.array.dtype.kind == "f" else 255.0


def _gray(pixels: Pixels) -> Any:
    planes = _planes(pixels)
    if planes.shape[0] == 1:
        return planes
    red, green, blue = (planes[i : i + 1] * weight for i, weight in enumerate(_WEIGHTS))
    gray = red + green + blue
    return gray if pixels.array.dtype.kind == "f" else xp(gray).floor(gray)


def _mixed(pixels: Pixels, other: Any, factor: float) -> Any:
    """`factor` of the image and the rest of `other`, within the numbers of an image."""
    if factor < 0:
        raise ValueError(f"the factor ({factor}) is not non-negative.")
    planes = _planes(pixels)
    mixed = planes * factor + other * (1.0 - factor)
    return _like(pixels, xp(mixed).clip(mixed, 0, _top(pixels)))


def _with_hue(module: Any, planes: Any, shift: float) -> Any:
    """RGB from 0 to 1 with the hue moved. Source: the hexagon of Smith (1978)."""
    most, least = planes.max(0), planes.min(0)
    spread = most - least
    safe = module.where(spread == 0, 1, spread)
    red, green, blue = planes[0], planes[1], planes[2]
    side = module.where(
        most == red,
        (green - blue) / safe,
        module.where(most == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = (side / 6 + shift) % 1.0
    # Each channel falls from `most` to `least` with its distance on the circle from its own hue.
    places = [abs((hue - center + 0.5) % 1.0 - 0.5) * 6 for center in (0, 1 / 3, 2 / 3)]
    return module.stack([most - spread * module.clip(place - 1, 0, 1) for place in places])
