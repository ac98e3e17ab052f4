"""Layers that add elements around their input."""

from __future__ import annotations

from typing import Any

import core.nn.functional as F
from core.nn.module import Module


class _Pad(Module):
    """What the padding layers share."""

    dims: int
    mode = "constant"

    def __init__(self, padding: Any) -> None:
        super().__init__()
        one = isinstance(padding, int)
        self.padding = (padding,) * (2 * self.dims) if one else tuple(padding)

    def forward(self, input: Any) -> Any:
        """The padded input."""
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        """Widths."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Any) -> Any:
        """The padded input."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """Widths and value."""
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """Widths."""
        return f"{self.padding}"


class _ReflectionPad(_Pad):
    mode = "reflect"


class _ReplicationPad(_Pad):
    mode = "replicate"


class _CircularPad(_Pad):
    mode = "circular"

    def forward(self, input: Any) -> Any:
        """The padded input."""
        few, have = self.dims + 1, len(input.shape)
        if have not in (few, few + 1):
            raise ValueError(f"expected {few}D or {few + 1}D input (got {have}D input)")
        return F.pad(input, self.padding, self.mode)


class ConstantPad1d(_ConstantPad):
    """One value added around a sequence."""

    dims = 1


class ZeroPad1d(_ZeroPad):
    """Zeros added around a sequence."""

    dims = 1


class ReflectionPad1d(_ReflectionPad):
    """Its own elements, mirrored, added around a sequence."""

    dims = 1


class ReplicationPad1d(_ReplicationPad):
    """Its border elements added around a sequence."""

    dims = 1


class CircularPad1d(_CircularPad):
    """The elements of its other side added around a sequence."""

    dims = 1


class ConstantPad2d(_ConstantPad):
    """One value added around an image."""

    dims = 2


class ZeroPad2d(_ZeroPad):
    """Zeros added around an image."""

    dims = 2


class ReflectionPad2d(_ReflectionPad):
    """Its own elements, mirrored, added around an image."""

    dims = 2


class ReplicationPad2d(_ReplicationPad):
    """Its border elements added around an image."""

    dims = 2


class CircularPad2d(_CircularPad):
    """The elements of its other side added around an image."""

    dims = 2


class ConstantPad3d(_ConstantPad):
    """One value added around a volume."""

    dims = 3


class ZeroPad3d(_ZeroPad):
    """Zeros added around a volume."""

    dims = 3


class ReflectionPad3d(_ReflectionPad):
    """Its own elements, mirrored, added around a volume."""

    dims = 3


class ReplicationPad3d(_ReplicationPad):
    """Its border elements added around a volume."""

    dims = 3


class CircularPad3d(_CircularPad):
    """The elements of its other side added around a volume."""

    dims = 3
