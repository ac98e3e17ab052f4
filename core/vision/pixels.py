"""An image whatever it is held in: a NumPy array (H, W[, C]), a tensor (..., H, W), a PIL image.

Holds what the transforms share: where height and width are, and how to get back to the same kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from core.autograd.value import wrap
from core.backend import xp
from core.tensor import Tensor


def is_pil(image: Any) -> bool:
    """Whether this is an image of Pillow, which need not be installed."""
    return type(image).__module__.startswith("PIL.")


class Pixels:
    """The array of an image with height and width at `axis` and `axis + 1`.

    Raises: TypeError for what is no image.
    """

    def __init__(self, image: Any) -> None:
        self.image = image
        if isinstance(image, Tensor):
            self.array, self.axis = image.array, image.ndim - 2
        elif isinstance(image, numpy.ndarray) or is_pil(image):
            self.array, self.axis = numpy.asarray(image), 0
        else:
            raise TypeError(f"an image is an array, a tensor or a PIL image, not {type(image)}")
        if self.array.ndim < 2:
            raise TypeError(f"an image has at least two dimensions, not {self.array.shape}")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.array.shape[self.axis : self.axis + 2]
        return height, width

    def at(self, rows: Any, columns: Any) -> tuple[Any, ...]:
        """The index of these rows and columns in the array."""
        return (slice(None),) * self.axis + (rows, columns)

    def like(self, array: Any) -> Any:
        """An image of the first one's kind with these pixels."""
        if isinstance(self.image, Tensor):
            return wrap(array)
        if is_pil(self.image):
            from PIL import Image

            return Image.fromarray(numpy.ascontiguousarray(array))
        return array


def crop(image: Any, top: int, left: int, height: int, width: int) -> Any:
    """The part of an image with this corner and size; outside the image it is 0."""
    pixels = Pixels(image)
    rows, columns = pixels.size
    before = (max(-left, 0), max(-top, 0))
    after = (max(left + width - columns, 0), max(top + height - rows, 0))
    if any(before + after):
        pixels = Pixels(pad(image, [*before, *after]))
        top, left = top + before[1], left + before[0]
    return pixels.like(pixels.array[pixels.at(slice(top, top + height), slice(left, left + width))])


_PAD_MODES = {
    "constant": "constant",
    "edge": "edge",
    "reflect": "reflect",
    "symmetric": "symmetric",
}


def pad(image: Any, padding: Any, fill: float = 0, padding_mode: str = "constant") -> Any:
    """The image with a margin: one width, [left and right, top and bottom], or all four.

    Raises: ValueError for another number of widths or an unknown mode.
    """
    widths = [padding] if isinstance(padding, int) else list(padding)
    if len(widths) not in (1, 2, 4):
        raise ValueError(f"padding is 1, 2 or 4 numbers, got {padding}")
    if padding_mode not in _PAD_MODES:
        raise ValueError(f"padding_mode is one of {list(_PAD_MODES)}, got {padding_mode!r}")
    left, top, right, bottom = (widths * 4)[:4]
    pixels = Pixels(image)
    module, array = xp(pixels.array), pixels.array
    if padding_mode == "constant":  # numpy.pad takes 57 us for a small image, this 2
        rows, columns = pixels.size
        shape = list(array.shape)
        shape[pixels.axis : pixels.axis + 2] = [rows + top + bottom, columns + left + right]
        out = module.full(shape, fill, array.dtype)
        out[pixels.at(slice(top, top + rows), slice(left, left + columns))] = array
        return pixels.like(out)
    margin = [(0, 0)] * array.ndim
    margin[pixels.axis : pixels.axis + 2] = [(top, bottom), (left, right)]
    return pixels.like(module.pad(array, margin, padding_mode))


def flip(image: Any, horizontal: bool) -> Any:
    """The image mirrored left to right, or top to bottom."""
    pixels = Pixels(image)
    back = slice(None, None, -1)
    index = pixels.at(slice(None), back) if horizontal else pixels.at(back, slice(None))
    return pixels.like(xp(pixels.array).ascontiguousarray(pixels.array[index]))


def _triangle(x: numpy.ndarray) -> numpy.ndarray:
    return numpy.maximum(0.0, 1.0 - abs(x))


def _cubic(x: numpy.ndarray) -> numpy.ndarray:
    """The cubic convolution kernel with a = -0.5. Source: Keys (1981)."""
    x = abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return numpy.where(x < 1, near, numpy.where(x < 2, far, 0.0))


KERNELS: dict[str, tuple[Callable[[numpy.ndarray], numpy.ndarray], float]] = {
    "bilinear": (_triangle, 1.0),
    "bicubic": (_cubic, 2.0),
}


def resampling(old: int, new: int, mode: str, antialias: bool = True) -> numpy.ndarray:
    """The weights with which pixels of a line of `old` make one of `new`.

    Shape: -> (new, old).
    """
    scale = old / new
    if mode == "nearest":
        places = numpy.minimum((numpy.arange(new) * scale).astype(int), old - 1)
        return numpy.eye(old)[places]
    kernel, reach = KERNELS[mode]
    stretch = max(scale, 1.0) if antialias else 1.0
    centers = (numpy.arange(new) + 0.5) * scale
    # Half a pixel more than the kernel reaches; what it does not reach has weight 0.
    reach = math.ceil(reach * stretch) + 1
    weights = numpy.zeros((new, old))
    for row, center in enumerate(centers):
        first, last = max(int(center - reach), 0), min(int(center + reach) + 1, old)
        part = kernel((numpy.arange(first, last) + 0.5 - center) / stretch)
        weights[row, first:last] = part / part.sum()
    return weights


def resize(image: Any, size: tuple[int, int], mode: str, antialias: bool = True) -> Any:
    """The image at another height and width.

    Raises: ValueError for an unknown mode.
    """
    if mode not in (*KERNELS, "nearest"):
        raise ValueError(f"interpolation is one of {['nearest', *KERNELS]}, got {mode!r}")
    pixels = Pixels(image)
    module, array = xp(pixels.array), pixels.array
    if pixels.size == tuple(size):
        return image
    work = array.dtype if array.dtype.kind == "f" else numpy.dtype("float32")
    out = array.astype(work)
    for step, new in enumerate(size):
        weights = module.asarray(resampling(pixels.size[step], new, mode, antialias).astype(work))
        out = module.moveaxis(module.tensordot(weights, out, (1, pixels.axis + step)), 0, -1)
        out = module.moveaxis(out, -1, pixels.axis + step)
    if array.dtype.kind != "f":
        top = numpy.iinfo(array.dtype)
        out = module.clip(module.rint(out), top.min, top.max).astype(array.dtype)
    return pixels.like(module.ascontiguousarray(out))


def rotate(
    image: Any,
    angle: float,
    mode: str = "nearest",
    expand: bool = False,
    center: Any = None,
    fill: float = 0,
) -> Any:
    """The image turned counter-clockwise by `angle` degrees about `center` (x, y), its middle.

    `expand` makes it large enough for all of the turned image.
    Raises: ValueError for a mode that is neither "nearest" nor "bilinear".
    """
    if mode not in ("nearest", "bilinear"):
        raise ValueError(f"interpolation is 'nearest' or 'bilinear', got {mode!r}")
    pixels = Pixels(image)
    module, (rows, columns) = xp(pixels.array), pixels.size
    # Rounded so that right angles are exact.
    cos, sin = (round(f(math.radians(angle)), 15) for f in (math.cos, math.sin))
    height, width = rows, columns
    middle = ((columns - 1) / 2, (rows - 1) / 2)
    if expand:
        height = math.ceil(abs(rows * cos) + abs(columns * sin) - 1e-9)
        width = math.ceil(abs(columns * cos) + abs(rows * sin) - 1e-9)
    about = middle if center is None or expand else (center[0] - 0.5, center[1] - 0.5)
    target = ((width - 1) / 2, (height - 1) / 2) if expand else about
    y, x = module.arange(height)[:, None] - target[1], module.arange(width) - target[0]
    from_x, from_y = x * cos - y * sin + about[0], x * sin + y * cos + about[1]
    return pixels.like(_taken(pixels, from_y, from_x, mode, fill))


def _taken(pixels: Pixels, y: Any, x: Any, mode: str, fill: float) -> Any:
    """What lies at (y, x) in an image; `fill` outside of it."""
    array, module = pixels.array, xp(pixels.array)
    rows, columns = pixels.size

    def at(row: Any, column: Any) -> Any:
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        found = array[pixels.at(module.clip(row, 0, rows - 1), module.clip(column, 0, columns - 1))]
        after = found.ndim - pixels.axis - 2
        return module.where(inside[(...,) + (None,) * after], found, array.dtype.type(fill))

    if mode == "nearest":
        return at(module.rint(y).astype(int), module.rint(x).astype(int))
    top, left = module.floor(y).astype(int), module.floor(x).astype(int)
    after = array.ndim - pixels.axis - 2
    down, right = ((p - q)[(...,) + (None,) * after] for p, q in ((y, top), (x, left)))
    upper = at(top, left) * (1 - right) + at(top, left + 1) * right
    lower = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
    out = upper * (1 - down) + lower * down
    return (out if array.dtype.kind == "f" else module.rint(out)).astype(array.dtype)
