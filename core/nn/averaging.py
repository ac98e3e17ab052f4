"""Layers that pool by means and powers, to a given size, by random regions, and undo pooling."""

from __future__ import annotations

from typing import Any

import core.nn.functional as F
from core.nn.conv import repeated
from core.nn.module import Module


class _AvgPool(Module):
    """What the average-pooling layers share."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def _options(self) -> tuple[Any, ...]:
        return (
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )

    def extra_repr(self) -> str:
        """Sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The mean of each window of a sequence."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        kernel = repeated(kernel_size, 1)
        step = kernel if stride is None else repeated(stride, 1)
        super().__init__(kernel, step, repeated(padding, 1), ceil_mode, count_include_pad)

    def forward(self, input: Any) -> Any:
        """The pooled input."""
        return F.avg_pool1d(input, *self._options())


class AvgPool2d(_AvgPool):
    """The mean of each window of an image."""

    def forward(self, input: Any) -> Any:
        """The pooled input."""
        return F.avg_pool2d(input, *self._options(), self.divisor_override)


class AvgPool3d(_AvgPool):
    """The mean of each window of a volume."""

    def forward(self, input: Any) -> Any:
        """The pooled input."""
        return F.avg_pool3d(input, *self._options(), self.divisor_override)


class _LPPool(Module):
    """What the power-pooling layers share."""

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def _options(self) -> tuple[Any, ...]:
        return float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode

    def extra_repr(self) -> str:
        """Sizes."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride},"
            f" ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """The p-norm of each window of a sequence."""

    def forward(self, input: Any) -> Any:
        """The pooled input."""
        return F.lp_pool1d(input, *self._options())


class LPPool2d(_LPPool):
    """The p-norm of each window of an image."""

    def forward(self, input: Any) -> Any:
        """The pooled input."""
        return F.lp_pool2d(input, *self._options())


class LPPool3d(_LPPool):
    """The p-norm of each window of a volume."""

    def forward(self, input: Any) -> Any:
        """The pooled input."""
        return F.lp_pool3d(input, *self._options())


class _AdaptiveAvgPool(Module):
    """What the average poolings to a given size share."""

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """Size."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The means of so many regions of a sequence."""

    def forward(self, input: Any) -> Any:
        """The pooled input."""
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The means of so many regions of an image."""

    def forward(self, input: Any) -> Any:
        """The pooled input."""
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The means of so many regions of a volume."""

    def forward(self, input: Any) -> Any:
        """The pooled input."""
        return F.adaptive_avg_pool3d(input, self.output_size)


class _AdaptiveMaxPool(Module):
    """What the max poolings to a given size share."""

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def extra_repr(self) -> str:
        """Size."""
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest elements of so many regions of a sequence."""

    def forward(self, input: Any) -> Any:
        """The pooled input, with indices if asked for."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest elements of so many regions of an image."""

    def forward(self, input: Any) -> Any:
        """The pooled input, with indices if asked for."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest elements of so many regions of a volume."""

    def forward(self, input: Any) -> Any:
        """The pooled input, with indices if asked for."""
        return F.adaptive_max_pool3d(input, self.output_size, self.return_indices)


class _FractionalMaxPool(Module):
    """What the random max poolings share."""

    dims: int

    def __init__(
        self,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Any = None,
    ) -> None:
        super().__init__()
        if (output_size is None) == (output_ratio is None):
            raise ValueError(
                f"{type(self).__name__} requires exactly one of output_size and output_ratio"
            )
        n = self.dims
        one = isinstance(output_ratio, float)
        ratios = (output_ratio,) * n if one else output_ratio
        if ratios is not None and not all(0 < ratio < 1 for ratio in ratios):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")
        self.kernel_size = repeated(kernel_size, n)
        self.output_size = output_size if output_size is None else repeated(output_size, n)
        self.output_ratio = ratios
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)

    def _options(self) -> tuple[Any, ...]:
        sizes = (self.output_size, self.output_ratio)
        return self.kernel_size, *sizes, self.return_indices, self._random_samples


class FractionalMaxPool2d(_FractionalMaxPool):
    """The largest elements of random regions of an image."""

    dims = 2

    def forward(self, input: Any) -> Any:
        """The pooled input, with indices if asked for."""
        return F.fractional_max_pool2d(input, *self._options())


class FractionalMaxPool3d(_FractionalMaxPool):
    """The largest elements of random regions of a volume."""

    dims = 3

    def forward(self, input: Any) -> Any:
        """The pooled input, with indices if asked for."""
        return F.fractional_max_pool3d(input, *self._options())


class _MaxUnpool(Module):
    """What the layers that undo max pooling share."""

    dims: int

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size = repeated(kernel_size, self.dims)
        self.stride = repeated(kernel_size if stride is None else stride, self.dims)
        self.padding = repeated(padding, self.dims)

    def extra_repr(self) -> str:
        """Sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"

    def _options(self) -> tuple[Any, ...]:
        return self.kernel_size, self.stride, self.padding


class MaxUnpool1d(_MaxUnpool):
    """Zeros of the size of a sequence, with the elements where max pooling found them."""

    dims = 1

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        """The unpooled input."""
        return F.max_unpool1d(input, indices, *self._options(), output_size)


class MaxUnpool2d(_MaxUnpool):
    """Zeros of the size of an image, with the elements where max pooling found them."""

    dims = 2

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        """The unpooled input."""
        return F.max_unpool2d(input, indices, *self._options(), output_size)


class MaxUnpool3d(_MaxUnpool):
    """Zeros of the size of a volume, with the elements where max pooling found them."""

    dims = 3

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        """The unpooled input."""
        return F.max_unpool3d(input, indices, *self._options(), output_size)
