"""Where pixels are: sizes, parts, margins, mirrors and turns."""

from __future__ import annotations

import enum
import math
from typing import Any

from core.vision.pixels import Pixels, crop, flip, pad, resize, rotate
from core.vision.transforms.compose import Shown, below, uniform


class InterpolationMode(enum.Enum):
    """How Resize finds pixels between pixels."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


def _pair(size: Any) -> tuple[int, int]:
    """Height and width from one number, a sequence of one, or of two."""
    sizes = (size,) if isinstance(size, int) else tuple(size)
    if len(sizes) not in (1, 2):
        raise ValueError(f"a size is one or two numbers, got {size}")
    return sizes[0], sizes[-1]


class Resize(Shown):
    """The image at a size; one number is the length of the shorter side."""

    def __init__(
        self,
        size: Any,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool = True,
    ) -> None:
        self.size = size
        self.interpolation = InterpolationMode(interpolation)
        self.max_size = max_size
        self.antialias = antialias

    def __call__(self, image: Any) -> Any:
        size = self._target(*Pixels(image).size)
        return resize(image, size, self.interpolation.value, self.antialias)

    def _target(self, height: int, width: int) -> tuple[int, int]:
        if not isinstance(self.size, int) and len(self.size) == 2:
            return _pair(self.size)
        shorter, longer = min(height, width), max(height, width)
        new, other = _pair(self.size)[0], int(_pair(self.size)[0] * longer / shorter)
        if self.max_size is not None and other > self.max_size:
            new, other = int(self.max_size * new / other), self.max_size
        return (new, other) if height <= width else (other, new)


class CenterCrop(Shown):
    """The middle of the image; where it is too small, with a margin of 0."""

    def __init__(self, size: Any) -> None:
        self.size = _pair(size)

    def __call__(self, image: Any) -> Any:
        (rows, columns), (height, width) = Pixels(image).size, self.size
        top, left = round((rows - height) / 2), round((columns - width) / 2)
        return crop(image, top, left, height, width)


class Pad(Shown):
    """The image with a margin."""

    def __init__(self, padding: Any, fill: float = 0, padding_mode: str = "constant") -> None:
        self.padding = padding
        self.fill = fill
        self.padding_mode = padding_mode

    def __call__(self, image: Any) -> Any:
        return pad(image, self.padding, self.fill, self.padding_mode)


class RandomCrop(Shown):
    """A part of the image at a random place.

    Raises: ValueError if the image with its padding is smaller than the part.
    """

    def __init__(
        self,
        size: Any,
        padding: Any = None,
        pad_if_needed: bool = False,
        fill: float = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = _pair(size)
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = padding_mode

    def __call__(self, image: Any) -> Any:
        if self.padding is not None:
            image = pad(image, self.padding, self.fill, self.padding_mode)
        height, width = self.size
        rows, columns = Pixels(image).size
        if self.pad_if_needed and (rows < height or columns < width):
            margin = [max(width - columns, 0), max(height - rows, 0)]
            image = pad(image, margin, self.fill, self.padding_mode)
            rows, columns = Pixels(image).size
        if rows < height or columns < width:
            raise ValueError(
                f"Required crop size {self.size} is larger than input image size {(rows, columns)}"
            )
        return crop(image, below(rows - height + 1), below(columns - width + 1), height, width)


class RandomResizedCrop(Shown):
    """A part of random area and aspect ratio, at a size. Source: Szegedy et al. (2015)."""

    def __init__(
        self,
        size: Any,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    ) -> None:
        self.size = _pair(size)
        self.scale = scale
        self.ratio = ratio
        self.interpolation = InterpolationMode(interpolation)

    def __call__(self, image: Any) -> Any:
        part = crop(image, *self._part(*Pixels(image).size))
        return resize(part, self.size, self.interpolation.value)

    def _part(self, rows: int, columns: int) -> tuple[int, int, int, int]:
        for _ in range(10):
            area = rows * columns * uniform(*self.scale)
            aspect = math.exp(uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            height, width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
            if 0 < height <= rows and 0 < width <= columns:
                return below(rows - height + 1), below(columns - width + 1), height, width
        aspect = min(max(columns / rows, self.ratio[0]), self.ratio[1])
        height, width = min(rows, round(columns / aspect)), min(columns, round(rows * aspect))
        return (rows - height) // 2, (columns - width) // 2, height, width


class RandomHorizontalFlip(Shown):
    """The image mirrored left to right with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def __call__(self, image: Any) -> Any:
        return flip(image, horizontal=True) if uniform() < self.p else image


class RandomVerticalFlip(Shown):
    """The image mirrored top to bottom with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def __call__(self, image: Any) -> Any:
        return flip(image, horizontal=False) if uniform() < self.p else image


class RandomRotation(Shown):
    """The image turned by a random angle, from -degrees to degrees or between the two given."""

    def __init__(
        self,
        degrees: Any,
        interpolation: InterpolationMode = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Any = None,
        fill: float = 0,
    ) -> None:
        one = isinstance(degrees, (int, float))
        self.degrees = (-degrees, degrees) if one else tuple(degrees)
        self.interpolation = InterpolationMode(interpolation)
        self.expand = expand
        self.center = center
        self.fill = fill

    def __call__(self, image: Any) -> Any:
        angle = uniform(*self.degrees)
        return rotate(image, angle, self.interpolation.value, self.expand, self.center, self.fill)
