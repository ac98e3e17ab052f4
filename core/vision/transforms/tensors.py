"""From pixels to tensors and back, and what is done to tensors' numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy

from core.dtype import dtype as Dtype
from core.dtype import to_numpy
from core.ops.creation import from_numpy
from core.random import default_generator, normal
from core.tensor import Tensor
from core.vision.pixels import is_pil
from core.vision.transforms.compose import Shown, below, uniform


class PILToTensor(Shown):
    """The pixels as a tensor (C, H, W) of the same dtype."""

    def __call__(self, image: Any) -> Tensor:
        array = numpy.asarray(image)
        if array.ndim not in (2, 3):
            raise ValueError(f"an image has 2 or 3 dimensions, got {array.ndim}")
        array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
        return from_numpy(numpy.array(array, order="C"))


class ToTensor(Shown):
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


class ConvertImageDtype(Shown):
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


class Normalize(Shown):
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


class GaussianNoise(Shown):
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


class ToPILImage(Shown):
    """A tensor (C, H, W), of bytes or from 0 to 1, or an array (H, W[, C]), as a PIL image.

    Raises: ValueError for another number of dimensions or channels.
    """

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, pic: Any) -> Any:
        from PIL import Image

        array = numpy.asarray(pic.detach().cpu().numpy() if isinstance(pic, Tensor) else pic)
        if array.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {array.ndim} dimensions.")
        if isinstance(pic, Tensor) and array.ndim == 3:
            array = array.transpose(1, 2, 0)
        if array.dtype.kind == "f" and isinstance(pic, Tensor):
            array = (array * 255).astype(numpy.uint8)
        if array.ndim == 3 and array.shape[2] == 1:
            array = array[:, :, 0]
        if array.ndim == 3 and array.shape[2] not in (2, 3, 4):
            raise ValueError(f"pic has {array.shape[2]} channels, and an image 1 to 4")
        image = Image.fromarray(numpy.ascontiguousarray(array))
        return image if self.mode in (None, image.mode) else image.convert(self.mode)


class RandomErasing(Shown):
    """A tensor (..., C, H, W) with a random rectangle overwritten, with probability p.

    `value` is a number, one per channel, or "random" for normal noise. Source: Zhong et al. (2017).
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
    ) -> None:
        self.p = p
        self.scale = scale
        self.ratio = ratio
        self.value = value
        self.inplace = inplace

    def __call__(self, image: Tensor) -> Tensor:
        if uniform() >= self.p:
            return image
        rows, columns = image.shape[-2:]
        for _ in range(10):
            area = rows * columns * uniform(*self.scale)
            aspect = math.exp(uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if height < rows and width < columns:
                top, left = below(rows - height + 1), below(columns - width + 1)
                return self._erased(image, slice(top, top + height), slice(left, left + width))
        return image

    def _erased(self, image: Tensor, rows: slice, columns: slice) -> Tensor:
        out = image.array if self.inplace else image.array.copy()
        part = out[..., rows, columns]
        if self.value == "random":
            part[...] = normal(default_generator().reserve(), part.shape, part.dtype)
        else:
            part[...] = numpy.asarray(self.value, part.dtype).reshape(-1, 1, 1)
        return image if self.inplace else from_numpy(out)
