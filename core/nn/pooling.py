"""Layers that make each window one element."""

from __future__ import annotations

from typing import Any

import core.nn.functional as F
from core.nn.module import Module


class _MaxPool(Module):
    """What the max-pooling layers share."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        """Sizes."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding},"
            f" dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )

    def _options(self) -> tuple[Any, ...]:
        return (
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window of a sequence."""

    def forward(self, input: Any) -> Any:
        """The pooled input, with indices if asked for."""
        return F.max_pool1d(input, *self._options())


class MaxPool2d(_MaxPool):
    """The largest element of each window of an image."""

    def forward(self, input: Any) -> Any:
        """The pooled input, with indices if asked for."""
        return F.max_pool2d(input, *self._options())


class MaxPool3d(_MaxPool):
    """The largest element of each window of a volume."""

    def forward(self, input: Any) -> Any:
        """The pooled input, with indices if asked for."""
        return F.max_pool3d(input, *self._options())
