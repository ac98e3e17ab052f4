"""Transforms of images under torchvision's names.

An image is a NumPy array (H, W) or (H, W, C), a tensor (..., H, W), or a PIL image; a transform
gives back the kind it got, unless its name says otherwise. Random ones draw from core.random.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from core.dtype import dtype as Dtype
from core.dtype import to_numpy
from core.ops.creation import from_numpy
from core.random import bits, default_generator, normal, permutation
from core.tensor import Tensor
from core.vision.pixels import Pixels, crop, flip, is_pil, pad, resize


class InterpolationMode(enum.Enum):
    """How Resize finds pixels between pixels."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


class _Shown:
    """A transform whose repr is its name and its options."""

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"


def _pair(size: Any) -> tuple[int, int]:
    """Height and width from one number, a sequence of one, or of two."""
    sizes = (size,) if isinstance(size, int) else tuple(size)
    if len(sizes) not in (1, 2):
        raise ValueError(f"a size is one or two numbers, got {size}")
    return sizes[0], sizes[-1]


def _uniform(low: float = 0.0, high: float = 1.0) -> float:
    # One word by hand: 2.5 us, where an array of one takes 20.
    word = int(bits(default_generator().reserve(), 1)[0])
    return low + (high - low) * (word >> 11) * 2.0**-53


def _below(count: int) -> int:
    return int(bits(default_generator().reserve(), 1)[0]) * count >> 64


# ---- putting transforms together ----


class Compose:
    """Transforms one after the other."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    def __repr__(self) -> str:
        lines = [f"    {transform}" for transform in self.transforms]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


class Lambda:
    """A function as a transform; for loaders with workers it must be one that pickle can name."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd).__name__}")
        self.lambd = lambd

    def __call__(self, image: Any) -> Any:
        return self.lambd(image)

    def __repr__(self) -> str:
        return "Lambda()"


class RandomApply(Compose):
    """All of the transforms with probability p, otherwise none."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]], p: float = 0.5) -> None:
        super().__init__(transforms)
        self.p = p

    def __call__(self, image: Any) -> Any:
        return super().__call__(image) if _uniform() < self.p else image


class RandomChoice(Compose):
    """One of the transforms, each as likely."""

    def __call__(self, image: Any) -> Any:
        return self.transforms[_below(len(self.transforms))](image)


class RandomOrder(Compose):
    """All of the transforms in random order."""

    def __call__(self, image: Any) -> Any:
        order = permutation(default_generator().reserve(), len(self.transforms))
        for place in order.tolist():
            image = self.transforms[place](image)
        return image


# ---- from pixels to tensors ----


class PILToTensor(_Shown):
    """The pixels as a tensor (C, H, W) of the same dtype."""

    def __call__(self, image: Any) -> Tensor:
        array = numpy.asarray(image)
        if array.ndim not in (2, 3):
            raise ValueError(f"an image has 2 or 3 dimensions, got {array.ndim}")
        array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
        return from_numpy(numpy.array(array, order="C"))


class ToTensor(_Shown):
    """The pixels as a tensor (C, H, W); uint8 from 0 to 255 becomes float32 from 0 to 1.

    Example:
        >>> import numpy
        >>> tuple(ToTensor()(numpy.full((2, 3), 255, numpy.uint8)).shape)
        (1, 2, 3)
    """

    def __call__(self, image: Any) -> Tensor:
        if not (isinstance(image, numpy.ndarray) or is_pil(image)):
            raise TypeError(f"pic should be PIL Image or ndarray. Got {type(image)}")
        array = numpy.asarray(image)
        if array.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {array.ndim} dimensions.")
        array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
        if array.dtype == numpy.uint8:
            return from_numpy(
                numpy.divide(array, numpy.float32(255), dtype=numpy.float32, order="C")
            )
        kind = numpy.float32 if array.dtype == bool else array.dtype
        return from_numpy(numpy.array(array, dtype=kind, order="C"))


class ConvertImageDtype(_Shown):
    """The tensor in another dtype, with whole numbers from 0 to their maximum for 0 to 1."""

    def __init__(self, dtype: Dtype) -> None:
        self.dtype = dtype

    def __call__(self, image: Tensor) -> Tensor:
        array, new = image.array, numpy.dtype(to_numpy(self.dtype))
        if (array.dtype.kind == "f") == (new.kind == "f"):
            return from_numpy(array.astype(new))
        if new.kind == "f":
            return from_numpy(array.astype(new) / new.type(numpy.iinfo(array.dtype).max))
        # Just below one more than the maximum, so that 1.0 is the maximum and all are as wide.
        scaled = array * (numpy.iinfo(new).max + 1.0 - 1e-3)
        return from_numpy(scaled.astype(new))


class Normalize(_Shown):
    """The tensor (..., C, H, W) with (x - mean) / std per channel.

    Raises: TypeError for what is no floating tensor; ValueError if a std is zero.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        self.mean = mean
        self.std = std
        self.inplace = inplace

    def __call__(self, tensor: Tensor) -> Tensor:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
        if not tensor.is_floating_point():
            raise TypeError(f"Input tensor should be a float tensor. Got {tensor.dtype}.")
        kind = tensor.array.dtype
        mean = numpy.asarray(self.mean, kind).reshape(-1, 1, 1)
        std = numpy.asarray(self.std, kind).reshape(-1, 1, 1)
        if (std == 0).any():
            raise ValueError(f"std evaluated to zero after conversion to {kind}, got {self.std}")
        if self.inplace:
            tensor.sub_(from_numpy(mean)).div_(from_numpy(std))  # type: ignore[attr-defined]
            return tensor
        out = tensor.array - mean
        out /= std
        return from_numpy(out)


# ---- where pixels are ----


class Resize(_Shown):
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


class CenterCrop(_Shown):
    """The middle of the image; where it is too small, with a margin of 0."""

    def __init__(self, size: Any) -> None:
        self.size = _pair(size)

    def __call__(self, image: Any) -> Any:
        (rows, columns), (height, width) = Pixels(image).size, self.size
        top, left = round((rows - height) / 2), round((columns - width) / 2)
        return crop(image, top, left, height, width)


class Pad(_Shown):
    """The image with a margin."""

    def __init__(self, padding: Any, fill: float = 0, padding_mode: str = "constant") -> None:
        self.padding = padding
        self.fill = fill
        self.padding_mode = padding_mode

    def __call__(self, image: Any) -> Any:
        return pad(image, self.padding, self.fill, self.padding_mode)


class RandomCrop(_Shown):
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
        return crop(image, _below(rows - height + 1), _below(columns - width + 1), height, width)


class RandomResizedCrop(_Shown):
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
            area = rows * columns * _uniform(*self.scale)
            aspect = math.exp(_uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            height, width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
            if 0 < height <= rows and 0 < width <= columns:
                return _below(rows - height + 1), _below(columns - width + 1), height, width
        aspect = min(max(columns / rows, self.ratio[0]), self.ratio[1])
        height, width = min(rows, round(columns / aspect)), min(columns, round(rows * aspect))
        return (rows - height) // 2, (columns - width) // 2, height, width


class RandomHorizontalFlip(_Shown):
    """The image mirrored left to right with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def __call__(self, image: Any) -> Any:
        return flip(image, horizontal=True) if _uniform() < self.p else image


class RandomVerticalFlip(_Shown):
    """The image mirrored top to bottom with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def __call__(self, image: Any) -> Any:
        return flip(image, horizontal=False) if _uniform() < self.p else image


class GaussianNoise(_Shown):
    """A floating tensor with normal noise added, kept within 0 to 1 if `clip`."""

    def __init__(self, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> None:
        self.mean = mean
        self.sigma = sigma
        self.clip = clip

    def __call__(self, image: Tensor) -> Tensor:
        array = image.array
        key = default_generator().reserve()
        out = array + normal(key, array.shape, array.dtype, self.mean, self.sigma)
        return from_numpy(numpy.clip(out, 0, 1) if self.clip else out)
